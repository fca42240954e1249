package log_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/storage"
)

// A book is what callers were told.
type book struct {
	mu      sync.Mutex
	acked   map[uint64]string
	refused map[string]bool // certainly not appended
	unknown map[string]bool
}

func newBook() *book {
	return &book{acked: make(map[uint64]string), refused: make(map[string]bool), unknown: make(map[string]bool)}
}

func (b *book) enter(t testing.TB, leaves [][]byte, placed []log.Placed, err error) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	at := make(map[int]log.Placed)
	for i, p := range placed {
		at[i] = p
	}
	var partly *log.NotAppendedError
	if errors.As(err, &partly) {
		at = partly.Placed
	}
	for i, leaf := range leaves {
		p, ok := at[i]
		var stopped *log.StoppedError
		switch {
		case ok:
			if other, taken := b.acked[p.Index]; taken {
				t.Fatalf("index %d given to %q and %q", p.Index, other, leaf)
			}
			b.acked[p.Index] = string(leaf)
		case errors.Is(err, log.ErrNotAppended), errors.Is(err, log.ErrOverloaded), errors.Is(err, log.ErrReadOnly):
			b.refused[string(leaf)] = true
		case errors.As(err, &stopped) && stopped.Unknown, errors.Is(err, context.Canceled):
			b.unknown[string(leaf)] = true
		default:
			t.Fatalf("no definite answer for %q: %v", leaf, err)
		}
	}
}

// audit compares what was told with what is stored.
func (b *book) audit(t testing.TB, tree *memTree) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for index, leaf := range b.acked {
		if index >= tree.size || string(tree.leaf(index)) != leaf {
			t.Fatalf("%q was acknowledged at %d and is not there", leaf, index)
		}
	}
	for index := range tree.size {
		leaf := string(tree.leaf(index))
		if b.refused[leaf] {
			t.Fatalf("%q is at %d, and was said not to be in the log", leaf, index)
		}
		if _, ok := b.acked[index]; !ok && !b.unknown[leaf] {
			t.Fatalf("%q is at %d, and nobody was told", leaf, index)
		}
	}
}

// One storage call fails, in every way it can, at every place of a log's life; once alone, once with all that follow.
func TestACKED_errorAtEveryCall(t *testing.T) {
	for _, e := range []effect{nothing, all, half, late} {
		for _, lasting := range []bool{false, true} {
			t.Run(fmt.Sprintf("effect %d lasting %v", e, lasting), func(t *testing.T) {
				n := 1
				for ; everyCall(t, n, e, lasting); n++ {
				}
				if n < 40 {
					t.Fatalf("only %d calls", n)
				}
			})
		}
	}
}

// everyCall lives a log's life with a fault and reports whether it was met.
func everyCall(t *testing.T, at int, e effect, lasting bool) (met bool) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), newBook()
		w.faults.at, w.faults.effect, w.faults.lasting = at, e, lasting
		l, err := log.Open(t.Context(), w.config())
		if err == nil {
			live(t, l, b)
			_ = l.Close(context.Background())
		}
		met = w.faults.calls >= at
		w.faults.clear()
		w.tree.mu.Lock()
		w.tree.add(w.tree.delay) // what comes late has come when a process starts again
		w.tree.delay = nil
		w.tree.mu.Unlock()
		if w.guard.late != nil && w.guard.late.Size > w.guard.state.Size {
			w.guard.state, w.guard.late = w.guard.late, nil
		}
		b.audit(t, w.tree)
		w.wantOneHistory(t)

		l = w.open(t) // it can be opened again, goes on, and covers everything
		live(t, l, b)
		shut(t, l)
		b.audit(t, w.tree)
		w.wantOneHistory(t)
		if size, _, _ := w.archive.Latest(t.Context()); size != w.tree.size {
			t.Fatalf("published up to %d of %d", size, w.tree.size)
		}
	})
	return met
}

// live appends from two callers at a time over some intervals.
func live(t *testing.T, l *log.Log, b *book) {
	for range 4 {
		var wg sync.WaitGroup
		for caller := range 2 {
			wg.Go(func() {
				same := []byte("same " + rnd())
				leaves := [][]byte{[]byte(rnd()), same, same, []byte(rnd())}[:4-caller]
				leaves[2] = append(bytes.Clone(same), '2')
				placed, err := l.Append(context.Background(), leaves)
				b.enter(t, leaves, placed, err)
			})
		}
		wg.Wait()
		rest(log.DefaultInterval)
	}
}

