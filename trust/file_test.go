package trust_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
)

// A trustVector is one of docs/spec/vectors/trust.json.
type trustVector struct {
	Name    string `json:"name"`
	Trust   string `json:"trust"`
	Accept  bool   `json:"accept"`
	Reason  string `json:"reason,omitempty"`
	Digest  string `json:"sha256,omitempty"` // from here on, of an accepted one
	Origin  string `json:"origin,omitempty"`
	Version uint64 `json:"version,omitempty"`
	Quorum  string `json:"quorum,omitempty"` // in words, by operators
	Overlap bool   `json:"overlap,omitempty"`
	Stamps  int    `json:"stamps,omitempty"`

	Authorities []string `json:"authorities,omitempty"` // their names
	Algorithms  []string `json:"algorithms,omitempty"`  // their names, days and marks

	errorHas string
}

const trustAbout = "Trust files, steno/trust/v1 and v2: trust is the file. A refused one must be refused as a whole, for the reason. " +
	"quorum is in words, with operators for witnesses; overlap says that any two quorums have an operator in common; stamps, how many of the authorities must bound a time; algorithms, which of them end in time stamps, when, and whether they are broken."

func (w *world) make(change func(*trust.Config)) *trust.Trust {
	c := w.config()
	if change != nil {
		change(&c)
	}
	return must(trust.Make(c))
}

func (w *world) policy(lines ...string) []byte {
	s := "log " + w.log.Verifier().String() + "\n"
	for _, l := range lines {
		if n, ok := strings.CutPrefix(l, "w:"); ok {
			l = "witness " + n + " " + w.vkey(n)
		}
		s += l + "\n"
	}
	return []byte(s)
}

func accepted(name, reason string, tr *trust.Trust) trustVector {
	v := trustVector{
		Name: name, Trust: string(tr.Marshal()), Accept: true, Reason: reason, Digest: fmt.Sprintf("%x", tr.Digest()),
		Origin: tr.Origin, Version: tr.Version, Quorum: tr.QuorumWords(), Overlap: tr.Overlap(), Stamps: tr.Stamps(),
	}
	for _, a := range tr.Authorities() {
		v.Authorities = append(v.Authorities, a.Name)
	}
	for _, a := range tr.Algorithms {
		mark := map[bool]string{true: " broken"}[a.Broken]
		v.Algorithms = append(v.Algorithms, a.Name+" "+a.End.Format(time.DateOnly)+mark)
	}
	return v
}

func trustVectors(w *world) []trustVector {
	return slices.Concat(acceptedTrusts(w), acceptedAuthorities(w), acceptedAlgorithms(w), refusedTrusts(w), refusedAuthorities(w), refusedAlgorithms(w))
}

func acceptedTrusts(w *world) []trustVector {
	old := "steno/trust/v1\nlog " + w.log.Verifier().String() + "\nreceived " + w.received + "\nsystem " + w.system + "\nenroller " + w.enroller.Verifier().String() + "\n"
	return []trustVector{
		accepted("version 1 of the format", "it is still read", must(trust.Parse([]byte(old)))),
		accepted("2 of 3", "", w.make(nil)),
		accepted("no witnesses and no signers", "", w.make(func(c *trust.Config) {
			c.Operators, c.Signers, c.Threshold, c.Policy = nil, nil, 0, w.policy("quorum none")
		})),
		accepted("two keys of an operator in one group", "", must(trust.Make(w.pqConfig()))),
		accepted("1 of 2", "two operators need have nothing in common", w.make(func(c *trust.Config) {
			c.Operators, c.Policy = c.Operators[:2], w.policy("w:w1", "w:w2", "group g any w1 w2", "quorum g")
		})),
		accepted("a group of groups", "", w.make(func(c *trust.Config) {
			c.Policy = w.policy("w:w1", "w:w2", "w:w3", "group g any w2 w3", "group all all w1 g", "quorum all")
		})),
		accepted("windows of every role", "", w.make(func(c *trust.Config) {
			c.Version, c.Previous = 2, [32]byte{7}
			c.Received, c.System = append(c.Received, w.received2), append(c.System, w.system2)
			c.Enrollers = append(c.Enrollers, w.enroller2.Verifier().String())
			c.Policy = append([]byte("log "+w.log2.Verifier().String()+"\n"), c.Policy...)
			c.Windows = []trust.Window{
				{Role: trust.RoleLog, Key: w.log.Verifier().String(), Until: 900},
				{Role: trust.RoleLog, Key: w.log2.Verifier().String(), From: 800, Until: trust.NoEnd},
				{Role: trust.RoleWitness, Key: w.vkey("w3"), From: 500, Until: trust.NoEnd},
				{Role: trust.RoleReceived, Key: w.received2, From: 100, Until: trust.NoEnd},
				{Role: trust.RoleSystem, Key: w.system2, From: 100, Until: 1<<63 - 1},
				{Role: trust.RoleEnroller, Key: w.enroller2.Verifier().String(), Until: 500, Compromised: true},
				{Role: trust.RoleRecorder, Key: w.recorder, Until: 0, Compromised: true},
			}
		})),
	}
}

