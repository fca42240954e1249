package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
)

// cosignatureChecks are about what comes with a 200 beyond what every 200 is held to.
func cosignatureChecks() []check {
	return []check{
		{id: "all-keys", expect: "a line of every key", probe: allKeys,
			says: "The response body MUST be a sequence of one or more note signature lines (…). The signatures MUST be cosignatures from the witness key(s) on the checkpoint"},
		{id: "ml-dsa", expect: "an ML-DSA-44 line", probe: mlDSA, says: "Witnesses SHOULD use ML-DSA-44 cosignatures"},
	}
}

func (p *prober) update(ctx context.Context, s *subject) ([]cosignature, error) {
	r := s.next(2)
	a, err := p.add(ctx, r.body())
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, fmt.Errorf("a good request was answered %d", a.status)
	}
	s.moved(r, a.body)
	return p.cosignatures(a.body, r.text)
}

func allKeys(ctx context.Context, p *prober, s *subject) result {
	all, err := p.update(ctx, s)
	if err != nil {
		return failed("", "%v", err)
	}
	if len(all) != len(p.keys) {
		return result{deviates, "200", fmt.Sprintf("%d lines for %d keys", len(all), len(p.keys))}
	}
	return result{passes, "200", ""}
}

func mlDSA(ctx context.Context, p *prober, s *subject) result {
	all, err := p.update(ctx, s)
	if err != nil {
		return failed("", "%v", err)
	}
	for _, c := range all {
		if c.key.postQuantum {
			return result{passes, "200", ""}
		}
	}
	return result{deviates, "none", ""}
}

const (
	racers    = 40
	saysRaces = "checking the old size against the latest checkpoint and persisting the new checkpoint must be performed atomically"
)

func raceChecks() []check {
	return []check{
		{id: "race", says: saysRaces, expect: "one 200 of 40, the others 409", probe: func(ctx context.Context, p *prober, s *subject) result {
			return race(ctx, p, s, func(i int64) request { return s.next(1 + i) })
		}},
		{id: "race-forked", says: saysRaces, expect: "one 200 of 40, the others 409", probe: func(ctx context.Context, p *prober, s *subject) result {
			histories := []*history{s.history, s.history.fork(s.size)}
			return race(ctx, p, s, func(i int64) request { return s.to(histories[i%2], s.size, s.size+1) })
		}},
	}
}

// race sends forty updates from one size at once. Exactly one may be cosigned; then that is what the witness holds. A witness that
// takes none of so many at once is asked again later.
func race(ctx context.Context, p *prober, s *subject, ask func(i int64) request) result {
	for range maxThrottled {
		requests, answers, err := p.together(ctx, ask)
		if err != nil {
			s.lost = err.Error()
			return failed("closed", "%v", err)
		}
		if slices.ContainsFunc(answers, func(a answer) bool { return a.status != http.StatusTooManyRequests }) {
			return p.raced(ctx, s, requests, answers)
		}
		p.throttled++
		if err := pause(ctx, answers[0]); err != nil {
			return skipped(err)
		}
	}
	return skipped(fmt.Errorf("the witness does not take %d requests at once", racers))
}

func (p *prober) together(ctx context.Context, ask func(i int64) request) ([]request, []answer, error) {
	requests := make([]request, racers)
	answers := make([]answer, racers)
	errs := make([]error, racers)
	for i := range requests {
		requests[i] = ask(int64(i))
	}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, r := range requests {
		body := r.body()
		wg.Go(func() {
			<-start
			answers[i], errs[i] = p.do(ctx, http.MethodPost, p.url+"/add-checkpoint", body)
		})
	}
	close(start)
	wg.Wait()
	return requests, answers, errors.Join(errs...)
}

func (p *prober) raced(ctx context.Context, s *subject, requests []request, answers []answer) result {
	count, from := make(map[int]int), s.size
	for i, a := range answers {
		if count[a.status]++; a.status != http.StatusOK {
			continue
		}
		if _, err := p.cosignatures(a.body, requests[i].text); err != nil {
			return failed("200", "%v", err)
		}
		s.moved(requests[i], a.body)
	}
	got := fmt.Sprintf("%d × 200", count[http.StatusOK])
	if count[http.StatusOK] != 1 {
		return failed(got, "%v", count)
	}
	for _, a := range answers {
		if a.status != http.StatusConflict {
			continue
		}
		if size, err := conflict(a); err != nil || size != s.size && size != from {
			return failed("409", "it says %d, %v", size, err)
		}
	}
	if err := p.holds(ctx, s); err != nil {
		return failed(got, "%v", err)
	}
	return othersOf(got, count)
}

// othersOf judges what those who lost were told. To be asked to come again is allowed.
func othersOf(got string, count map[int]int) result {
	why := fmt.Sprintf("%d × 409", count[http.StatusConflict])
	if n := count[http.StatusTooManyRequests]; n > 0 {
		why += fmt.Sprintf(", %d × 429", n)
	}
	if n := racers - 1 - count[http.StatusConflict] - count[http.StatusTooManyRequests]; n > 0 {
		return failed(got, "%s, %d other answers", why, n)
	}
	return result{passes, got, why}
}

