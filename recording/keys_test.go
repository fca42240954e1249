package recording_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
)

// noted are the key events of the log, in its order.
func (w *world) noted() (all []string) {
	for _, e := range w.leaves() {
		for _, ev := range e.Events {
			v, err := ev.Value()
			if err != nil {
				w.t.Fatal(err)
			}
			switch v := v.(type) {
			case *entry.KeyAdd:
				all = append(all, fmt.Sprintf("add %s %s %d", v.Role, v.Key, v.Size))
			case *entry.KeyRetire:
				all = append(all, fmt.Sprintf("retire %s %s %d", v.Role, v.Key, v.Size))
			case *entry.KeyCompromised:
				all = append(all, fmt.Sprintf("compromised %s %s %d", v.Role, v.Key, v.Size))
			}
		}
	}
	return all
}

// What was noted of keys is what the log says, whatever became of the process and its views; only differences are written.
func TestNoteKeys_writesWhatDiffers(t *testing.T) {
	w := newWorld(t)
	key := func(role, k string, from, until uint64, compromised bool) recording.Key {
		return recording.Key{Role: role, Key: k, From: from, Until: until, Compromised: compromised}
	}
	const end = recording.NoEnd
	for i, step := range []struct {
		keys   []recording.Key
		events []string
	}{
		{[]recording.Key{key("log", "a", 0, end, false), key("witness", "w", 0, end, false), key("enroller", "e", 5, end, false)},
			[]string{"add log a 0", "add witness w 0", "add enroller e 5"}},
		{[]recording.Key{key("log", "a", 0, 9, false), key("log", "b", 7, end, false), key("witness", "w", 0, end, false), key("enroller", "e", 5, end, false)},
			[]string{"retire log a 9", "add log b 7"}},
		{[]recording.Key{key("log", "a", 0, 12, false), key("log", "b", 7, end, false), key("witness", "w", 0, 3, true), key("enroller", "e", 5, 8, false), key("recorder", "r", 0, 4, true)},
			[]string{"retire log a 12", "compromised witness w 3", "retire enroller e 8", "compromised recorder r 4"}},
		{[]recording.Key{key("log", "a", 0, end, false), key("log", "b", 7, end, false), key("witness", "w", 0, 3, false)},
			[]string{"add log a 0", "add witness w 0", "retire witness w 3", "retire enroller e 5", "add recorder r 0"}},
		{[]recording.Key{key("log", "a", 1, end, false), key("log", "b", 7, end, false), key("enroller", "e", 5, end, false)},
			[]string{"add log a 1", "add enroller e 5", "retire witness w 0"}},
	} {
		for range 2 { // noted twice, once
			before := len(w.noted())
			if err := w.rec.NoteKeys(context.Background(), step.keys); err != nil {
				t.Fatal(err)
			}
			if got := w.noted()[before:]; !slices.Equal(got, step.events) {
				t.Fatalf("step %d: %q, want %q", i, got, step.events)
			}
			step.events = nil
			switch i % 3 {
			case 0:
				w.stop()
				w.restart()
			case 1:
				w.crash()
				w.restart()
			default:
				w.stop()
				w.restart("heads")
			}
		}
	}
}

func TestNoteKeys_refusesWhatIsNoEvent(t *testing.T) {
	w := newWorld(t)
	if err := w.rec.NoteKeys(context.Background(), []recording.Key{{Role: "cook", Key: "k", Until: recording.NoEnd}}); code(err) != entry.BadValue {
		t.Fatal(err)
	}
	if len(w.noted()) > 0 {
		t.Error("it was written")
	}
}
