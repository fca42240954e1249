package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

const (
	saysConflict = "If it doesn't match, the witness MUST respond with a \"409 Conflict\" (…). The response body MUST consist of the tree size of the latest cosigned checkpoint in decimal, followed by a newline (…) `Content-Type` of `text/x.tlog.size`"
	saysProof    = "if a Merkle Consistency Proof doesn't verify, the witness MUST respond with a \"422 Unprocessable Entity\""
	saysSameSize = "If the old size matches the checkpoint size, the witness MUST check that the root hashes are also identical. If they don't match, the witness MUST respond with a \"422 Unprocessable Entity\""
	saysSuccess  = "If all the checks above pass, the witness MUST update its record of the latest cosigned checkpoint and respond with a \"200 Success\""
)

// sizeChecks are about the old size.
func sizeChecks() []check {
	return []check{
		{id: "old-above-size", wants: status(400),
			says: "The old size MUST be equal to or lower than the checkpoint size. Otherwise, the witness MUST respond with a \"400 Bad Request\"",
			ask:  func(s *subject) request { return s.to(s.history, s.size, s.size-1) }},
		{id: "old-above-all", wants: either(400, 409),
			says: "The old size MUST be equal to or lower than the checkpoint size. Otherwise, (…) \"400 Bad Request\"; an old size that isn't the witness's: \"409 Conflict\"",
			ask:  func(s *subject) request { return s.to(s.history, s.size+9, s.size+4) }},
		{id: "old-zero", wants: status(409), says: saysConflict,
			ask: func(s *subject) request { return s.to(s.history, 0, s.size+2) }},
		{id: "old-below", wants: status(409), says: saysConflict,
			ask: func(s *subject) request { return s.to(s.history, s.size-1, s.size+2) }},
		{id: "old-above", wants: status(409), says: saysConflict,
			ask: func(s *subject) request { return s.to(s.history, s.size+1, s.size+2) }},
		{id: "size-below", wants: status(409), says: saysConflict,
			ask: func(s *subject) request { return s.to(s.history, s.size-2, s.size-1) }},
		{id: "old-below-forked", wants: status(409), says: saysConflict,
			ask: func(s *subject) request { return s.to(s.history.fork(s.size-2), s.size-1, s.size) }},
		{id: "update", wants: status(200), says: saysSuccess, ask: func(s *subject) request { return s.next(1) }},
		{id: "same-size-again", says: saysSuccess, expect: "200, not dated before", probe: sameAgain},
		{id: "many-sizes", says: saysSuccess, expect: "200, each", probe: manySizes},
	}
}

// sameAgain has one checkpoint cosigned twice.
func sameAgain(ctx context.Context, p *prober, s *subject) result {
	var last int64
	for _, r := range []request{s.next(1), s.to(s.history, s.size+1, s.size+1)} {
		a, err := p.add(ctx, r.body())
		if err != nil || a.status != http.StatusOK {
			return failed(fmt.Sprint(a.status), "%v %.60q", err, a.body)
		}
		all, err := p.cosignatures(a.body, r.text)
		if err != nil {
			return failed("200", "%v", err)
		}
		s.moved(r, a.body)
		if all[0].time < last {
			return failed("200", "the second is dated %d s before the first", last-all[0].time)
		}
		last = all[0].time
	}
	return result{passes, "200", ""}
}

// manySizes goes through steps of many widths, from and to every kind of tree.
func manySizes(ctx context.Context, p *prober, s *subject) result {
	for i := range int64(48) {
		r := s.next(1 + i*i%19)
		a, err := p.add(ctx, r.body())
		if err != nil || a.status != http.StatusOK {
			return failed(fmt.Sprint(a.status), "from %d to %d: %v %.60q", s.size, r.size, err, a.body)
		}
		if _, err := p.cosignatures(a.body, r.text); err != nil {
			return failed("200", "from %d to %d: %v", s.size, r.size, err)
		}
		s.moved(r, a.body)
	}
	return result{passes, "200", ""}
}

