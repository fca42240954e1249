package log_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	fproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/log"
)

func (w *witness) set(fail error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = fail
}

// twoOfThree makes a log with three witnesses, of which policy wants two.
func twoOfThree(t *testing.T, w *world, c *log.Config) []*witness {
	wits := []*witness{
		newWitness(t, w, "w1", always(20*time.Millisecond)), newWitness(t, w, "w2", always(30*time.Millisecond)),
		newWitness(t, w, "w3", always(40*time.Millisecond)),
	}
	for _, wit := range wits {
		c.Cosigners = append(c.Cosigners, wit)
	}
	c.Quorum = func(msg []byte) bool {
		n := 0
		for _, wit := range wits {
			if wit.cosigned(msg) {
				n++
			}
		}
		return n >= 2
	}
	return wits
}

func metric(t *testing.T, reg *prometheus.Registry, want string) {
	t.Helper()
	name := want[:strings.IndexAny(want, "{ ")]
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			text := "# HELP " + name + " " + f.GetHelp() + "\n# TYPE " + name + " " + strings.ToLower(f.GetType().String()) + "\n" + want
			if err := testutil.GatherAndCompare(reg, strings.NewReader(text), name); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Errorf("no metric %s", name)
}

// With two of three witnesses stopped, leaves are taken and covered by checkpoints that the log alone signed; what is
// published stays; it is said who is missing; and it heals without a human, with every signed history published.
func TestONEHISTORY_quorumLostAndHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b, reg := newWorld(t), new(bells), prometheus.NewRegistry()
		c := w.config()
		c.Alarm, c.Registerer = b.ring, reg
		wits := twoOfThree(t, w, &c)
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first step is done
		appendN(t, l, 5)
		rest(2 * time.Second)
		before, published := l.Checkpoint()
		if size, signed := l.Signed(); before != 5 || size != 5 || !bytes.Equal(signed, published) {
			t.Errorf("published %d, signed %d", before, size)
		}
		wits[0].set(errors.New("connection refused"))
		wits[1].set(errors.New("connection refused"))
		down := time.Now()
		for range 100 {
			appendN(t, l, 1)
			rest(time.Second)
		}
		rest(time.Second / 2) // the one that is up has answered
		lostQuorum(t, w, l, wits[2], down)
		if heard := b.heard(); len(heard) != 1 || heard[0].Kind != log.AlarmQuorumLost || heard[0].Size < 6 || heard[0].Cosigner != "" {
			t.Errorf("alarms %+v", heard)
		}
		metric(t, reg, "steno_log_cosigner_up{cosigner=\"w1\"} 0\nsteno_log_cosigner_up{cosigner=\"w2\"} 0\nsteno_log_cosigner_up{cosigner=\"w3\"} 1\n")
		_, signed := l.Signed()

		waited := make(chan error, 1)
		go func() {
			_, err := l.WaitCovered(t.Context(), 50)
			waited <- err
		}()
		wits[1].set(nil)
		rest(15 * time.Second)
		if err := <-waited; err != nil {
			t.Error(err)
		}
		size, msg := l.Checkpoint()
		if size != 105 || wits[0].cosigned(msg) || !wits[1].cosigned(msg) || !wits[2].cosigned(msg) {
			t.Errorf("published %d: %s", size, msg)
		}
		if text := signed[:bytes.Index(signed, []byte("\n\n"))]; !bytes.HasPrefix(msg, text) {
			t.Errorf("published is not what was signed last")
		}
		if h := l.Health(); !h.QuorumLostSince.IsZero() || h.Unpublished != 0 || !h.Cosigners[1].Answered || h.Cosigners[0].Since.IsZero() {
			t.Errorf("health %+v", h)
		}
		wits[0].set(nil)
		rest(time.Minute)
		if _, msg := l.Checkpoint(); !wits[0].cosigned(msg) {
			t.Errorf("the straggler was not added: %s", msg)
		}
		if _, archived, _ := w.archive.Latest(t.Context()); !wits[0].cosigned(archived) {
			t.Error("the straggler was not archived")
		}
		if heard := b.heard(); len(heard) != 1 || heard[0] != (log.Alarm{Kind: log.AlarmQuorumRestored, Size: 105}) {
			t.Errorf("alarms %+v", heard)
		}
		metric(t, reg, "steno_log_quorum_lost_seconds 0\n")
		shut(t, l)
		w.wantOneHistory(t)
	})
}

