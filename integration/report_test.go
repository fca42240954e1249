//go:build linux

package integration_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/report"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// reportOf is the report of a bundle, as its maker makes it.
func reportOf(t *testing.T, l *evidencetest.Log, b *evidence.Bundle) []byte {
	t.Helper()
	c := report.Case{Report: evidence.Verify(b, l.Trust, evidence.Options{}), Bundle: b, Trust: l.Trust, Made: "2026-11-24 16:00:00 UTC, with steno devel"}
	if b.Custody != nil {
		c.Custody = must(evidence.ParseCustody(b.Custody))
	}
	var out bytes.Buffer
	if err := report.HTML(&out, c); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// handedOver is a file as a court may get it: two sessions over two tracks, stamped and witnessed, most of it in clear.
func handedOver(t *testing.T) []byte {
	l := evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	one, two := evidencetest.NewAuthority(t, "tsa.one.example", from, from.AddDate(9, 0, 0)), evidencetest.NewAuthority(t, "tsa.two.example", from, from.AddDate(9, 0, 0))
	l.Pin(2, one, two)
	now := entry.Time(evidencetest.Noon).Time()
	l.Anchor(now.Add(-time.Minute), one, two)
	main := l.Open(evidencetest.SessionID(1), "acme/ledger-bot", l.Enrol("acme/agents/ledger-bot", entry.HolderAgent, "acme/ledger-bot"))
	gateway := l.Join(main, "gateway-1", "acme/ledger-bot", l.Enrol("acme/gateways/edge", entry.HolderGateway, "acme/ledger-bot"))
	main.Add(verifiertest.Says(payload.Text, []byte("The invoice of Müller & Söhne is due on 30 November. I have read the mandate and the limit of 5,000 EUR.\nI shall pay it in two parts, for the limit holds for one payment.\n")))
	for i, to := range []string{"Müller & Söhne", "Müller & Söhne", "ACME GmbH"} {
		a := []string{"a-1", "a-2", "a-3"}[i]
		gateway.Add(evidencetest.Intent(a, "ledger.post", map[string]any{"to": to, "iban": "DE02120300000000202051", "amount": 4800 + i, "currency": "EUR"}))
		gateway.Add(evidencetest.Result(a, map[string]any{"posted": true, "journal": "2026/11/4711", "balance": "1,204,033.20"}))
	}
	gateway.Add(recorder.Plain(entry.TypeActionReject, entry.ActionReject{Action: "a-4", Tool: "ledger.delete", By: "policy", Why: "denied"}))
	l.Say(entry.TypeAlert, entry.Alert{Alert: "split-payment", Severity: "warning", Session: entry.UUID(main.ID)})
	main.Add(verifiertest.Says(payload.Text, []byte(verifiertest.Nasty)))
	main.Close(gateway)
	second, _ := verifiertest.Record(l, evidencetest.SessionID(2), 30)
	l.Anchor(now.Add(3*time.Minute), one, two)
	b := l.Evidence(main.ID, second.ID)
	verifiertest.Disclose(l, b, main, nil)
	verifiertest.Disclose(l, b, gateway, func(i int) bool { return i != 3 })
	c := evidencetest.Custody()
	c.Basis = "Art. 17 (2) of Directive 2014/65/EU, request of 20 November 2026, reference WA 25-Wp 7100"
	return reportOf(t, l, l.HandOver(b, c))
}

// open opens a page of our making from a file.
func (b *browser) open(content []byte) {
	b.t.Helper()
	file := filepath.Join(b.dir, "report.html")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.url = "file://" + file
	b.do(chromedp.Navigate(b.url), chromedp.WaitReady("body"))
}

// TestTheReportIsTextAlone, in the reading of a browser, whose policy takes the style and nothing else.
func TestTheReportIsTextAlone(t *testing.T) {
	b := openBrowser(t)
	b.open(handedOver(t))
	b.kept("report")
	if border := js[string](b, `getComputedStyle(document.querySelector('.nothing')).borderTopStyle`); border != "solid" {
		t.Errorf("the page has no style: %s", border)
	}
	elements := js[string](b, `[...new Set([...document.querySelectorAll('*')].map((e) => e.localName))].sort().join(' ')`)
	if want := "bdi body br code div h1 h2 h3 head header html li meta ol p q section span strong style table tbody td th thead title tr ul"; elements != want {
		t.Errorf("the page has the elements %s", elements)
	}
	if attributes := js[string](b, `[...new Set([...document.querySelectorAll('*')].flatMap((e) => e.getAttributeNames()))].sort().join(' ')`); attributes !=
		"charset class content dir http-equiv lang name scope" {
		t.Errorf("the page has the attributes %s", attributes)
	}
	if stolen := js[string](b, `String(window.stolen)`); stolen != "undefined" {
		t.Errorf("content ran: %s", stolen)
	}
	text := js[string](b, `document.body.innerText`)
	for _, r := range text {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u202e\u202c\u2066\u2069\u200b\ufeff\u00a0", r) {
			t.Fatalf("the page shows %U as it is", r)
		}
	}
	if !strings.Contains(text, "<script>window.stolen = 1</script>") || !strings.Contains(text, `\u{1b}[31mansi`) {
		t.Error("the page does not show what the agent wrote")
	}
}

// TestTheReportOnPaper: on A4 and Letter the first sheet has all that is signed. With STENO_SCREENSHOTS, a directory, it leaves
// what it printed for people.
func TestTheReportOnPaper(t *testing.T) {
	b := openBrowser(t)
	content := handedOver(t)
	b.open(content)
	dir := os.Getenv("STENO_SCREENSHOTS")
	keep := func(name string, b []byte) {
		if dir != "" {
			must(0, os.WriteFile(filepath.Join(dir, name), b, 0o644))
		}
	}
	b.do(chromedp.EmulateViewport(1000, 900))
	keep("report.png", evaluate(b, chromedp.FullScreenshot(100)))
	keep("report.html", content)
	for name, paper := range map[string]chromedp.PaperSize{"a4": chromedp.PaperA4, "letter": chromedp.PaperLetter} {
		pdf := evaluate(b, chromedp.PrintToPDF(chromedp.PDFPaper(paper)))
		if n := len(regexp.MustCompile(`/Type /Page\b`).FindAll(pdf, -1)); n < 6 || n > 30 {
			t.Errorf("%s: %d sheets", name, n)
		}
		keep("report-"+name+".pdf", pdf)
	}
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
		return err
	}))
	for name, size := range map[string][2]float64{"a4": {210, 297}, "letter": {215.9, 279.4}} {
		const millimetre, across, down = 96 / 25.4, 2 * 17, 17 + 15 // pixels; the margins of page.css
		b.do(chromedp.EmulateViewport(int64((size[0]-across)*millimetre), 900))
		if bottom := js[float64](b, `document.querySelector('.signing').getBoundingClientRect().bottom + window.scrollY`); bottom > (size[1]-down)*millimetre {
			t.Errorf("%s: the lines to sign end at %.0f mm of %.0f", name, bottom/millimetre, size[1]-down)
		}
	}
}
