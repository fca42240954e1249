package report

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/stenolog/steno/evidence"
)

// A front is what stands on the first sheet, and the overview after it.
type front struct {
	Style   template.CSS
	Policy  string
	Exhibit said
	Matter  said
	Origin  said
	Made    said
	Trust   []string
	Size    uint64
	Root    string
	Entries []string // hash over the entries, of the custody record

	Custody   []fact
	Withheld  []withheld
	Disclosed string

	Pending  []string
	Findings []finding
	Exit     int
	Verdict  said
	Sound    bool // nothing was found amiss
	Error    said
	Scope    []fact
	Sessions []overview
	More     int // sessions that are not in the overview
	Boxes    []struct{}
}

// A withheld is a class of content that is not shown.
type withheld struct {
	Class  string
	Reason said
}

// An overview is a session in one line.
type overview struct {
	ID, Agent, State said
	Events           int
	From, Until      string
}

// A finding is what the maker's verification found not to be as it should be.
type finding struct {
	Check, Outcome, Where, Detail said
	Others                        int
}

func firstOf(c *Case, all *contents) front {
	digestOfTrust := c.Trust.Digest()
	out := front{Origin: said(c.Bundle.Origin), Made: said(c.Made), Trust: digest(digestOfTrust[:]), Exit: c.Report.Exit, Verdict: said(c.Report.Verdict),
		Error: said(c.Report.Error), Boxes: make([]struct{}, 16)}
	out.Style, out.Policy = styleOf(c)
	if cp := c.Report.Checkpoint; cp != nil {
		out.Size, out.Root = cp.Size, cp.Root.String()
	}
	out.custody(c)
	out.scope(c)
	for _, p := range c.Bundle.Pending {
		out.Pending = append(out.Pending, pendingWords(p))
	}
	for _, check := range c.Report.Checks {
		if check.Outcome == evidence.Passed || check.Outcome == evidence.NotRun {
			continue
		}
		f := finding{Check: said(check.ID), Outcome: said(check.Outcome), Detail: said(check.Detail), Others: check.Others}
		if check.Where != nil {
			f.Where = said(check.Where.String())
		}
		out.Findings = append(out.Findings, f)
	}
	out.Sound = c.Report.Exit == evidence.ExitVerified && len(c.Report.Checks) > 0
	out.overview(c, all)
	return out
}

func (f *front) custody(c *Case) {
	r := c.Custody
	if r == nil {
		return
	}
	f.Exhibit, f.Matter, f.Entries = said(r.Exhibit), said(r.Matter), digest(r.EntriesHash[:])
	for _, line := range []struct{ name, value string }{
		{"Exhibit, matter", strings.Join(slices.DeleteFunc([]string{r.Exhibit, r.Matter}, func(s string) bool { return s == "" }), ", ")}, {"Handed over by", r.Exporter}, {"Approved by", r.Approver}, {"To", r.Recipient}, {"On the ground of", r.Basis},
	} {
		if line.value != "" {
			f.Custody = append(f.Custody, fact{line.name, said(line.value)})
		}
	}
	f.Custody = append(f.Custody, fact{"Made", r.Made.UTC().Format(time.DateTime) + " UTC, by the exporter's clock"},
		fact{"Entries of the sessions", fmt.Sprint(r.Entries)}, fact{"In the log", recordedWords(c.Report.Custody)})
	f.Disclosed = "nothing"
	if len(r.Disclosed) > 0 {
		f.Disclosed = classList(r.Disclosed)
	}
	for _, w := range r.Withheld {
		f.Withheld = append(f.Withheld, withheld{Class: classList([]string{w.Class}), Reason: said(w.Reason)})
	}
}

// recordedWords says what the log has of the hand-over.
func recordedWords(r *evidence.CustodyReport) string {
	if r == nil || r.Index == nil {
		return "no entry in the file says that the log recorded the hand-over"
	}
	return fmt.Sprintf("recorded at index %d, before the file was made, under the name %s", *r.Index, said(r.Principal))
}

// scope says what the file is of.
func (f *front) scope(c *Case) {
	leaves := fmt.Sprintf("%d of the %d that the log had", len(c.Bundle.Leaves), f.Size)
	if f.Size == 0 {
		leaves = fmt.Sprint(len(c.Bundle.Leaves))
	}
	f.Scope = []fact{{"Log", said(c.Bundle.Origin)}, {"Sessions", fmt.Sprint(len(c.Bundle.Sessions))}, {"Log entries in the file", leaves}}
	if r := c.Bundle.Range; r != nil {
		f.Scope = append(f.Scope, fact{"Range", fmt.Sprintf("every entry of the log from index %d up to, and without, %d", r.From, r.To)})
	}
	if cp := c.Report.Checkpoint; cp != nil {
		seen := cp.Seen()
		if seen == "" {
			seen = evidence.UnseenText
		}
		f.Scope = append(f.Scope, fact{"Checkpoint", said(seen)})
	}
}

func (f *front) overview(c *Case, all *contents) {
	reports := map[string]evidence.SessionReport{}
	for _, r := range c.Report.Sessions {
		reports[r.Session] = r
	}
	ids, more := first(c.Bundle.Sessions, maxRows)
	f.More = more
	for _, id := range ids {
		r, list := reports[id], all.sessions[id]
		line := overview{ID: said(id), Agent: orUnknown(r.Agent), State: orUnknown(r.Verdict), Events: len(list.at) + list.more}
		if r.From != nil && r.Until != nil {
			line.From, line.Until = r.From.Time().Format(time.DateTime), r.Until.Time().Format(time.DateTime)
		}
		f.Sessions = append(f.Sessions, line)
	}
}

// classList names classes of content, and says what they are of.
func classList(classes []string) string {
	var out []string
	for _, c := range classes {
		name := said(c).String()
		if words := classWords(c); words != "" {
			name += " (" + words + ")"
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}

func pendingWords(p evidence.CheckID) string {
	switch p {
	case evidence.CheckTime:
		return "This file was made before as many time-stamp authorities had stamped the log as the trust file demands. Ask for a later one."
	case evidence.CheckWitnesses:
		return "This file was made before as many witnesses had seen the log as the trust file demands. Ask for a later one."
	}
	return fmt.Sprintf("This file was made before what it calls %s was there.", said(p))
}
