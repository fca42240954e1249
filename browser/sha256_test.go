package browser_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stenolog/steno/internal/need"
)

// TestHashesAreSHA256 of every length around the ends of blocks, as bytes and as binary strings.
func TestHashesAreSHA256(t *testing.T) {
	const script = `
		import { hexOf } from './bytes.mjs';
		import { digest } from './sha256.mjs';
		for (let n = 0; n <= 20000; n += n < 300 ? 1 : 997) {
			const b = Uint8Array.from({ length: n }, (_, i) => (i * 7 + n) % 256);
			const s = Array.from(b, (c) => String.fromCharCode(c)).join('');
			console.log(n, hexOf(digest(b)), hexOf(digest(s)));
		}`
	modules(t, "sha256.mjs")
	cmd := exec.Command(need.Program(t, "node"), "--input-type=module", "-e", script)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		var n int
		var ofBytes, ofString string
		if _, err := fmt.Sscan(line, &n, &ofBytes, &ofString); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		for i := range n {
			b.WriteByte(byte(i*7 + n))
		}
		want := sha256.Sum256(b.Bytes())
		if hex.EncodeToString(want[:]) != ofBytes || ofBytes != ofString {
			t.Errorf("of %d bytes: %s and %s, want %x", n, ofBytes, ofString, want)
		}
	}
	if len(lines) < 300 {
		t.Errorf("%d lengths", len(lines))
	}
}
