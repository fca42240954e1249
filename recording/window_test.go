package recording_test

import (
	"testing"

	"github.com/stenolog/steno/entry"
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
	recorder := trust.Window{Role: trust.RoleRecorder, Key: c.key.vkey, Until: trust.NoEnd}
	restart(recorder)
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
