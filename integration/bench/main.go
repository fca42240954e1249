// Command bench measures steno beside Tessera's own way of serving a log, on the same machine, in the same run, with the
// client on the same cores, and prints the table that README.md quotes. Numbers of one run say little; ratios say more.
//
// The baseline is a server of the shape of Tessera's conformance server: POST /add of one entry, POSIX storage, the index
// as the answer once it is durable. It runs once with that server's batching (256 entries or 1 s) and once tuned (256
// entries or 10 ms), and its best number at any concurrency counts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

type options struct {
	seconds time.Duration
	only    string
	events  int
}

func main() {
	// What the bench starts in processes of their own.
	for name, f := range map[string]func([]string) error{"baseline": serveBaseline, "bundle": makeBundle} {
		if len(os.Args) > 1 && os.Args[1] == name {
			if err := f(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	var o options
	flag.DurationVar(&o.seconds, "time", 6*time.Second, "time of each measurement of a rate")
	flag.StringVar(&o.only, "only", "", "run only the measurements whose names contain this")
	flag.IntVar(&o.events, "events", 1_000_000, "events in the log that is audited and restarted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "steno-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	steno := filepath.Join(dir, "steno")
	build := exec.CommandContext(ctx, "go", "build", "-o", steno, "github.com/stenolog/steno/cmd/steno")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building steno: %w", err)
	}
	b := &bench{ctx: ctx, o: o, dir: dir, steno: steno}
	fmt.Printf("%s, %d cores, %s, %s\n\n", cpu(), runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format("2006-01-02"))
	fmt.Printf("| measurement | steno | baseline | ratio | goal |\n|---|---|---|---|---|\n")
	for _, part := range []struct {
		name string
		f    func() error
	}{
		{"rates", b.rates}, {"latency", b.latencies}, {"single", b.single}, {"witnesses", b.witnesses}, {"verification", b.verification}, {"evidence", b.evidence}, {"growth", b.growth},
	} {
		if strings.Contains(part.name, o.only) {
			if err := part.f(); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
	}
	return nil
}

func cpu() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func row(what, steno, baseline, ratio, goal string) {
	fmt.Printf("| %s | %s | %s | %s | %s |\n", what, steno, baseline, ratio, goal)
}
