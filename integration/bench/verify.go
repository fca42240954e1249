package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/verifier"
)

// An evidenceFile is a bundle and the trust file to judge it by, on disk.
type evidenceFile struct{ bundle, trust string }

// A maker makes logs in memory as tests do. What would end a test ends the bench.
type maker struct{ testing.TB }

func (maker) Helper()                      {}
func (maker) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (maker) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// stampedBundle makes a bundle in a process of its own: Linux counts what a process had at its start, which was its parent's, to the
// most memory that it ever had.
func (b *bench) stampedBundle(events, each int) (evidenceFile, error) {
	self, err := os.Executable()
	if err != nil {
		return evidenceFile{}, err
	}
	name := filepath.Join(b.dir, fmt.Sprintf("verify-%d-%d", events, each))
	out := evidenceFile{name + ".evidence", name + ".trust"}
	cmd := exec.CommandContext(b.ctx, self, "bundle", fmt.Sprint(events), fmt.Sprint(each), out.bundle, out.trust)
	cmd.Stderr = os.Stderr
	return out, cmd.Run()
}

// makeBundle makes a bundle of so many events, so many an entry, in sessions of 10,000, with the cosignatures of three witnesses and
// the anchors of two authorities, both demanded.
func makeBundle(args []string) error {
	var events, each int
	if _, err := fmt.Sscan(args[0]+" "+args[1], &events, &each); err != nil {
		return err
	}
	var t maker
	l := evidencetest.NewWith(t, "log.bench.example/prod", evidencetest.Options{Witnesses: 3, Quorum: 2})
	now := entry.Time(evidencetest.Noon).Time()
	from, until := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
	one, two := evidencetest.NewAuthority(t, "one.example", from, until), evidencetest.NewAuthority(t, "two.example", from, until)
	l.Pin(2, one, two)
	r := l.Enrol("acme/agents/bot", entry.HolderAgent, "bot")
	var ids []string
	for left := events; left > 0; left -= 10_000 {
		main := l.Open(evidencetest.SessionID(len(ids)), "bot", r)
		for some := range slices.Chunk(actions(min(left, 10_000)), each) {
			main.Add(some...)
		}
		main.Close()
		ids = append(ids, main.ID)
	}
	l.Anchor(now.Add(time.Hour), one, two)
	f, err := os.Create(args[2])
	if err != nil {
		return err
	}
	if err := evidence.Write(f, l.Evidence(ids...)); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.WriteFile(args[3], l.Trust.Marshal(), 0o600)
}

// actions are intents and results whose content, sealed, has 1 KiB and is not in the file.
func actions(n int) (events []recorder.Event) {
	refs := []entry.ExternalRef{{System: "ledger.acme.example", Type: "journal-entry", ID: "2026-11-20/eur/0000001"}}
	for i := range n {
		action := entry.ID(fmt.Sprintf("a-%d", i/2))
		ref := payload.Ref{Media: payload.JSON, Commitment: payload.Hash{1}, Blobs: []payload.BlobRef{{Class: payload.Content, SHA256: payload.Hash{2, byte(i), byte(i >> 8)}, Size: 1342}}}
		if i%2 == 0 {
			events = append(events, recorder.Plain(entry.TypeActionIntent, entry.ActionIntent{Action: action, Tool: "ledger.post", Protocol: "mcp", Method: "tools/call", Params: ref.Event(), Refs: refs}))
			continue
		}
		events = append(events, recorder.Plain(entry.TypeActionResult, entry.ActionResult{Action: action, Response: ref.Event(), DurationUS: 1234, Refs: refs,
			Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}}))
	}
	return events
}

// verification measures verifiers of evidence: the program, from its start to its end, and the page.
func (b *bench) verification() error {
	const few, many = 1_000, 100_000
	goals := map[int]string{7: "< 100 ms"} // as recorders pack what comes at once; one an entry is the dearest that there is
	for _, each := range []int{7, 1} {
		file, err := b.stampedBundle(few, each)
		if err != nil {
			return err
		}
		took, _, err := b.verifyTimes(file, 20)
		if err != nil {
			return err
		}
		row(fmt.Sprintf("steno verify of 1,000 events, %d an entry, three cosignatures, two anchors, median", each), ms(took), "", "", goals[each])
		page, err := b.page(file, 5)
		if err != nil {
			return fmt.Errorf("verifier.html: %w", err)
		}
		row(fmt.Sprintf("verifier.html, the same %d an entry, in Chromium, median", each), ms(page), "", "", "< 1 s")
	}
	file, err := b.stampedBundle(many, 7)
	if err != nil {
		return err
	}
	took, memory, err := b.verifyTimes(file, 3)
	if err != nil {
		return err
	}
	row("steno verify of 100,000 events, 7 an entry, events/s", fmt.Sprintf("%.0f (%d MiB)", many/took.Seconds(), memory>>20), "", "", "≥ 100,000")
	return nil
}

// verifyTimes runs steno verify over and over. It returns the median time and the most memory.
func (b *bench) verifyTimes(file evidenceFile, times int) (time.Duration, int64, error) {
	var all []time.Duration
	var memory int64
	for range times {
		cmd := exec.CommandContext(b.ctx, b.steno, "verify", "--json", "--trust", file.trust, file.bundle)
		start := time.Now()
		out, err := cmd.Output()
		all = append(all, time.Since(start))
		if err != nil {
			return 0, 0, fmt.Errorf("steno verify: %w: %.400s", err, out)
		}
		memory = max(memory, peak(cmd.ProcessState))
	}
	slices.Sort(all)
	return percentile(all, 0.5), memory, nil
}

// page has verifier.html judge a file over and over, from a file, and returns the median of the times that it says it took: from
// having both files until all is shown.
func (b *bench) page(file evidenceFile, times int) (time.Duration, error) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		return 0, err
	}
	at := filepath.Join(b.dir, "verifier.html")
	if err := os.WriteFile(at, verifier.Page(), 0o600); err != nil {
		return 0, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.UserDataDir(filepath.Join(b.dir, "profile")), chromedp.DisableGPU)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, stop := chromedp.NewExecAllocator(b.ctx, options...)
	defer stop()
	ctx, cancel := chromedp.NewContext(ctx)
	defer cancel()
	var all []time.Duration
	for range times {
		d, err := judge(ctx, "file://"+at, file)
		if err != nil {
			return 0, err
		}
		all = append(all, d)
	}
	slices.Sort(all)
	return percentile(all, 0.5), nil
}

func judge(ctx context.Context, url string, file evidenceFile) (time.Duration, error) {
	_, err := chromedp.Run(ctx, chromedp.Steps(
		chromedp.Navigate(url), chromedp.WaitReady("body[data-ready]"),
		chromedp.SetUploadFiles("#trust-input", []string{file.trust}), chromedp.SetUploadFiles("#bundle-input", []string{file.bundle}),
		chromedp.WaitReady("body[data-judged]"),
	))
	if err != nil {
		return 0, err
	}
	read := func(name string) (string, error) {
		return chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.dataset.`+name))
	}
	if exit, err := read("exit"); err != nil || exit != "0" {
		return 0, fmt.Errorf("the page says exit %s: %w", exit, err)
	}
	text, err := read("milliseconds")
	if err != nil {
		return 0, err
	}
	millis, err := strconv.ParseFloat(text, 64)
	return time.Duration(millis * float64(time.Millisecond)), err
}
