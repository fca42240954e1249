// Command make writes verifier.html anew, and its digest into NEWS.md. "go generate" runs it in the directory verifier.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/stenolog/steno/verifier"
)

const (
	pageFile = "verifier.html"
	newsFile = "../NEWS.md"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run() error {
	page, err := verifier.Build(os.DirFS(".."))
	if err != nil {
		return err
	}
	if err := os.WriteFile(pageFile, page, 0o644); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	news, err := os.ReadFile(newsFile)
	if err != nil {
		return fmt.Errorf("reading the news: %w", err)
	}
	// What is not released yet stands first; digests of releases stay as they are.
	word := []byte("`verifier.html sha256 ")
	at := bytes.Index(news, word) + len(word)
	if at < len(word) || at+64 > len(news) {
		return fmt.Errorf("%s says no digest of the page", newsFile)
	}
	copy(news[at:], fmt.Sprintf("%x", sha256.Sum256(page)))
	if err := os.WriteFile(newsFile, news, 0o644); err != nil {
		return fmt.Errorf("writing the news: %w", err)
	}
	return nil
}
