package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/trust"
)

// windowed is the trust of a world with one window.
func windowed(w *world, role trust.Role, key string, until uint64) *trust.Trust {
	c := w.trust().Config
	c.Windows = []trust.Window{{Role: role, Key: key, Until: until}}
	return must(trust.Make(c))
}

// A receipt by a key whose window has ended is none, and proves nothing against the log: the trust file may be the older.
func TestAReceiptOutsideItsKeysWindowDoesNotCount(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	cfg := w.config(s.URL, t.TempDir())
	cfg.Trust = windowed(w, trust.RoleReceived, w.trust().Received[0], 2)
	cfg.Alarm = func(err error) { t.Error(err) }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	if _, err := main.Record(within(t, 5*time.Second), remark("last")); err != nil {
		t.Fatal(err)
	}
	_, err := main.Record(within(t, 300*time.Millisecond), remark("over"))
	var pending *client.PendingError
	var window *trust.WindowError
	if !errors.As(err, &pending) || !errors.As(pending.LastSend, &window) {
		t.Fatalf("recorded behind the end: %v", err)
	}
}

// Entries by keys that do not count where they stand are no record.
func TestReadingHoldsKeysToTheirWindows(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	rec := newRecorder(t, w.config(s.URL, t.TempDir()))
	main := open(t, rec)
	for range 3 {
		if _, err := main.Record(within(t, 5*time.Second), remark("a")); err != nil {
			t.Fatal(err)
		}
	}
	tr := w.trust()
	for role, key := range map[trust.Role]string{trust.RoleReceived: tr.Received[0], trust.RoleEnroller: tr.Enrollers[0], trust.RoleRecorder: w.RecorderV} {
		for until, good := range map[uint64]bool{0: false, 3: role == trust.RoleEnroller, 4: true} {
			r, err := client.NewReader(client.ReaderConfig{URL: s.URL, Trust: windowed(w, role, key, until)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Read(t.Context(), main.Session()); (err == nil) != good {
				t.Errorf("%s key that counts below %d: %v", role, until, err)
			}
		}
	}
}
