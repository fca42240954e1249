// Package storagetest is the suite that every backend of package storage passes as it is: one function per contract. It
// opens stores the way a process does (again and again on one directory), and kills processes that write to them.
//
// The kill tests run the test binary again with -test.run set to themselves, so a suite must be called from a top-level
// test, outside of which nothing is started.
package storagetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A Store makes and opens a store of type T in an empty directory that belongs to it.
type Store[T any] struct {
	// Create makes what has to be there before Open; nil if Open makes it.
	Create func(ctx context.Context, dir string) error
	// Open opens the store. It is called again on the same directory after the store was closed, or its process killed.
	Open func(ctx context.Context, dir string) (T, error)
}

// instance is a store in a directory.
type instance[T any] struct {
	store Store[T]
	dir   string
	v     T
}

func (s Store[T]) start(t testing.TB) *instance[T] {
	t.Helper()
	in := &instance[T]{store: s, dir: t.TempDir()}
	if s.Create != nil {
		if err := s.Create(t.Context(), in.dir); err != nil {
			t.Fatalf("creating: %v", err)
		}
	}
	in.open(t)
	return in
}

// open opens the store and closes it with the test.
func (in *instance[T]) open(t testing.TB) {
	t.Helper()
	v, err := in.store.Open(t.Context(), in.dir)
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	in.v = v
	t.Cleanup(func() {
		if err := closeStore(v); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
}

func (in *instance[T]) reopen(t testing.TB) {
	t.Helper()
	if err := closeStore(in.v); err != nil {
		t.Fatalf("closing: %v", err)
	}
	in.open(t)
}

// closeStore closes whatever has a Close; all of ours may be closed twice.
func closeStore(v any) error {
	switch v := v.(type) {
	case io.Closer:
		return v.Close()
	case interface{ Close(context.Context) error }:
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return v.Close(ctx)
	}
	return nil
}

const (
	childTest = "STENO_STORAGETEST_CHILD"
	childDir  = "STENO_STORAGETEST_DIR"
	childSeed = "STENO_STORAGETEST_ROUND"
	ackPrefix = "storagetest-ack "
)

// killRounds is how often a writer is killed; each time after another number of acknowledgements.
const killRounds = 4

// runKill runs write in a child process, which it kills, again and again on one directory. write must call ack once what
// the line names was acknowledged by the store, and never return. check gets all lines of all rounds so far.
func runKill[T any](t *testing.T, s Store[T], write func(v T, round string, ack func(line string)) error, check func(t *testing.T, v T, acks []string)) {
	if os.Getenv(childTest) == t.Name() {
		child(t, s, write)
		return
	}
	dir := t.TempDir()
	if s.Create != nil {
		if err := s.Create(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	var acks []string
	for round := range killRounds {
		acks = append(acks, killAfter(t, dir, round, 1+round*37)...)
		v, err := s.Open(t.Context(), dir)
		if err != nil {
			t.Fatalf("opening after kill: %v", err)
		}
		check(t, v, acks)
		if err := closeStore(v); err != nil {
			t.Fatal(err)
		}
	}
}

func child[T any](t *testing.T, s Store[T], write func(v T, round string, ack func(line string)) error) {
	v, err := s.Open(context.Background(), os.Getenv(childDir))
	if err != nil {
		t.Fatal(err)
	}
	err = write(v, os.Getenv(childSeed), func(line string) {
		// One write: whole in the pipe, or not at all.
		os.Stdout.WriteString(ackPrefix + line + "\n")
	})
	t.Fatalf("the writer ended: %v", err)
}

// killAfter starts a child, kills it when it has acknowledged n lines, and returns all lines.
func killAfter(t *testing.T, dir string, round, n int) []string {
	t.Helper()
	var pattern []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.Command(os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childTest+"="+t.Name(), childDir+"="+dir, fmt.Sprintf("%s=%d", childSeed, round))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acks, other []string
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		line, ok := strings.CutPrefix(scanner.Text(), ackPrefix)
		if !ok {
			other = append(other, scanner.Text())
			continue
		}
		if acks = append(acks, line); len(acks) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd.Wait() // killed: an error by design
	if len(acks) < n {
		t.Fatalf("child acknowledged %d, want %d:\n%s\n%s", len(acks), n, strings.Join(other, "\n"), stderr.String())
	}
	return acks
}

// parallel runs f n times at once and waits.
func parallel(n int, f func(i int)) {
	done := make(chan struct{})
	for i := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			f(i)
		}()
	}
	for range n {
		<-done
	}
}
