package trust_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
)

// A policyVector is one of docs/spec/vectors/policy.json.
type policyVector struct {
	Name   string          `json:"name"`
	Policy string          `json:"policy,omitempty"`
	Bytes  []byte          `json:"policy_base64,omitempty"` // instead, where it is not UTF-8
	Accept bool            `json:"accept"`
	Reason string          `json:"reason,omitempty"`
	Quorum []quorumOutcome `json:"quorum,omitempty"` // of an accepted one

	errorHas string // of the error here
}

type quorumOutcome struct {
	Cosigned  []string `json:"cosigned"` // names, all others have not
	Satisfied bool     `json:"satisfied"`
}

func yes(names ...string) quorumOutcome { return quorumOutcome{append([]string{}, names...), true} }
func no(names ...string) quorumOutcome  { return quorumOutcome{append([]string{}, names...), false} }

const policyAbout = "Policies of https://c2sp.org/tlog-policy (2026-07). policy is the file, in policy_base64 if it is not UTF-8. " +
	"A refused one must be refused as a whole, for the reason; of an accepted one, quorum says for sets of witness names whether " +
	"cosignatures by exactly those satisfy it."

func policyVectors(w *world) []policyVector {
	log := "log " + w.log.Verifier().String() + "\n"
	wit := func(n string) string { return "witness " + n + " " + w.vkey(n) + "\n" }
	three := log + wit("w1") + wit("w2") + wit("w3")
	ok := func(name, reason, policy string, q ...quorumOutcome) policyVector {
		return policyVector{Name: name, Policy: policy, Accept: true, Reason: reason, Quorum: q}
	}
	bad := func(name, reason, errorHas, policy string) policyVector {
		return policyVector{Name: name, Policy: policy, Reason: reason, errorHas: errorHas}
	}
	id := strings.Split(w.vkey("w1"), "+")
	v := []policyVector{
		ok("no log, quorum none", "only the quorum is mandatory", "quorum none\n", yes()),
		ok("one witness", "a quorum can be a witness", log+wit("w1")+"quorum w1\n", no(), yes("w1")),
		ok("2 of 3", "", three+"group g 2 w1 w2 w3\nquorum g\n", no(), no("w1"), yes("w1", "w3"), yes("w1", "w2", "w3")),
		ok("any", "k = 1", three+"group g any w1 w2 w3\nquorum g\n", no(), yes("w2")),
		ok("all", "k = n", three+"group g all w1 w2 w3\nquorum g\n", no("w1", "w3"), yes("w1", "w2", "w3")),
		ok("groups of groups", "", three+wit("w4")+"group a any w1 w2\ngroup b any w3 w4\ngroup g all a b\nquorum g\n", no("w1", "w2"), yes("w2", "w4")),
		ok("a witness outside of the quorum", "it does not count", three+"group g all w1 w2\nquorum g\n", no("w1", "w3"), yes("w1", "w2")),
		ok("quorum none with witnesses", "nothing is demanded", three+"quorum none\n", yes(), yes("w1")),
		ok("group of one", "n >= 1", three+"group g 1 w1\nquorum g\n", no("w2"), yes("w1")),
		ok("two logs", "a checkpoint of any of the logs is valid", log+"log "+fixed(ed, "other.example", "log 2").Verifier().String()+"\nquorum none\n", yes()),
		ok("two keys of one log", "they are two lines", log+"log "+w.log2.Verifier().String()+"\nquorum none\n", yes()),
		ok("ML-DSA-44 keys", "type 0x06 suits a log and a witness", "log "+w.logPQ.Verifier().String()+"\n"+wit("pq1")+"quorum pq1\n", no(), yes("pq1")),
		ok("one key for log and witness", "keys are duplicate within log lines and within witness lines", log+"witness w "+fixed(edCosi, "w", "log").Verifier().String()+"\nquorum w\n", no(), yes("w")),
		ok("tabs, leading and trailing white space", "white space is space and tab", "\t"+strings.ReplaceAll(log, " ", "\t \t")+" \t"+wit("w1")+"quorum \t w1\t\n", yes("w1")),
		ok("empty lines and comments", "ignored, also after white space", "# one\n \t# two\n\n \t\n"+log+"#quorum w1\nquorum none\n", yes()),
		ok("number sign within names", "a comment begins a line", log+"witness a#b "+w.vkey("w1")+"\ngroup #g any a#b\nquorum #g\n", no(), yes("a#b")),
		ok("keywords as names", "only none is predefined", three+"group any any w1\ngroup all all w2\ngroup quorum 2 any all\nquorum quorum\n", no("w1"), yes("w1", "w2")),
		ok("a number as a name", "", log+"witness 2 "+w.vkey("w1")+"\ngroup 1 1 2\nquorum 1\n", no(), yes("2")),
		ok("quorum before other lines", "it needs its own name alone before it", wit("w1")+"quorum w1\n"+wit("w2")+log, no("w2"), yes("w1")),
		ok("Kelvin sign and K", "names are octets", log+"witness K "+w.vkey("w1")+"\nwitness \u212a "+w.vkey("w2")+"\ngroup g all K \u212a\nquorum g\n", no("K"), no("\u212a"), yes("K", "\u212a")),
		ok("composed and decomposed", "names are octets", log+"witness \u00e9 "+w.vkey("w1")+"\nwitness e\u0301 "+w.vkey("w2")+"\nquorum e\u0301\n", no("\u00e9"), yes("e\u0301")),
		ok("upper and lower case", "names are octets", log+"witness W "+w.vkey("w1")+"\nwitness w "+w.vkey("w2")+"\nquorum W\n", no("w"), yes("W")),
		ok("NONE", "is not none", log+"witness NONE "+w.vkey("w1")+"\nquorum NONE\n", no(), yes("NONE")),
		ok("no-break space in a name", "white space is ASCII alone", log+"witness a\u00a0b "+w.vkey("w1")+"\nquorum a\u00a0b\n", no(), yes("a\u00a0b")),
		ok("next line and line separator in a comment", "lines end at 0x0A alone", "# a\u0085quorum none\u2028quorum none\n"+log+wit("w1")+"quorum w1\n", no(), yes("w1")),
		{Name: "comment that is not UTF-8", Bytes: []byte("# \xff\xfe\n" + log + "quorum none\n"), Accept: true, Reason: "0x80-0xFF are allowed", Quorum: []quorumOutcome{yes()}},
		ok("URLs", "opaque", strings.TrimSuffix(log, "\n")+" https://log.example/\n"+strings.TrimSuffix(wit("w1"), "\n")+" no:url#at+all\nquorum w1\n", no(), yes("w1")),
		ok("32 logs, witnesses and groups", "SHOULD be supported", many(32), no(), no("w0"), yes("w31")),
		ok("31 levels of groups", "no recursion limit below that of groups", deep(wit("w1"), 31), no(), yes("w1")),

		bad("empty", "no quorum line", "no quorum", ""),
		bad("only a line end", "no quorum line", "no quorum", "\n"),
		bad("no quorum", "exactly one quorum line", "no quorum", three+"group g 2 w1 w2 w3\n"),
		bad("no final line feed", "each line is terminated", "line feed", log+"quorum none"),
		bad("two quorums", "exactly one quorum line", "second quorum", three+"quorum w1\nquorum w2\n"),
		bad("quorum twice the same", "exactly one quorum line", "second quorum", three+"quorum w1\nquorum w1\n"),
		bad("quorum none twice", "exactly one quorum line", "second quorum", log+"quorum none\nquorum none\n"),
		bad("quorum none and another", "exactly one quorum line", "second quorum", three+"quorum none\nquorum w1\n"),
		bad("quorum of an undefined name", "defined on a preceding line", "not defined", three+"quorum w9\n"),
		bad("quorum before its name", "defined on a preceding line", "not defined", log+"quorum w1\n"+wit("w1")),
		bad("quorum without a name", "", "not «quorum", log+"quorum\n"),
		bad("quorum with two names", "", "not «quorum", three+"quorum w1 w2\n"),
		bad("comment after a quorum", "a comment is a line", "not «quorum", log+"quorum none # nothing\n"),
		bad("threshold 0", "1 <= k <= n", "threshold", three+"group g 0 w1 w2 w3\nquorum g\n"),
		bad("threshold over n", "1 <= k <= n", "threshold", three+"group g 4 w1 w2 w3\nquorum g\n"),
		bad("threshold negative", "1 <= k <= n", "threshold", three+"group g -1 w1 w2 w3\nquorum g\n"),
		bad("threshold with a leading zero", "not as decimals are written", "threshold", three+"group g 02 w1 w2 w3\nquorum g\n"),
		bad("threshold with a plus", "not as decimals are written", "threshold", three+"group g +2 w1 w2 w3\nquorum g\n"),
		bad("threshold in hexadecimal", "decimal", "threshold", three+"group g 0x2 w1 w2 w3\nquorum g\n"),
		bad("threshold with an underscore", "decimal", "threshold", three+"group g 0_2 w1 w2 w3\nquorum g\n"),
		bad("threshold in other digits", "decimal", "threshold", three+"group g \u0662 w1 w2 w3\nquorum g\n"),
		bad("threshold 2^32 + 1", "1 <= k <= n", "threshold", three+"group g 4294967297 w1 w2 w3\nquorum g\n"),
		bad("threshold 2^64 + 1", "1 <= k <= n", "threshold", three+"group g 18446744073709551617 w1 w2 w3\nquorum g\n"),
		bad("threshold ANY", "any, all or decimal", "threshold", three+"group g ANY w1 w2 w3\nquorum g\n"),
		bad("group without members", "n >= 1", "not «group", three+"group g all\nquorum g\n"),
		bad("group any without members", "n >= 1", "not «group", three+"group g any\nquorum g\n"),
		bad("group without a threshold", "", "threshold", three+"group g w1 w2 w3\nquorum g\n"),
		bad("2 of a a", "each name is a member at most once", "member already", three+"group g 2 w1 w1\nquorum g\n"),
		bad("name in two groups", "each name is a member at most once", "member already", three+"group g all w1 w2\ngroup h all w1 w3\ngroup q any g h\nquorum q\n"),
		bad("group in two groups", "each name is a member at most once", "member already", three+"group g all w1 w2\ngroup h any g\ngroup q any g h\nquorum q\n"),
		bad("group in itself", "defined on a preceding line", "not defined", three+"group g any w1 g\nquorum g\n"),
		bad("circle of groups", "defined on a preceding line", "not defined", three+"group g any h\ngroup h any g\nquorum g\n"),
		bad("forward reference", "defined on a preceding line", "not defined", log+wit("w1")+"group g any w1 w2\n"+wit("w2")+"quorum g\n"),
		bad("member that is not defined", "defined on a preceding line", "not defined", three+"group g any w1 w9\nquorum g\n"),
		bad("none as a member", "none is invalid as a member", "not defined", three+"group g any w1 none\nquorum g\n"),
		bad("witness named none", "none is predefined", "predefined", log+"witness none "+w.vkey("w1")+"\nquorum none\n"),
		bad("group named none", "none is predefined", "predefined", three+"group none any w1\nquorum none\n"),
		bad("two witnesses of one name", "one namespace", "is defined", log+wit("w1")+"witness w1 "+w.vkey("w2")+"\nquorum w1\n"),
		bad("witness and group of one name", "one namespace", "is defined", three+"group w1 all w2 w3\nquorum w1\n"),
		bad("two groups of one name", "one namespace", "is defined", three+"group g any w1\ngroup g any w2\nquorum g\n"),
		bad("group and later witness of one name", "one namespace", "is defined", log+wit("w1")+"group w2 any w1\n"+wit("w2")+"quorum w2\n"),
		bad("one witness key twice", "the same public key", "stands in an earlier", log+wit("w1")+"witness again "+w.vkey("w1")+"\nquorum w1\n"),
		bad("one witness key under two key names", "the same public key though name and ID differ", "stands in an earlier", log+wit("w1")+"witness w2 "+fixed(edCosi, "other.example/w", "w1").Verifier().String()+"\ngroup g 2 w1 w2\nquorum g\n"),
		bad("one log key twice", "the same public key", "stands in an earlier", log+log+"quorum none\n"),
		bad("one log key under two origins", "the same public key", "stands in an earlier", log+"log "+fixed(ed, "other.example", "log").Verifier().String()+"\nquorum none\n"),
		bad("log of type 0x04", "a witness's type", "witness's, not a log's", "log "+fixed(edCosi, origin, "log").Verifier().String()+"\nquorum none\n"),
		bad("witness of type 0x01", "a log's type", "makes no cosignatures", log+"witness w "+fixed(ed, "w", "w1").Verifier().String()+"\nquorum w\n"),
		bad("witness without a key", "", "not «witness", log+"witness w\nquorum none\n"),
		bad("witness without a name", "the key is taken for a name", "not «witness", log+"witness "+w.vkey("w1")+"\nquorum none\n"),
		bad("witness with two URLs", "", "not «witness", log+strings.TrimSuffix(wit("w1"), "\n")+" https://a/ https://b/\nquorum w1\n"),
		bad("log with two URLs", "", "not «log", strings.TrimSuffix(log, "\n")+" https://a/ https://b/\nquorum none\n"),
		bad("log without a key", "", "not «log", "log\nquorum none\n"),
		bad("upper-case key ID", "vkeys have lower-case hex", "one spelling", log+"witness w1 "+id[0]+"+"+strings.ToUpper(id[1])+"+"+strings.Join(id[2:], "+")+"\nquorum w1\n"),
		bad("key ID of another key", "it is that of name and key", "does not match", log+"witness w1 "+id[0]+"+00000001+"+strings.Join(id[2:], "+")+"\nquorum w1\n"),
		bad("key that is no point of use", "a point of small order: anybody signs by it", "small order", log+"witness w "+vkey("w", "\x04", append([]byte{1}, make([]byte, 31)...))+"\nquorum w\n"),
		bad("comment behind a keyword", "a comment begins a line", "begins with none", log+"quorum#w1\nquorum none\n"),
		bad("unknown line", "", "begins with none", log+"witnesses w1\nquorum none\n"),
		bad("upper-case line", "", "begins with none", log+"Quorum none\n"),
		bad("carriage returns", "0x0D is not allowed", "0x0d", strings.ReplaceAll(log+"quorum none\n", "\n", "\r\n")),
		bad("carriage return in a comment", "0x0D is not allowed", "0x0d", "# a\r\n"+log+"quorum none\n"),
		bad("nul in a comment", "0x00 is not allowed", "0x00", "# \x00\n"+log+"quorum none\n"),
		bad("escape in a name", "0x1B is not allowed", "0x1b", log+"witness \x1b[2J "+w.vkey("w1")+"\nquorum none\n"),
		bad("delete in a name", "0x7F is not allowed", "0x7f", log+"witness a\x7f "+w.vkey("w1")+"\nquorum none\n"),
		bad("vertical tab as white space", "0x0B is not allowed", "0x0b", log+"quorum\vnone\n"),
		bad("form feed as white space", "0x0C is not allowed", "0x0c", log+"quorum\fnone\n"),
		bad("no-break space as white space", "white space is ASCII alone", "begins with none", log+"quorum\u00a0none\n"),
		bad("byte order mark", "octets of a word", "begins with none", "\ufeffquorum none\n"),
	}
	return v
}

