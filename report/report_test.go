package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/report"
	"github.com/stenolog/steno/verifier/verifiertest"
)

const origin = "log.test.example/prod"

// page is the page of a case.
func page(t testing.TB, c report.Case) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.HTML(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// of is the case of a bundle, as its maker makes it.
func of(l *evidencetest.Log, b *evidence.Bundle) report.Case {
	return report.Case{Report: evidence.Verify(b, l.Trust, evidence.Options{}), Bundle: b, Trust: l.Trust, Made: "by a test, in 2026"}
}

// text is what a page says, without its markup.
func text(page string) string {
	_, body, _ := strings.Cut(page, "<body>")
	body = regexp.MustCompile(`</?(code|strong|bdi|q|span)[^>]*>`).ReplaceAllString(body, "")
	body = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, " ")
	body = strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&amp;", "&", "&#43;", "+").Replace(body)
	return strings.Join(strings.Fields(body), " ")
}

func wantText(t *testing.T, page string, parts ...string) {
	t.Helper()
	all := text(page)
	for _, p := range parts {
		if !strings.Contains(all, p) {
			t.Errorf("the page does not say %q", p)
		}
	}
	if t.Failed() {
		t.Logf("it says: %.12000s", all)
	}
}

// handedOver is a session with a custody record, of which most is shown in clear.
func handedOver(t testing.TB) (report.Case, *evidencetest.Log) {
	l := evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	main, gateway := verifiertest.Record(l, evidencetest.SessionID(1), 2)
	l.Say(entry.TypeAlert, entry.Alert{Alert: "recorder-clock", Severity: "warning", Session: entry.UUID(main.ID)})
	b := l.Evidence(main.ID)
	verifiertest.Disclose(l, b, gateway, func(i int) bool { return i != 1 })
	custody := evidencetest.Custody()
	b = l.HandOver(b, custody)
	c := of(l, b)
	record, err := evidence.ParseCustody(b.Custody)
	if err != nil {
		t.Fatal(err)
	}
	c.Custody = record
	return c, l
}

func TestPageSaysWhatACourtAsksFor(t *testing.T) {
	c, l := handedOver(t)
	p := page(t, c)
	wantText(t, p, "This page proves nothing.", "steno-verify --trust TRUST-FILE EVIDENCE-FILE", "verifier.html",
		"Exhibit A-7", "matter M-2026-17", "Jane Doe, internal audit", "John Roe, general counsel", "Financial Regulator, Mr. X", "request of 2026-11-20",
		"Withheld personal (about natural persons): privileged matter", "Withheld secret (credentials and the like): no reason is given",
		"In the log recorded at index 12, before the file was made, under the name token:auditor", "Handed over by", "Received by", "Signature", "SHA-256 of the file as handed over:",
		"size "+fmt.Sprint(len(l.Leaves))+", root "+c.Report.Checkpoint.Root.String(),
		"As the maker of this file found on making it; verify it yourself.", "Agent bot", "State of the record complete: closed by its recorder",
		"the agent: its own account of itself", "a gateway in front of the agent (self-reported)", "enrolled by acme/enroller", "opened by, as the log says, token:ci (token)",
		"Alerts of the log recorder-clock (warning), log index", "Gaps None was found.",
		"About to act action.intent action a-0; tool ledger.post", "Action ended action.result action a-1; outcome transport ok, protocol ok, tool success",
		`{"amount":1 not shown,"to":"Ada"}`, "gateway-1 / 3", "The log: opening of a track admitted", "2026-11-18", "UTC",
		"What was not checked", "whether anything was done outside this record", "witness1.example", "By whose keys the maker judged")
	digest := l.Trust.Digest()
	for _, group := range regexp.MustCompile(`.{8}`).FindAllString(fmt.Sprintf("%x", digest), -1) {
		if !strings.Contains(p, "<span>"+group+"</span>") {
			t.Errorf("the trust file's SHA-256 lacks %s", group)
		}
	}
}

func TestPageClaimsNothing(t *testing.T) {
	c, _ := handedOver(t)
	p := page(t, c)
	for _, word := range []string{"✓", "✔", "☑", "✅", "green", "badge", "VERIFIED", "authentic,"} {
		if strings.Contains(text(p), word) {
			t.Errorf("the page has %q", word)
		}
	}
	// Greys alone: whoever hands over a page controls its colours.
	for _, colour := range regexp.MustCompile(`#[0-9a-f]{3,6}\b`).FindAllString(p[:strings.Index(p, "</style>")], -1) {
		if colour != "#000" && colour != "#fff" && colour != "#333" && colour != "#555" && colour != "#888" {
			t.Errorf("the style has the colour %s", colour)
		}
	}
}

func TestPageHasNoScriptAndNothingFromElsewhere(t *testing.T) {
	c, _ := handedOver(t)
	p := page(t, c)
	for _, word := range []string{"<script", "javascript:", "http:", "https:", "src=", "href=", "url(", "@import", " on", "<form", "<iframe", "style="} {
		if strings.Contains(p[:strings.Index(p, "</head>")], word) && word != " on" || word != " on" && strings.Contains(p, word) {
			t.Errorf("the page has %q", word)
		}
	}
	if !strings.Contains(p, `content="default-src &#39;none&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;; style-src &#39;sha256-`) {
		t.Error("the page has no policy")
	}
}

