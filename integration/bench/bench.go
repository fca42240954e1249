package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

type bench struct {
	ctx   context.Context
	o     options
	dir   string
	steno string

	best float64 // the baseline's best rate
}

// up starts steno up in a directory and waits until it says where it is. Limits that are there to keep a client from taking
// the whole server are lifted: here one client shall.
func (b *bench) up(name string) (*process, *deployment, error) {
	dir := filepath.Join(b.dir, name)
	config := filepath.Join(dir, "stenod.yaml")
	if _, err := os.Stat(config); err != nil {
		p, err := b.start(dir)
		if err != nil {
			return nil, nil, err
		}
		p.stop()
		f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return nil, nil, err
		}
		if _, err := f.WriteString("limits:\n  rate: 1000000\n  burst: 1000000\nlog:\n  queue: 65536\n"); err != nil {
			return nil, nil, err
		}
		if err := f.Close(); err != nil {
			return nil, nil, err
		}
	}
	p, err := b.start(dir)
	if err != nil {
		return nil, nil, err
	}
	d, err := readDeployment(dir)
	return p, d, err
}

func (b *bench) start(dir string) (*process, error) {
	client := filepath.Join(dir, "client.yaml")
	before, _ := os.Stat(client)
	cmd := exec.CommandContext(b.ctx, b.steno, "up", "--dir", dir, "--port", "0")
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		now, err := os.Stat(client)
		if err != nil || before != nil && !now.ModTime().After(before.ModTime()) {
			continue
		}
		if d, err := readDeployment(dir); err == nil && reachable(d.Ingest) {
			return &process{cmd: cmd, addr: d.Ingest}, nil
		}
	}
	return nil, errors.Join(errors.New("steno up is not ready"), cmd.Process.Kill())
}

func reachable(addr string) bool {
	c, err := dial(addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func (b *bench) rates() error {
	for _, age := range []time.Duration{time.Second, 10 * time.Millisecond} {
		for _, workers := range []int{64, 256, 1024} {
			p, err := b.baseline(age)
			if err != nil {
				return err
			}
			r, err := rate(b.ctx, workers, b.o.seconds, add(p.addr))
			p.stop()
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "baseline, batches of 256 or %v, %d connections: %.0f/s\n", age, workers, r)
			b.best = max(b.best, r)
		}
	}
	p, d, err := b.up("rates")
	if err != nil {
		return err
	}
	defer p.stop()
	var fastest float64
	for _, workers := range []int{16, 64, 256} {
		r, err := rate(b.ctx, workers, b.o.seconds, func(int) (func() (int, error), error) {
			s, err := d.open()
			return func() (int, error) { return s.send(32) }, err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "signed, %d sessions: %.0f/s\n", workers, r)
		fastest = max(fastest, r)
	}
	row("signed, 32 events of 1 KiB a request, events/s", fmt.Sprintf("%.0f", fastest), fmt.Sprintf("%.0f", b.best), fmt.Sprintf("%.2f", fastest/b.best), "≥ 1.5")
	return b.managedRate(d)
}

func (b *bench) managedRate(d *deployment) error {
	var fastest float64
	for _, workers := range []int{64, 256, 1024} { // as the baseline
		r, err := rate(b.ctx, workers, b.o.seconds, managedWorkers(d, managedSessions))
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "managed, %d connections: %.0f/s\n", workers, r)
		fastest = max(fastest, r)
	}
	row("managed, one event of 1 KiB a request, events/s", fmt.Sprintf("%.0f", fastest), fmt.Sprintf("%.0f", b.best), fmt.Sprintf("%.2f", fastest/b.best), "≥ 0.4")
	return nil
}

// managedSessions is how many agents record at the same time.
const managedSessions = 64

// managedWorkers spreads workers over sessions.
func managedWorkers(d *deployment, sessions int) func(i int) (func() (int, error), error) {
	var open []string
	return func(i int) (func() (int, error), error) {
		if len(open) < sessions {
			s, err := d.openManaged()
			if err != nil {
				return nil, err
			}
			open = append(open, s)
		}
		return d.managed(open[i%len(open)], i)
	}
}

func add(addr string) func(int) (func() (int, error), error) {
	body := params(1024)
	return func(int) (func() (int, error), error) {
		c, err := dial(addr)
		return func() (int, error) {
			_, err := c.post("/add", "application/octet-stream", "none", body)
			return 1, err
		}, err
	}
}

// latencies compares both at 1,000 requests a second.
func (b *bench) latencies() error {
	const perSecond = 1000
	n := perSecond * int(b.o.seconds/time.Second+1)
	p, err := b.baseline(10 * time.Millisecond)
	if err != nil {
		return err
	}
	base, err := paced(b.ctx, perSecond, n, b.o.seconds, add(p.addr))
	p.stop()
	if err != nil {
		return err
	}
	p, d, err := b.up("latency")
	if err != nil {
		return err
	}
	defer p.stop()
	ours, err := paced(b.ctx, perSecond, n, b.o.seconds, managedWorkers(d, managedSessions))
	if err != nil {
		return err
	}
	for _, q := range []struct {
		name string
		p    float64
		goal string
	}{{"median", 0.5, "≤ 1"}, {"99th percentile", 0.99, "≤ 2"}} {
		o, s := percentile(ours, q.p), percentile(base, q.p)
		row(fmt.Sprintf("managed at %d/s, %s", perSecond, q.name), ms(o), ms(s), fmt.Sprintf("%.2f", float64(o)/float64(s)), q.goal)
	}
	return nil
}

// single is one signed entry after the other on an idle server, and what that makes the disk write.
func (b *bench) single() error {
	p, d, err := b.up("single")
	if err != nil {
		return err
	}
	defer p.stop()
	s, err := d.open()
	if err != nil {
		return err
	}
	const n = 300
	before, recorded := written(p.cmd.Process.Pid), 0
	var all []time.Duration
	for range n {
		start := time.Now()
		if _, err := s.send(1); err != nil {
			return err
		}
		all = append(all, time.Since(start))
		recorded += 1024 + 600
	}
	slices.Sort(all)
	row("one signed entry, idle server, median", ms(percentile(all, 0.5)), "", "", "≤ 6 ms")
	row("… 99th percentile", ms(percentile(all, 0.99)), "", "", "")
	amplification := float64(written(p.cmd.Process.Pid)-before) / float64(recorded)
	row("bytes written per byte recorded, one entry of one event a flush", fmt.Sprintf("%.1f", amplification), "", "", "≤ 8")
	return nil
}

// written is what a process caused to be sent to the disk.
func written(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return n
		}
	}
	return 0
}