// many is a policy of n logs, n witnesses, and n groups of one witness each, of which any suffices.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "log %s\n", fixed(ed, "log.example/many", fmt.Sprint("log ", i)).Verifier())
		fmt.Fprintf(&b, "witness w%d %s\n", i, fixed(edCosi, "w", fmt.Sprint("witness ", i)).Verifier())
	}
	for i := range n - 1 {
		fmt.Fprintf(&b, "group g%d any w%d\n", i+1, i+1)
	}
	b.WriteString("group q any")
	for i := range n - 1 {
		fmt.Fprintf(&b, " g%d", i+1)
	}
	b.WriteString("\nquorum q\n")
	return b.String()
}

func deep(first string, n int) string {
	s := first + "group g0 any w1\n"
	for i := range n {
		s += fmt.Sprintf("group g%d all g%d\n", i+1, i)
	}
	return s + fmt.Sprintf("quorum g%d\n", n)
}

func among(names []string) func(string) bool {
	return func(w string) bool {
		for _, n := range names {
			if n == w {
				return true
			}
		}
		return false
	}
}

func TestPolicyVectors(t *testing.T) {
	made := policyVectors(newWorld())
	// What stays out of the JSON is put back from the table.
	read := vectors(t, "policy.json", "steno/vectors/policy/v1", policyAbout, withoutErrors(made), true)
	for i, v := range read {
		b := v.Bytes
		if b == nil {
			b = []byte(v.Policy)
		}
		p, err := trust.ParsePolicy(b)
		if (err == nil) != v.Accept {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if err != nil && !strings.Contains(err.Error(), made[i].errorHas) {
			t.Errorf("%s: refused for another reason: %v", v.Name, err)
		}
		if v.Accept && len(v.Quorum) == 0 {
			t.Errorf("%s: accepted, and nothing said about it", v.Name)
		}
		for _, q := range v.Quorum {
			if got := p.Satisfied(among(q.Cosigned)); got != q.Satisfied {
				t.Errorf("%s: cosigned by %q: %v", v.Name, q.Cosigned, got)
			}
		}
	}
}

func withoutErrors(made []policyVector) []policyVector {
	out := make([]policyVector, len(made))
	for i, v := range made {
		v.errorHas = ""
		out[i] = v
	}
	return out
}

func TestPolicyIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "witness w%d %s\n", i, fixed(edCosi, "w", fmt.Sprint("witness ", i)).Verifier())
	}
	if _, err := trust.ParsePolicy([]byte(b.String() + "quorum none\n")); err == nil || !strings.Contains(err.Error(), "256 witnesses") {
		t.Errorf("300 witnesses: %v", err)
	}
	if _, err := trust.ParsePolicy([]byte(deep("witness w1 "+newWorld().vkey("w1")+"\n", 300))); err == nil || !strings.Contains(err.Error(), "256 groups") {
		t.Errorf("300 groups: %v", err)
	}
	if _, err := trust.ParsePolicy(bytes.Repeat([]byte("# comment\n"), trust.MaxFile/10+1)); err == nil {
		t.Error("a policy without end")
	}
}

