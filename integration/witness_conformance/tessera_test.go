//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/integration/peers"
)

// TestStenoCosignsTessera has Tessera's conformance server, which publishes nothing without its policy's quorum, ask our witness.
// The witness has both keys and answers with both cosignatures; the policy names one.
func TestStenoCosignsTessera(t *testing.T) {
	bin := peers.BuildSteno(t)
	for i, algorithm := range []checkpoint.Algorithm{checkpoint.CosignatureEd25519, checkpoint.CosignatureMLDSA44} {
		t.Run(algorithm.String(), func(t *testing.T) {
			skey, vkey, err := checkpoint.GenerateKey(checkpoint.Ed25519, "tessera.example.com/log")
			if err != nil {
				t.Fatal(err)
			}
			w := peers.StartSteno(t, bin, "steno.example.com", []string{"ed25519", "ml-dsa-44"}, vkey)
			cosigner := must(checkpoint.NewVerifier(w.VKeys[i]))
			if cosigner.Algorithm() != algorithm {
				t.Fatalf("key %d is of %s", i, cosigner.Algorithm())
			}
			log := peers.StartTessera(t, skey, fmt.Sprintf("witness w %s %s\nquorum w\n", cosigner, w.URL))
			for size := uint64(1); size < 4; size++ {
				if _, err := log.Add(t.Context(), fmt.Appendf(nil, "leaf %d", size)); err != nil {
					t.Fatalf("%v\n%s", err, log.Output())
				}
				cosignedBy(t, published(t, log, must(checkpoint.NewVerifier(vkey)), size), vkey, cosigner.String())
			}
		})
	}
}

// published waits for a checkpoint of a size.
func published(t *testing.T, log *peers.Log, v note.Verifier, size uint64) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		b, err := log.Checkpoint(ctx)
		if err != nil && !errors.Is(err, peers.ErrNothing) {
			t.Fatalf("waiting for size %d: %v\n%s", size, err, log.Output())
		}
		if n, err := note.Open(b, note.VerifierList(v)); err == nil && must(checkpoint.Parse(n.Text)).Size >= size {
			return b
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// cosignedBy holds a checkpoint to a log's signature and a witness's cosignature, by transparency-dev's verifiers and by ours.
func cosignedBy(t *testing.T, published []byte, vkey, cosigner string) {
	t.Helper()
	for name, verifiers := range map[string][]note.Verifier{
		"theirs": {must(note.NewVerifier(vkey)), must(f_note.NewVerifierForCosignatureV1(cosigner))},
		"ours":   {must(checkpoint.NewVerifier(vkey)), must(checkpoint.NewVerifier(cosigner))},
	} {
		if n, err := note.Open(published, note.VerifierList(verifiers...)); err != nil || len(n.Sigs) != 2 {
			t.Errorf("%s: %v\n%s", name, err, published)
		}
	}
}
