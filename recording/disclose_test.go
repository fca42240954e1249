package recording_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
)

var auditor = recording.Who{Principal: "examiner", How: "token"}

// sessions opens some.
func (w *world) sessions(n int) []string {
	w.t.Helper()
	all := make([]string, n)
	var opening sync.WaitGroup
	for i := range n {
		c := w.client(fmt.Sprint("bot-", i%8))
		main := c.track("main")
		open := main.build(main.opening())
		all[i] = c.session
		opening.Go(func() {
			if _, err := w.submit("", open...); err != nil {
				w.t.Error(err)
			}
		})
	}
	opening.Wait()
	return all
}

func disclosing(t testing.TB, sessions []string, more ...string) []byte {
	t.Helper()
	b, err := json.Marshal(sessions)
	if err != nil {
		t.Fatal(err)
	}
	digest := must(entry.HashOf([]byte("custody")).MarshalText())
	return []byte(fmt.Sprintf(`{"exhibit":"A-7", "digest":%q, "sessions":%s%s}`, digest, b, strings.Join(more, "")))
}

// What is handed out stands in the log before the answer does: all sessions, 64 to an event, under the principal that was
// authenticated; and an auditor who reads a session finds it there.
func TestWATCHED_WATCHERS_disclosure(t *testing.T) {
	w := newWorld(t)
	sessions := w.sessions(70)
	body := disclosing(t, sessions, `,"matter":"M-1","approver":"legal/7","classes":["personal","content"]`)
	indexes, err := w.rec.Disclose(t.Context(), auditor, body)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(sessions)
	var found []string
	leaves := w.leaves()
	for i, index := range indexes {
		if i > 0 && index <= indexes[i-1] {
			t.Fatalf("indexes %v", indexes)
		}
		had := len(found)
		for _, ev := range leaves[index].Events {
			if ev.Type != entry.TypeDisclosure {
				continue
			}
			var v entry.Disclosure
			if err := ev.Decode(&v); err != nil {
				t.Fatal(err)
			}
			if v.Principal != "examiner" || v.Exhibit != "A-7" || v.Matter != "M-1" || v.Approver != "legal/7" || v.Digest != entry.HashOf([]byte("custody")) ||
				!slices.Equal(v.Classes, []entry.ID{"content", "personal"}) || len(v.Sessions) > 64 {
				t.Errorf("recorded as %+v", v)
			}
			for _, s := range v.Sessions {
				found = append(found, string(s))
			}
		}
		if len(found) == had {
			t.Errorf("leaf %d has no disclosure", index)
		}
	}
	if !slices.Equal(found, sessions) {
		t.Errorf("%d sessions are named in these leaves, %d were disclosed", len(found), len(sessions))
	}
	if w.rec.CatchUp(t.Context()) <= indexes[0] {
		t.Fatal("the index is behind")
	}
	rows, err := w.index.Mentions(t.Context(), sessions[0])
	if err != nil || !slices.ContainsFunc(rows, func(r storage.EntryRow) bool { return r.Index == indexes[0] }) {
		t.Errorf("the session's mentions are %v: %v", rows, err)
	}
	again, err := w.rec.Disclose(t.Context(), auditor, body)
	if err != nil || again[0] <= indexes[len(indexes)-1] {
		t.Errorf("the same again stands at %v: %v", again, err)
	}
}

// Many at once share appends, and each is told its own leaves.
func TestDisclose_manyAtOnce(t *testing.T) {
	w := newWorld(t)
	sessions := w.sessions(4)
	type answer struct {
		exhibit string
		indexes []uint64
		err     error
	}
	answers := make(chan answer)
	for i := range 40 {
		go func() {
			exhibit := fmt.Sprint("E-", i)
			body := strings.Replace(string(disclosing(t, sessions[i%4:])), "A-7", exhibit, 1)
			indexes, err := w.rec.Disclose(t.Context(), auditor, []byte(body))
			answers <- answer{exhibit, indexes, err}
		}()
	}
	var all []answer
	for range 40 {
		all = append(all, <-answers)
	}
	leaves := w.leaves()
	for _, a := range all {
		if a.err != nil || len(a.indexes) != 1 {
			t.Fatalf("%s: %v, %v", a.exhibit, a.indexes, a.err)
		}
		if !slices.ContainsFunc(leaves[a.indexes[0]].Events, func(ev entry.Event) bool {
			return strings.Contains(string(ev.Raw), `"exhibit":"`+a.exhibit+`"`)
		}) {
			t.Errorf("leaf %d has no disclosure of %s", a.indexes[0], a.exhibit)
		}
	}
}

