package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A state of the witness is what a case needs: a log it never cosigned, one of size zero, or any with leaves.
type state int

const (
	grown state = iota
	zero        // nothing, or a checkpoint of size zero, was cosigned
	never       // nothing was cosigned
)

// A check is one row of the table.
type check struct {
	id     string
	says   string // the text that it tests; of tlog-witness unless another document is named
	state  state
	keys   int // of the log, that the witness trusts
	wants  want
	ask    func(s *subject) request
	probe  func(ctx context.Context, p *prober, s *subject) result // instead of ask and wants
	expect string                                                  // wants in words, where probe is set
}

// A want is what an answer may be. What the text leaves open is no failure, if the witness did not cosign.
type want struct {
	must []int // empty: anything but cosigning
	best int
	open bool // to cosign is allowed too
}

func status(code int) want        { return want{must: []int{code}, best: code} }
func either(best, other int) want { return want{must: []int{best, other}, best: best} }
func refused(best int) want       { return want{best: best} }
func open(best int) want          { return want{best: best, open: true} }

func (w want) allows(got int) bool {
	if len(w.must) == 0 {
		return w.open || got != http.StatusOK
	}
	return slices.Contains(w.must, got)
}

func (w want) String() string {
	switch {
	case w.open:
		return fmt.Sprintf("best %d", w.best)
	case len(w.must) == 0:
		return fmt.Sprintf("not 200, best %d", w.best)
	case len(w.must) == 2:
		return fmt.Sprintf("%d, or %d", w.must[0], w.must[1])
	default:
		return fmt.Sprint(w.best)
	}
}

// A verdict is what comes of a check.
type verdict string

const (
	passes   verdict = "passes"
	deviates verdict = "deviates" // from a SHOULD, or from the best answer where the text names none
	fails    verdict = "FAILS"    // a MUST
	notRun   verdict = "not run"
)

// A result is a verdict with what was got.
type result struct {
	verdict verdict
	got     string // short: a status
	why     string
}

func failed(got, format string, args ...any) result {
	return result{fails, got, fmt.Sprintf(format, args...)}
}

func skipped(err error) result { return result{notRun, "", err.Error()} }

// A row is a check that was run.
type row struct {
	check
	result
}

// run runs all checks in order.
func (p *prober) run(ctx context.Context) (rows []row) {
	for _, c := range checks() {
		rows = append(rows, row{c, p.check(ctx, c)})
	}
	return rows
}

// check runs one check on the first log whose state fits. What is believed of a log is corrected by what the witness says.
func (p *prober) check(ctx context.Context, c check) result {
	for range len(p.subjects) + 1 {
		s, err := p.subject(ctx, c)
		if err != nil {
			return skipped(err)
		}
		if c.probe != nil {
			return c.probe(ctx, p, s)
		}
		if r, ok := p.judge(ctx, c, s); ok {
			return r
		}
	}
	return skipped(errNoSubject)
}

// subject finds a log for a check. Logs are used in order, so that those that were never used stay so for as long as can be.
func (p *prober) subject(ctx context.Context, c check) (*subject, error) {
	for _, s := range p.subjects {
		fits := s.lost == "" && len(s.signers) >= c.keys
		switch c.state {
		case grown:
			if fits {
				return s, p.grow(ctx, s, startSize)
			}
		case zero:
			if fits && s.size == 0 {
				return s, nil
			}
		case never:
			if fits && !s.cosigned {
				return s, nil
			}
		}
	}
	return nil, errNoSubject
}

const startSize = 11

// judge asks, and compares the answer with what was wanted. It reports false if the log turns out to have been used before.
func (p *prober) judge(ctx context.Context, c check, s *subject) (result, bool) {
	r := c.ask(s)
	a, err := p.add(ctx, r.body())
	if err != nil {
		a.status = 0 // a connection that is closed is a refusal
	}
	if c.state != grown && a.status == http.StatusConflict {
		if size, err := conflict(a); err == nil && size > 0 {
			s.told(size)
			return result{}, false
		}
	}
	res := p.compare(c.wants, s, r, a, err)
	if a.status == http.StatusOK {
		s.moved(r, a.body)
		if r.history == nil {
			s.lost = "the witness cosigned what can't be"
		}
	} else if s.size > 0 {
		if err := p.holds(ctx, s); err != nil && res.verdict != fails {
			res = failed(res.got, "%v", err)
		}
	}
	return res, true
}