// A drawnPolicy is one of random witnesses and nested groups.
type drawnPolicy struct {
	text, urls string // without and with URLs
	names      []string
	signers    map[string]*checkpoint.Signer
}

func drawPolicy(t *rapid.T) drawnPolicy {
	d := drawnPolicy{signers: map[string]*checkpoint.Signer{}}
	var free []string
	for i := range rapid.IntRange(1, 7).Draw(t, "witnesses") {
		n := fmt.Sprint("w", i)
		s := fixed(edCosi, "witness.example/"+n, n)
		d.names, free, d.signers[n] = append(d.names, n), append(free, n), s
		d.text += fmt.Sprintf("witness %s %s\n", n, s.Verifier())
		d.urls += fmt.Sprintf("witness %s %s https://%s.example/\n", n, s.Verifier(), n)
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "groups") {
		if len(free) == 0 {
			break
		}
		free = rapid.Permutation(free).Draw(t, "order")
		n := rapid.IntRange(1, len(free)).Draw(t, "members")
		members := free[:n]
		k := rapid.SampledFrom([]string{"any", "all", fmt.Sprint(rapid.IntRange(1, n).Draw(t, "k"))}).Draw(t, "threshold")
		line := fmt.Sprintf("group g%d %s %s\n", i, k, strings.Join(members, " "))
		d.text, d.urls = d.text+line, d.urls+line
		free = append(append([]string{}, free[n:]...), fmt.Sprint("g", i))
	}
	line := "quorum " + rapid.SampledFrom(append(free, "none")).Draw(t, "quorum") + "\n"
	d.text, d.urls = d.text+line, d.urls+line
	return d
}

