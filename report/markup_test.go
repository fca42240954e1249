package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// onlyOurMarkup reads a page. It must have the elements and attributes of the template and no others, and no character that can't
// be seen. The template is written so that the page is well-formed XML as well as HTML: in either, text becomes markup by a < alone,
// and this reader takes every one of them for the beginning of a tag, or fails. Chromium's reading is held in integration.
func onlyOurMarkup(t testing.TB, page string) {
	t.Helper()
	elements := strings.Fields("html head meta title style body header section h1 h2 h3 p ol ul li table tbody thead tr th td code span div strong q bdi br")
	attributes := strings.Fields("lang dir charset http-equiv content name scope class")
	count := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(page)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			count[token.Name.Local]++
			if !slices.Contains(elements, token.Name.Local) {
				t.Fatalf("the page has an element %s", token.Name.Local)
			}
			for _, a := range token.Attr {
				if !slices.Contains(attributes, a.Name.Local) || a.Name.Local == "class" && strings.Trim(a.Value, "abcdefghijklmnopqrstuvwxyz") != "" {
					t.Fatalf("the page has an attribute %s=%q", a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			for _, r := range string(token) {
				if r != '\n' && (!unicode.IsPrint(r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)) {
					t.Fatalf("the page has %U as it is, in %q", r, token)
				}
			}
		case xml.Directive:
			count[string(token)]++
		case xml.Comment, xml.ProcInst:
			t.Fatalf("the page has %v", token)
		}
	}
	if count["DOCTYPE html"] != 1 || count["html"] != 1 || count["body"] != 1 || count["style"] != 1 || count["title"] != 1 || count["meta"] != 3 || count["table"] < 5 {
		t.Fatalf("the page has %v", count)
	}
}

// FuzzWhatOthersWroteIsNeverMarkup puts two strings wherever others have a say, also where formats forbid them.
func FuzzWhatOthersWroteIsNeverMarkup(f *testing.F) {
	f.Add(hostile, "</style><script>1</script>")
	f.Add("\"; } </style> @import", "\\\"\n\x00")
	f.Add(`' onload='x`, "-->\u202e</title></bdi></td></table>")
	f.Add(strings.Repeat("a<b>\xff", 600), strings.Repeat("\n", 3000))
	f.Fuzz(func(t *testing.T, a, b string) {
		l := evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 1, Quorum: 1})
		main := l.Open(evidencetest.SessionID(1), "bot", l.Enrol("acme/agents/bot", entry.HolderAgent, "bot"))
		main.Add(verifiertest.Says(payload.Text, []byte(a)), verifiertest.Says(payload.Binary, []byte(b)))
		main.Close()
		bundle := l.Evidence(main.ID)
		verifiertest.Disclose(l, bundle, main, nil)
		c := of(l, bundle)
		custody := evidencetest.Custody()
		custody.Exhibit, custody.Matter, custody.Exporter, custody.Approver, custody.Recipient, custody.Basis = a, b, a, b, a, b
		custody.Disclosed, custody.Withheld = []string{a, b}, []evidence.Withheld{{Class: a, Reason: b}, {Class: "content", Reason: a}}
		c.Custody, c.Made = &custody, b
		spoil(&c.Report, a, b)
		bundle.Origin, bundle.Pending = a, []evidence.CheckID{evidence.CheckID(b)}
		p := page(t, c)
		onlyOurMarkup(t, p)
		if len(p) > 16<<20 {
			t.Fatalf("%d bytes", len(p))
		}
		bundle.Sessions = []string{a} // of which nothing is here
		onlyOurMarkup(t, page(t, c))
	})
}

// spoil writes strings into all of a report that is one.
func spoil(r *evidence.Report, a, b string) {
	r.Origin, r.Verdict, r.Error = a, b, a
	where := &evidence.Where{File: a, Session: b, Track: a, Member: b}
	r.Checks = append(r.Checks, evidence.Check{ID: evidence.CheckID(a), Outcome: evidence.Outcome(b), Where: where, Detail: b, Others: 1})
	r.NotChecked = append(r.NotChecked, evidence.NotChecked{ID: a, Why: b})
	r.Anchors = append(r.Anchors, evidence.AnchorReport{Authority: a, Time: b, Counts: true}, evidence.AnchorReport{Authority: b, Time: a, Reason: a, Detail: b})
	r.Checkpoint.Cosigned = append(r.Checkpoint.Cosigned, evidence.CosignatureInfo{Witness: a, Operator: b, Time: a})
	for i := range r.Sessions {
		s := &r.Sessions[i]
		s.Verdict, s.LogVerdict, s.Agent, s.Privilege, s.Outcome = a, b, a, b, a
		s.Time = evidence.SessionTime{
			NotBefore: &evidence.TimeBound{Time: a, Authority: b}, NotAfter: &evidence.TimeBound{Time: b + "Z", Authority: a}, Authorities: []string{a, b}, Stamps: 2,
			Witnessed: &evidence.WitnessedBetween{NotBefore: &evidence.WitnessBound{Time: a}, NotAfter: &evidence.WitnessBound{Time: b + "T" + a + "Z"}},
		}
		s.Gaps = append(s.Gaps, evidence.Gap{Kind: a, Track: b, Action: a})
		s.Alerts = append(s.Alerts, evidence.AlertReport{Alert: a, Severity: b})
		for j := range s.Tracks {
			tr := &s.Tracks[j]
			tr.Track, tr.Agent, tr.SignedBy, tr.Recorder, tr.Enroller, tr.Vantage, tr.Capture = a, b, entry.HolderGateway, a, b, a, b
			tr.Admitted = &evidence.Admission{Principal: a, How: b}
		}
	}
}
