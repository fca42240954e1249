package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	fewEvents  = 10_000
	manyEvents = 100_000
)

// evidence makes files of a session of ten thousand events and of one of ten times as many, with everything in clear, and verifies
// them: how long it takes, and whether memory grows with what is in them.
func (b *bench) evidence() error {
	p, d, err := b.up("evidence")
	if err != nil {
		return err
	}
	defer p.stop()
	var making, verifying [2]int64 // memory
	for i, events := range []int{fewEvents, manyEvents} {
		session, err := b.recordSession(d, events)
		if err != nil {
			return err
		}
		file := filepath.Join(b.dir, fmt.Sprintf("%d.evidence", events))
		made, peak, err := b.run(0, "evidence", "--dir", filepath.Join(b.dir, "evidence"), session, "-o", file, "--pending",
			"--identity", filepath.Join(b.dir, "evidence", "vault", "vault.key"))
		if err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		// The session is open, and so it is incomplete.
		verified, verifyPeak, err := b.run(4, "verify", "--json", "--trust", filepath.Join(b.dir, "evidence", "trust"), file)
		if err != nil {
			return err
		}
		making[i], verifying[i] = peak, verifyPeak
		name := fmt.Sprintf("of %d events, %d MB", events, info.Size()>>20)
		row("evidence "+name+", made and verified, s", fmt.Sprintf("%.1f", made.Seconds()), "", "", "")
		row("evidence "+name+", everything in clear, events/s verified", fmt.Sprintf("%.0f", float64(events)/verified.Seconds()), "", "", "")
		row("evidence "+name+", peak memory of making and of verifying, MB", fmt.Sprintf("%d, %d", peak>>20, verifyPeak>>20), "", "", "")
	}
	// What grows is tables: a row for each leaf, piece of sealed content and disclosure, of which an event has two or three.
	each := func(memory [2]int64) string { return fmt.Sprintf("%d B", (memory[1]-memory[0])/(manyEvents-fewEvents)) }
	row("evidence, memory of making it, for each event more", each(making), "", "", "≤ 400 B")
	row("evidence, memory of verifying it, for each event more", each(verifying), "", "", "≤ 400 B")
	return nil
}

// recordSession records so many events in one session, and waits until all of it is under a checkpoint.
func (b *bench) recordSession(d *deployment, events int) (session string, err error) {
	s, err := d.open()
	if err != nil {
		return "", err
	}
	defer s.Close()
	start := time.Now()
	for n := 0; n < events && b.ctx.Err() == nil; n += 32 {
		if _, err := s.send(min(32, events-n)); err != nil {
			return "", err
		}
	}
	fmt.Fprintf(os.Stderr, "%d events in one session: %.0f/s\n", events, float64(events)/time.Since(start).Seconds())
	return s.session, b.ctx.Err()
}

// run runs steno, demands an exit code, and tells how long it took and how much memory at most.
func (b *bench) run(code int, args ...string) (took time.Duration, memory int64, err error) {
	cmd := exec.CommandContext(b.ctx, b.steno, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	start := time.Now()
	err = cmd.Run()
	took = time.Since(start)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		return took, 0, fmt.Errorf("steno %s: %w: %.400s%.400s", strings.Join(args, " "), err, out.String(), said.String())
	}
	if code != 0 && !json.Valid(out.Bytes()) {
		return took, 0, fmt.Errorf("steno %s: no report: %.400s", strings.Join(args, " "), out.String())
	}
	return took, peak(cmd.ProcessState), nil
}
