package trust_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

var noon = time.Unix(1_800_000_000, 0)

func drawWindow(t *rapid.T, role trust.Role, key string) trust.Window {
	w := trust.Window{Role: role, Key: key, From: rapid.Uint64Range(0, 8).Draw(t, "from"), Until: trust.NoEnd}
	if rapid.Bool().Draw(t, "ends") {
		w.Until = w.From + rapid.Uint64Range(0, 8).Draw(t, "length")
		w.Compromised = rapid.Bool().Draw(t, "compromised")
	}
	return w
}

// A leaf's key counts from From to Until − 1, and if it is compromised only where witnesses saw the leaf.
func countsForLeaf(w trust.Window, index uint64, witnessed bool) bool {
	return w.From <= index && index < w.Until && (witnessed || !w.Compromised)
}

// receivedEntry is an entry of the entry vectors, with the verifier key of its receipt.
func receivedEntry(t *testing.T) (*entry.Entry, string) {
	var all []struct {
		Signatures int
		Entry      []byte
		Received   string
	}
	if err := json.Unmarshal(must(os.ReadFile(vectorDir+"entry-valid.json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.Signatures == 2 && v.Received != "" {
			return must(entry.Parse(v.Entry)), v.Received
		}
	}
	t.Fatal("no entry among the vectors")
	return nil, ""
}

func TestLeafCountsInTheWindowOfItsKeys(t *testing.T) {
	w := newWorld()
	e, received := receivedEntry(t)
	rapid.Check(t, func(t *rapid.T) {
		c := w.config()
		c.Received = []string{received}
		quorum := rapid.Bool().Draw(t, "quorum")
		if !quorum {
			c.Operators, c.Policy = nil, w.policy("quorum none")
		}
		enroller, system, recorder := c.Enrollers[0], c.System[0], w.recorder
		c.Windows = []trust.Window{
			drawWindow(t, trust.RoleReceived, received), drawWindow(t, trust.RoleEnroller, enroller),
			drawWindow(t, trust.RoleSystem, system), drawWindow(t, trust.RoleRecorder, recorder),
		}
		tr := must(trust.Make(c))
		index := rapid.Uint64Range(0, 18).Draw(t, "index")
		witnessed := rapid.Bool().Draw(t, "witnessed")
		at := tr.AnchorsAt(index, witnessed)
		_, enrollerErr := at.Enrollers.Verifier(w.enroller.Name(), w.enroller.KeyHash())
		_, systemErr := at.System.Verifier(w.systemSigner.Name(), w.systemSigner.KeyHash())
		other := fixed(ed, "acme/renamed", "bot").Verifier().String() // the same public key
		for i, errs := range [][]error{
			{tr.VerifyReceivedAt(e, index, witnessed)}, {enrollerErr}, {systemErr},
			{tr.CheckRecorder(recorder, index, witnessed), tr.CheckRecorder(other, index, witnessed)},
		} {
			for _, err := range errs {
				want := countsForLeaf(c.Windows[i], index, witnessed && quorum)
				var outside *trust.WindowError
				if (err == nil) != want || err != nil && (!errors.As(err, &outside) || outside.Window != c.Windows[i] || outside.At != index) {
					t.Fatalf("%+v, leaf %d, witnessed %v, quorum %v: %v", c.Windows[i], index, witnessed, quorum, err)
				}
			}
		}
		if tr.CheckRecorder(fixed(ed, "acme/agents/bot", "other bot").Verifier().String(), index, witnessed) != nil {
			t.Fatal("a recorder's key without a window does not count")
		}
		if tr.VerifyReceived(e) != nil {
			t.Fatal("the key, whatever its window, does not verify")
		}
	})
}

// expected tells what a checkpoint of the world's config is worth, by the text of the specification.
func expected(windows map[string]trust.Window, size uint64, logs, witnesses []string, quorum bool) (signed, witnessed bool) {
	in := func(k string) bool {
		w, ok := windows[k]
		return !ok || w.From <= size && size <= w.Until
	}
	n := 0
	for _, k := range witnesses {
		if in(k) && !windows[k].Compromised {
			n++
		}
	}
	witnessed = !quorum || n >= 2
	for _, k := range logs {
		signed = signed || in(k) && (!windows[k].Compromised || witnessed && quorum)
	}
	return signed, witnessed
}

func TestCheckpointCountsInTheWindowsOfItsKeys(t *testing.T) {
	w := newWorld()
	signers := map[string]*checkpoint.Signer{
		w.log.Verifier().String(): w.log, w.log2.Verifier().String(): w.log2,
		w.vkey("w1"): w.w["w1"], w.vkey("w2"): w.w["w2"], w.vkey("w3"): w.w["w3"],
	}
	logs, witnesses := []string{w.log.Verifier().String(), w.log2.Verifier().String()}, []string{w.vkey("w1"), w.vkey("w2"), w.vkey("w3")}
	rapid.Check(t, func(t *rapid.T) {
		c := w.config()
		c.Policy = append([]byte("log "+logs[1]+"\n"), c.Policy...)
		quorum := rapid.Bool().Draw(t, "quorum")
		if !quorum {
			c.Policy = []byte(strings.Replace(string(c.Policy), "quorum two", "quorum none", 1))
		}
		windows := map[string]trust.Window{}
		for role, keys := range map[trust.Role][]string{trust.RoleLog: logs, trust.RoleWitness: witnesses} {
			for _, k := range keys {
				if rapid.Bool().Draw(t, "window") {
					windows[k] = drawWindow(t, role, k)
					c.Windows = append(c.Windows, windows[k])
				}
			}
		}
		tr, err := trust.Make(c)
		if err != nil {
			if !strings.Contains(err.Error(), "can't make the quorum") {
				t.Fatal(err)
			}
			t.Skip("too many compromised witnesses")
		}
		var by []*checkpoint.Signer
		sign := func(keys []string) (who []string) {
			for _, k := range keys {
				if rapid.Bool().Draw(t, "signs") {
					who, by = append(who, k), append(by, signers[k])
				}
			}
			return who
		}
		by1, by2 := sign(logs), sign(witnesses)
		if len(by) == 0 {
			t.Skip("signed by nobody")
		}
		size := rapid.Uint64Range(0, 18).Draw(t, "size")
		wantSigned, wantWitnessed := expected(windows, size, by1, by2, quorum)
		cp, err := tr.OpenCheckpoint(head(size, 1, noon, by...))
		if (err == nil) != wantSigned || len(by1)+len(by2) > 0 && cp.Witnessed != wantWitnessed {
			t.Fatalf("size %d, signed by %q and %q: %v, witnessed %v (%s), want %v and %v\n%s", size, by1, by2, err, cp.Witnessed, cp.Missing, wantSigned, wantWitnessed, tr.Marshal())
		}
		if got := tr.Quorum(head(size, 1, noon, by...)); got != (wantSigned && wantWitnessed) {
			t.Fatalf("quorum %v", got)
		}
		if cp.Early != (quorum && len(by2) < 2 && cp.Missing != "") {
			t.Fatalf("signed by %q: early is %v", by2, cp.Early)
		}
		if (cp.Missing == "") != cp.Witnessed {
			t.Fatalf("witnessed %v, missing %q", cp.Witnessed, cp.Missing)
		}
	})
}

// TestHandOverLeavesNoHole: with the old key up to N and the new one from N on, each leaf has one key, and each checkpoint one
// or, at N, either.
func TestHandOverLeavesNoHole(t *testing.T) {
	w := newWorld()
	const n = 5
	old, next := w.log.Verifier().String(), w.log2.Verifier().String()
	tr := w.make(func(c *trust.Config) {
		c.Policy = append([]byte("log "+next+"\n"), c.Policy...)
		c.Enrollers = append(c.Enrollers, w.enroller2.Verifier().String())
		for role, keys := range map[trust.Role][2]string{trust.RoleLog: {old, next}, trust.RoleEnroller: {c.Enrollers[0], c.Enrollers[1]}} {
			c.Windows = append(c.Windows, trust.Window{Role: role, Key: keys[0], Until: n}, trust.Window{Role: role, Key: keys[1], From: n, Until: trust.NoEnd})
		}
	})
	for i := range uint64(2 * n) {
		at := tr.AnchorsAt(i, true).Enrollers
		_, first := at.Verifier(w.enroller.Name(), w.enroller.KeyHash())
		_, second := at.Verifier(w.enroller2.Name(), w.enroller2.KeyHash())
		if (first == nil) != (i < n) || (second == nil) != (i >= n) {
			t.Errorf("leaf %d: %v, %v", i, first, second)
		}
		_, first = tr.OpenCheckpoint(head(i, 1, noon, w.log))
		_, second = tr.OpenCheckpoint(head(i, 1, noon, w.log2))
		if (first == nil) != (i <= n) || (second == nil) != (i >= n) {
			t.Errorf("size %d: %v, %v", i, first, second)
		}
		if _, err := tr.OpenCheckpoint(head(i, 1, noon, w.log, w.log2)); err != nil {
			t.Errorf("size %d, both: %v", i, err)
		}
	}
}

// TestHoleBetweenKeysIsNamed: windows may leave a size to no key at all. What was signed there says why it does not count.
func TestHoleBetweenKeysIsNamed(t *testing.T) {
	w := newWorld()
	tr := w.make(func(c *trust.Config) {
		c.Policy = append([]byte("log "+w.log2.Verifier().String()+"\n"), c.Policy...)
		c.Windows = []trust.Window{
			{Role: trust.RoleLog, Key: w.log.Verifier().String(), Until: 10},
			{Role: trust.RoleLog, Key: w.log2.Verifier().String(), From: 20, Until: trust.NoEnd},
		}
	})
	for size, ok := range map[uint64]bool{10: true, 11: false, 19: false, 20: true} {
		_, err := tr.OpenCheckpoint(head(size, 1, noon, w.log, w.log2, w.w["w1"], w.w["w2"]))
		if (err == nil) != ok {
			t.Errorf("size %d: %v", size, err)
		}
	}
	_, err := tr.OpenCheckpoint(head(15, 1, noon, w.log))
	want := "checkpoint: the log key " + strings.Join(strings.SplitN(w.log.Verifier().String(), "+", 3)[:2], "+") + " counts from size 0 to 10, and this is at 15"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = tr.OpenCheckpoint(head(15, 1, noon, w.log2))
	if err == nil || !strings.HasSuffix(err.Error(), "counts from size 20, and this is at 15") {
		t.Error(err)
	}
}

// TestStolenLogKeyNeedsWitnesses: whoever has the compromised key can sign any history of a size that it counts for.
func TestStolenLogKeyNeedsWitnesses(t *testing.T) {
	w := newWorld()
	stolen := trust.Window{Role: trust.RoleLog, Key: w.log.Verifier().String(), Until: 10, Compromised: true}
	tr := w.make(func(c *trust.Config) { c.Windows = []trust.Window{stolen} })
	for name, c := range map[string]struct {
		size uint64
		by   []*checkpoint.Signer
		ok   bool
	}{
		"the log alone":    {5, []*checkpoint.Signer{w.log}, false},
		"one witness":      {5, []*checkpoint.Signer{w.log, w.w["w1"]}, false},
		"quorum":           {5, []*checkpoint.Signer{w.log, w.w["w1"], w.w["w2"]}, true},
		"quorum, after it": {11, []*checkpoint.Signer{w.log, w.w["w1"], w.w["w2"]}, false},
	} {
		if _, err := tr.OpenCheckpoint(head(c.size, 1, noon, c.by...)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	alone := w.make(func(c *trust.Config) {
		c.Windows, c.Operators, c.Policy = []trust.Window{stolen}, nil, w.policy("quorum none")
	})
	cp, err := alone.OpenCheckpoint(head(5, 1, noon, w.log))
	var outside *trust.WindowError
	if !errors.As(err, &outside) || !strings.Contains(err.Error(), "only for what witnesses saw") {
		t.Errorf("quorum none: %v", err)
	}
	if cp.Size != 5 {
		t.Error("what was read does not come with the error")
	}
	// A signature by the stolen key beside a good one takes nothing away, and adds nothing.
	both := w.make(func(c *trust.Config) {
		c.Policy = append([]byte("log "+w.log2.Verifier().String()+"\n"), c.Policy...)
		c.Windows = []trust.Window{stolen, {Role: trust.RoleLog, Key: w.log2.Verifier().String(), From: 8, Until: trust.NoEnd}}
	})
	if _, err := both.OpenCheckpoint(head(11, 1, noon, w.log, w.log2)); err != nil {
		t.Error(err)
	}
	// Of two reasons the one that more cosignatures would cure.
	_, err = both.OpenCheckpoint(head(5, 1, noon, w.log, w.log2))
	if !errors.As(err, &outside) || !outside.Window.Compromised {
		t.Error(err)
	}
}
