//go:build linux

package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/verifier"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// A browser has the page open from a file, and no network.
type browser struct {
	t   *testing.T
	ctx context.Context
	dir string
	url string

	mu    sync.Mutex
	wrong []string // requests for anything but the page, messages of errors, dialogs
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	b := &browser{t: t, dir: t.TempDir()}
	file := filepath.Join(b.dir, "verifier.html")
	if err := os.WriteFile(file, verifier.Page(), 0o600); err != nil {
		t.Fatal(err)
	}
	b.url = "file://" + file
	options := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(need.Program(t, "chromium")), chromedp.UserDataDir(filepath.Join(b.dir, "profile")), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-dev-shm-usage", true),
		// Whatever asks for a host or a proxy finds none.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"), chromedp.Flag("proxy-server", "127.0.0.1:9"),
	})
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // starts the browser, which ends with the context
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	return b
}

// hear notes what a page that keeps to itself never does.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Request.URL != b.url {
			b.wrong = append(b.wrong, "request for "+e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, "exception: "+e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		b.wrong = append(b.wrong, "dialog")
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	evaluate(b, chromedp.Steps(actions...))
}

// evaluate runs one action, within a minute.
func evaluate[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.kept("until then")
		b.t.Fatal(err)
	}
	return v
}

// js is what an expression gives.
func js[T any](b *browser, expression string) T {
	b.t.Helper()
	return evaluate(b, chromedp.Evaluate[T](expression))
}

// A judgement is what the page shows.
type judgement struct {
	Exit    string          `json:"exit"`
	Verdict string          `json:"verdict"`
	Badge   string          `json:"badge"`
	Millis  string          `json:"milliseconds"`
	Rows    map[string]int  `json:"rows"`   // badges of events
	Sealed  map[string]int  `json:"sealed"` // badges of payloads
	Report  evidence.Report `json:"report"`
}

const readPage = `JSON.stringify((() => {
	const count = (selector) => [...document.querySelectorAll(selector)].reduce((n, e) => ({ ...n, [e.dataset.badge]: (n[e.dataset.badge] ?? 0) + 1 }), {});
	return { ...document.body.dataset, rows: count('tr[data-badge]'), sealed: count('.payload'), report: JSON.parse(document.getElementById('json').textContent) };
})())`

// judge opens the page anew and puts the files of a case into it.
func (b *browser) judge(c verifiertest.Case) judgement {
	b.t.Helper()
	trustFile, bundle := filepath.Join(b.dir, "pinned.trust"), filepath.Join(b.dir, "evidence.zip")
	for path, content := range map[string][]byte{trustFile: c.Trust, bundle: c.Bundle} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	b.do(chromedp.Navigate(b.url), chromedp.WaitReady("body[data-ready]"),
		chromedp.SetUploadFiles("#trust-input", []string{trustFile}), chromedp.SetUploadFiles("#bundle-input", []string{bundle}),
		chromedp.WaitReady("body[data-judged]"))
	b.kept(c.Name)
	return b.read()
}

// read is what the page shows now.
func (b *browser) read() (j judgement) {
	b.t.Helper()
	if shown := js[string](b, `document.getElementById('result').innerText`); strings.Contains(shown, "This page failed") {
		b.t.Fatal(shown)
	}
	if err := json.Unmarshal([]byte(js[string](b, readPage)), &j); err != nil {
		b.t.Fatal(err)
	}
	return j
}

// kept tells what the page did that it should not.
func (b *browser) kept(name string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.wrong {
		b.t.Errorf("%s: %s", name, w)
	}
	b.wrong = nil
}

// wantBadge is the badge of the file as a whole, which follows from what the Go verifier says.
func wantBadge(c verifiertest.Case, report evidence.Report, t *trust.Trust) string {
	switch {
	case c.Agree == verifiertest.Nothing || report.Exit == evidence.ExitUnusable:
		return "not checked"
	case report.Exit == evidence.ExitFailed:
		return "failed"
	case report.Exit != evidence.ExitVerified:
		return "pending"
	case t.NeedsWitnesses():
		return "verified"
	}
	return "log-signed only"
}

// kind is what a report finds wrong, in short.
func kind(r evidence.Report) string {
	said := r.Verdict
	for _, c := range r.Checks {
		if c.Outcome != evidence.Passed && c.Outcome != evidence.NotRun {
			said += fmt.Sprintf(" %s=%s", c.ID, c.Outcome)
		}
	}
	return said
}