// lostQuorum looks at a log of 105 leaves of which 5 were published.
func lostQuorum(t *testing.T, w *world, l *log.Log, up *witness, down time.Time) {
	t.Helper()
	h := l.Health()
	if h.Published != 5 || h.Stopped != nil || h.QuorumLostSince.Before(down) || h.QuorumLostSince.After(down.Add(2*time.Second)) {
		t.Errorf("health %+v", h)
	}
	for i, wit := range h.Cosigners {
		if failing := i < 2; wit.Since.IsZero() == failing || (wit.Error != "") != failing || failing && (wit.Answered || wit.Size != 5) {
			t.Errorf("cosigner %+v", wit)
		}
	}
	if _, ok := w.archive.notes[100]; len(w.archive.notes) > 2 || ok {
		t.Errorf("%d checkpoints archived that were only signed", len(w.archive.notes)-2)
	}
	size, msg := l.Signed()
	if size < 104 || !up.cosigned(msg) {
		t.Errorf("signed %d: %s", size, msg)
	}
	early, err := l.WaitSigned(t.Context(), 3)
	if err != nil || !bytes.Equal(early, w.archive.notes[5]) {
		t.Errorf("over what is published: %s, %v", early, err)
	}
	late, err := l.WaitSigned(t.Context(), 50)
	if err != nil || !bytes.Equal(late, msg) {
		t.Errorf("over what is signed: %s, %v", late, err)
	}
	if _, err := l.Proof(t.Context(), 50); !errors.Is(err, log.ErrNotCovered) {
		t.Errorf("proven without a quorum: %v", err)
	}
	for index, under := range map[uint64][]byte{3: early, 50: msg} {
		raw, err := l.ProofSigned(t.Context(), index)
		var p fproof.TLogProof
		if err != nil || p.Unmarshal(raw) != nil || !bytes.Equal(p.Checkpoint, under) {
			t.Fatalf("proof of %d: %v", index, err)
		}
		n, err := note.Open(p.Checkpoint, note.VerifierList(w.verifier))
		if err != nil {
			t.Fatal(err)
		}
		err = proof.VerifyInclusion(rfc6962.DefaultHasher, index, sizeOf(t, n.Text), rfc6962.DefaultHasher.HashLeaf(w.tree.leaf(index)), flat(p.Hashes), rootOf(t, n.Text))
		if err != nil {
			t.Errorf("proof of %d: %v", index, err)
		}
	}
	var not *log.NotCoveredError
	if _, err := l.ProofSigned(t.Context(), 1000); !errors.As(err, &not) || not.Size != size {
		t.Errorf("proven beyond what is signed: %v", err)
	}
}

// A quorum that is slow is not lost, and neither is one that was never asked for.
func TestSlowQuorumIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), new(bells)
		c := w.config()
		c.Alarm = b.ring
		for _, wit := range twoOfThree(t, w, &c) {
			wit.delay = always(9 * time.Second)
		}
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first step is done
		for range 120 {
			appendN(t, l, 1)
			rest(time.Second)
		}
		if size, _ := l.Checkpoint(); size < 100 || !l.Health().QuorumLostSince.IsZero() || len(b.heard()) > 0 {
			t.Errorf("published %d, health %+v", size, l.Health())
		}
		shut(t, l)
		c.Quorum = nil
		c.Cosigners = nil
		l, err = log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first step is done
		rest(time.Minute)
		if len(b.heard()) > 0 || !l.Health().QuorumLostSince.IsZero() {
			t.Error("a quorum was lost that nobody asked for")
		}
		shut(t, l)
	})
}

// Cosigners that are slower than the interval, each at another time, make a quorum although the log grows all the while.
func TestSlowCosignersMeet(t *testing.T) {
	for _, delay := range []time.Duration{1500 * time.Millisecond, 3 * time.Second, 9 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			c := w.config()
			wits := twoOfThree(t, w, &c)
			first := delay / 2
			wits[0].delay = always(delay)
			wits[1].delay = func() time.Duration { d := delay + first; first = 0; return d } // from now on out of step
			wits[2].delay = always(time.Hour)
			l, err := log.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the first step is done
			for range 60 {
				appendN(t, l, 1)
				rest(time.Second)
			}
			if size, _ := l.Checkpoint(); size < 40 {
				t.Errorf("with %s: published %d of 60", delay, size)
			}
			shut(t, l)
			w.wantOneHistory(t)
		})
	}
}

// Stragglers for what was published before the quorum was lost do not bring it back.
func TestStragglerRestoresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), new(bells)
		good, slow := newWitness(t, w, "w1", always(0)), newPuppet(t, "slow")
		c := w.config()
		c.Alarm, c.Cosigners, c.Quorum = b.ring, []log.Cosigner{good, slow}, good.cosigned
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first step is done
		rest(time.Second)
		good.set(errors.New("gone"))
		appendN(t, l, 1)
		rest(30 * time.Second)
		slow.answers <- puppetAnswer{lines: line("slow", 1, 64)} // for size 0
		synctest.Wait()
		_, msg := l.Checkpoint()
		if heard := b.heard(); len(heard) != 1 || l.Health().QuorumLostSince.IsZero() || !bytes.Contains(msg, []byte("— slow ")) {
			t.Errorf("alarms %+v, health %+v, published %s", heard, l.Health(), msg)
		}
		slow.end()
		shut(t, l)
	})
}

