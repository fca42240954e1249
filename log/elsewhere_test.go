package log_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stenolog/steno/log"
)

// others are those elsewhere, in the test's hand.
type others struct {
	mu     sync.Mutex
	calls  int
	notes  [][]byte
	enough bool
	hang   chan struct{} // if set, they never answer before it is closed
}

func (o *others) ask(ctx context.Context) ([][]byte, bool) {
	o.mu.Lock()
	o.calls++
	notes, enough, hang := o.notes, o.enough, o.hang
	o.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return notes, enough
}

func (o *others) set(enough bool, notes ...[]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.enough, o.notes, o.hang = enough, notes, nil
}

func (o *others) asked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls
}

// While too few of those elsewhere answer, leaves are taken, nothing is signed, nobody is asked to cosign; when enough do, it
// goes on by itself.
func TestONEHISTORY_unreachableAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.grow(t, 10)
		o, wit := new(others), newWitness(t, w, "w1", always(0))
		c := w.config()
		c.Elsewhere, c.Cosigners, c.Quorum = o.ask, []log.Cosigner{wit}, wit.cosigned
		if err := log.Check(t.Context(), c); err != nil {
			t.Errorf("check: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		l, err := log.Open(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		cancel() // what Open was called with is of no matter to what comes later
		before := o.asked()
		for range 200 {
			appendN(t, l, 1)
			rest(time.Second)
		}
		if n := o.asked() - before; n < 7 || n > 12 {
			t.Errorf("asked %d times in 200 s", n)
		}
		size, _ := l.Signed()
		if h := l.Health(); !h.Waiting || h.Stopped != nil || h.Size != 210 || h.PublishError != nil || size != 10 || w.guard.state.Size != 10 || wit.calls > 0 {
			t.Errorf("health %+v, guard at %d, asked %d times to cosign", h, w.guard.state.Size, wit.calls)
		}
		if _, err := l.ProofSigned(t.Context(), 9); err != nil {
			t.Errorf("what was signed before can be proven: %v", err)
		}
		o.set(true, []byte("junk"), w.archive.notes[0], w.guard.state.Note)
		if _, err := l.WaitCovered(t.Context(), 209); err != nil {
			t.Fatal(err)
		}
		if h := l.Health(); h.Waiting || !h.OK(time.Second) || w.guard.state.Size != 210 {
			t.Errorf("health %+v", h)
		}
		n := o.asked()
		rest(10 * time.Minute)
		if o.asked() != n {
			t.Error("it goes on asking")
		}
		shut(t, l)
		w.wantOneHistory(t)
	})
}

// An old copy of everything, guard included, that comes up while no witness can be reached: it signs nothing, and stops when
// one shows what it forgot.
func TestONEHISTORY_rolledBackWhileUnreachable(t *testing.T) {
	for name, enough := range map[string]bool{"one of many": false, "enough": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old := newWorld(t)
				old.grow(t, 10)
				now := old.clone()
				now.grow(t, 10)
				o, b := new(others), new(bells)
				c := old.config()
				c.Elsewhere, c.Alarm = o.ask, b.ring
				l, err := log.Open(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				appendN(t, l, 20)
				rest(10 * time.Second)
				o.set(enough, now.guard.state.Note)
				rest(time.Minute)
				var refused *log.RefusedError
				if err := l.Health().Stopped; !errors.As(err, &refused) || refused.Reason != log.ErrGuardBehind || refused.TreeSize != 20 {
					t.Errorf("stopped by %v", err)
				}
				if old.guard.state.Size != 10 || len(old.archive.notes) != 2 {
					t.Errorf("guard at %d", old.guard.state.Size)
				}
				shut(t, l)
				// Started again with that witness at hand it does not even open.
				refused2 := log.Check(t.Context(), c)
				if !errors.Is(refused2, log.ErrGuardBehind) {
					t.Errorf("check: %v", refused2)
				}
			})
		})
	}
}

// What others hold that is smaller must be of the same history too.
func TestONEHISTORY_elsewhereAnotherHistory(t *testing.T) {
	w := newWorld(t)
	w.grow(t, 300)
	other := newWorld(t)
	other.signer, other.verifier = w.signer, w.verifier
	other.guard, other.archive, other.tree = &memGuard{faults: other.faults}, newArchive(other.faults), newTree(other.faults)
	if err := log.Create(t.Context(), other.create()); err != nil {
		t.Fatal(err)
	}
	other.grow(t, 7)
	c := w.config()
	o := new(others)
	o.set(true, other.guard.state.Note)
	c.Elsewhere = o.ask
	refused(t, c, log.ErrRootDiffers)
	o.set(false, other.guard.state.Note) // proof is proof, however few have answered
	refused(t, c, log.ErrRootDiffers)
	o.set(true, w.archive.notes[0])
	shut(t, must(t)(log.Open(t.Context(), c)))
}

func must(t testing.TB) func(l *log.Log, err error) *log.Log {
	return func(l *log.Log, err error) *log.Log {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

// Somebody elsewhere who never returns holds up neither Open nor the log, nor Close.
func TestElsewhereHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := &others{hang: make(chan struct{}), enough: true}
		defer close(o.hang)
		c := w.config()
		c.Elsewhere = o.ask
		start := time.Now()
		l := must(t)(log.Open(t.Context(), c))
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("opening took %s", took)
		}
		for range 20 {
			start = time.Now()
			appendN(t, l, 1)
			if time.Since(start) > 0 {
				t.Error("an append waited")
			}
			rest(time.Second)
		}
		if h := l.Health(); !h.Waiting || w.guard.state.Size != 0 {
			t.Errorf("health %+v", h)
		}
		shut(t, l)
		if w.guard.state.Size != 0 {
			t.Error("it signed when it closed")
		}
	})
}

// A guard that is moved or retired is noticed also while nothing is signed.
func TestONEHISTORY_guardMovedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := new(others)
		c := w.config()
		c.Elsewhere = o.ask
		l := must(t)(log.Open(t.Context(), c))
		rest(time.Second)
		w.grow(t, 3)
		rest(2 * time.Second)
		if err := l.Health().Stopped; !errors.Is(err, log.ErrGuardMoved) {
			t.Errorf("stopped by %v", err)
		}
		shut(t, l)
	})
}