// TestPINNED_thePageGivesTheVerdictsOfTheGoVerifier shows the page three cases of each kind: package browser_test has all of them judged by
// the page's code.
func TestPINNED_thePageGivesTheVerdictsOfTheGoVerifier(t *testing.T) {
	b := openBrowser(t)
	kinds := map[string]int{}
	for _, c := range verifiertest.Cases(t) {
		if c.Form && c.Name != "form: as it is" {
			continue // package browser_test holds what reads it against the Go reader
		}
		var report evidence.Report
		pinned, err := trust.Parse(c.Trust)
		if err != nil {
			report = evidence.UnusableReport(err)
		} else {
			report = must(evidence.VerifyReader(bytes.NewReader(c.Bundle), int64(len(c.Bundle)), pinned, evidence.Options{}))
		}
		of := fmt.Sprint(kind(report), wantBadge(c, report, pinned), c.Agree)
		if kinds[of]++; kinds[of] > 3 {
			continue
		}
		j := b.judge(c)
		exit, verdict := report.Exit, report.Verdict
		if c.Agree == verifiertest.Nothing {
			exit, verdict = evidence.ExitPolicy, "not-checked"
		}
		if badge := wantBadge(c, report, pinned); j.Exit != fmt.Sprint(exit) || j.Verdict != verdict || j.Badge != badge {
			t.Errorf("%s: the page says exit %s, %s, %s; want %d, %s, %s", c.Name, j.Exit, j.Verdict, j.Badge, exit, verdict, badge)
		}
		if j.Report.TrustDigest != report.TrustDigest || j.Report.Bundle != report.Bundle {
			t.Errorf("%s: the page shows other digests", c.Name)
		}
		for i, s := range report.Sessions {
			if j.Report.Sessions[i].Verdict != s.Verdict {
				t.Errorf("%s: the page calls session %s %s, want %s", c.Name, s.Session, j.Report.Sessions[i].Verdict, s.Verdict)
			}
		}
		if report.Exit == evidence.ExitVerified && c.Agree == verifiertest.Reports && j.Rows[j.Badge] == 0 {
			t.Errorf("%s: no event has the badge %s: %v", c.Name, j.Badge, j.Rows)
		}
	}
	if len(kinds) < 50 {
		t.Errorf("%d kinds of cases", len(kinds))
	}
}

// named is the case of a name.
func named(t *testing.T, name string) verifiertest.Case {
	t.Helper()
	return among(t, verifiertest.Cases(t), name)
}

func among(t *testing.T, all []verifiertest.Case, name string) verifiertest.Case {
	t.Helper()
	i := slices.IndexFunc(all, func(c verifiertest.Case) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no case %q", name)
	}
	return all[i]
}

func TestThePageBadgesEveryEventAndPayload(t *testing.T) {
	b, cases := openBrowser(t), verifiertest.Cases(t)
	for _, c := range []struct {
		name         string
		rows, sealed []string // badges that are there, and no others
	}{
		{"disclosed", []string{"verified"}, []string{"verified"}},
		{"redacted", []string{"verified"}, []string{"redacted"}},
		{"witnessed", []string{"verified"}, []string{"redacted"}},
		{"log-signed only", []string{"log-signed only"}, []string{"redacted"}},
		{"quorum unmet, one", []string{"pending"}, []string{"redacted"}},
		{"ml-dsa-44, required", []string{"not checked"}, []string{"redacted"}},
		{"tampered: a disclosed value", []string{"verified"}, []string{"failed", "verified"}},
		{"tampered: a sealed blob", []string{"verified"}, []string{"failed", "verified"}},
		{"tampered: an entry left out", []string{"failed", "not checked", "verified"}, []string{"redacted"}},
		{"tampered: a broken chain", []string{"failed", "verified"}, []string{"redacted"}},
		{"tampered: cut", nil, nil},
		{"pending: witnesses, unmet", []string{"pending"}, []string{"redacted"}},
		{"pending: witnesses, met", []string{"verified"}, []string{"redacted"}},
		{"tampered: a hash of the tree", []string{"not checked"}, []string{"not checked"}},
		{"range of all", []string{"verified"}, []string{"redacted"}},
		{"custody", []string{"verified"}, []string{"redacted", "verified"}},
		{"custody discloses nothing", []string{"verified"}, []string{"redacted", "verified"}},
	} {
		j := b.judge(among(t, cases, c.name))
		for what, pair := range map[string][2][]string{"events": {keys(j.Rows), c.rows}, "payloads": {keys(j.Sealed), c.sealed}} {
			if !slices.Equal(pair[0], pair[1]) {
				t.Errorf("%s: badges of %s are %q, want %q", c.name, what, pair[0], pair[1])
			}
		}
	}
}

