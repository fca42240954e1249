package report

import (
	"fmt"
	"strings"
	"time"
)

// A back is what stands after the sessions.
type back struct {
	Anchors     []anchor
	MoreAnchors int
	Keys        []fact
	Checks      []check
	NotChecked  []said
	Made        said
	MaxContent  int
	MaxEvents   int
}

// A check is one that the maker's program ran.
type check struct {
	ID, Outcome said
	Passed      int
}

// An anchor is a time-stamp token.
type anchor struct {
	Index, Size uint64
	Authority   said
	Time        string
	Words       string
}

func lastOf(c *Case) back {
	out := back{Keys: keysOf(c), Made: said(c.Made), MaxContent: maxContent, MaxEvents: maxEvents}
	anchors, more := first(c.Report.Anchors, maxRows)
	out.MoreAnchors = more
	for _, a := range anchors {
		line := anchor{Index: a.Index, Size: a.Size, Authority: said(a.Authority), Words: fmt.Sprintf("exact to %d ms, by its own word", a.AccuracyMS)}
		if a.Time != "" {
			line.Time = utc(a.Time)
		}
		if !a.Counts {
			line.Words = fmt.Sprintf("does not count: %s (%s)", said(a.Detail), said(a.Reason))
		}
		out.Anchors = append(out.Anchors, line)
	}
	checks, _ := first(c.Report.Checks, maxRows)
	for _, k := range checks {
		out.Checks = append(out.Checks, check{said(k.ID), said(k.Outcome), k.Passed})
	}
	notChecked, _ := first(c.Report.NotChecked, maxRows)
	for _, n := range notChecked {
		out.NotChecked = append(out.NotChecked, said(n.Why))
	}
	return out
}

// keysOf says by whose keys the maker judged.
func keysOf(c *Case) (facts []fact) {
	t := c.Trust
	add := func(name string, vkeys []string) {
		var names []string
		for _, k := range vkeys {
			names = append(names, keyName(k))
		}
		if len(names) > 0 {
			facts = append(facts, fact{name, list(names)})
		}
	}
	var logs []string
	for _, v := range t.LogVerifiers() {
		logs = append(logs, v.String())
	}
	add("The log's checkpoints", logs)
	add("Its receipts", t.Received)
	add("Its own entries", t.System)
	add("Who enrols recorders", t.Enrollers)
	var witnesses []string
	for _, w := range t.Witnesses() {
		witnesses = append(witnesses, fmt.Sprintf("%s of %s", keyName(w.Verifier.String()), w.Operator))
	}
	if len(witnesses) > 0 {
		facts = append(facts, fact{"Witnesses", list(witnesses)})
	}
	facts = append(facts, fact{"Witnesses that are demanded", said(t.QuorumWords())})
	for _, a := range t.Authorities() {
		window := fmt.Sprintf("%s, believed for times from %s to %s", said(a.Name), a.From.UTC().Format(time.DateOnly), a.Until.UTC().Format(time.DateOnly))
		if !a.Compromised.IsZero() {
			window += ", compromised since " + a.Compromised.UTC().Format(time.DateTime) + " UTC"
		}
		facts = append(facts, fact{"Time-stamp authority", window})
	}
	return append(facts, fact{"Authorities that are demanded", fmt.Sprint(t.Stamps())})
}

// keyName is the name and ID of a verifier key.
func keyName(vkey string) string {
	parts := strings.SplitN(vkey, "+", 3)
	return strings.Join(parts[:min(2, len(parts))], "+")
}