func TestACKED_settleGivesEqualLeavesTheirOwnPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.open(t)
		defer shut(t, l)
		synctest.Wait()
		w.faults.at, w.faults.effect = w.faults.calls+1, half
		same := []byte("same")
		_, err := l.Append(t.Context(), [][]byte{same, same, same, same})
		var partly *log.NotAppendedError
		if !errors.As(err, &partly) || len(partly.Placed) != 2 || partly.Placed[0] == partly.Placed[1] {
			t.Fatalf("got %v", err)
		}
		if !errors.Is(err, errDisk) || !errors.Is(err, log.ErrNotAppended) {
			t.Errorf("%v does not say why", err)
		}
		if l.Size() != 2 {
			t.Errorf("size %d", l.Size())
		}
	})
}

func TestACKED_doubleFaultStopsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.open(t)
		appendN(t, l, 3)
		if _, err := l.WaitCovered(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		w.faults.failFromNow()
		_, err := l.Append(t.Context(), [][]byte{[]byte("a")})
		var stopped *log.StoppedError
		if !errors.As(err, &stopped) || !stopped.Unknown || errors.Is(err, log.ErrNotAppended) {
			t.Fatalf("got %v", err)
		}
		w.faults.clear()
		signed := w.guard.state.Size
		_, err = l.Append(t.Context(), [][]byte{[]byte("b")})
		if !errors.Is(err, log.ErrStopped) || !errors.Is(err, log.ErrNotAppended) {
			t.Errorf("after the stop: %v", err)
		}
		rest(time.Minute)
		if w.guard.state.Size != signed {
			t.Error("it signed after it had stopped")
		}
		if h := l.Health(); h.Stopped == nil || h.OK(time.Hour) {
			t.Errorf("health %+v", h)
		}
		if _, err := l.Leaf(t.Context(), 1); err != nil {
			t.Errorf("readers stop too: %v", err)
		}
		if _, err := l.Proof(t.Context(), 1); err != nil {
			t.Errorf("provers stop too: %v", err)
		}
		shut(t, l)
	})
}

// Leaves that this process did not admit are never signed: neither one beside its own, nor one in the place of its own.
func TestACKED_foreignLeavesStop(t *testing.T) {
	for _, inPlace := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.open(t)
			appendN(t, l, 3)
			rest(log.DefaultInterval)
			w.tree.mu.Lock()
			w.tree.add([][]byte{[]byte("somebody else's")})
			w.tree.mu.Unlock()
			if inPlace {
				w.tree.faults = &faults{at: 1, effect: nothing}
			}
			_, err := l.Append(t.Context(), [][]byte{[]byte("a")})
			if !errors.Is(err, log.ErrStopped) || !errors.Is(err, log.ErrTreeForeign) {
				t.Errorf("got %v", err)
			}
			shut(t, l)
			if w.guard.state.Size != 3 {
				t.Errorf("signed size %d", w.guard.state.Size)
			}
		})
	}
}

func TestACKED_cancelledCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gate := make(chan struct{})
		w.tree.gate = gate
		l := w.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan error)
		leaf := []byte("taken")
		go func() {
			_, err := l.Append(ctx, [][]byte{leaf})
			got <- err
		}()
		synctest.Wait()
		cancel()
		err := <-got
		if !errors.Is(err, context.Canceled) || errors.Is(err, log.ErrNotAppended) {
			t.Errorf("got %v", err)
		}
		copy(leaf, "reuse") // the buffer is the caller's again
		close(gate)
		synctest.Wait()
		if l.Size() != 1 || string(w.tree.leaf(0)) != "taken" {
			t.Error("the leaf did not go its way")
		}
		if _, err := l.Append(ctx, [][]byte{leaf}); !errors.Is(err, log.ErrNotAppended) || l.Size() != 1 {
			t.Errorf("append with a dead context: %v", err)
		}
		shut(t, l)
	})
}

func TestACKED_overloadShedsBeforeAnythingIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), newBook()
		gate := make(chan struct{})
		w.tree.gate = gate
		c := w.config()
		reg := prometheus.NewRegistry()
		c.Queue, c.Registerer = 10, reg
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		shed := 0
		for range 30 {
			wg.Go(func() {
				leaves := [][]byte{[]byte(rnd())}
				placed, err := l.Append(t.Context(), leaves)
				b.enter(t, leaves, placed, err)
				if errors.Is(err, log.ErrOverloaded) {
					b.mu.Lock()
					shed++
					b.mu.Unlock()
				}
			})
			synctest.Wait()
		}
		if l.Health().Queue != 10 || shed != 19 { // one is with the sequencer
			t.Errorf("queue %d, shed %d", l.Health().Queue, shed)
		}
		want := "# HELP steno_log_refused_total Appends refused before anything was taken.\n# TYPE steno_log_refused_total counter\n" +
			"steno_log_refused_total{reason=\"closed\"} 0\nsteno_log_refused_total{reason=\"overloaded\"} 19\n" +
			"steno_log_refused_total{reason=\"read_only\"} 0\nsteno_log_refused_total{reason=\"stopped\"} 0\n"
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "steno_log_refused_total"); err != nil {
			t.Error(err)
		}
		close(gate)
		wg.Wait()
		if _, err := l.Append(t.Context(), make([][]byte, 11)); !errors.Is(err, log.ErrTooLarge) {
			t.Errorf("a call larger than the queue: %v", err)
		}
		if _, err := l.Append(t.Context(), [][]byte{make([]byte, log.MaxLeaf+1)}); !errors.Is(err, log.ErrTooLarge) {
			t.Errorf("a leaf that is too long: %v", err)
		}
		if _, err := l.Append(t.Context(), [][]byte{make([]byte, log.MaxLeaf)}); err != nil {
			t.Errorf("the longest leaf: %v", err)
		}
		shut(t, l)
		if len(b.acked) != 11 {
			t.Errorf("%d acknowledged", len(b.acked))
		}
		b.unknown[string(make([]byte, log.MaxLeaf))] = true
		b.audit(t, w.tree)
	})
}

func TestACKED_diskFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var mu sync.Mutex
		free := true
		set := func(f bool) { mu.Lock(); free = f; mu.Unlock(); rest(time.Second) }
		c := w.config()
		c.Free = func() (bool, string) { mu.Lock(); defer mu.Unlock(); return free, "1 MiB free of 64" }
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		appendN(t, l, 1)
		set(false)
		if _, err := l.Append(t.Context(), [][]byte{{1}}); !errors.Is(err, log.ErrReadOnly) || !strings.Contains(err.Error(), "1 MiB") {
			t.Errorf("at the floor: %v", err)
		}
		if h := l.Health(); h.ReadOnly == "" || h.OK(time.Hour) {
			t.Errorf("health %+v", h)
		}
		if _, err := l.Leaf(t.Context(), 0); err != nil {
			t.Errorf("reading at the floor: %v", err)
		}
		set(true)
		appendN(t, l, 1)
		if h := l.Health(); !h.OK(time.Second) {
			t.Errorf("it did not heal: %+v", h)
		}
		shut(t, l)
	})
}

func TestACKED_closeUnderLoad(t *testing.T) {
	w, b := newWorld(t), newBook()
	l := w.open(t)
	var wg sync.WaitGroup
	started := make(chan struct{}, 1000)
	for range 16 {
		wg.Go(func() {
			for {
				leaves := [][]byte{[]byte(rnd()), []byte(rnd())}
				placed, err := l.Append(context.Background(), leaves)
				if errors.Is(err, log.ErrClosed) && !errors.Is(err, log.ErrStopped) {
					return
				}
				b.enter(t, leaves, placed, err)
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 500 {
		<-started
	}
	shut(t, l)
	wg.Wait()
	b.audit(t, w.tree)
	w.wantOneHistory(t)
	if size, _, _ := w.archive.Latest(t.Context()); size != w.tree.size || !w.tree.closed {
		t.Errorf("closed with %d of %d published", size, w.tree.size)
	}
}

// A sequencer that hangs does not keep its callers: Close answers them.
func TestACKED_closeResolvesEveryWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gate := make(chan struct{})
		w.tree.gate = gate
		l := w.open(t)
		errs := make(chan error, 3)
		for range 2 {
			go func() {
				_, err := l.Append(context.Background(), [][]byte{[]byte(rnd())})
				errs <- err
			}()
			synctest.Wait()
		}
		go func() {
			_, err := l.WaitCovered(context.Background(), 0)
			errs <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := l.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		unknown, not := 0, 0
		for range 3 {
			err := <-errs
			var s *log.StoppedError
			switch {
			case errors.As(err, &s) && s.Unknown:
				unknown++
			case errors.Is(err, log.ErrNotAppended):
				not++
			case !errors.Is(err, log.ErrClosed):
				t.Errorf("got %v", err)
			}
		}
		if unknown != 1 || not != 1 {
			t.Errorf("%d unknown, %d not appended", unknown, not)
		}
		close(gate) // it comes back, to nobody
	})
}

var _ storage.Sequencer = (*memTree)(nil)