// WaitSigned does not wait for witnesses, and gives up as WaitCovered does.
func TestWaitSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.config()
		c.Quorum = func([]byte) bool { return false }
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first step is done
		if size, msg := l.Signed(); size != 0 || !bytes.Equal(msg, w.guard.state.Note) {
			t.Errorf("signed %d: %s", size, msg)
		}
		got := make(chan []byte, 1)
		go func() {
			msg, err := l.WaitSigned(t.Context(), 0)
			if err != nil {
				t.Error(err)
			}
			got <- msg
		}()
		synctest.Wait()
		appendN(t, l, 1)
		rest(time.Second)
		if msg := <-got; !bytes.Equal(msg, w.guard.state.Note) {
			t.Errorf("got %s", msg)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.WaitSigned(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing signed: %v", err)
		}
		l.Stop(errDisk)
		if _, err := l.WaitSigned(t.Context(), 1); !errors.Is(err, log.ErrStopped) {
			t.Errorf("stopped: %v", err)
		}
		if msg, err := l.WaitSigned(t.Context(), 0); err != nil || len(msg) == 0 {
			t.Errorf("stopped, but signed before: %v", err)
		}
		shut(t, l)
		// What was signed and never published is known after a restart.
		l, err = log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first step is done
		if size, msg := l.Signed(); size != 1 || !bytes.Equal(msg, w.guard.state.Note) {
			t.Errorf("after a restart: signed %d: %s", size, msg)
		}
		shut(t, l)
	})
}

// A checkpoint that was signed before an older one was published waits for its quorum too, also when nothing grows any more.
func TestQuorumLostBehindAnOlderCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b, p := newWorld(t), new(bells), newPuppet(t, "w1")
		c := w.config()
		c.Alarm, c.Cosigners = b.ring, []log.Cosigner{p}
		c.Quorum = func(msg []byte) bool { return bytes.Contains(msg, []byte("— w1 ")) }
		l := must(t)(log.Open(t.Context(), c))
		rest(time.Second)
		appendN(t, l, 1)
		rest(2 * time.Second)
		p.answers <- puppetAnswer{lines: line("w1", 1, 64)} // for size 0
		rest(time.Minute)
		if heard := b.heard(); len(heard) != 1 || heard[0] != (log.Alarm{Kind: log.AlarmQuorumLost, Size: 1}) {
			t.Errorf("alarms %+v", heard)
		}
		p.answers <- puppetAnswer{lines: line("w1", 1, 64)}
		rest(time.Second)
		if heard := b.heard(); len(heard) != 1 || heard[0] != (log.Alarm{Kind: log.AlarmQuorumRestored, Size: 1}) {
			t.Errorf("alarms %+v", heard)
		}
		p.end()
		shut(t, l)
	})
}

// Cosignatures are not forgotten by a restart: neither those under a published checkpoint, nor those that a policy which has
// changed asks for more of.
func TestRestartKeepsCosignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.config()
		wits := twoOfThree(t, w, &c)
		quorum := c.Quorum
		c.Quorum = nil
		l := must(t)(log.Open(t.Context(), c))
		wits[1].set(errors.New("gone"))
		wits[2].set(errors.New("gone"))
		appendN(t, l, 1)
		rest(3 * time.Second)
		shut(t, l)

		c.Quorum = quorum
		wits[0].set(errors.New("gone"))
		l = must(t)(log.Open(t.Context(), c))
		if _, msg := l.Checkpoint(); msg != nil {
			t.Errorf("shown without the quorum of now: %s", msg)
		}
		wits[1].set(nil)
		rest(3 * time.Second)
		if size, msg := l.Checkpoint(); size != 1 || !wits[0].cosigned(msg) || !wits[1].cosigned(msg) {
			t.Errorf("published %s", msg)
		}
		shut(t, l)

		wits[2].set(nil)
		wits[1].set(errors.New("gone"))
		l = must(t)(log.Open(t.Context(), c))
		rest(3 * time.Second)
		if _, msg := l.Checkpoint(); !wits[0].cosigned(msg) || !wits[1].cosigned(msg) || !wits[2].cosigned(msg) {
			t.Errorf("published %s", msg)
		}
		shut(t, l)
	})
}

// What is answered together with the reason to stop is not published any more.
func TestONEHISTORY_stoppedLogPublishesNothing(t *testing.T) {
	for range 20 { // of two things that are ready at once either can be taken first
		synctest.Test(t, func(t *testing.T) {
			w, p := newWorld(t), newPuppet(t, "w1")
			var l *log.Log
			opened := make(chan struct{})
			stop := sync.OnceFunc(func() {
				<-opened
				p.answers <- puppetAnswer{lines: line("w1", 1, 64)}
				synctest.Wait()
				l.Stop(errDisk)
			})
			first := true
			c := w.config()
			c.Cosigners = []log.Cosigner{p}
			c.Quorum = func(msg []byte) bool {
				if !first { // Open asks first
					stop()
				}
				first = false
				return bytes.Contains(msg, []byte("— w1 "))
			}
			l = must(t)(log.Open(t.Context(), c))
			close(opened)
			rest(time.Second)
			if _, msg := l.Checkpoint(); msg != nil || l.Health().Stopped == nil {
				t.Errorf("published %s", msg)
			}
			p.end()
			shut(t, l)
		})
	}
}
