package recording_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/recording"
)

// resigned is a submission whose text was changed and signed again by its recorder.
func resigned(c *client, sub recording.Submitted, old, new string) recording.Submitted {
	text := string(sub.Entry[:textEnd(sub.Entry)])
	changed := strings.Replace(text, old, new, 1)
	if changed == text {
		panic("nothing was replaced: " + old)
	}
	sub.Entry = must(entry.Sign([]byte(changed), c.key.Signer))
	return sub
}

func TestBadEntriesAreNamedAndNothingOfThemIsStored(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	fork := *main.Track
	built := must(fork.Build(intent("a-1")))[0]
	good := recording.Submitted{Entry: built.Submission, Blobs: built.Blobs}
	raw := func(old, new string) recording.Submitted {
		sub := good
		sub.Entry = bytes.Replace(good.Entry, []byte(old), []byte(new), 1)
		if bytes.Equal(sub.Entry, good.Entry) {
			t.Fatal("nothing was replaced: " + old)
		}
		return sub
	}
	other := uuid.Must(uuid.NewV7()).String()
	for name, x := range map[string]struct {
		sub  recording.Submitted
		code entry.Code
	}{
		"unknown version":     {raw("steno/entry/v1", "steno/entry/v2"), entry.UnknownVersion},
		"other origin":        {resigned(c, good, origin, "log.example/other"), entry.OtherOrigin},
		"duplicate":           {resigned(c, good, `"tool":"ledger.post"`, `"tool":"ledger.post","tool":"x"`), entry.Duplicate},
		"case variant":        {resigned(c, good, `"tool":`, `"Tool":`), entry.CaseVariant},
		"unknown member":      {resigned(c, good, `"tool":`, `"tolo":`), entry.UnknownMember},
		"lone surrogate":      {resigned(c, good, `ledger.post`, `\ud800`), entry.LoneSurrogate},
		"invalid UTF-8":       {raw("ledger", "ledg\xff\xff"), entry.InvalidUTF8},
		"carriage return":     {raw("ledger", "ledg\r\n"), entry.CarriageReturn},
		"trailing bytes":      {raw("}\n\n", "}x\n\n"), entry.Trailing},
		"oversize":            {recording.Submitted{Entry: append(bytes.Clone(good.Entry), make([]byte, 10_000)...)}, entry.Oversize},
		"non-canonical":       {raw("=\",\"blobs", "\n\",\"blobs"), entry.Syntax},
		"third signature":     {recording.Submitted{Entry: append(bytes.Clone(good.Entry), good.Entry[textEnd(good.Entry)+1:]...), Blobs: good.Blobs}, entry.ExtraSignature},
		"missing signature":   {recording.Submitted{Entry: good.Entry[:textEnd(good.Entry)+1], Blobs: good.Blobs}, entry.MissingSignature},
		"no signature at all": {recording.Submitted{Entry: good.Entry[:textEnd(good.Entry)], Blobs: good.Blobs}, entry.MissingSignature},
		"bad signature":       {raw("ledger", "lodger"), entry.BadSignature},
		"wrong prev":          {resigned(c, good, main.Head().String(), entry.Hash{1}.String()), entry.WrongPrev},
		"hole":                {resigned(c, good, "\n1\n", "\n2\n"), entry.Hole},
		"other session":       {resigned(c, good, c.session, other), entry.OtherSession},
		"the log's track":     {resigned(c, good, "/main\n", "/log\n"), entry.Misplaced},
		"blob missing":        {recording.Submitted{Entry: good.Entry}, recording.CodeBlobMissing},
		"blob superfluous":    {recording.Submitted{Entry: good.Entry, Blobs: append(good.Blobs[:1:1], []byte("steno/blob/v1\nx"))}, recording.CodeBlobSuperfluous},
		"blob twice":          {recording.Submitted{Entry: good.Entry, Blobs: append(good.Blobs[:1:1], good.Blobs[0])}, recording.CodeBlobSuperfluous},
		"blob not matching":   {recording.Submitted{Entry: good.Entry, Blobs: [][]byte{append(bytes.Clone(good.Blobs[0]), 0)}}, recording.CodeBlobMismatch},
		"blob's size wrong":   {resigned(c, good, `"size":318`, `"size":319`), recording.CodeBlobMismatch},
		"wrap superfluous":    {recording.Submitted{Entry: good.Entry, Blobs: good.Blobs, Wraps: main.wraps[:1]}, recording.CodeWrapSuperfluous},
	} {
		t.Run(name, func(t *testing.T) {
			x.sub.Wraps = append([]recording.Wrap{}, x.sub.Wraps...)
			size := w.log.Size()
			res, err := w.submit(c.session, x.sub)
			if code(err) != x.code || len(res.Receipts) > 0 {
				t.Fatalf("got %v, want %s", err, x.code)
			}
			if w.log.Size() != size {
				t.Fatal("the log grew")
			}
			if len(x.sub.Blobs) > 0 && name != "wrap superfluous" {
				sub := x.sub
				sub.Wraps = nil
				w.unstored(size, sub)
			}
		})
	}
	// After all of that, the good one is taken: the refused have left no trace.
	if res := w.ok(c.session, good); res.Next != 2 {
		t.Fatalf("%+v", res)
	}
	behind := resigned(c, good, "\n1\n", "\n9\n")
	behind.Blobs = nil
	w.refused(entry.Hole, c.session, behind)
}