func keys(m map[string]int) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestThePageShowsHostileContentAsText: scripts, markup, ANSI, bidirectional controls and broken UTF-8 that agents wrote.
func TestThePageShowsHostileContentAsText(t *testing.T) {
	b := openBrowser(t)
	c := named(t, "malicious transcript")
	if j := b.judge(c); j.Badge != "verified" || j.Sealed["verified"] != 4 {
		t.Fatalf("%+v", j)
	}
	text := js[string](b, `[...document.querySelectorAll('.content')].map((e) => e.textContent).join('\n')`)
	html := js[string](b, `document.getElementById('result').innerText`)
	stolen := js[string](b, `String(window.stolen)`)
	elements := js[int](b, `document.querySelectorAll('#result script, #result img, #result svg, #result iframe, #result h1, #result style').length`)
	for _, want := range []string{"<script>window.stolen = 1</script>", `\u{1b}[31mansi`, `\u{202e}0001 ot\u{202c}`, `zero\u{200b}width`, `\u{9b}31m`, `\u{d}`, `\xff\xfe\x80`,
		`\u{a0}`, "שלום", `\u003ciframe src`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	for _, r := range text + html {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u202e' || r == '\u202c' || r == '\u2066' || r == '\u2069' || r == '\u200b' || r == '\ufeff' {
			t.Fatalf("the page shows %U as it is", r)
		}
	}
	if stolen != "undefined" || elements > 0 {
		t.Errorf("content became markup: %s, %d elements", stolen, elements)
	}
}

// TestThePageShowsTheCustodyRecord as the words of whoever made the file, with what was checked of it, and as text whatever is in it.
func TestThePageShowsTheCustodyRecord(t *testing.T) {
	b := openBrowser(t)
	for _, c := range []struct {
		name, badge string
		words       []string
	}{
		{"custody", "verified", []string{"A-7", "M-2026-17", "Jane Doe, internal audit", "John Roe, general counsel", "Financial Regulator, Mr. X", "request of 2026-11-20",
			"personal (privileged matter); secret", "token:auditor", "The words of whoever made this file, which nobody has checked", "the log recorded the hand-over before"}},
		{"custody in markup", "verified", []string{"<script>window.stolen = 5</script><b>VERIFIED</b>", `שלום 100 & \u{202e} \u{feff}\u{200b}`}},
		{"tampered: custody with controls", "failed", []string{"It is not right", `\u{1b}[31mJane\u{202e}\u{2066} enaJ <script>window.stolen = 6</script><b>VERIFIED</b>\xff\u{d}`}},
		{"tampered: custody changed", "failed", []string{"none names the hash of the record", "Joan Doe"}},
		{"tampered: custody, and the log says other classes", "failed", []string{"other classes of content"}},
		{"quorum unmet, one", "", nil},
	} {
		b.judge(named(t, c.name))
		text := js[string](b, `document.querySelector('.custody')?.textContent ?? ''`)
		if badge := js[string](b, `document.querySelector('.custody')?.dataset.badge ?? ''`); badge != c.badge {
			t.Errorf("%s: the record has the badge %q, want %q", c.name, badge, c.badge)
		}
		for _, want := range c.words {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the page does not show %q, but %q", c.name, want, text)
			}
		}
		if n := js[int](b, `document.querySelectorAll('.custody script, .custody b').length`); n > 0 || js[string](b, `String(window.stolen)`) != "undefined" {
			t.Errorf("%s: words became markup", c.name)
		}
	}
}

// TestThePageSaysWhatAFileWasMadeTooEarlyFor, and what range it is of.
func TestThePageSaysWhatAFileWasMadeTooEarlyFor(t *testing.T) {
	b := openBrowser(t)
	for name, words := range map[string]string{
		"pending: both, unmet": "made before the witnesses had seen what it holds: ask for a later one", "pending: witnesses, met": "nothing that is demanded is missing for that",
		"range of some": "every leaf of the log from 3 up to, but not, 9: 6 are here", "range of no session": "The log's own entries in the range",
	} {
		b.judge(named(t, name))
		if text := js[string](b, `document.getElementById('result').textContent`); !strings.Contains(text, words) {
			t.Errorf("%s: the page does not say %q", name, words)
		}
	}
}

