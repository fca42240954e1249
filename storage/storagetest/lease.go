package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stenolog/steno/storage"
)

// TestLease is the suite of storage.Lease. Open returns a handle each time.
func TestLease(t *testing.T, s Store[storage.Lease]) {
	t.Run("exclusive", func(t *testing.T) { leaseExclusive(t, s) })
	t.Run("kill", func(t *testing.T) { leaseKill(t, s) })
}

func leaseExclusive(t *testing.T, s Store[storage.Lease]) {
	in := s.start(t)
	second, err := s.Open(t.Context(), in.dir)
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for _, l := range []storage.Lease{in.v, second, in.v} {
		epoch, err := l.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if epoch <= last {
			t.Errorf("epoch %d after %d", epoch, last)
		}
		last = epoch
		for _, other := range []storage.Lease{in.v, second} {
			if _, err := other.Acquire(t.Context()); !errors.Is(err, storage.ErrLocked) {
				t.Errorf("acquiring what is held: %v, want ErrLocked", err)
			}
		}
		for range 2 {
			if err := l.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// The lease ends with the process that holds it, and epochs never come again.
func leaseKill(t *testing.T, s Store[storage.Lease]) {
	write := func(l storage.Lease, _ string, ack func(string)) error {
		for {
			epoch, err := l.Acquire(context.Background())
			if err != nil {
				return err
			}
			ack(fmt.Sprint(epoch))
			if err := l.Release(context.Background()); err != nil {
				return err
			}
		}
	}
	runKill(t, s, write, func(t *testing.T, l storage.Lease, acks []string) {
		epoch, err := l.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool)
		for _, ack := range acks {
			if seen[ack] {
				t.Errorf("epoch %s was given twice", ack)
			}
			seen[ack] = true
		}
		if seen[fmt.Sprint(epoch)] {
			t.Errorf("epoch %d was given before: %s", epoch, strings.Join(acks, " "))
		}
		if err := l.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
