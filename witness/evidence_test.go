package witness_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/witness"
)

// counted is the value of a counter or gauge with these label values, in the order of the labels' names.
func counted(t testing.TB, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	next:
		for _, m := range f.GetMetric() {
			for i, l := range m.GetLabel() {
				if l.GetValue() != labels[i] {
					continue next
				}
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s %v", name, labels)
	return 0
}

// A log that forks after size n gets one branch cosigned, whatever it tries, and leaves proof that convicts it.
func TestONEHISTORY_forkLeavesEvidence(t *testing.T) {
	l := newTestLog(t, origin, bothTypes...)
	reg := prometheus.NewRegistry()
	var logged bytes.Buffer
	w := newWorld(t, func(c *witness.Config) {
		c.Registerer, c.Logger = reg, slog.New(slog.NewTextHandler(&logged, nil))
	}, l)
	base := new(testTree).growTo(t, 5, "leaf")
	w.want(200, l.request(t, base, 0))
	a, b := base.fork().growTo(t, 11, "a"), base.fork().growTo(t, 11, "b")
	w.want(200, l.request(t, a, 5))
	w.want(409, l.request(t, b, 5)) // same size, other root: shown although old is wrong
	same := l.request(t, b, 11)
	w.want(422, same)
	later := l.request(t, b.growTo(t, 20, "b"), 11)
	w.want(422, later)
	for range 3 { // again, with what strangers may add
		later.Note = append(later.Note, "— stranger.example/x AAAAAAAA\n"...)
		w.want(422, later)
	}
	w.restart()
	found := w.evidence()
	if len(found) != 2 {
		t.Fatalf("%d pieces of evidence, want that of size 11 and that of size 20", len(found))
	}
	for i, e := range found {
		f, err := e.Fork()
		if err != nil || e.Kind != witness.KindFork || e.Origin != origin {
			t.Fatalf("evidence %d is %+v, %v", i, e, err)
		}
		read, err := trust.ParseFork(f.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		if err := read.Verify(l.verifiers(t)...); err != nil {
			t.Errorf("evidence %d does not convict: %v", i, err)
		}
		if err := read.Verify(newTestLog(t, origin, checkpoint.Ed25519).verifiers(t)...); err == nil {
			t.Errorf("evidence %d convicts another log", i)
		}
		if bytes.Contains(e.Request, []byte("stranger")) {
			t.Errorf("evidence %d keeps what strangers added", i)
		}
	}
	if n := strings.Count(logged.String(), "level=ERROR"); n != 2 {
		t.Errorf("%d errors logged, want 2: %s", n, &logged)
	}
	// And the branch that was cosigned goes on.
	w.want(200, l.request(t, a.growTo(t, 13, "a"), 11))
}

func TestEvidenceIsCounted(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	reg := prometheus.NewRegistry()
	var logged bytes.Buffer
	w := newWorld(t, func(c *witness.Config) { c.Registerer, c.Logger = reg, slog.New(slog.NewTextHandler(&logged, nil)) }, l)
	tr := new(testTree).growTo(t, 8, "leaf")
	w.want(200, l.request(t, tr, 0))
	r := l.request(t, tr.fork().growTo(t, 12, "b"), 8)
	junk := l.request(t, new(testTree).growTo(t, 12, "c"), 8) // from a power of two no proof tells what the branch began with
	w.want(422, junk)
	w.want(422, junk)
	if s := logged.String(); strings.Contains(s, "log signed") || !strings.Contains(s, "somebody sent") {
		t.Errorf("the log is accused of what a stranger may have sent: %s", s)
	}
	w.want(200, r)
	w.want(409, l.request(t, new(testTree).growTo(t, 12, "c"), 8))
	for _, want := range []struct {
		kind, kept string
		n          float64
	}{{"unproven", "kept", 1}, {"unproven", "known", 1}, {"unproven", "dropped", 0}, {"fork", "kept", 1}} {
		if n := counted(t, reg, "steno_witness_evidence_total", want.kept, want.kind); n != want.n {
			t.Errorf("%s %s: %v, want %v", want.kind, want.kept, n, want.n)
		}
	}
	found := w.evidence()
	if len(found) != 2 || found[0].Kind != witness.KindUnproven || found[1].Kind != witness.KindFork {
		t.Fatalf("evidence %+v", found)
	}
	if _, err := found[0].Fork(); err == nil {
		t.Error("what is unproven is called a fork")
	}
	if got, err := witness.ParseRequest(found[0].Request); err != nil || got.Old != 8 || len(got.Proof) != len(junk.Proof) {
		t.Errorf("kept %+v, %v", got, err)
	}
}

// Junk fills its own share only, and the proof of a fork is kept after it.
func TestEvidenceIsBounded(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	w := newWorld(t, nil, l)
	tr := new(testTree).growTo(t, 11, "leaf")
	w.want(200, l.request(t, tr, 0))
	proof := tr.fork().growTo(t, 12, "x").proof(t, 11, 12)
	for i := range witness.MaxEvidence + 5 {
		root := [32]byte{1, byte(i), byte(i >> 8)}
		w.want(422, witness.Request{Old: 11, Proof: proof, Note: l.sign(t, checkpoint.Checkpoint{Size: 12, Root: root})})
	}
	if n := len(w.evidence()); n != witness.MaxEvidence {
		t.Errorf("%d kept, want %d", n, witness.MaxEvidence)
	}
	w.want(422, l.request(t, new(testTree).growTo(t, 20, "b"), 11))
	all := w.evidence()
	if last := all[len(all)-1]; len(all) != witness.MaxEvidence+1 || last.Kind != witness.KindFork {
		t.Errorf("%d kept, the last is %s", len(all), last.Kind)
	}
	w.want(200, l.request(t, tr.growTo(t, 12, "leaf"), 11))
}

// A reader needs no lock, while the witness runs and when it does not.
func TestReaderReadsBesideTheWitness(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	w := newWorld(t, nil, l)
	w.want(200, l.request(t, new(testTree).growTo(t, 5, "leaf"), 0))
	w.want(409, l.request(t, new(testTree).growTo(t, 5, "b"), 0))
	for _, running := range []bool{true, false} {
		if !running {
			w.stop()
		}
		r, err := witness.OpenReader(w.dirs[0])
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range r.Evidence(t.Context()) {
			if n++; err != nil {
				t.Fatal(err)
			}
		}
		logs, err := r.Logs(t.Context())
		if err != nil || n != 1 || len(logs) != 1 || logs[0].Size != 5 || len(logs[0].Note) == 0 || logs[0].Keys[0].Vkey != l.vkeys[0] {
			t.Errorf("running %t: %d pieces of evidence, %+v, %v", running, n, logs, err)
		}
		if at, err := r.Noted(t.Context()); err != nil || !at.Equal(w.clock.now()) {
			t.Errorf("noted %v, %v", at, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