// proofChecks are about consistency. Every checkpoint in them is of a tree, so that the table can go on from a witness that
// believes it.
func proofChecks() []check {
	bad := func(id, says string, change func(proof []string) []string) check {
		return check{id: id, says: says, wants: status(422), ask: func(s *subject) request {
			r := s.next(7)
			r.proof = change(r.proof)
			return r
		}}
	}
	another := newHistory("another").root(1).String()
	return []check{
		bad("proof-missing", saysProof, func([]string) []string { return nil }),
		bad("proof-flipped", saysProof, func(proof []string) []string { return append([]string{another}, proof[1:]...) }),
		bad("proof-short", saysProof, func(proof []string) []string { return proof[:len(proof)-1] }),
		bad("proof-long", saysProof, func(proof []string) []string { return append(proof, another) }),
		bad("proof-63-lines", "The client MUST NOT send more than 63 consistency proof lines: 63 are good in form, and don't verify",
			func(proof []string) []string { return lines(63, proof, another) }),
		{id: "proof-64-lines", says: "The client MUST NOT send more than 63 consistency proof lines", wants: refused(400),
			ask: func(s *subject) request {
				r := s.next(7)
				r.proof = lines(64, r.proof, another)
				return r
			}},
		{id: "proof-same-size", wants: status(422),
			says: "the consistency proof lines MUST encode a Merkle Consistency Proof from the old size to the checkpoint size according to RFC 6962, which is empty for equal sizes",
			ask: func(s *subject) request {
				r := s.to(s.history, s.size, s.size)
				r.proof = []string{another}
				return r
			}},
		{id: "forked", says: saysProof, wants: status(422),
			ask: func(s *subject) request { return s.to(s.history.fork(s.size-1), s.size, s.size+3) }},
		{id: "forked-our-proof", says: saysProof, wants: status(422),
			ask: func(s *subject) request {
				r := s.to(s.history.fork(s.size-1), s.size, s.size+3)
				r.proof = s.history.proof(s.size, s.size+3)
				return r
			}},
		{id: "same-size-forked", says: saysSameSize, wants: status(422),
			ask: func(s *subject) request { return s.to(s.history.fork(s.size-1), s.size, s.size) }},
	}
}

func lines(n int, proof []string, filler string) []string {
	for len(proof) < n {
		proof = append(proof, filler)
	}
	return proof
}

// formChecks are about the lines before the checkpoint. A witness that cosigns has not checked the form; one that refuses with
// another status than 400 deviates from what the text asks where it names one.
func formChecks() []check {
	const saysOld = "The old size line MUST consist of the string `old`, a single space (0x20), and the tree size of the previous checkpoint encoded as an ASCII decimal with no leading zeroes"
	const saysHash = "Each consistency proof line MUST encode a single hash in base64"
	const saysBody = "The request body MUST be a sequence of an old size line, zero or more consistency proof lines, and an empty line, followed by a checkpoint"
	old := func(id, format string) check {
		return check{id: id, says: saysOld, wants: refused(400), ask: func(s *subject) request {
			r := s.next(3)
			r.old = fmt.Sprintf(format, s.size)
			return r
		}}
	}
	hash := func(id string, change func(line string) string) check {
		return check{id: id, says: saysHash, wants: refused(400), ask: func(s *subject) request {
			r := s.next(3)
			r.proof[0] = change(r.proof[0])
			return r
		}}
	}
	body := func(id, says string, edit func(body string) string) check {
		return check{id: id, says: says, wants: refused(400), ask: func(s *subject) request {
			r := s.next(3)
			r.edit = edit
			return r
		}}
	}
	return []check{
		old("old-leading-zero", "old 0%d"),
		old("old-plus", "old +%d"),
		old("old-two-spaces", "old  %d"),
		old("old-trailing-space", "old %d "),
		old("old-trailing-word", "old %d 1"),
		old("old-no-space", "old%d"),
		old("old-upper-case", "OLD %d"),
		old("old-fullwidth", "old ０%d"),
		old("old-negative", "old -%d"),
		old("old-2^64", "old 184467440737095516%02d"),
		hash("hash-31-bytes", func(line string) string { return line[:40] + "AA==" }),
		hash("hash-33-bytes", func(line string) string { return line[:40] + "AAAAAA==" }),
		hash("hash-no-padding", func(line string) string { return strings.TrimSuffix(line, "=") }),
		laxHash(saysHash),
		hash("hash-trailing-space", func(line string) string { return line + " " }),
		hash("hash-two-on-a-line", func(line string) string { return line + " " + line }),
		body("body-empty", saysBody, func(string) string { return "" }),
		body("body-no-old-line", saysBody, func(body string) string { return body[strings.Index(body, "\n")+1:] }),
		body("body-no-empty-line", saysBody, func(body string) string { return strings.Replace(body, "\n\n", "\n", 1) }),
		body("body-two-empty-lines", saysBody, func(body string) string { return strings.Replace(body, "\n\n", "\n\n\n", 1) }),
		body("body-no-checkpoint", saysBody, func(body string) string { return body[:strings.Index(body, "\n\n")+2] }),
		body("body-crlf", "Each line MUST terminate in a newline character (U+000A)",
			func(body string) string {
				head, note, _ := strings.Cut(body, "\n\n")
				return strings.ReplaceAll(head+"\n\n", "\n", "\r\n") + note
			}),
		body("body-crlf-all", "Each line MUST terminate in a newline character (U+000A)",
			func(body string) string { return strings.ReplaceAll(body, "\n", "\r\n") }),
	}
}

func laxHash(says string) check {
	return check{id: "hash-trailing-bits", wants: open(400), says: says + " (RFC 4648: decoders MAY reject pad bits that are not zero)",
		ask: func(s *subject) request {
			r := s.next(3)
			r.proof[0] = trailingBits(r.proof[0])
			return r
		}}
}

// trailingBits is base64 of the same bytes that an encoder never writes.
func trailingBits(line string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := len(line) - 2 // before the "="
	return line[:at] + string(digits[strings.IndexByte(digits, line[at])+1]) + line[at+1:]
}
