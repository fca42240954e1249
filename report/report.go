// Package report writes the page of an evidence file that people read, on paper: report.html. It describes what stands in the
// file, in the order in which a court would ask: what this is and how to verify it, who handed it over and what was withheld,
// then each session, event by event.
//
// The page proves nothing and says so first. Whoever makes an evidence file controls what it says, so that it has no verdict of
// its own, no mark that could be taken for one, and no colour. No verifier reads it.
//
// What agents, exporters and others wrote is text in it: escaped, and with everything made visible that would hide, move or
// reorder what stands beside it (see internal/safe). There is no script in it and nothing from elsewhere, and its
// Content-Security-Policy allows neither. The same case always gives the same bytes.
package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/trust"
)

// Limits of a page. What is left out is said in its place.
const (
	maxPage    = 16 << 20 // bytes: what an evidence file may have of it
	maxEvents  = 2000     // of a session, that are described one by one
	maxContent = 2 << 10  // bytes of a payload that are shown
	maxLines   = 48       // of those
	maxSaid    = 1000     // bytes of any other text that others wrote
	maxRows    = 1024     // of any other table
)

// A Case is what there is to report of.
type Case struct {
	Report  evidence.Report   // of the file, as its maker verified it
	Custody *evidence.Custody // nil if there is no custody record
	Bundle  *evidence.Bundle
	Trust   *trust.Trust // by which Report was made
	Made    string       // with what and when the page is made, in words
}

//go:embed page.html
var page string

//go:embed page.css
var style string

// HTML writes the page. It loads the leaves of the bundle one after the other, once to see what there is and once more those
// that it describes, and needs memory for the page and some bytes for each leaf.
func HTML(w io.Writer, c Case) error {
	if c.Bundle == nil || c.Trust == nil {
		return errors.New("making a report: no bundle, or no trust file")
	}
	if fmt.Sprintf("%x", c.Trust.Digest()) != c.Report.TrustDigest {
		return errors.New("making a report: the verification was not made by this trust file")
	}
	t, err := template.New("report").Parse(page)
	if err != nil {
		return fmt.Errorf("making a report: %w", err)
	}
	s := &sheet{t: t, left: maxPage}
	if err := s.write(&c); err != nil {
		return fmt.Errorf("making a report: %w", err)
	}
	if _, err := w.Write(s.out.Bytes()); err != nil {
		return fmt.Errorf("writing a report: %w", err)
	}
	return nil
}

// A sheet is a page in the making, and how many bytes may still be added.
type sheet struct {
	t    *template.Template
	out  bytes.Buffer
	left int
}

// render makes a piece of the page, by the template of that name.
func (s *sheet) render(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := s.t.ExecuteTemplate(&b, name, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// put adds a piece if it and keep bytes more have room, and tells whether it has.
func (s *sheet) put(piece []byte, keep int) bool {
	if len(piece)+keep > s.left {
		return false
	}
	s.out.Write(piece)
	s.left -= len(piece)
	return true
}

// write makes the first and the last part, which have what matters most, and fills the room between them with sessions.
func (s *sheet) write(c *Case) error {
	contents, err := read(c)
	if err != nil {
		return err
	}
	first, err := s.render("first", firstOf(c, contents))
	if err != nil {
		return err
	}
	last, err := s.render("last", lastOf(c))
	if err != nil {
		return err
	}
	if !s.put(first, len(last)) {
		return fmt.Errorf("%d bytes before and after the sessions, at most %d", len(first)+len(last), maxPage)
	}
	s.left -= len(last)
	if err := s.sessions(c, contents); err != nil {
		return err
	}
	s.out.Write(last)
	return nil
}

// styleOf is the style with what stands in the margins of every sheet of paper. A browser takes no style but the one whose
// hash the policy names.
func styleOf(c *Case) (css template.CSS, policy string) {
	mark := "Report on evidence"
	if c.Custody != nil {
		mark = "Exhibit " + inMargin(c.Custody.Exhibit)
		if c.Custody.Matter != "" {
			mark += ", matter " + inMargin(c.Custody.Matter)
		}
	}
	text := style + fmt.Sprintf("@page {\n  @top-left { content: \"%s\"; }\n  @bottom-left { content: \"%s\"; }\n}\n", mark, inMargin(c.Bundle.Origin))
	hash := sha256.Sum256([]byte(text))
	// The text is ours but for ids, whose every character inMargin has judged.
	return template.CSS(text), "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"
}

// inMargin is an id or origin as a string of CSS can hold it, and short enough for a margin.
func inMargin(s string) string {
	const most = 48
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case i == most:
			return b.String() + "..."
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("._:/+-", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
