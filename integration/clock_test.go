package integration_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// TestPINNED_evidenceVerifiesIn2033: steno-verify, with a clock that stands in 2033, when every certificate in the file has expired.
// It is built with the clock of the Go playground (the build tag faketime), set to that year.
func TestPINNED_evidenceVerifiesIn2033(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"-tags", "faketime", "-overlay", clockOf(t, dir, time.Date(2033, 1, 1, 0, 0, 0, 0, time.UTC))}
	year := filepath.Join(dir, "year.go")
	put(t, year, []byte("package main\n\nimport \"time\"\n\nfunc main() { println(time.Now().UTC().Year()) }\n"))
	for out, from := range map[string]string{"year": year, "verify": "github.com/stenolog/steno/cmd/steno-verify"} {
		if said, err := exec.Command("go", append(append([]string{"build"}, flags...), "-o", filepath.Join(dir, out), from)...).CombinedOutput(); err != nil {
			t.Fatalf("building with that clock: %v\n%s", err, said)
		}
	}
	if said, _ := exec.Command(filepath.Join(dir, "year")).CombinedOutput(); !strings.Contains(string(said), "2033") {
		t.Fatalf("the clock does not stand in 2033: %q", said)
	}

	day := func(s string) time.Time { return must(time.Parse(time.DateOnly, s)) }
	l := evidencetest.NewWith(t, "log.example/clock", evidencetest.Options{Witnesses: 3, Quorum: 2})
	one := evidencetest.NewAuthority(t, "one.example", day("2026-01-01"), day("2028-01-01"))
	two := evidencetest.NewAuthority(t, "two.example", day("2026-01-01"), day("2028-01-01"))
	main, _ := verifiertest.Record(l, evidencetest.SessionID(1), 2)
	l.Anchor(day("2026-11-24"), one) // covers the session
	l.Anchor(day("2026-11-25"), two) // covers that token
	backdated := l.Anchor(day("2026-11-20"), one)
	anchored := *l.Evidence(main.ID)
	// The last token says that it is older than what it covers: so does whoever stole the key.
	stolen := *one
	stolen.Compromised = day("2026-12-01")
	early := stolen
	early.Compromised = day("2026-11-24")

	for name, c := range map[string]struct {
		change func(b *evidence.Bundle)
		trust  *trust.Trust
		exit   int
		words  string
	}{
		"every certificate expired":         {func(b *evidence.Bundle) { dropAnchor(l, b, backdated[0]) }, l.TrustPinning(2, one, two), 0, ""},
		"without a token that covers":       {func(b *evidence.Bundle) { b.Anchors = nil }, l.TrustPinning(1, one, two), 3, "is bound by 0 time-stamp authorities, and the trust file demands 1"},
		"stolen later, proven by another":   {func(*evidence.Bundle) {}, l.TrustPinning(2, &stolen, two), 0, ""},
		"stolen before any other proves it": {func(*evidence.Bundle) {}, l.TrustPinning(2, &early, two), 3, "compromised since"},
	} {
		t.Run(name, func(t *testing.T) {
			b := anchored
			b.Leaves, b.Anchors = append([]evidence.Leaf{}, b.Leaves...), append([]evidence.Anchor{}, b.Anchors...)
			c.change(&b)
			checkIn2033(t, filepath.Join(dir, "verify"), l.Prove(&b), c.trust, c.exit, c.words)
		})
	}
}

func dropAnchor(l *evidencetest.Log, b *evidence.Bundle, index uint64) {
	for i, x := range b.Leaves {
		if x.Index == index {
			b.Leaves = append(b.Leaves[:i], b.Leaves[i+1:]...)
			break
		}
	}
	for i, x := range b.Anchors {
		if x.Index == index {
			b.Anchors = append(b.Anchors[:i], b.Anchors[i+1:]...)
			break
		}
	}
}

func checkIn2033(t *testing.T, program string, b *evidence.Bundle, pinned *trust.Trust, exit int, words string) {
	t.Helper()
	dir := t.TempDir()
	var file bytes.Buffer
	if err := evidence.Write(&file, b); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "evidence"), file.Bytes())
	put(t, filepath.Join(dir, "trust"), pinned.Marshal())
	out, err := exec.Command(program, "--json", "--trust", filepath.Join(dir, "trust"), filepath.Join(dir, "evidence")).Output()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	said := played(out)
	var r evidence.Report
	if err := json.Unmarshal(said, &r); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if r.Exit != exit || !strings.Contains(string(said), words) {
		t.Fatalf("exit %d, want %d, with %q\n%s", r.Exit, exit, words, said)
	}
	now, err := evidence.VerifyReader(bytes.NewReader(file.Bytes()), int64(file.Len()), pinned, evidence.Options{})
	if err != nil || !bytes.Equal(now.JSON(), said) {
		t.Errorf("the report of today is another one: %v\n%s", err, now.JSON())
	}
}

// clockOf makes an overlay for go build by which the clock of the playground stands at a time.
func clockOf(t *testing.T, dir string, at time.Time) (overlay string) {
	t.Helper()
	root := strings.TrimSpace(string(must(exec.Command("go", "env", "GOROOT").Output())))
	source := filepath.Join(root, "src", "runtime", "time_fake.go")
	const begins = "var faketime int64 = 1257894000000000000"
	code := string(must(os.ReadFile(source)))
	if !strings.Contains(code, begins) {
		t.Fatal("the clock of the playground is another one than this test knows")
	}
	changed := filepath.Join(dir, "time_fake.go")
	put(t, changed, []byte(strings.Replace(code, begins, fmt.Sprint("var faketime int64 = ", at.UnixNano()), 1)))
	overlay = filepath.Join(dir, "overlay.json")
	put(t, overlay, must(json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})))
	return overlay
}

// played takes the headers away that stand before each write under that clock: 0 0 P B, eight bytes of time, four of length.
func played(out []byte) (plain []byte) {
	const header = 16
	for len(out) >= header && bytes.HasPrefix(out, []byte("\x00\x00PB")) {
		n := int(binary.BigEndian.Uint32(out[12:header]))
		plain, out = append(plain, out[header:header+n]...), out[header+n:]
	}
	return append(plain, out...)
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
