package recording_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/log"
	"github.com/stenolog/steno/recording"
	"github.com/stenolog/steno/storage"
)

// Every append of a session fails once: not taken at all, or taken with an answer that says that it was not known.
func TestACKED_everyAppendFailsOnceAndTheSessionIsWholeInTheEnd(t *testing.T) {
	for n := range 4 {
		for _, why := range []error{log.ErrOverloaded, log.ErrReadOnly, &log.NotAppendedError{Err: errFault}} {
			t.Run(fmt.Sprintf("%d %v", n, why), func(t *testing.T) {
				w := newWorld(t)
				count := 0
				w.faulty.set(func(f *faulty) {
					f.append = func(_ int, do func() ([]log.Placed, error)) ([]log.Placed, error) {
						if count++; count == n+1 {
							return nil, why
						}
						return do()
					}
				})
				c := w.client("bot")
				main, other := c.track("main"), c.track("other")
				failed := 0
				send := func(session string, subs []recording.Submitted) {
					t.Helper()
					size := w.log.Size()
					_, err := w.submit(session, subs...)
					if err == nil {
						return
					}
					failed++
					if got := code(err); got != recording.CodeOverloaded && got != recording.CodeReadOnly && got != recording.CodeNotDurable {
						t.Fatal(err)
					}
					if w.log.Size() != size {
						t.Fatal("the log grew")
					}
					w.ok(session, subs...)
				}
				send("", main.build(main.opening()))
				send(c.session, other.build(other.opening()))
				send(c.session, main.build(intent("a")))
				send(c.session, main.build(outcome("a"), closing(other)))
				if failed != 1 {
					t.Fatalf("%d requests failed, want 1", failed)
				}
				if v := system[entry.Verdict](w, entry.TypeVerdict); len(v) != 1 || v[0].Verdict != "complete" {
					t.Fatalf("%+v", v)
				}
				if a := system[entry.Admitted](w, entry.TypeAdmitted); len(a) != 2 || a[0].Number != 1 {
					t.Fatalf("%+v", a)
				}
			})
		}
	}
}

// An append whose outcome is unknown stops everything; after a restart the log says what it was.
func TestACKED_anUnknownOutcomeIsKnownAfterTheRestart(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		t.Run(fmt.Sprint(persisted), func(t *testing.T) {
			w := newWorld(t)
			c := w.client("bot")
			main := c.track("main")
			open := main.build(main.opening())
			w.faulty.set(func(f *faulty) {
				f.append = func(_ int, do func() ([]log.Placed, error)) ([]log.Placed, error) {
					if persisted {
						do()
					}
					return nil, &log.StoppedError{Reason: errFault, Unknown: true}
				}
			})
			if _, err := w.submit("", open...); code(err) != recording.CodeStopped {
				t.Fatal(err)
			}
			w.crash()
			w.restart()
			res := w.ok("", open...)
			if res.Receipts[0].Repeated != persisted {
				t.Fatalf("%+v", res)
			}
			if a := system[entry.Admitted](w, entry.TypeAdmitted); len(a) != 1 || a[0].Number != 1 {
				t.Fatalf("%+v", a)
			}
		})
	}
}

// The open is in the log, who was admitted is not: whoever has the text is admitted when it comes again.
func TestACKED_anOpenWithoutItsAdmittedIsMended(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	open := main.build(main.opening())
	w.faulty.set(func(f *faulty) {
		f.append = func(n int, do func() ([]log.Placed, error)) ([]log.Placed, error) {
			f.append = nil
			placed, err := w.log.Append(context.Background(), [][]byte{w.stampedLeaf(open[0])})
			if err != nil {
				return nil, err
			}
			return nil, &log.NotAppendedError{Placed: map[int]log.Placed{0: placed[0]}, Err: errFault}
		}
	})
	if _, err := w.submit("", open...); code(err) != recording.CodeNotDurable {
		t.Fatal(err)
	}
	w.crash()
	w.restart()
	if _, err := w.submit(c.session, main.build(intent("a"))...); code(err) != recording.CodeOtherPrincipal {
		t.Fatal(err)
	}
	mallory := recording.Who{Principal: "mallory", How: "token"}
	join := recording.Request{Body: []byte(`{"track":"r","agent":"bot"}`)}
	if _, err := w.rec.JoinManaged(context.Background(), mallory, c.session, join); code(err) != recording.CodeOtherPrincipal {
		t.Fatalf("a stranger joins a session that nobody was admitted to: %v", err)
	}
	if res := w.ok("", open...); !res.Receipts[0].Repeated {
		t.Fatalf("%+v", res)
	}
	if a := system[entry.Admitted](w, entry.TypeAdmitted); len(a) != 1 || a[0].Principal != "alice" || a[0].Open != main0(open) {
		t.Fatalf("%+v", a)
	}
}

