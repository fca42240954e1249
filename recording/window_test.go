package recording_test

import (
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recorder"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/trust"
)

// pinned is the trust file of a world, with windows.
func (w *world) pinned(windows ...trust.Window) *trust.Trust {
	return must(trust.Make(trust.Config{
		Version: 1, Received: []string{w.stamper.VerifierKey()}, System: []string{w.system.vkey}, Enrollers: []string{w.enroller.vkey},
		Windows: windows, Policy: []byte("log " + w.logKey.vkey + "\nquorum none\n"),
	}))
}

// A key that was ended in the trust file records nothing more: verifiers would refuse it, and the agent would find out too late.
func TestFAILCLOSED_endedKeysRecordNothing(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	restart := func(windows ...trust.Window) {
		t.Helper()
		w.stop()
		w.windows = w.pinned(windows...)
		w.restart()
	}
	alive := trust.Window{Role: trust.RoleRecorder, Key: c.key.vkey, Until: trust.NoEnd}
	restart(alive)
	w.ok(c.session, main.build(intent("a-1"))...)

	for name, end := range map[string]trust.Window{
		"retired":     {Role: trust.RoleRecorder, Key: c.key.vkey, Until: w.log.Size()},
		"compromised": {Role: trust.RoleRecorder, Key: c.key.vkey, Until: w.log.Size(), Compromised: true},
		"not yet":     {Role: trust.RoleRecorder, Key: c.key.vkey, From: w.log.Size() + 1000, Until: trust.NoEnd},
	} {
		restart(end)
		t.Log(name)
		again := *main.Track
		w.refused(recording.CodeKeyWindow, c.session, main.build(intent("a-2"))...)
		*main.Track = again
		opening := w.client("bot")
		opening.key = c.key
		track := opening.track("main")
		w.refused(recording.CodeKeyWindow, "", track.build(track.opening())...)
	}
	restart(trust.Window{Role: trust.RoleEnroller, Key: w.enroller.vkey, Until: w.log.Size()})
	w.ok(c.session, main.build(intent("a-3"))...) // enrolled before
	late := w.client("bot").track("main")
	w.refused(entry.StrangeEnroller, "", late.build(late.opening())...)
}

// What a recorder says it saw of the log must be the log's: every audit reads it, and would find the log at fault for ever.
func TestEmbeddedCheckpointsAreTheLogs(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	w.stop()
	pinned := w.pinned()
	w.embedded = func(b []byte) (uint64, error) {
		cp, err := pinned.OpenCheckpoint(b)
		return cp.Size, err
	}
	w.restart()
	signed := func(size uint64, by note.Signer) entry.Text {
		text := checkpoint.Checkpoint{Origin: origin, Size: size}.Text()
		return entry.Text(must(note.Sign(&note.Note{Text: text}, by)))
	}
	roll := func(cp entry.Text) recorder.Event {
		return recorder.Plain(entry.TypeSessionRoll, entry.SessionRoll{Why: "checkpoint", Checkpoint: cp})
	}
	for name, cp := range map[string]entry.Text{
		"garbage": "garbage", "a stranger's": signed(1, newKey(origin).Signer), "of what is to come": signed(w.log.Size()+1000, w.logKey.Signer),
	} {
		t.Log(name)
		again := *main.Track
		w.refused(recording.CodeEmbedded, c.session, main.build(roll(cp))...)
		*main.Track = again
	}
	_, published := w.log.Checkpoint()
	w.ok(c.session, main.build(roll(entry.Text(published)))...)
	w.ok(c.session, main.build(roll(signed(2, w.logKey.Signer)))...) // another root for that size: proof, for whoever audits
}