func TestSameCaseGivesTheSameBytes(t *testing.T) {
	c, _ := handedOver(t)
	once, again := page(t, c), page(t, c)
	if once != again {
		t.Error("two pages of one case differ")
	}
}

func TestPageOfABundleWithoutCustodyAndDisclosures(t *testing.T) {
	l := evidencetest.New(t, origin)
	main, _ := verifiertest.Record(l, evidencetest.SessionID(1), 1)
	c := of(l, l.Evidence(main.ID))
	c.Bundle.Pending = []evidence.CheckID{evidence.CheckTime, evidence.CheckWitnesses}
	c.Bundle.Range = &evidence.Range{From: 1, To: 7}
	wantText(t, page(t, c), "Custody record There is none in this file.", "parameters: sealed, not shown (class content)", "seen by no pinned witness",
		"before as many witnesses had seen the log", "before as many time-stamp authorities had stamped the log", "from index 1 up to, and without, 7",
		"By time-stamp authorities when it was logged, none says")
}

func TestWithheldIsSaidWhereItStands(t *testing.T) {
	l := evidencetest.New(t, origin)
	main, _ := verifiertest.Record(l, evidencetest.SessionID(1), 1)
	c := of(l, l.Evidence(main.ID))
	custody := evidencetest.Custody()
	custody.Disclosed, custody.Withheld = nil, []evidence.Withheld{{Class: "content", Reason: "privileged"}}
	c.Custody = &custody
	wantText(t, page(t, c), "parameters: withheld (class content)", "Shown in clear nothing", "Withheld content (what was said and done): privileged")
}

func TestPageSaysWhatTheVerificationFoundAmiss(t *testing.T) {
	l := evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2})
	main := l.Open(evidencetest.SessionID(1), "bot", l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	main.Add(evidencetest.Intent("a", "t", 1))
	main.Close()
	l.Witnesses = l.Witnesses[:1]
	c := of(l, l.Evidence(main.ID))
	wantText(t, page(t, c), "witnesses: unmet.", "complete: incomplete.", "State of the record interrupted: closed, with the gaps that are named below",
		"an action was begun, and how it ended was not recorded; track main, event 1, action a", `exit code 3`)
}

// TestDisclosureThatIsNotWhatTheEntryCommitsToIsNotShown: the maker of a page may have been given a bundle by somebody else.
func TestDisclosureThatIsNotWhatTheEntryCommitsToIsNotShown(t *testing.T) {
	c, _ := handedOver(t)
	for i := range c.Bundle.Disclosed {
		d := &c.Bundle.Disclosed[i]
		raw, err := d.Load()
		if err != nil {
			t.Fatal(err)
		}
		d.Content = evidence.ContentOf(bytes.Replace(raw, []byte("IkFkYSI="), []byte("IkV2ZSI="), 1)) // Ada is Eve
	}
	p := page(t, c)
	wantText(t, p, "it is not what the entry commits to")
	if strings.Contains(text(p), `"Eve"`) {
		t.Error("the page shows what nobody has said")
	}
}

func TestPageIsOfTheTrustFileThatJudged(t *testing.T) {
	c, _ := handedOver(t)
	c.Trust = evidencetest.New(t, origin).Trust
	if err := report.HTML(&bytes.Buffer{}, c); err == nil {
		t.Error("a page names a trust file by which nothing was verified")
	}
}

func TestErrorsOfLoadingAndWritingAreReported(t *testing.T) {
	c, _ := handedOver(t)
	if err := report.HTML(broken{}, c); !errors.Is(err, errBroken) {
		t.Errorf("writing: %v", err)
	}
	c.Bundle.Leaves[2].Content = evidence.ContentsIn(broken{}).At(0, 1)
	if err := report.HTML(&bytes.Buffer{}, c); !errors.Is(err, errBroken) {
		t.Errorf("loading: %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error)         { return 0, errBroken }
func (broken) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

// hostile is what an agent says to whoever reads it later, on paper too.
const hostile = verifiertest.Nasty + "<!-- --> ]]> &lt; {{.}} \u2028\u061c\u200e\u3164 end"

func TestWhatAgentsWroteIsTextAndVisible(t *testing.T) {
	l := evidencetest.New(t, origin)
	main := l.Open(evidencetest.SessionID(1), "bot", l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
	main.Add(verifiertest.Says(payload.Text, []byte(hostile)), verifiertest.Says(payload.Binary, []byte("bytes \xff\xfe\x80")))
	main.Close()
	b := l.Evidence(main.ID)
	verifiertest.Disclose(l, b, main, nil)
	p := page(t, of(l, b))
	onlyOurMarkup(t, p)
	wantText(t, p, "<script>window.stolen = 1</script>", `\u{1b}[31mansi`, `\u{202e}0001 ot\u{202c}`, `zero\u{200b}width`, `\u{9b}31m`, `\xff\xfe\x80`,
		`\u{a0}`, "שלום", `a backslash \u{202e}`, `\u{2028}\u{61c}\u{200e}\u{3164} end`, "&lt;")
	// What stands for a character is framed, and what the agent wrote to look like it is not.
	for _, part := range []string{`pay <span class="escape">\u{202e}</span>0001`, `a backslash \u{202e} of its own`} {
		if !strings.Contains(p, part) {
			t.Errorf("the page has no %s", part)
		}
	}
}