// refusedTrusts are made of a good file by one change each.
func refusedTrusts(w *world) []trustVector {
	base := string(w.make(func(c *trust.Config) {
		c.Version, c.Previous = 2, [32]byte{7}
		c.Windows = []trust.Window{{Role: trust.RoleEnroller, Key: c.Enrollers[0], Until: 500}, {Role: trust.RoleWitness, Key: w.vkey("w1"), Until: 500}}
	}).Marshal())
	pq := string(must(trust.Make(w.pqConfig())).Marshal())
	var v []trustVector
	refuse := func(in, name, reason, errorHas, from, to string) {
		changed := strings.Replace(in, from, to, 1)
		if changed == in {
			panic(name + ": nothing was changed")
		}
		v = append(v, trustVector{Name: name, Trust: changed, Reason: reason, errorHas: errorHas})
	}
	bad := func(name, reason, errorHas, from, to string) { refuse(base, name, reason, errorHas, from, to) }
	enroller, ada, grace := w.enroller.Verifier().String(), w.signers[0].Verifier().String(), w.signers[1].Verifier().String()
	window := "window enroller " + enroller + " 0 500\n"

	bad("another format", "", "line 1", "steno/trust/v2", "steno/trust/v3")
	bad("no version", "", "version", "version 2\n", "")
	bad("version 0", "", "version", "version 2\n", "version 0\n")
	bad("version with a leading zero", "one spelling", "not in order", "version 2\n", "version 02\n")
	bad("version with a plus", "one spelling", "line 2: not a number", "version 2\n", "version +2\n")
	bad("version 2^63", "", "line 2", "version 2\n", "version 9223372036854775808\n")
	bad("two versions", "", "not in order", "version 2\n", "version 2\nversion 2\n")
	bad("previous of version 1", "there is none before", "not in order", "version 2\n", "version 1\n")
	bad("no previous", "version 2 has one", "not in order", line(base, "previous"), "")
	bad("previous that is not canonical", "", "line 3", "AAA=\n", "AAB=\n")
	bad("threshold 0", "", "not in order", "threshold 2\n", "threshold 0\n")
	bad("no threshold with signers", "", "threshold", "threshold 2\n", "")
	bad("threshold over the signers", "", "threshold 4 of 3", "threshold 2\n", "threshold 4\n")
	bad("threshold negative", "", "not in order", "threshold 2\n", "threshold -1\n")
	bad("threshold with a leading zero", "one spelling", "not in order", "threshold 2\n", "threshold 02\n")
	bad("signers out of order", "one spelling", "ascending", "signer "+ada+"\nsigner "+grace+"\n", "signer "+grace+"\nsigner "+ada+"\n")
	bad("signer twice", "it would count twice", "ascending", "signer "+ada+"\n", "signer "+ada+"\nsigner "+ada+"\n")
	bad("signer under a second name", "it would count twice", "two lines", "signer "+ada+"\n", "signer "+fixed(ed, "acme/a", "ada").Verifier().String()+"\nsigner "+ada+"\n")
	bad("signer that is the log", "the operator would update what it is judged by", "two lines", "signer "+ada+"\n", "signer "+fixed(ed, "acme/compliance/ada", "log").Verifier().String()+"\n")
	bad("enroller that is a witness", "one key has one purpose", "two lines", "enroller "+enroller+"\n", "enroller "+fixed(ed, "acme/enroller", "w1").Verifier().String()+"\n")
	bad("no enroller", "", "enroller keys", line(base, "enroller"), "")
	bad("no receipts", "", "received keys", line(base, "received"), "")
	bad("no system key", "", "system keys", line(base, "system"), "")
	bad("receipts of another log", "", "not named", line(base, "received"), "received "+must(otherReceived())+"\n")
	bad("enroller with a key of order one", "anybody signs by it", "small order", "enroller "+enroller+"\n", "enroller "+vkey("acme/enroller", "\x01", append([]byte{1}, make([]byte, 31)...))+"\n")
	bad("kinds out of order", "one spelling", "not in order", line(base, "received")+line(base, "system"), line(base, "system")+line(base, "received"))
	bad("witness without an operator", "", "has no operator", line(base, "operator"), "")
	bad("operator without witnesses", "", "not in order", "operator ngo w3\n", "operator ngo\n")
	bad("operator of an unknown witness", "", "no witness of the policy", "operator ngo w3\n", "operator ngo w3 w9\n")
	bad("operator of a group", "", "no witness of the policy", "operator ngo w3\n", "operator ngo two w3\n")
	bad("witness of two operators", "", "has an operator", "operator ngo w3\n", "operator ngo w2 w3\n")
	bad("operator twice", "", "ascending", "operator ngo w3\n", "operator bank w3\n")
	bad("operators out of order", "one spelling", "ascending", "operator auditor w1\noperator bank w2\n", "operator bank w2\noperator auditor w1\n")
	bad("operator with two votes", "its keys are not one group's members", "count twice", "operator bank w2\noperator ngo w3\n", "operator bank w2 w3\n")
	refuse(pq, "operator with more than a group", "w1 has a vote of its own", "count twice", "group auditor any w1 pq1\ngroup bank any w2 pq2\ngroup both all auditor bank\n", "group auditor any pq1\ngroup bank any w2 pq2\ngroup both all auditor bank w1\n")
	refuse(pq, "another's key in an operator's group", "", "count twice", "group auditor any w1 pq1\ngroup bank any w2 pq2\n", "group auditor any w1 pq1 w2\ngroup bank any pq2\n")
	refuse(pq, "operator's witnesses out of order", "one spelling", "ascending", "operator auditor pq1 w1\n", "operator auditor w1 pq1\n")
	bad("windows out of order", "one spelling", "ascending", window+line(base, "window witness"), line(base, "window witness")+window)
	bad("window twice", "", "ascending", window, window+window)
	bad("two windows of a key", "", "has another", window, window+"window enroller "+enroller+" 1 500\n")
	bad("window of a key that is not here", "", "no enroller key", window, "window enroller "+w.enroller2.Verifier().String()+" 0 500\n")
	bad("window of a key in another role", "", "no system key", window, "window system "+enroller+" 0 500\n")
	bad("window of a signer", "no such role", "no signer key", window, "window signer "+ada+" 0 500\n")
	bad("window that ends before it begins", "", "before it begins", window, "window enroller "+enroller+" 501 500\n")
	bad("window with a leading zero", "one spelling", "leading zeros", window, "window enroller "+enroller+" 00 500\n")
	bad("window to 2^63", "", "2^63", window, "window enroller "+enroller+" 0 9223372036854775808\n")
	bad("window without an end", "a hyphen is one", "words", window, "window enroller "+enroller+" 0\n")
	bad("window with another mark", "", "compromised", window, "window enroller "+enroller+" 0 500 lost\n")
	bad("compromised without an end", "", "has an end", window, "window enroller "+enroller+" 0 - compromised\n")
	bad("recorder's key that is none", "", "verifier key", window, window+"window recorder acme/bot+00000000+AQ== 0 500\n")
	bad("recorder's key with windows under two names", "they could differ", "has another", window, window+
		"window recorder "+w.recorder+" 0 500\nwindow recorder "+fixed(ed, "acme/other", "bot").Verifier().String()+" 0 600\n")
	refuse(base, "a quorum that can't be reached", "two of three witnesses are compromised", "can't make the quorum", line(base, "window witness"),
		sorted("window witness "+w.vkey("w1")+" 0 500 compromised\n", "window witness "+w.vkey("w2")+" 0 500 compromised\n"))
	refuse(pq, "another requirement", "", "only ml-dsa-44", "require ml-dsa-44", "require ml-dsa-87")
	refuse(pq, "two requirements", "", "more than 1", "require ml-dsa-44 2028-01-01\n", "require ml-dsa-44 2027-01-01\nrequire ml-dsa-44 2028-01-01\n")
	refuse(pq, "requirement from no day", "", "YEAR-MONTH-DAY", "2028-01-01", "2028-02-30")
	refuse(pq, "requirement without zeros", "one spelling", "YEAR-MONTH-DAY", "2028-01-01", "2028-1-1")
	refuse(pq, "requirement before 1970", "a cosignature's time is no less than zero", "before 1970", "2028-01-01", "1969-12-31")
	refuse(pq, "requirement that the log can't meet", "it has no such key", "log has no such key", "log "+w.logPQ.Verifier().String()+"\n", "")
	bad("requirement that witnesses can't meet", "", "no such key", "policy\n", "require ml-dsa-44 2028-01-01\npolicy\n")
	refuse(pq, "requirement that the quorum can't meet", "bank has Ed25519 alone", "can't make the quorum", "group bank any w2 pq2\n", "group bank all w2 pq2\n")
	bad("empty line", "", "begins with none", "version 2\n", "version 2\n\n")
	bad("comment", "only the policy has some", "begins with none", "version 2\n", "# comment\nversion 2\n")
	bad("carriage returns", "", "line 1", "v2\n", "v2\r\n")
	bad("two spaces", "", "line 4: not a number", "threshold 2", "threshold  2")
	bad("no policy", "", "no line", "policy\n", "")
	bad("policy that is refused", "see policy.json", "threshold", "group two 2 ", "group two 0 ")
	bad("keys of two logs", "", "two logs", "policy\n", "policy\nlog "+fixed(ed, "other.example", "log 2").Verifier().String()+"\n")
	bad("no key of the log", "", "no Ed25519 key", "log "+w.log.Verifier().String()+"\n", "")
	refuse(pq, "no Ed25519 key of the log", "", "no Ed25519 key", "log "+w.log.Verifier().String()+"\n", "")
	bad("log and witness with one name and key ID", "no note that one of them signs can be read", "could be read", w.log.Verifier().String(),
		fixed(ed, origin, "collide log 55869").Verifier().String())
	last := &v[len(v)-1]
	last.Trust = strings.Replace(last.Trust, "witness w3 "+w.vkey("w3"), "witness w3 "+fixed(edCosi, origin, "collide witness 22604").Verifier().String(), 1)
	old := "steno/trust/v1\nlog " + w.log.Verifier().String() + "\nreceived " + w.received + "\nsystem " + w.system + "\nenroller " + enroller + "\n"
	refuse(old, "version 1 with an authority", "", "none of log", "enroller", line(string(w.make(authorities).Marshal()), "authority")+"enroller")
	refuse(old, "version 1 with ML-DSA", "", "plain Ed25519", w.log.Verifier().String(), w.logPQ.Verifier().String())
	refuse(old, "version 1 with two keys", "", "2 logs", "received", "log "+w.log2.Verifier().String()+"\nreceived")
	refuse(old, "version 1 with a window", "", "none of log", "enroller", "window enroller "+enroller+" 0 500\nenroller")
	return v
}