func TestBadRequestsAreNamedAndNothingOfThemIsStored(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	c := w.client("bot")
	main := c.track("main")
	open := main.build(main.opening())
	w.refused(recording.CodeRequestEmpty, "")
	stripped := open[0]
	stripped.Wraps = stripped.Wraps[1:]
	w.refused(recording.CodeWrapMissing, "", stripped)
	stripped.Wraps = append([]recording.Wrap{{Key: open[0].Wraps[0].Key, File: []byte("no age file")}}, stripped.Wraps...)
	w.refused(recording.CodeWrapInvalid, "", stripped)
	if _, err := w.rec.Submit(ctx, recording.Who{Principal: "Al Ice", How: "token"}, "", open); code(err) != recording.CodePrincipal {
		t.Fatal(err)
	}
	w.ok("", open...)
	next := main.build(intent("a-1"))
	w.refused(entry.Misplaced, "", next...)
	if _, err := w.rec.Submit(ctx, recording.Who{Principal: "mallory", How: "token"}, c.session, next); code(err) != recording.CodeOtherPrincipal {
		t.Fatal(err)
	}
	// The very same open by another principal takes nothing over.
	if _, err := w.rec.Submit(ctx, recording.Who{Principal: "mallory", How: "token"}, "", open); code(err) != recording.CodeOtherPrincipal {
		t.Fatal(err)
	}
	other := c.track("other")
	w.refused(recording.CodeMixedTracks, c.session, append(next[:1:1], other.build(other.opening())...)...)
	many := make([]recording.Submitted, 257)
	for i := range many {
		many[i] = next[0]
	}
	w.refused(recording.CodeTooManyEntries, c.session, many...)
	w.refused(entry.MissingSignature, c.session, recording.Submitted{})
}

func TestEnrolmentDecidesWhoMayOpenATrack(t *testing.T) {
	w := newWorld(t)
	now := entry.TimeOf(w.now())
	for name, x := range map[string]struct {
		change   func(*entry.Enrolment)
		enroller key
		code     entry.Code
	}{
		"expired":       {func(e *entry.Enrolment) { e.Until = now - 1 }, w.enroller, entry.EnrolmentExpired},
		"not yet":       {func(e *entry.Enrolment) { e.From = now + 1e9 }, w.enroller, entry.EnrolmentExpired},
		"stranger":      {func(*entry.Enrolment) {}, newKey("acme/enroller"), entry.StrangeEnroller},
		"other agent":   {func(e *entry.Enrolment) { e.Agents = []string{"cat"} }, w.enroller, entry.EnrolmentMismatch},
		"other log":     {func(e *entry.Enrolment) { e.Origin = "log.example/x" }, w.enroller, entry.EnrolmentMismatch},
		"another's key": {func(e *entry.Enrolment) { e.RecorderKey = newKey("acme/x").vkey }, w.enroller, entry.OtherRecorder},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.client("bot")
			main := c.track("main")
			e := entry.Enrolment{Origin: origin, RecorderKey: c.key.vkey, Holder: entry.HolderAgent, From: now - 1e12, Until: now + 1e13, Agents: []string{"bot"}}
			x.change(&e)
			open := recorder.Event{Type: entry.TypeSessionOpen, Build: func(recorder.Seal) (any, error) {
				r := main.recorder()
				r.Enrolment = entry.Text(must(entry.SignEnrolment(e, x.enroller.Signer)))
				return entry.SessionOpen{Recorder: r, Privilege: "financial", HeartbeatS: 30, Retention: entry.Retention{Class: "x", Trigger: "session-close"}}, nil
			}}
			w.refused(x.code, "", main.build(open)...)
			if _, err := w.rec.Head(context.Background(), alice, c.session); code(err) != recording.CodeUnknownSession {
				t.Fatal(err)
			}
		})
	}
}

func TestASessionBelongsTogether(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	c.main = entry.Hash{1} // of a session that begins otherwise
	spliced := c.track("spliced")
	w.refused(entry.OtherSession, c.session, spliced.build(spliced.opening())...)
	c.main = main.Head()
	for i := range 32 {
		tr := c.track("t-" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		w.ok(c.session, tr.build(tr.opening())...)
	}
	tr := c.track("one-too-many")
	w.refused(recording.CodeTooManyTracks, c.session, tr.build(tr.opening())...)
	w.refused(recording.CodeHeadsDiffer, c.session, main.build(closing())...)
}

func TestKeysOfARollNeedTheirWraps(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	again := c.track("main")
	subs := main.build(plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "rekey", Keys: again.ks}))
	w.refused(recording.CodeWrapMissing, c.session, subs...)
	subs[0].Wraps = again.wraps
	w.ok(c.session, subs...)
	if n := len(must(w.keyring.List(context.Background(), c.session))); n != 2*len(payload.Classes()) {
		t.Fatalf("%d wraps", n)
	}
}
