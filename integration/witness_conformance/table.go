package main

import (
	"fmt"
	"io"
	"strings"
)

// report writes the table, what deviates below it, and reports whether a MUST failed or was not asked.
func report(w io.Writer, p *prober, rows []row) error {
	fmt.Fprintf(w, "| id | the text says | wanted | got | |\n|---|---|---|---|---|\n")
	count := make(map[verdict]int)
	for _, r := range rows {
		count[r.verdict]++
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", r.id, cell(r.says), r.wanted(), cell(r.got), r.verdict)
	}
	for _, v := range []struct {
		verdict verdict
		head    string
	}{{fails, "Fails what it MUST"}, {deviates, "Deviates from a SHOULD, or from the best answer where the text names none"}, {notRun, "Not run"}} {
		if count[v.verdict] == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s:\n\n", v.head)
		for _, r := range rows {
			if r.verdict == v.verdict {
				fmt.Fprintf(w, "- %s: wanted %s, got %s. %s\n", r.id, r.wanted(), orNothing(r.got), r.why)
			}
		}
	}
	fmt.Fprintf(w, "\n%d pass, %d deviate, %d fail, %d not run; told to wait %d times.\n",
		count[passes], count[deviates], count[fails], count[notRun], p.throttled)
	switch {
	case count[fails] > 0:
		return errFails
	case count[notRun] > 0:
		return errNotRun
	}
	return nil
}

func (c check) wanted() string {
	if c.probe != nil {
		return c.expect
	}
	return c.wants.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