// What another reader and this one both take means the same to both.
func TestPolicyAgreesWithFormats(t *testing.T) {
	text := checkpoint.Checkpoint{Origin: origin, Size: 3}.Text()
	log := newWorld().log
	rapid.Check(t, func(t *rapid.T) {
		d := drawPolicy(t)
		ours, err := trust.ParsePolicy([]byte(d.urls))
		if err != nil {
			t.Fatalf("%v\n%s", err, d.urls)
		}
		theirs, err := formats.ParsePolicy([]byte(d.urls))
		if err != nil {
			t.Fatal(err)
		}
		signers := []note.Signer{log}
		var cosigned []string
		for _, n := range d.names {
			if rapid.Bool().Draw(t, n) {
				cosigned, signers = append(cosigned, n), append(signers, d.signers[n])
			}
		}
		signed := must(note.Sign(&note.Note{Text: text}, signers...))
		if a, b := ours.Satisfied(among(cosigned)), theirs.Satisfied(signed); a != b {
			t.Fatalf("%q: ours says %v, the other %v\n%s", cosigned, a, b, d.urls)
		}
	})
}

// TestPolicySatisfiedIsMonotone: one more cosignature unmeets no quorum; none at all meets none but none.
func TestPolicySatisfiedIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawPolicy(t)
		p := must(trust.ParsePolicy([]byte(d.text)))
		if p.Satisfied(among(nil)) != (p.Quorum == "none") {
			t.Fatalf("nobody has cosigned\n%s", d.text)
		}
		if quorum := among(d.names); !p.Satisfied(quorum) {
			t.Fatalf("everybody has cosigned\n%s", d.text)
		}
		checkMonotone(t, p, rapid.Permutation(d.names).Draw(t, "order"))
	})
}

func checkMonotone(t interface{ Fatalf(string, ...any) }, p *trust.Policy, order []string) {
	met := false
	for i := range len(order) + 1 {
		now := p.Satisfied(among(order[:i]))
		if met && !now {
			t.Fatalf("%q meets it, %q no more", order[:i-1], order[:i])
		}
		met = now
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, v := range policyVectors(newWorld()) {
		if v.Bytes == nil {
			v.Bytes = []byte(v.Policy)
		}
		f.Add(v.Bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := trust.ParsePolicy(b)
		if err != nil {
			return
		}
		var names []string
		for _, w := range p.Witnesses {
			names = append(names, w.Name)
		}
		checkMonotone(t, p, names)
		if !p.Satisfied(func(string) bool { return true }) {
			t.Fatal("no set of witnesses satisfies it")
		}
		if p.Quorum != "none" && p.Satisfied(func(string) bool { return false }) {
			t.Fatal("satisfied by nobody")
		}
		for _, c := range b {
			if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
				t.Fatalf("a control character was accepted in %s", base64.StdEncoding.EncodeToString(b))
			}
		}
	})
}