func (p *prober) compare(w want, s *subject, r request, a answer, err error) result {
	res := result{passes, fmt.Sprint(a.status), ""}
	if err != nil {
		res.got, res.why = "closed", err.Error()
	}
	switch {
	case !w.allows(a.status):
		res.verdict = fails
		if a.status == http.StatusOK {
			res.why = "it was cosigned"
		}
		return res
	case len(w.must) == 0 && a.status != w.best:
		res.verdict = deviates
	}
	switch a.status {
	case http.StatusOK:
		if _, err := p.cosignatures(a.body, r.text); err != nil && !w.open { // our verifiers may be the strict ones
			return failed("200", "%v", err)
		}
	case http.StatusConflict:
		if size, err := conflict(a); err != nil {
			return failed("409", "%v", err)
		} else if size != s.size {
			return failed("409", "it says %d, not %d", size, s.size)
		}
	default: // SPEC: tlog-witness: MUST NOT cosign the checkpoint
		if _, err := p.cosignatures(a.body, r.text); err == nil {
			return failed(res.got, "with a cosignature")
		}
	}
	return res
}

// checks are all cases, those that need a fresh log first.
func checks() []check {
	return slices.Concat(freshChecks(), sizeChecks(), proofChecks(), formChecks(), checkpointChecks(), signatureChecks(),
		cosignatureChecks(), raceChecks(), otherChecks())
}

func freshChecks() []check {
	return []check{
		{id: "monitor-never", state: never, expect: "404", probe: monitorNever,
			says: "If the witness has never cosigned a checkpoint for that log, it MUST respond with a \"404 Not Found\" HTTP status code"},
		{id: "old-fresh", state: never, wants: status(409),
			says: "old size matches the size of the latest checkpoint it cosigned (…) (or zero if it never cosigned a checkpoint for that origin). If it doesn't match, the witness MUST respond with a \"409 Conflict\"",
			ask: func(s *subject) request {
				r := s.to(s.history, 5, 7)
				r.proof = nil
				return r
			}},
		{id: "zero-wrong-root", state: never, wants: status(422),
			says: "A checkpoint of size zero MUST have the root hash of the empty tree (…). Otherwise, the witness MUST respond with a \"422 Unprocessable Entity\"",
			ask: func(s *subject) request {
				r := s.to(s.history, 0, 0)
				return r.signed(checkpointText(s.origin, "0", s.history.root(1).String()), s.signers[0])
			}},
		{id: "zero", state: never, wants: status(200), says: "If all the checks above pass, the witness MUST (…) respond with a \"200 Success\"",
			ask: func(s *subject) request { return s.to(s.history, 0, 0) }},
		{id: "zero-again", state: zero, wants: status(200), says: "If all the checks above pass, the witness MUST (…) respond with a \"200 Success\"",
			ask: func(s *subject) request { return s.to(s.history, 0, 0) }},
		{id: "old-double-zero", state: zero, wants: refused(400),
			says: "no leading zeroes (unless the size is zero, in which case the encoding MUST be `0`)",
			ask: func(s *subject) request {
				r := s.to(s.history, 0, 3)
				r.old = "old 00"
				return r
			}},
		{id: "old-zero-proof", state: zero, wants: status(422),
			says: "If the proof is not empty when the old size is zero (…) the witness MUST respond with a \"422 Unprocessable Entity\"",
			ask: func(s *subject) request {
				r := s.to(s.history, 0, 5)
				r.proof = s.history.proof(1, 5)
				return r
			}},
		{id: "first", state: zero, wants: status(200), says: "the empty tree is consistent with any tree, so no proof is necessary",
			ask: func(s *subject) request { return s.to(s.history, 0, 3) }},
	}
}

func monitorNever(ctx context.Context, p *prober, s *subject) result {
	a, err := p.latest(ctx, originHash(s.origin))
	if err != nil {
		return failed("closed", "%v", err)
	}
	if a.status == http.StatusOK && strings.HasPrefix(string(a.body), s.origin+"\n") {
		return skipped(errors.New("the witness has cosigned this log before"))
	}
	if a.status != http.StatusNotFound {
		return failed(fmt.Sprint(a.status), "%.60q", a.body)
	}
	return result{passes, "404", ""}
}