const clocksApart = "clocks: witnesses say after, an authority before"

// TestThePageSaysWhereClocksContradictEachOther, below both brackets, and has no green for the file.
func TestThePageSaysWhereClocksContradictEachOther(t *testing.T) {
	b := openBrowser(t)
	for name, want := range map[string]struct{ badge, words string }{
		clocksApart: {"pending", "These clocks contradict each other: the quorum of witnesses on the checkpoint of size 1 says not before 2026-11-18T11:08:20Z, " +
			"and the token of one.example at log index 10, which came after it, says not after 2026-11-18T11:07:19Z: one of these clocks is wrong"},
		clocksApart + ", fits":                       {"verified", ""},
		"clocks: a token whose chain limits names":   {"not checked", ""},
		"clocks: a quorum of ml-dsa-44":              {"not checked", ""},
		"clocks: and the file says that it waits":    {"pending", "These clocks contradict each other: "},
		"clocks: and the file waits for stamps":      {"pending", "These clocks contradict each other: "},
		"clocks: witnesses against themselves, fits": {"verified", ""},
	} {
		j := b.judge(named(t, name))
		text := js[string](b, `[...document.querySelectorAll('.session > .brackets + .contradiction')].map((e) => e.textContent).join()`)
		if j.Badge != want.badge || !strings.HasPrefix(text, want.words) || want.words == "" && text != "" {
			t.Errorf("%s: %s, %q", name, j.Badge, text)
		}
		if green := js[int](b, `document.querySelectorAll('.verdict.verified, .brackets .verified, .contradiction .verified').length`); green > 0 != (want.badge == "verified") {
			t.Errorf("%s: %d green", name, green)
		}
	}
}

// TestThePageTakesDroppedFiles: both at once, anywhere, in any order.
func TestThePageTakesDroppedFiles(t *testing.T) {
	b := openBrowser(t)
	c := named(t, "witnessed")
	files := must(json.Marshal(map[string][]byte{"evidence": c.Bundle, "pinned": c.Trust}))
	drop := `((files) => {
		const data = new DataTransfer();
		for (const [name, b] of Object.entries(files)) data.items.add(new File([Uint8Array.from(atob(b), (x) => x.charCodeAt(0))], name));
		return document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
	})(` + string(files) + `)`
	b.do(chromedp.Navigate(b.url), chromedp.WaitReady("body[data-ready]"))
	js[bool](b, drop)
	b.do(chromedp.WaitReady("body[data-judged]"))
	b.kept("dropped")
	if j := b.read(); j.Exit != "0" || j.Badge != "verified" {
		t.Errorf("%+v", j)
	}
}

// TestThePageVerifiesAThousandEventsInASecond, with all that is shown of them.
func TestThePageVerifiesAThousandEventsInASecond(t *testing.T) {
	l := evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	one, two := evidencetest.NewAuthority(t, "one.example", from, from.AddDate(9, 0, 0)), evidencetest.NewAuthority(t, "two.example", from, from.AddDate(9, 0, 0))
	l.Pin(2, one, two)
	main, gateway := verifiertest.Record(l, evidencetest.SessionID(1), 500)
	l.Anchor(entry.Time(evidencetest.Noon).Time(), one, two)
	bundle := l.Evidence(main.ID)
	verifiertest.Disclose(l, bundle, gateway, nil)
	b := openBrowser(t)
	j := b.judge(verifiertest.Case{Name: "1,000 events", Bundle: verifiertest.File(t, bundle), Trust: l.Trust.Marshal()})
	t.Logf("1,003 events in as many entries, all disclosed, three cosignatures, two anchors: verified and shown in %s ms", j.Millis)
	if j.Exit != "0" || j.Rows["verified"] < 1000 || j.Sealed["verified"] < 1000 {
		t.Errorf("exit %s, %v, %v", j.Exit, j.Rows, j.Sealed)
	}
	// Speed is for the bench to tell: here other tests may run beside. But it must not be a matter of minutes.
	if ms, err := time.ParseDuration(j.Millis + "ms"); err != nil || ms > 10*time.Second {
		t.Errorf("%s ms: %v", j.Millis, err)
	}
}

