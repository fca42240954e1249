package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// checkpointChecks are about the text of the checkpoint. All are signed by the log.
func checkpointChecks() []check {
	text := func(id, says string, w want, change func(s *subject, origin, size, root string) string) check {
		return check{id: id, says: says, wants: w, ask: func(s *subject) request {
			r := s.next(3)
			line := strings.Split(r.text, "\n")
			return r.signed(change(s, line[0], line[1], line[2]), s.signers[0])
		}}
	}
	const saysSize = "tlog-checkpoint: the ASCII decimal representation of the number of leaves in the tree, with no leading zeroes"
	const saysRoot = "tlog-checkpoint: the base64 encoding of the root of the RFC 6962 Merkle hash tree"
	const saysBits = " (RFC 4648: decoders MAY reject pad bits that are not zero)"
	const saysNote = "signed-note: Signed notes MUST be valid UTF-8 and MUST NOT contain any ASCII control characters (those below U+0020) other than newline"
	return []check{
		text("size-leading-zero", saysSize, refused(400), func(s *subject, origin, size, root string) string {
			return checkpointText(origin, "0"+size, root)
		}),
		text("size-plus", saysSize, refused(400), func(s *subject, origin, size, root string) string {
			return checkpointText(origin, "+"+size, root)
		}),
		text("root-31-bytes", saysRoot, refused(400), func(s *subject, origin, size, root string) string {
			return checkpointText(origin, size, root[:40]+"AA==")
		}),
		text("root-trailing-bits", saysRoot+saysBits, open(400), func(s *subject, origin, size, root string) string {
			return checkpointText(origin, size, trailingBits(root))
		}),
		text("two-lines", "tlog-checkpoint: The note text is a sequence of at least three non-empty lines", refused(400),
			func(s *subject, origin, size, root string) string { return origin + "\n" + size + "\n" }),
		text("empty-extension", "tlog-checkpoint: Extension lines, if any, MUST be non-empty", refused(400),
			func(s *subject, origin, size, root string) string {
				return checkpointText(origin, size, root) + "\nextension\n"
			}),
		text("control-character", saysNote, refused(400), func(s *subject, origin, size, root string) string {
			return checkpointText(origin, size, root) + "an\textension\n"
		}),
		text("not-utf-8", saysNote, refused(400), func(s *subject, origin, size, root string) string {
			return checkpointText(origin, size, root) + "\xff\xfe\n"
		}),
		impossible("size-2^63", "9223372036854775808"),
		impossible("size-2^64", "18446744073709551616"),
		{id: "extension", expect: "200", probe: extension,
			says: "tlog-cosignature: Extension lines MAY be included in the checkpoint by the log, and if present MUST be included in the cosigned message"},
	}
}

// impossible is a checkpoint of a size that no proof of ours leads to.
func impossible(id, size string) check {
	return check{id: id, wants: refused(400), says: saysProof + "; no tree has so many leaves",
		ask: func(s *subject) request {
			r := s.next(3)
			r.history = nil
			return r.signed(checkpointText(s.origin, size, s.history.root(1).String()), s.signers[0])
		}}
}

// extension is a checkpoint with extension lines, which an Ed25519 cosignature covers and an ML-DSA-44 one does not.
func extension(ctx context.Context, p *prober, s *subject) result {
	r := s.next(3)
	r = r.signed(r.text+"an extension\nanother one\n", s.signers[0])
	a, err := p.add(ctx, r.body())
	if err != nil {
		return failed("closed", "%v", err)
	}
	res := p.compare(status(200), s, r, a, nil)
	if a.status == http.StatusOK {
		s.moved(r, a.body)
	} else if !slices.ContainsFunc(p.keys, func(k witnessKey) bool { return !k.postQuantum }) {
		res.verdict, res.why = deviates, "it has no key whose cosignature would cover the lines"
	}
	return res
}

// sigs is a check with other lines under a good checkpoint.
func sigs(id, says string, w want, change func(s *subject, text, good string) string) check {
	return check{id: id, says: says, wants: w, ask: func(s *subject) request {
		r := s.next(3)
		r.sigs = change(s, r.text, r.sigs)
		return r
	}}
}

// bad is a key's signature of something else.
func bad(k note.Signer) string {
	return signatureLine(k.Name(), k.KeyHash(), must(k.Sign([]byte("x\n1\n"+emptyRoot+"\n"))))
}

const saysBad = "403 Forbidden (…) if (…) a signature line's key name and ID match a trusted key but the signature itself fails to verify"

// signatureChecks are about the lines under the checkpoint.
func signatureChecks() []check { return slices.Concat(refusedSignatures(), ignoredSignatures()) }

