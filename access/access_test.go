package access_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stenolog/steno/access"
)

type watched struct {
	p access.Principal
	s access.Scope
}

// A watch remembers what was recorded, and fails when told to.
type watch struct {
	mu   sync.Mutex
	seen []watched
	err  error
	wait time.Duration
}

func (w *watch) Watch(ctx context.Context, p access.Principal, s access.Scope) error {
	select {
	case <-time.After(w.wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.seen = append(w.seen, watched{p, s})
	}
	return w.err
}

func principal(r access.Role) access.Principal {
	return access.Principal{Name: "acme/" + string(r), Role: r, How: access.HowToken}
}

// The table of DESIGN 11, as far as its roles exist.
func TestAllow_everyRoleAndAction(t *testing.T) {
	allowed := map[access.Role]string{
		access.Recorder: "append status prove", access.Auditor: "metadata content prove disclose", access.Operator: "health",
		"": "", "public": "",
	}
	for role, actions := range allowed {
		for _, a := range []access.Action{access.Append, access.Status, access.Metadata, access.Content, access.Prove, access.Disclose, access.Health, "erase", ""} {
			w := &watch{}
			err := access.NewGate(w, nil).Allow(t.Context(), principal(role), a, access.Scope{What: access.WhatKeys})
			want := a != "" && strings.Contains(actions, string(a))
			if (err == nil) != want || err != nil && !errors.Is(err, access.ErrForbidden) {
				t.Errorf("%q may %q: %v, want %v", role, a, err, want)
			}
			if recorded := len(w.seen) == 1; recorded != (want && a == access.Content) {
				t.Errorf("%q may %q: %d records", role, a, len(w.seen))
			}
		}
	}
	if err := access.NewGate(&watch{}, nil).Allow(t.Context(), access.Principal{Role: access.Auditor}, access.Metadata, access.Scope{}); err == nil {
		t.Error("a principal without a name was allowed")
	}
}

func TestWATCHED_WATCHERS_failsClosed(t *testing.T) {
	w := &watch{err: errors.New("log is read-only")}
	g := access.NewGate(w, nil)
	for _, s := range []access.Scope{{What: access.WhatEntries}, {What: access.WhatBlobs}, {What: access.WhatKeys}, {What: access.WhatBundle, To: 256}} {
		err := g.Allow(t.Context(), principal(access.Auditor), access.Content, s)
		if !errors.Is(err, access.ErrUnrecorded) || !errors.Is(err, w.err) {
			t.Errorf("%s: %v", s.What, err)
		}
	}
	w.err = nil
	if err := g.Allow(t.Context(), principal(access.Auditor), access.Content, access.Scope{What: access.WhatBundle, To: 256}); err != nil {
		t.Errorf("after the log healed: %v", err)
	}
	for _, s := range []access.Scope{{}, {What: "everything"}, {What: access.WhatBundle}, {What: access.WhatBundle, From: access.CrawlBlock - 1, To: access.CrawlBlock + 1}} {
		if err := g.Allow(t.Context(), principal(access.Auditor), access.Content, s); err == nil {
			t.Errorf("scope %v was allowed", s)
		}
	}
}

// A crawl is one record per principal, block and minute, and that record is durable before the first bundle leaves.
func TestWATCHED_WATCHERS_crawl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watch{wait: time.Second}
		g := access.NewGate(w, nil)
		read := func(p access.Principal, bundle uint64) {
			s := access.Scope{What: access.WhatBundle, From: bundle * 256, To: bundle*256 + 256}
			if err := g.Allow(t.Context(), p, access.Content, s); err != nil {
				t.Error(err)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, r := range w.seen {
				if r.p == p && r.s.From <= s.From && s.To <= r.s.To {
					return
				}
			}
			t.Errorf("%s was allowed bundle %d before that was recorded", p.Name, bundle)
		}
		var wg sync.WaitGroup
		for i := range uint64(64) {
			wg.Go(func() { read(principal(access.Auditor), i*4) })
		}
		wg.Wait()
		if len(w.seen) != 1 || w.seen[0].s != (access.Scope{What: access.WhatBundle, To: access.CrawlBlock}) {
			t.Fatalf("64 bundles of one block were recorded as %v", w.seen)
		}
		read(principal(access.Auditor), 256)
		other := access.Principal{Name: "acme/other", Role: access.Auditor}
		read(other, 0)
		if len(w.seen) != 3 {
			t.Fatalf("another block and another principal: %v", w.seen)
		}
		time.Sleep(access.CrawlWindow)
		read(principal(access.Auditor), 0)
		if len(w.seen) != 4 {
			t.Fatalf("a minute later: %v", w.seen)
		}
	})
}

