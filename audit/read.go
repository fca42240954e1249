package audit

import (
	"encoding/hex"
	"errors"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// A read is a leaf as far as it can be judged by itself, in any goroutine.
type read struct {
	index   uint64
	leaf    []byte
	entry   *entry.Entry // nil if finding says why
	hash    entry.Hash
	session sessionID
	finding *evidence.Finding // what is wrong with it; unmet, it goes on all the same
}

func (r *read) failed() bool { return r.finding != nil && r.finding.Outcome == evidence.Failed }

// A sessionID is a session's name in 16 bytes.
type sessionID [16]byte

func idOf(session string) (id sessionID) {
	var digits [32]byte
	n := 0
	for i := 0; i < len(session) && n < len(digits); i++ {
		if session[i] != '-' {
			digits[n] = session[i]
			n++
		}
	}
	// The name was checked when the entry was parsed: 32 digits and 4 hyphens.
	_, _ = hex.Decode(id[:], digits[:])
	return id
}

// parse reads leaves, and verifies their receipts if all are to be verified. It runs in many goroutines.
func (a *auditor) parse(first uint64, leaves [][]byte) []read {
	reads := make([]read, len(leaves))
	for i, leaf := range leaves {
		r := &reads[i]
		r.index, r.leaf = first+uint64(i), leaf
		e, err := entry.Parse(leaf)
		if err != nil {
			r.finding = failed(evidence.CheckEntries, r.index, nil, err)
			continue
		}
		r.entry = e
		if e.Origin != a.cfg.Trust.Origin {
			r.finding = failed(evidence.CheckEntries, r.index, e, errors.New("the entry was made for another log"))
			continue
		}
		r.hash, r.session = e.Hash(), idOf(e.Session)
		// The time of receipt of an opening is what its enrolment is judged by.
		if a.cfg.Signatures == AllSignatures || e.Seq == 0 {
			if err := a.keys.Received(e, r.index); err != nil {
				r.finding = a.refused(evidence.CheckReceived, r.index, e, err)
			}
		}
	}
	return reads
}

// placeOf is where an entry stands; of a leaf that is none, the index is all there is.
func placeOf(index uint64, e *entry.Entry) evidence.Where {
	w := evidence.Where{Index: &index}
	if e != nil {
		seq := e.Seq
		w.Session, w.Track, w.Seq = e.Session, e.Track, &seq
	}
	return w
}

// failed is a finding about an entry, or about a leaf that is none.
func failed(check evidence.CheckID, index uint64, e *entry.Entry, err error) *evidence.Finding {
	f := &evidence.Finding{Check: check, Outcome: evidence.Failed, Where: placeOf(index, e), Detail: err.Error()}
	var parse *entry.Error
	if errors.As(err, &parse) {
		offset := int64(parse.Offset)
		f.Where.Offset, f.Where.Member = &offset, parse.Member
		if event := parse.Event; event >= 0 {
			f.Where.Event = &event
		}
		f.Detail = parse.Detail() + " (" + string(parse.Code) + ")"
	}
	return f
}