func otherChecks() []check {
	const saysServed = "A witness SHOULD serve a recent checkpoint for each log it cosigned. (…) it MUST include the cosignature(s) from the witness's key(s) that were returned from add-checkpoint and the cosignature from the log key(s) that the witness verified"
	return []check{
		{id: "monitor", says: saysServed, expect: "200, with all signatures", probe: monitor},
		{id: "monitor-upper-case", expect: "not 200", probe: monitorPath(strings.ToUpper),
			says: "The origin hash is the SHA-256 hash of the log's origin, hex encoded, in lowercase"},
		{id: "monitor-unknown", expect: "404", probe: monitorUnknown,
			says: "If the witness has never cosigned a checkpoint for that log, it MUST respond with a \"404 Not Found\" HTTP status code"},
		{id: "monitor-post", expect: "not 200, best 405", probe: monitorPost, says: "The request MUST be an HTTP GET"},
		{id: "method-get", expect: "not 200, best 405", probe: method(http.MethodGet), says: "The request MUST be an HTTP POST"},
		{id: "method-put", expect: "not 200, best 405", probe: method(http.MethodPut), says: "The request MUST be an HTTP POST"},
		{id: "other-log's-key", expect: "403", probe: otherLog,
			says: "The witness MUST verify the checkpoint signature against the public key(s) it trusts for the checkpoint origin"},
		{id: "body-1-MiB", says: "not in the text: a body beyond every bound (RFC 9110: 413)", wants: refused(413), ask: func(s *subject) request {
			r := s.next(3)
			r.sigs += strings.Repeat(fifteen(8+2420), 1<<20/(15*3300))
			return r
		}},
		{id: "keep-alive", expect: "one connection", probe: keepAlive, says: "witnesses SHOULD support, HTTP keep-alive HTTP connections"},
	}
}

// monitor reads what monitors get after an update that carried somebody's garbage under the witness's own key.
func monitor(ctx context.Context, p *prober, s *subject) result {
	r := s.next(2)
	r.sigs += garbled(string(s.lines))
	a, err := p.add(ctx, r.body())
	if err != nil || a.status != http.StatusOK {
		return failed(fmt.Sprint(a.status), "%v %.60q", err, a.body)
	}
	s.moved(r, a.body)
	if a, err = p.latest(ctx, originHash(s.origin)); err != nil {
		return failed("closed", "%v", err)
	}
	if a.status != http.StatusOK {
		return result{deviates, fmt.Sprint(a.status), "it serves none"}
	}
	if err := p.served(s, a.body); errors.Is(err, errOlder) {
		return result{deviates, "200", err.Error()}
	} else if err != nil {
		return failed("200", "%v", err)
	}
	return result{passes, "200", ""}
}

func monitorPath(change func(hash string) string) func(ctx context.Context, p *prober, s *subject) result {
	return func(ctx context.Context, p *prober, s *subject) result {
		a, err := p.latest(ctx, change(originHash(s.origin)))
		if err != nil || a.status == http.StatusOK {
			return result{deviates, fmt.Sprint(a.status), ""}
		}
		return result{passes, fmt.Sprint(a.status), ""}
	}
}

func monitorUnknown(ctx context.Context, p *prober, s *subject) result {
	a, err := p.latest(ctx, originHash("unknown."+s.origin))
	if err != nil || a.status != http.StatusNotFound {
		return failed(fmt.Sprint(a.status), "%v", err)
	}
	return result{passes, "404", ""}
}

func monitorPost(ctx context.Context, p *prober, s *subject) result {
	a, err := p.patient(ctx, http.MethodPost, p.monitoring+"/"+originHash(s.origin)+"/checkpoint", "")
	return notOK(a, err, http.StatusMethodNotAllowed)
}

func notOK(a answer, err error, best int) result {
	switch {
	case err != nil:
		return result{deviates, "closed", err.Error()}
	case a.status == http.StatusOK:
		return failed("200", "%.60q", a.body)
	case a.status != best:
		return result{deviates, fmt.Sprint(a.status), ""}
	}
	return result{passes, fmt.Sprint(a.status), ""}
}

// method sends a good request in another way.
func method(verb string) func(ctx context.Context, p *prober, s *subject) result {
	return func(ctx context.Context, p *prober, s *subject) result {
		a, err := p.patient(ctx, verb, p.url+"/add-checkpoint", s.next(3).body())
		res := notOK(a, err, http.StatusMethodNotAllowed)
		if err := p.holds(ctx, s); err != nil {
			return failed(res.got, "%v", err)
		}
		return res
	}
}

// otherLog is a checkpoint of one log that another log of the same witness signed.
func otherLog(ctx context.Context, p *prober, s *subject) result {
	for _, other := range p.subjects {
		if other == s {
			continue
		}
		r := s.next(3)
		a, err := p.add(ctx, r.signed(r.text, other.signers[0]).body())
		if err != nil || a.status != http.StatusForbidden {
			return failed(fmt.Sprint(a.status), "%v", err)
		}
		return result{passes, "403", ""}
	}
	return skipped(errors.New("it takes two logs"))
}

func keepAlive(ctx context.Context, p *prober, s *subject) result {
	reused := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }})
	for range 2 {
		if err := p.holds(ctx, s); err != nil {
			return failed("", "%v", err)
		}
	}
	if !reused {
		return result{deviates, "two connections", ""}
	}
	return result{passes, "one connection", ""}
}
