package recorder_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recorder"
)

// cosigned is a checkpoint with the given numbers of signatures: of witnesses, and of the log with a second key.
func cosigned(t *testing.T, ed25519, mldsa int, second bool) (text string, signed []byte, keys note.Verifiers) {
	t.Helper()
	text = checkpoint.Checkpoint{Origin: "log.example/test", Size: 5, Root: checkpoint.EmptyRoot()}.Text()
	var signers []note.Signer
	var verifiers []note.Verifier
	add := func(a checkpoint.Algorithm, name string) {
		skey, _, err := checkpoint.GenerateKey(a, name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := checkpoint.NewSigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		signers, verifiers = append(signers, s), append(verifiers, s.Verifier())
	}
	if second {
		add(checkpoint.CosignatureMLDSA44, "log.example/test")
	}
	for i := range mldsa {
		add(checkpoint.CosignatureMLDSA44, fmt.Sprintf("w%d.example", i))
	}
	for i := range ed25519 { // whose lines are shorter than the log's
		add(checkpoint.CosignatureEd25519, fmt.Sprintf("w%d", i))
	}
	add(checkpoint.Ed25519, "log.example/test")
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return text, signed, note.VerifierList(verifiers...)
}

func TestEmbed(t *testing.T) {
	for _, c := range []struct {
		ed25519, mldsa int
		second         bool
		want           int // signatures that stay
	}{
		{0, 0, false, 1}, {3, 0, false, 4}, {2, 0, true, 4}, {0, 1, false, 2}, {3, 3, true, 5}, {2, 2, false, 4}, {60, 1, true, 35},
	} {
		text, signed, keys := cosigned(t, c.ed25519, c.mldsa, c.second)
		got := recorder.Embed(signed)
		n, err := note.Open([]byte(got), keys)
		if err != nil || n.Text != text || len(got) > recorder.MaxEmbedded {
			t.Fatalf("%+v: %d bytes: %v", c, len(got), err)
		}
		if !slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == "log.example/test" && len(s.Base64) < 200 }) {
			t.Errorf("%+v: the log's signature is not there", c)
		}
		if len(n.Sigs) != c.want {
			t.Errorf("%+v: %d signatures, want %d", c, len(n.Sigs), c.want)
		}
		if _, err := entry.Marshal(entry.TypeSessionRoll, 1, entry.SessionRoll{Why: "checkpoint", Checkpoint: got}); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, none := range []string{"", strings.Repeat("x", 5000), strings.Repeat("x", 5000) + "\n\n— a b\n"} {
		if got := recorder.Embed([]byte(none)); got != "" {
			t.Errorf("of %d bytes that are no note %d were taken", len(none), len(got))
		}
	}
}
