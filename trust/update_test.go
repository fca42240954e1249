package trust_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/trust"
)

// An updateVector is one of docs/spec/vectors/trust-update.json.
type updateVector struct {
	Name    string `json:"name"`
	Earlier string `json:"earlier"`
	Next    string `json:"next"`
	Update  string `json:"update"`
	Accept  bool   `json:"accept"`
	Reason  string `json:"reason,omitempty"`

	errorHas string
}

const updateAbout = "Updates of trust files, steno/trust-update/v1: earlier and next are trust files, update is the note. accept says " +
	"whether next may take the place of earlier."

// following is the file that follows tr, changed.
func following(tr *trust.Trust, change func(*trust.Config)) *trust.Trust {
	c := tr.Config
	c.Version, c.Previous = c.Version+1, tr.Digest()
	if change != nil {
		change(&c)
	}
	return must(trust.Make(c))
}

// signed is an update by some signers, which this package may refuse to make.
func signed(tr, next *trust.Trust, signers ...note.Signer) []byte {
	previous, digest := tr.Digest(), next.Digest()
	b64 := base64.StdEncoding.EncodeToString
	text := strings.Join([]string{"steno/trust-update/v1", tr.Origin, "2", b64(previous[:]), b64(digest[:]), ""}, "\n")
	return must(note.Sign(&note.Note{Text: text}, signers...))
}

func updateVectors(w *world) []updateVector {
	ada, grace, hedy := w.signers[0], w.signers[1], w.signers[2]
	old := w.make(nil)
	next := following(old, func(c *trust.Config) {
		c.Enrollers = append(c.Enrollers, w.enroller2.Verifier().String())
		c.Windows = []trust.Window{{Role: trust.RoleEnroller, Key: w.enroller.Verifier().String(), Until: 500, Compromised: true}}
	})
	var v []updateVector
	add := func(name, reason, errorHas string, old, next *trust.Trust, update []byte) {
		v = append(v, updateVector{name, string(old.Marshal()), string(next.Marshal()), string(update), errorHas == "", reason, errorHas})
	}
	bad := func(name, reason, errorHas string, next *trust.Trust, update []byte) {
		add(name, reason, errorHas, old, next, update)
	}
	good := signed(old, next, ada, grace)
	stranger := fixed(ed, "acme/compliance/ada", "stranger")
	add("2 of 3", "", "", old, next, good)
	add("3 of 3", "", "", old, next, signed(old, next, hedy, ada, grace))
	add("a stranger besides", "unknown keys are ignored", "", old, next, signed(old, next, ada, stranger, grace))
	add("by signers that the new file drops", "the earlier file says who signs", "", old,
		following(old, func(c *trust.Config) { c.Signers, c.Threshold = []string{hedy.Verifier().String()}, 1 }),
		signed(old, following(old, func(c *trust.Config) { c.Signers, c.Threshold = []string{hedy.Verifier().String()}, 1 }), ada, grace))
	bad("1 of 3", "", "1 of", next, signed(old, next, ada))
	bad("one signer twice", "a key counts once", "1 of", next, twice(signed(old, next, ada)))
	bad("one signer and a stranger", "", "1 of", next, signed(old, next, ada, stranger))
	bad("strangers alone", "", "no verifiable", next, signed(old, next, stranger))
	takeover := following(old, func(c *trust.Config) { c.Signers, c.Threshold = []string{stranger.Verifier().String()}, 1 })
	bad("a signer that the new file adds", "the earlier file says who signs", "no verifiable", takeover, signed(old, takeover, stranger))
	bad("a signature that does not verify", "", "invalid signature", next, spoil(good, grace))
	bad("update of another file", "", "other trust files", following(old, nil), good)
	bad("version skipped", "", "version 3", following(old, func(c *trust.Config) { c.Version = 3 }), good)
	bad("version unchanged", "", "version 1", w.make(func(c *trust.Config) { c.Enrollers = []string{w.enroller2.Verifier().String()} }), good)
	bad("another file before it", "", "another one as the one before", following(old, func(c *trust.Config) { c.Previous[0] ^= 1 }), good)
	bad("another log", "", "of the log", following(old, func(c *trust.Config) {
		other := "log.example/other"
		_, received, _ := generateReceived(other, "other received")
		c.Policy = []byte(strings.Replace(string(c.Policy), w.log.Verifier().String(), fixed(ed, other, "other log").Verifier().String(), 1))
		c.Received = []string{received}
	}), good)
	add("replay of the earlier version", "what is pinned only goes forward", "version 1", next, old, good)
	add("earlier file without signers", "it can only be pinned anew", "no signers",
		w.make(func(c *trust.Config) { c.Signers, c.Threshold = nil, 0 }),
		following(w.make(func(c *trust.Config) { c.Signers, c.Threshold = nil, 0 }), nil), good)
	bad("another format", "", "other trust files", next, must(note.Sign(&note.Note{Text: strings.Replace(textOf(good), "/v1\n", "/v2\n", 1)}, ada, grace)))
	bad("a line more", "", "other trust files", next, must(note.Sign(&note.Note{Text: textOf(good) + "x\n"}, ada, grace)))
	bad("no note", "", "malformed", next, []byte(textOf(good)))
	return v
}