func main0(subs []recording.Submitted) entry.Hash {
	return must(entry.ParseSubmission(subs[0].Entry)).Hash()
}

func (w *world) stampedLeaf(sub recording.Submitted) []byte {
	return w.stamper.Stamp(sub.Entry, must(entry.ParseSubmission(sub.Entry)), entry.TimeOf(time.Now()))
}

func TestFailedBlobsRefuseTheEntry(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	open := main.build(main.opening())
	w.faulty.set(func(f *faulty) { f.blob = errFault })
	w.refused(recording.CodeNotDurable, "", open...)
	w.faulty.set(func(f *faulty) { f.blob = nil })
	w.ok("", open...)
}

// A store whose disk failed to sync stops the log, also for what that store is not needed for, until it is started again.
func TestACKED_aStoreThatIsNotToBeTrustedStopsTheLog(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	open := main.build(main.opening())
	w.faulty.set(func(f *faulty) { f.blob = storage.ErrReadOnly })
	w.refused(recording.CodeStopped, "", open...)
	w.faulty.set(func(f *faulty) { f.blob = nil })
	if _, err := w.submit("", open...); code(err) != recording.CodeStopped {
		t.Errorf("the same again: %v", err)
	}
	if w.log.Health().Stopped == nil {
		t.Error("the log goes on beside a disk that is not to be trusted")
	}
	w.crash()
	w.restart()
	w.ok("", open...)
}

// A client that hangs up after its entries were verified changes nothing: they are appended, and found when sent again.
func TestACKED_hangingUpDoesNotUndo(t *testing.T) {
	w := newWorld(t)
	c := w.client("bot")
	main := c.track("main")
	w.ok("", main.build(main.opening())...)
	ctx, cancel := context.WithCancel(context.Background())
	w.faulty.set(func(f *faulty) {
		f.append = func(_ int, do func() ([]log.Placed, error)) ([]log.Placed, error) {
			cancel()
			return do()
		}
	})
	subs := main.build(intent("a"))
	if _, err := w.rec.Submit(ctx, alice, c.session, subs); err != nil {
		t.Fatal(err)
	}
	w.faulty.set(func(f *faulty) { f.append = nil })
	if res := w.ok(c.session, subs...); !res.Receipts[0].Repeated {
		t.Fatalf("%+v", res)
	}
	// One that is gone before has sent nothing.
	if _, err := w.rec.Submit(ctx, alice, c.session, main.build(intent("b"))); err != nil && code(err) != recording.CodeGone {
		t.Fatal(err)
	}
}

// What is rebuilt from the log alone is what was in memory.
func TestRebuiltHeadsEqualLiveHeads(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		c := w.client(fmt.Sprintf("bot-%d", i%2))
		main := c.track("main")
		w.ok("", main.build(main.opening(), intent("a"))...)
		other := c.track("other")
		w.ok(c.session, other.build(other.opening(), intent("b"))...)
		switch i {
		case 1:
			w.ok(c.session, main.build(outcome("a"), outcome("b"), closing(other))...)
			w.ok(c.session, other.build(intent("late"))...)
		case 2:
			w.ok(c.session, main.build(closing(other))...)
		}
	}
	w.openManaged("k")
	live := w.snapshotted()
	w.restart("heads")
	rebuilt := w.snapshotted()
	w.restart()
	if len(live) < 7 {
		t.Fatalf("%d items", len(live))
	}
	for key, value := range rebuilt {
		if key != "system" && live[key] != value {
			t.Errorf("%s: live %s\nrebuilt %s", key, live[key], value)
		}
		delete(live, key)
	}
	if len(live) > 0 {
		t.Errorf("not rebuilt: %v", live)
	}
}

func (w *world) items() map[string]string {
	all := map[string]string{}
	err := w.heads.Load(context.Background(), "", func(item storage.Item) error {
		all[item.Key] = string(item.Value)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var check map[string]any
	if err := json.Unmarshal([]byte(all["system"]), &check); err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) closeDisks() {
	for _, c := range []interface{ Close() error }{w.blobs, w.archive, w.guard, w.keyring, w.heads, w.index} {
		if err := c.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.tree.Close(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}