// Where it can't be recorded there is no answer to count on.
func TestFAIL_CLOSED_disclosure(t *testing.T) {
	w := newWorld(t)
	body := disclosing(t, w.sessions(1))
	for want, err := range map[entry.Code]error{recording.CodeReadOnly: log.ErrReadOnly, recording.CodeNotDurable: &log.NotAppendedError{Err: errFault}} {
		w.faulty.set(func(f *faulty) { f.take = func([][]byte) ([]log.Placed, error) { return nil, err } })
		if indexes, err := w.rec.Disclose(t.Context(), auditor, body); code(err) != want || indexes != nil {
			t.Errorf("%v, %v, want %s", indexes, err, want)
		}
	}
	w.faulty.set(func(f *faulty) { f.take = nil })
	gone, cancel := context.WithCancel(t.Context())
	hold := make(chan struct{})
	w.faulty.set(func(f *faulty) {
		f.append = func(_ int, do func() ([]log.Placed, error)) ([]log.Placed, error) {
			cancel()
			<-hold
			return do()
		}
	})
	if indexes, err := w.rec.Disclose(gone, auditor, body); code(err) != recording.CodeGone || indexes != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", indexes, err)
	}
	w.faulty.set(func(f *faulty) { f.append = nil })
	close(hold)
	if _, err := w.rec.Disclose(t.Context(), auditor, body); err != nil {
		t.Error(err)
	}
}

func TestDisclose_refuses(t *testing.T) {
	w := newWorld(t)
	s := w.sessions(2)
	good := string(disclosing(t, s))
	unknown := must(uuid.NewV7()).String()
	with := func(old, new string) string {
		changed := strings.Replace(good, old, new, 1)
		if changed == good {
			t.Fatalf("%s does not stand in the body", old)
		}
		return changed
	}
	var many []string
	for range recording.MaxDisclosed + 1 {
		many = append(many, must(uuid.NewV7()).String())
	}
	size := w.log.Size()
	for name, c := range map[string]struct {
		body string
		want entry.Code
	}{
		"no body":             {"", entry.Syntax},
		"array":               {"[]", entry.WrongType},
		"bytes behind":        {good + "{}", entry.Trailing},
		"not UTF-8":           {with("A-7", "A-\xff"), entry.InvalidUTF8},
		"unknown member":      {string(disclosing(t, s, `,"recipient":"somebody"`)), entry.UnknownMember},
		"principal":           {string(disclosing(t, s, `,"principal":"alice"`)), entry.UnknownMember},
		"case variant":        {with(`"exhibit"`, `"Exhibit"`), entry.UnknownMember},
		"member twice":        {string(disclosing(t, s, `,"exhibit":"B"`)), entry.Duplicate},
		"no exhibit":          {with(`"exhibit":"A-7",`, ""), entry.MissingMember},
		"person":              {with("A-7", "jo@acme.example"), entry.BadValue},
		"null":                {with(`"A-7"`, "null"), entry.WrongType},
		"number":              {with(`"A-7"`, "7"), entry.WrongType},
		"empty approver":      {string(disclosing(t, s, `,"approver":""`)), entry.BadValue},
		"digest":              {with(`"digest":"`, `"digest":"A`), entry.Base64},
		"no sessions":         {string(disclosing(t, []string{})), recording.CodeRequestEmpty},
		"sessions null":       {string(disclosing(t, nil)), entry.WrongType},
		"session twice":       {string(disclosing(t, []string{s[0], s[1], s[0]})), entry.Duplicate},
		"no session's name":   {string(disclosing(t, []string{"x"})), entry.BadValue},
		"too many":            {string(disclosing(t, many)), entry.TooMany},
		"unknown session":     {string(disclosing(t, []string{s[0], unknown})), recording.CodeUnknownSession},
		"unknown class":       {string(disclosing(t, s, `,"classes":["all"]`)), entry.BadValue},
		"class twice":         {string(disclosing(t, s, `,"classes":["secret","secret"]`)), entry.Duplicate},
		"class is no string":  {string(disclosing(t, s, `,"classes":[["secret"]]`)), entry.WrongType},
		"classes is a string": {string(disclosing(t, s, `,"classes":"secret"`)), entry.WrongType},
		"lone surrogate":      {with("A-7", `\ud800`), entry.BadValue},
	} {
		indexes, err := w.rec.Disclose(t.Context(), auditor, []byte(c.body))
		if code(err) != c.want || indexes != nil {
			t.Errorf("%s: %v, %v, want %s", name, indexes, err, c.want)
		}
	}
	if _, err := w.rec.Disclose(t.Context(), recording.Who{Principal: "jo doe", How: "token"}, []byte(good)); code(err) != recording.CodePrincipal {
		t.Errorf("principal: %v", err)
	}
	if after := w.log.Size(); after != size {
		t.Errorf("the log grew from %d to %d", size, after)
	}
	if _, err := w.rec.Disclose(t.Context(), auditor, []byte(good)); err != nil {
		t.Error(err)
	}
}

// Sessions that were let go of from memory are known by what is stored.
func TestDisclose_afterARestart(t *testing.T) {
	w := newWorld(t)
	s := w.sessions(1)
	w.stop()
	w.restart()
	if _, err := w.rec.Disclose(t.Context(), auditor, disclosing(t, s)); err != nil {
		t.Error(err)
	}
}