func refusedSignatures() []check {
	const saysTrusted = "The witness MUST respond with a \"403 Forbidden\" HTTP status code if either no signature from a trusted key for the origin is present"
	const saysOrigin = "If the checkpoint origin is unknown, the witness MUST respond with a \"404 Not Found\" HTTP status code"
	const saysMalformed = "signed-note: one or more signature lines of this form: em dash, space, key name, space, base64-encoded signature, newline; the encoding of 4+n bytes"
	sigs := func(id, says string, w want, change func(s *subject, text, good string) string) check {
		return check{id: id, says: says, wants: w, ask: func(s *subject) request {
			r := s.next(3)
			r.sigs = change(s, r.text, r.sigs)
			return r
		}}
	}
	bad := func(k note.Signer) string {
		return signatureLine(k.Name(), k.KeyHash(), must(k.Sign([]byte("x\n1\n"+emptyRoot+"\n"))))
	}
	return []check{
		{id: "unknown-origin", says: saysOrigin, wants: status(404), ask: func(s *subject) request {
			k := newStranger("unknown." + s.origin)
			return s.next(3).signed(checkpointText(k.name, "3", s.history.root(3).String()), k)
		}},
		{id: "unknown-origin-known-key", says: saysOrigin, wants: status(404), ask: func(s *subject) request {
			return s.next(3).signed(checkpointText("unknown."+s.origin, "3", s.history.root(3).String()), s.signers[0])
		}},
		sigs("unsigned", saysTrusted, either(403, 400), func(*subject, string, string) string { return "" }),
		sigs("unknown-key", saysTrusted, status(403), func(s *subject, text, _ string) string {
			return signatures(text, newStranger(s.origin))
		}),
		sigs("same-key-other-name", saysTrusted, status(403), func(s *subject, text, _ string) string {
			k := s.signers[0]
			return signatureLine("other."+s.origin, k.KeyHash(), must(k.Sign([]byte(text))))
		}),
		sigs("same-key-other-id", saysTrusted, status(403), func(s *subject, text, _ string) string {
			k := s.signers[0]
			return signatureLine(s.origin, k.KeyHash()+1, must(k.Sign([]byte(text))))
		}),
		sigs("bad-signature", saysBad, status(403), func(s *subject, _, _ string) string { return bad(s.signers[0]) }),
		sigs("short-signature", saysBad, status(403), func(s *subject, _, _ string) string {
			return signatureLine(s.origin, s.signers[0].KeyHash(), make([]byte, 63))
		}),
		sigs("bad-before-good", saysBad, status(403), func(s *subject, _, good string) string { return bad(s.signers[0]) + good }),
		sigs("bad-after-good", saysBad, status(403), func(s *subject, _, good string) string { return good + bad(s.signers[0]) }),
		sigs("malformed-line", saysMalformed, refused(400), func(_ *subject, _, good string) string { return good + "— example.com/x AAAA*AAA\n" }),
		sigs("malformed-short", saysMalformed, refused(400), func(_ *subject, _, good string) string { return good + "— example.com/x AAAA\n" }),
		sigs("malformed-hyphen", saysMalformed, refused(400), func(_ *subject, _, good string) string {
			return good + strings.Replace(good, "—", "-", 1)
		}),
		sigs("no-last-newline", saysMalformed, refused(400), func(_ *subject, _, good string) string { return strings.TrimSuffix(good, "\n") }),
	}
}

func ignoredSignatures() []check {
	const saysIgnore = "it MUST ignore signatures from unknown keys"
	return []check{
		sigs("unknown-ignored", saysIgnore, status(200), func(s *subject, text, good string) string {
			k := newStranger(s.origin)
			return signatures(text, newStranger("example.com/x")) + good + signatureLine(k.name, k.id, make([]byte, 64))
		}),
		sigs("own-key-garbage", saysIgnore+": the witness's own is none of the log's", status(200), func(s *subject, _, good string) string {
			return good + garbled(string(s.lines))
		}),
		sigs("cosigned-already", "The submitted checkpoint MAY include multiple signatures", status(200),
			func(s *subject, _, good string) string { return good + string(s.lines) }),
		sigs("sixteen", "signed-note: MUST accept at least up to 16 signatures", status(200), func(_ *subject, text, good string) string {
			return fifteen(64) + good
		}),
		sigs("sixteen-ml-dsa", "signed-note: MUST accept at least up to 16 signatures. Remember that post-quantum signatures can be up to nearly 5kB in size",
			status(200), func(_ *subject, text, good string) string { return good + fifteen(8+2420) }),
		{id: "second-key", keys: 2, wants: status(200),
			says: "The witness MUST verify the checkpoint signature against the public key(s) it trusts for the checkpoint origin",
			ask: func(s *subject) request {
				r := s.next(3)
				return r.signed(r.text, s.signers[1])
			}},
		{id: "second-key-bad", keys: 2, says: saysBad, wants: status(403), ask: func(s *subject) request {
			r := s.next(3)
			r.sigs += bad(s.signers[1])
			return r
		}},
	}
}

// garbled are signature lines with another signature in them, by the same keys.
func garbled(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		at := len(line) - 20
		digit := "A"
		if line[at] == 'A' {
			digit = "B"
		}
		b.WriteString(line[:at] + digit + line[at+1:])
	}
	return b.String()
}

// fifteen are signatures of so many bytes by keys that nobody knows.
func fifteen(size int) string {
	var b strings.Builder
	for i := range 15 {
		k, sig := newStranger(fmt.Sprintf("w%d.example.com/x", i)), make([]byte, size)
		must(rand.Read(sig))
		b.WriteString(signatureLine(k.name, k.id, sig))
	}
	return b.String()
}