// TestThePageShowsMuch: a report too long for the arguments of one call, and payloads of nothing but line feeds, by an agent that
// would rather not be judged.
func TestThePageShowsMuch(t *testing.T) {
	l := evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	var ids []string
	for n := range 300 {
		main, _ := verifiertest.Record(l, evidencetest.SessionID(n+1), 0)
		ids = append(ids, main.ID)
	}
	last := l.Open(evidencetest.SessionID(1000), "bot", l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	for range 40 {
		last.Add(verifiertest.Says(payload.Binary, bytes.Repeat([]byte("\n"), 80<<10)))
	}
	last.CloseOnly()
	bundle := l.Evidence(append(ids, last.ID)...)
	verifiertest.Disclose(l, bundle, last, nil)
	j := openBrowser(t).judge(verifiertest.Case{Name: "much", Bundle: verifiertest.File(t, bundle), Trust: l.Trust.Marshal()})
	if j.Exit != "0" || j.Badge != "verified" || len(j.Report.Sessions) != 301 || j.Sealed["verified"] != 40 {
		t.Errorf("exit %s, %s, %d sessions, payloads %v", j.Exit, j.Badge, len(j.Report.Sessions), j.Sealed)
	}
}

// TestThePageOnPaper prints, and looks that there is a page. With STENO_SCREENSHOTS, a directory, it leaves pictures for people.
func TestThePageOnPaper(t *testing.T) {
	b := openBrowser(t)
	dir := os.Getenv("STENO_SCREENSHOTS")
	for _, name := range []string{"disclosed", "redacted", "tampered: an entry left out", "malicious transcript", "quorum unmet, one", "spooled and restarted", "custody", "custody in markup",
		"tampered: custody with controls", "pending: both, unmet", "range of all", "range of no session", clocksApart} {
		b.judge(named(t, name))
		b.do(chromedp.EmulateViewport(1280, 900))
		shot, pdf := evaluate(b, chromedp.FullScreenshot(100)), evaluate(b, chromedp.PrintToPDF(chromedp.PDFPaper(chromedp.PaperA4)))
		if !bytes.HasPrefix(pdf, []byte("%PDF")) || len(shot) < 10_000 {
			t.Errorf("%s: %d bytes of a picture, %d of a print", name, len(shot), len(pdf))
		}
		if dir == "" {
			continue
		}
		base := filepath.Join(dir, strings.NewReplacer(" ", "-", ":", "", ",", "").Replace(name))
		for path, content := range map[string][]byte{base + ".png": shot, base + ".pdf": pdf} {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestThePageSaysNothingOfAFileThatItDidNotRead: a file that is too large or can't be read takes the place of the one before, whose
// verdict would be taken for its own.
func TestThePageSaysNothingOfAFileThatItDidNotRead(t *testing.T) {
	b := openBrowser(t)
	c := named(t, "disclosed")
	large := filepath.Join(b.dir, "large.zip")
	if err := os.WriteFile(large, c.Bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 1<<30+1); err != nil {
		t.Fatal(err)
	}
	const drop = `(() => {
		const event = new Event('drop', { cancelable: true });
		event.dataTransfer = { files: [{ name: 'gone.zip', size: 5, arrayBuffer: () => Promise.reject(new Error('gone')) }] };
		document.dispatchEvent(event);
	})()`
	for what, put := range map[string]func(){
		"too large": func() { b.do(chromedp.SetUploadFiles("#bundle-input", []string{large})) },
		"gone":      func() { js[any](b, drop) },
	} {
		if j := b.judge(c); j.Badge != "verified" {
			t.Fatalf("%+v", j)
		}
		put()
		b.do(chromedp.Poll[chromedp.Void](`document.getElementById('result').innerText.includes('NOT JUDGED')`, chromedp.WithPollingTimeout(20*time.Second)))
		text := js[string](b, `document.getElementById('result').innerText`)
		if badge := js[string](b, `document.body.dataset.badge ?? ''`); badge != "" || strings.Contains(text, "VERIFIED") || !strings.Contains(text, "NOT JUDGED") {
			t.Errorf("%s: the page has the badge %q and says %.200q", what, badge, text)
		}
		if name := js[string](b, `document.getElementById('bundle-file').innerText`); strings.Contains(name, "evidence.zip") {
			t.Errorf("%s: the page names the file before: %q", what, name)
		}
	}
}