func otherReceived() (string, error) {
	_, v, err := generateReceived("log.example/other", "other received")
	return v, err
}

// line is the first line that begins with a word.
func line(in, word string) string {
	for l := range strings.Lines(in) {
		if strings.HasPrefix(l, word+" ") {
			return l
		}
	}
	panic("no line " + word)
}

func sorted(a, b string) string {
	if a > b {
		a, b = b, a
	}
	return a + b
}

func TestTrustVectors(t *testing.T) {
	w := newWorld()
	made := trustVectors(w)
	plain := make([]trustVector, len(made))
	for i, v := range made {
		v.errorHas = ""
		plain[i] = v
	}
	for i, v := range vectors(t, "trust.json", "steno/vectors/trust/v1", trustAbout, plain, true) {
		tr, err := trust.Parse([]byte(v.Trust))
		if (err == nil) != v.Accept {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if err != nil {
			if !strings.Contains(err.Error(), made[i].errorHas) {
				t.Errorf("%s: refused for another reason: %v", v.Name, err)
			}
			continue
		}
		if got := accepted(v.Name, v.Reason, tr); !reflect.DeepEqual(got, v) {
			t.Errorf("%s: read as %+v", v.Name, got)
		}
	}
}

// TestLinesAreBounded: a file may be long, and must not make work before it is refused.
func TestLinesAreBounded(t *testing.T) {
	w := newWorld()
	base := string(w.make(nil).Marshal())
	for word, most := range map[string]int{"signer": 64, "received": 64, "system": 64, "enroller": 64, "operator": 256} {
		bad := strings.Replace(base, "version 1\n", "version 1\n"+strings.Repeat(word+" x\n", most+1), 1)
		if _, err := trust.Parse([]byte(bad)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d", most)) {
			t.Errorf("%s: %v", word, err)
		}
	}
	bad := strings.Replace(base, "version 1\n", "version 1\n"+strings.Repeat("window recorder x 0 1\n", 1025), 1)
	if _, err := trust.Parse([]byte(bad)); err == nil || !strings.Contains(err.Error(), "more than 1024") {
		t.Errorf("windows: %v", err)
	}
	authority := line(string(w.make(authorities).Marshal()), "authority")
	bad = strings.Replace(base, "policy\n", strings.Repeat(authority, 17)+"policy\n", 1)
	if _, err := trust.Parse([]byte(bad)); err == nil || !strings.Contains(err.Error(), "more than 16") {
		t.Errorf("authorities: %v", err)
	}
	if _, err := trust.Parse(append([]byte(base), bytes.Repeat([]byte("#\n"), trust.MaxFile/2)...)); err == nil {
		t.Error("a file without end")
	}
}

// TestMakeWritesWhatItWasGiven: a word that holds more lines must not become them.
func TestMakeWritesWhatItWasGiven(t *testing.T) {
	w := newWorld()
	window := trust.Window{Role: trust.RoleRecorder, Key: w.recorder, Until: 5}
	for name, change := range map[string]func(*trust.Config){
		"operator":  func(c *trust.Config) { c.Operators[2].Name = "ngo w3\nwindow" },
		"space":     func(c *trust.Config) { c.Operators[2].Name = "ngo w3" },
		"empty":     func(c *trust.Config) { c.Operators[2].Name = "" },
		"witness":   func(c *trust.Config) { c.Operators[0].Witnesses = []string{"w1 w3"} },
		"enroller":  func(c *trust.Config) { c.Enrollers[0] += "\nenroller " + w.enroller2.Verifier().String() },
		"window":    func(c *trust.Config) { window.Key += " 0 5\n"; c.Windows = append(c.Windows, window) },
		"role":      func(c *trust.Config) { c.Windows = append(c.Windows, trust.Window{Role: "recorder x", Key: "y"}) },
		"authority": func(c *trust.Config) { authorities(c); c.Authorities[0].Name = "tsa.example 2026-01-01" },
		"policies":  func(c *trust.Config) { authorities(c); c.Authorities[0].Policies = []string{"1.2 -"} },
		"require": func(c *trust.Config) {
			c.Require = []trust.Requirement{{Algorithm: "ml-dsa-44 2028-01-01\npolicy", From: time.Now()}}
		},
	} {
		c := w.config()
		change(&c)
		if _, err := trust.Make(c); err == nil || !strings.Contains(err.Error(), "not a word") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := w.config()
	before := fmt.Sprint(c)
	if _, err := trust.Make(c); err != nil || fmt.Sprint(c) != before {
		t.Errorf("%v, or the configuration was changed", err)
	}
}

func FuzzParse(f *testing.F) {
	w := newWorld()
	for _, v := range trustVectors(w) {
		f.Add([]byte(v.Trust))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := trust.Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(tr.Marshal(), b) {
			t.Fatal("accepted what it would not write")
		}
		if tr.Version == 0 {
			return // of version 1 of the format
		}
		again, err := trust.Make(tr.Config)
		if err != nil || !bytes.Equal(again.Marshal(), b) {
			t.Fatalf("one configuration has two spellings, or none: %v", err)
		}
		for _, v := range tr.LogVerifiers() {
			if v.Name() != tr.Origin || v.Algorithm() == checkpoint.CosignatureEd25519 {
				t.Fatalf("a log key %s", v)
			}
		}
	})
}