// growth fills a log, comparing the cost of an append early and late, audits it, and starts it again with and without its
// derived state.
func (b *bench) growth() error {
	p, d, err := b.up("growth")
	if err != nil {
		return err
	}
	early, err := b.fill(d, 10_000, 30_000)
	if err != nil {
		return err
	}
	late, err := b.fill(d, b.o.events-40_000, 30_000)
	if err != nil {
		return err
	}
	row(fmt.Sprintf("cost of an append at %d events, to that at 10,000", b.o.events), fmt.Sprintf("%.2f", early/late), "", "", "≤ 1.2")
	p.stop()
	dir := filepath.Join(b.dir, "growth")
	for _, quick := range []bool{false, true} {
		if err := b.audit(dir, quick); err != nil {
			return err
		}
	}
	return b.restarts(dir)
}

// fill records skip events, then measures the rate of count more.
func (b *bench) fill(d *deployment, skip, count int) (float64, error) {
	const workers = 8
	send := func(events int) error {
		done := make(chan error, workers)
		for range workers {
			s, err := d.open()
			if err != nil {
				return err
			}
			go func() {
				var err error
				for n := 0; n < events/workers && err == nil && b.ctx.Err() == nil; n += 64 {
					_, err = s.send(64)
				}
				s.Close()
				done <- err
			}()
		}
		var errs []error
		for range workers {
			errs = append(errs, <-done)
		}
		return errors.Join(errs...)
	}
	if err := send(skip); err != nil {
		return 0, err
	}
	start := time.Now()
	err := send(count)
	return float64(count) / time.Since(start).Seconds(), err
}

func (b *bench) audit(dir string, quick bool) error {
	rate, memory, err := b.auditRate(dir, quick)
	if err != nil {
		return err
	}
	what, goal := "audit of a directory, every signature, events/s", "≥ 100,000"
	if quick {
		what, goal = "audit of a directory, every link and last signatures, events/s", "≥ 250,000"
	}
	row(what, fmt.Sprintf("%.0f (%d MiB)", rate, memory>>20), "", "", goal)
	return nil
}

// restarts measures until the server answers, and until its index has caught up.
func (b *bench) restarts(dir string) error {
	for _, c := range []struct {
		what string
		drop []string
	}{
		{"restart", nil},
		{"restart with heads rebuilt from the log", []string{"heads.db"}},
		{"restart with heads and index rebuilt", []string{"heads.db", "index.db"}},
	} {
		for _, name := range c.drop {
			files, err := filepath.Glob(filepath.Join(dir, "log", "state", name+"*"))
			if err != nil || len(files) == 0 {
				return fmt.Errorf("no %s to drop: %w", name, err)
			}
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					return err
				}
			}
		}
		start := time.Now()
		p, err := b.start(dir)
		if err != nil {
			return err
		}
		ready := time.Since(start)
		row(fmt.Sprintf("%s at %d events, ready after", c.what, b.o.events), fmt.Sprintf("%.1f s", ready.Seconds()), "", "", "seconds")
		if err := b.indexed(dir); err != nil {
			return err
		}
		if len(c.drop) == 2 {
			row("… index rebuilt, events/s", fmt.Sprintf("%.0f", float64(b.o.events)/time.Since(start).Seconds()), "", "", "≥ 35,000")
		}
		p.stop()
	}
	return nil
}

// indexed waits until the server says that it is ready in every respect, the index's lag included.
func (b *bench) indexed(dir string) error {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		lag, err := indexLag(b.ctx, dir)
		if err != nil {
			return err
		}
		if lag == 0 {
			return nil
		}
	}
	return errors.New("the index did not catch up")
}
