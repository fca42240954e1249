package verifier_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stenolog/steno/verifier"
)

// TestThePageIsMadeOfItsSources: who has the sources has the page, byte for byte.
func TestThePageIsMadeOfItsSources(t *testing.T) {
	built, err := verifier.Build(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(built, verifier.Page()) {
		t.Fatalf("verifier.html is not what its sources make: run «go generate ./verifier»")
	}
	news, err := os.ReadFile("../NEWS.md")
	if err != nil || !strings.Contains(string(news), "verifier.html sha256 "+verifier.Digest()) {
		t.Errorf("NEWS.md does not say the page's digest: run «go generate ./verifier» (%v)", err)
	}
	again, err := verifier.Build(os.DirFS(".."))
	if err != nil || !bytes.Equal(built, again) {
		t.Fatalf("a second build gives other bytes: %v", err)
	}
}

// TestThePageNamesNoOtherPlace: nothing in it could be fetched, and no part of it is let in without its hash.
func TestThePageNamesNoOtherPlace(t *testing.T) {
	page := string(verifier.Page())
	for _, word := range []string{"fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "import(", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
		"eval(", "new Function", "src=", "href=", "url(", "unsafe-", "localStorage", "indexedDB", "document.cookie", "Date.now", "new Date()"} {
		if strings.Contains(page, word) {
			t.Errorf("the page contains %q", word)
		}
	}
	if !strings.Contains(page, `content="default-src 'none'; script-src 'sha256-`) {
		t.Error("the page has no policy that lets nothing in")
	}
}
