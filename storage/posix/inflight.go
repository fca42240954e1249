package posix

import (
	"context"
	"sync"
)

// inFlight is a reader/writer lock whose waiting can be interrupted: enter and leave are the shared side, exclude and
// include the exclusive one. An exclude that waits keeps new entrants out.
type inFlight struct {
	mu        sync.Mutex
	n         int
	exclusive bool
	changed   chan struct{} // closed and replaced at every change somebody may wait for
}

func (f *inFlight) enter(ctx context.Context) error {
	return f.wait(ctx, func() bool {
		if f.exclusive {
			return false
		}
		f.n++
		return true
	})
}

func (f *inFlight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
	f.wake()
}

func (f *inFlight) exclude(ctx context.Context) error {
	err := f.wait(ctx, func() bool {
		if f.exclusive {
			return false
		}
		f.exclusive = true
		return true
	})
	if err != nil {
		return err
	}
	if err := f.wait(ctx, func() bool { return f.n == 0 }); err != nil {
		f.include()
		return err
	}
	return nil
}

func (f *inFlight) include() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exclusive = false
	f.wake()
}

// wait returns nil once try, called under the lock, has returned true.
func (f *inFlight) wait(ctx context.Context, try func() bool) error {
	for {
		f.mu.Lock()
		if try() {
			f.mu.Unlock()
			return nil
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *inFlight) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}