func TestWATCHED_WATCHERS_recordOutlivesTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watch{wait: time.Second}
		g := access.NewGate(w, nil)
		s := access.Scope{What: access.WhatBundle, To: 256}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Millisecond)
			cancel()
		}()
		if err := g.Allow(ctx, principal(access.Auditor), access.Content, s); !errors.Is(err, context.Canceled) {
			t.Errorf("request that hung up: %v", err)
		}
		if err := g.Allow(t.Context(), principal(access.Auditor), access.Content, s); err != nil || len(w.seen) != 1 {
			t.Errorf("request that waited with it: %v, %d records", err, len(w.seen))
		}
	})
}

func token(t *testing.T, role access.Role) (string, [32]byte) {
	t.Helper()
	s, err := access.NewToken(rand.Reader, role)
	if err != nil {
		t.Fatal(err)
	}
	return s, access.TokenDigest(s)
}

func TestNewTokens_refuses(t *testing.T) {
	_, d := token(t, access.Recorder)
	for name, grants := range map[string][]access.Grant{
		"recorder and auditor": {{Name: "a", Roles: []access.Role{access.Recorder, access.Auditor}}},
		"auditor and recorder": {{Name: "a", Roles: []access.Role{access.Auditor, access.Recorder}}},
		"operator and auditor": {{Name: "a", Roles: []access.Role{access.Operator, access.Auditor}}},
		"all three":            {{Name: "a", Roles: access.Roles()}},
		"name twice":           {{Name: "a", Roles: []access.Role{access.Recorder}}, {Name: "a", Roles: []access.Role{access.Auditor}}},
		"token twice": {{Name: "a", Roles: []access.Role{access.Recorder}, TokenSHA256: [][32]byte{d}},
			{Name: "b", Roles: []access.Role{access.Auditor}, TokenSHA256: [][32]byte{d}}},
		"no role":      {{Name: "a"}},
		"unknown role": {{Name: "a", Roles: []access.Role{"root"}}},
		"role twice":   {{Name: "a", Roles: []access.Role{access.Recorder, access.Recorder}}},
		"no name":      {{Roles: []access.Role{access.Recorder}}},
		"mail address": {{Name: "jo@acme.example", Roles: []access.Role{access.Auditor}}},
		"line feed":    {{Name: "a\nb", Roles: []access.Role{access.Auditor}}},
	} {
		_, err := access.NewTokens(grants)
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
		var pair *access.PairError
		if strings.Contains(name, " and ") && !errors.As(err, &pair) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	rec, recDigest := token(t, access.Recorder)
	aud, audDigest := token(t, access.Auditor)
	op, opDigest := token(t, access.Operator)
	tokens, err := access.NewTokens([]access.Grant{
		{Name: "gw", Roles: []access.Role{access.Recorder, access.Operator}, TokenSHA256: [][32]byte{recDigest, opDigest}},
		{Name: "eve", Roles: []access.Role{access.Auditor}, TokenSHA256: [][32]byte{audDigest}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for tok, want := range map[string]access.Principal{
		rec: {Name: "gw", Role: access.Recorder, How: "token"}, op: {Name: "gw", Role: access.Operator, How: "token"},
		aud: {Name: "eve", Role: access.Auditor, How: "token"},
	} {
		if got, err := tokens.Authenticate(tok); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	stranger, _ := token(t, access.Recorder)
	for _, bad := range []string{"", "steno_", stranger, rec + "A", rec[:len(rec)-1], " " + rec, rec + "\n", strings.ToUpper(rec),
		"steno_auditor_" + strings.TrimPrefix(rec, "steno_recorder_")} {
		if got, err := tokens.Authenticate(bad); !errors.Is(err, access.ErrUnknownToken) || got != (access.Principal{}) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

// A token whose digest somebody granted to a principal of another role gives neither role.
func TestAuthenticate_roleMustBeGranted(t *testing.T) {
	aud, digest := token(t, access.Auditor)
	tokens, err := access.NewTokens([]access.Grant{{Name: "gw", Roles: []access.Role{access.Recorder}, TokenSHA256: [][32]byte{digest}}})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := tokens.Authenticate(aud); err == nil {
		t.Errorf("authenticated as %v", p)
	}
}

func FuzzAuthenticate(f *testing.F) {
	tokens, err := access.NewTokens([]access.Grant{{Name: "gw", Roles: []access.Role{access.Recorder},
		TokenSHA256: [][32]byte{access.TokenDigest("steno_recorder_5Tn1v0mQyqk0y3a8gT3kGkBz5xk2m1Jw7aQb3n6Jm8E")}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("steno_recorder_5Tn1v0mQyqk0y3a8gT3kGkBz5xk2m1Jw7aQb3n6Jm8E")
	f.Add("steno_auditor_5Tn1v0mQyqk0y3a8gT3kGkBz5xk2m1Jw7aQb3n6Jm8E")
	f.Add("steno_recorder__")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := tokens.Authenticate(s)
		if (err == nil) != (s == "steno_recorder_5Tn1v0mQyqk0y3a8gT3kGkBz5xk2m1Jw7aQb3n6Jm8E") {
			t.Fatalf("%q authenticates as %v, %v", s, p, err)
		}
	})
}
