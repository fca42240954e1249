package evidence_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"sync/atomic"
	"testing"

	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
)

// TestPINNED_theDigestIsOfWhatWasJudged, also where the file is another one for a moment: what is verified has the digest that is told.
func TestPINNED_theDigestIsOfWhatWasJudged(t *testing.T) {
	l, r := newLog(t)
	main := l.Open(SessionID(1), "bot", r)
	main.Add(Intent("a", "t", 1), Result("a", 1))
	main.Close()
	b := l.Evidence(main.ID)
	honest := write(t, b)
	leaf := Content(t, b.Leaves[1])
	b.Leaves[1] = evidence.LeafOf(b.Leaves[1].Index, bytes.Repeat([]byte("x"), len(leaf)))
	other := write(t, b)
	digest, refused := sha256.Sum256(honest), 0
	for when := range int64(12) {
		r := &momentary{honest: honest, other: other, at: int64(bytes.Index(honest, leaf)) + 50, when: when}
		report, err := evidence.VerifyReader(r, int64(len(honest)), l.Trust, evidence.Options{})
		if err != nil || report.Exit != evidence.ExitVerified {
			refused++
		} else if report.Bundle != hex.EncodeToString(digest[:]) {
			t.Errorf("other for the %d. time: %s is verified, and told to be %s", when, hex.EncodeToString(digest[:]), report.Bundle)
		}
	}
	if refused == 0 {
		t.Error("the file has never changed")
	}
}

// A momentary file is another one for one of the times that the byte at an offset is read.
type momentary struct {
	honest, other []byte
	at, when      int64
	times         atomic.Int64
}

func (m *momentary) ReadAt(b []byte, at int64) (int, error) {
	file := m.honest
	if at <= m.at && m.at < at+int64(len(b)) && m.times.Add(1) == m.when+1 {
		file = m.other
	}
	return bytes.NewReader(file).ReadAt(b, at)
}
