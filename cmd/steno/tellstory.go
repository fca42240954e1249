package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/internal/safe"
)

const (
	previewBytes = 400
	clockLayout  = "15:04:05.000000"
	indent       = "                 " // as wide as the clock and two spaces
)

// A teller writes a story for people. Whatever agents and servers wrote is escaped.
type teller struct {
	b    strings.Builder
	full bool
	day  string
}

func (t *teller) line(format string, args ...any) {
	for i, a := range args {
		args[i] = safe.Text(fmt.Sprint(a))
	}
	fmt.Fprintf(&t.b, format+"\n", args...)
}

func (s story) text(w io.Writer, full bool) error {
	t := &teller{full: full}
	t.head(s)
	for _, step := range s.Steps {
		t.step(step)
	}
	t.foot(s)
	if _, err := io.WriteString(w, t.b.String()); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

func (t *teller) head(s story) {
	r := s.Session
	t.line("session    %s", r.Session)
	t.line("verdict    %s", r.Verdict)
	t.line("agent      %s, privilege %s, outcome %s", orNone(r.Agent), orNone(r.Privilege), orNone(r.Outcome))
	for _, track := range r.Tracks {
		t.line("track      %s: %s events, %s (%s), signed by the %s with key %s", track.Track, track.Events, track.Vantage, track.Capture,
			track.SignedBy, track.Recorder)
	}
	seen := ""
	for i, c := range s.Proven.Cosigned {
		seen += []string{", cosigned by ", ", "}[min(i, 1)] + c.Witness
	}
	t.line("proven     under the log's checkpoint of size %s%s", s.Proven.Size, seen)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (t *teller) step(s step) {
	at := s.Time.Time()
	if day := at.Format("2006-01-02"); day != t.day {
		t.day = day
		t.b.WriteString("\n" + day + " UTC\n")
	}
	who := s.Track
	if s.Vantage == byTheLog {
		who = "(the log)"
	}
	t.line("%s  %s  %s  %s", at.Format(clockLayout), fmt.Sprintf("%-10s", who), fmt.Sprintf("%-13s", s.Vantage), string(s.Type)+membersOf(s.Event))
	for _, p := range s.Payloads {
		t.payload(p)
	}
}

func (t *teller) payload(p sealedPayload) {
	switch {
	case len(p.Segments) == 0:
		t.line(indent+"%s: sealed, %s, %s bytes of ciphertext (%s), commitment %s", p.Slot, p.Media, p.Sealed,
			strings.Join(p.Classes, ", "), orNone(p.Commitment))
		if p.Problem != "" {
			t.line(indent+"  not opened: %s", p.Problem)
		}
	default:
		t.line(indent+"%s: %s", p.Slot, t.preview(p))
	}
}

// preview joins what was opened. Bytes that are not text are shown as quoted by safe.Text.
func (t *teller) preview(p sealedPayload) string {
	var b strings.Builder
	for _, s := range p.Segments {
		switch {
		case !s.Known:
			b.WriteString("[sealed]")
		case s.Text != "":
			b.WriteString(s.Text)
		default:
			b.Write(s.Bytes)
		}
		if !t.full && b.Len() > previewBytes {
			break
		}
	}
	whole := b.String()
	if t.full || len(whole) <= previewBytes {
		return whole
	}
	return strings.ToValidUTF8(whole[:previewBytes], "") + " … (--full shows all of it)"
}

func (t *teller) foot(s story) {
	r := s.Session
	if len(r.Gaps)+len(r.Alerts) > 0 {
		t.b.WriteString("\n")
	}
	for _, g := range r.Gaps {
		seq := ""
		if g.Seq != nil {
			seq = fmt.Sprintf(" at %d", *g.Seq)
		}
		t.line("gap        %s%s%s%s", g.Kind, prefixed(" on track ", g.Track), seq, prefixed(", action ", g.Action))
	}
	for _, a := range r.Alerts {
		t.line("alert      %s (%s), log index %s", a.Alert, a.Severity, a.Index)
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// membersOf are the clear members of an event, in its order. What is for machines is left to --json.
func membersOf(event []byte) string {
	dec := json.NewDecoder(bytes.NewReader(event))
	if _, err := dec.Token(); err != nil {
		return ""
	}
	var b strings.Builder
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return ""
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return ""
		}
		if v := memberText(fmt.Sprint(name), value); v != "" {
			fmt.Fprintf(&b, "  %s %s", name, v)
		}
	}
	return b.String()
}

// memberText is a member's value in words, "" for one that is not shown.
func memberText(name string, value json.RawMessage) string {
	switch name {
	case "event", "time", "session", "vantage", "keys", "enrolment", "checkpoint", "key", "mac", "event_id", "open", "previous", "main":
		return ""
	case "outcome":
		var o entry.Outcome
		if json.Unmarshal(value, &o) == nil {
			return fmt.Sprintf("transport %s, protocol %s, tool %s", o.Transport, o.Protocol, o.Tool)
		}
	case "tracks":
		return listText(value, func(e entry.TrackEnd) string { return fmt.Sprintf("%s (%d events)", e.Track, e.Next) })
	case "refs":
		return listText(value, func(r entry.ExternalRef) string { return fmt.Sprintf("%s:%s:%s", r.System, r.Type, r.ID) })
	case "because", "inputs":
		return listText(value, func(r entry.Ref) string { return fmt.Sprintf("%s/%d", r.Track, r.Seq) })
	}
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	var p entry.Payload
	if json.Unmarshal(value, &p) == nil && (p.Commitment != nil || p.Parts != nil) {
		return "" // it has lines of its own
	}
	return string(value)
}

func listText[T any](value json.RawMessage, text func(T) string) string {
	var all []T
	if err := json.Unmarshal(value, &all); err != nil {
		return string(value)
	}
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = text(v)
	}
	return strings.Join(words, ", ")
}