func textOf(b []byte) string { return string(b[:bytes.LastIndex(b, []byte("\n\n"))+1]) }

func TestUpdateVectors(t *testing.T) {
	made := updateVectors(newWorld())
	plain := make([]updateVector, len(made))
	for i, v := range made {
		v.errorHas = ""
		plain[i] = v
	}
	for i, v := range vectors(t, "trust-update.json", "steno/vectors/trust-update/v1", updateAbout, plain, true) {
		earlier, next := must(trust.Parse([]byte(v.Earlier))), must(trust.Parse([]byte(v.Next)))
		err := earlier.VerifyUpdate(next, []byte(v.Update))
		if (err == nil) != v.Accept || err != nil && !strings.Contains(err.Error(), made[i].errorHas) {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
}

func TestSignUpdate(t *testing.T) {
	w := newWorld()
	old := w.make(nil)
	next := following(old, nil)
	one, err := old.SignUpdate(next, nil, w.signers[2])
	if err != nil || old.VerifyUpdate(next, one) == nil {
		t.Fatalf("one signature: %v", err)
	}
	again, err := old.SignUpdate(next, one, w.signers[2])
	if err != nil || old.VerifyUpdate(next, again) == nil {
		t.Fatalf("the same signer again: %v", err)
	}
	two, err := old.SignUpdate(next, again, w.signers[0])
	if err != nil || old.VerifyUpdate(next, two) != nil {
		t.Fatalf("two signatures: %v", err)
	}
	for name, bad := range map[string]func() ([]byte, error){
		"stranger": func() ([]byte, error) { return old.SignUpdate(next, nil, fixed(ed, "acme/compliance/ada", "stranger")) },
		"to an update of other": func() ([]byte, error) {
			return old.SignUpdate(following(old, func(c *trust.Config) { c.Threshold = 3 }), one, w.signers[0])
		},
		"to a spoilt one": func() ([]byte, error) { return old.SignUpdate(next, spoil(one, w.signers[2]), w.signers[0]) },
		"to an empty one": func() ([]byte, error) { return old.SignUpdate(next, []byte{}, w.signers[0]) },
		"backwards":       func() ([]byte, error) { return next.SignUpdate(old, nil, w.signers[0]) },
		"without end":     func() ([]byte, error) { return old.SignUpdate(next, bytes.Repeat(one, 300), w.signers[0]) },
	} {
		if _, err := bad(); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

// specFiles are the files that docs/spec/trust.md shows: a compromised enroller and its successor.
func specFiles(w *world) (old, next *trust.Trust) {
	old = w.make(nil)
	next = following(old, func(c *trust.Config) {
		c.Enrollers = append(c.Enrollers, w.enroller2.Verifier().String())
		c.Windows = []trust.Window{
			{Role: trust.RoleEnroller, Key: w.enroller.Verifier().String(), Until: 500000, Compromised: true},
			{Role: trust.RoleEnroller, Key: w.enroller2.Verifier().String(), From: 500000, Until: trust.NoEnd},
		}
	})
	return old, next
}

func TestTrustSpecShowsFileAndUpdate(t *testing.T) {
	w := newWorld()
	old, next := specFiles(w)
	update := signed(old, next, w.signers[0], w.signers[1])
	inSpec(t, "trust.md", string(next.Marshal()))
	inSpec(t, "trust.md", fmt.Sprintf("%x", next.Digest()))
	inSpec(t, "trust.md", string(update))
	if err := old.VerifyUpdate(next, update); err != nil {
		t.Error(err)
	}
}
