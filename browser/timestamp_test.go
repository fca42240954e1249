package browser_test

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/timestamp/timestamptest"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// A stamp is a token to judge.
type stamp struct {
	name      string
	token     []byte
	digest    [sha256.Size]byte
	authority timestamp.Authority
}

func stampOf(name string, token []byte, a timestamp.Authority) stamp {
	return stamp{name, token, timestamptest.Digest(), a}
}

// A judgement is what a verifier says of a token: a reason, or what the token says.
type judgement struct {
	Reason   string   `json:"reason,omitempty"`
	Time     string   `json:"time,omitempty"`
	Accuracy string   `json:"accuracy,omitempty"`
	Keys     [][]byte `json:"keys,omitempty"`
	Ends     []string `json:"ends,omitempty"`
}

// notChecked is the reason of what the page can't judge.
const notChecked = "not-checked-here"

func goJudgement(s stamp) judgement {
	t, err := timestamp.Verify(s.token, s.digest, s.authority)
	var refused *timestamp.Error
	if errors.As(err, &refused) {
		return judgement{Reason: string(refused.Reason)}
	}
	j := judgement{Time: nanoseconds(t.Time), Accuracy: strconv.FormatInt(int64(t.Accuracy), 10), Keys: t.Keys}
	for _, e := range t.Ends {
		j.Ends = append(j.Ends, e.Name)
	}
	return j
}

func nanoseconds(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d%09d", t.Unix(), t.Nanosecond())
}

// nodeJudgements are what the page's modules say, all in one run of Node.
func nodeJudgements(t *testing.T, stamps []stamp) (out []judgement) {
	t.Helper()
	type end struct {
		Name   string `json:"name"`
		End    string `json:"end"`
		Broken bool   `json:"broken"`
	}
	cmd := exec.Command(need.Program(t, "node"), modules(t, "stamp.mjs"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer in.Close()
		w := bufio.NewWriter(in)
		for _, s := range stamps {
			a := s.authority
			ends := []end{}
			for _, e := range a.Algorithms {
				ends = append(ends, end{e.Name, nanoseconds(e.End), e.Broken})
			}
			err := json.NewEncoder(w).Encode(map[string]any{"token": append([]byte{}, s.token...), "digest": s.digest[:], "authority": map[string]any{
				"name": a.Name, "certificates": a.Anchors, "from": nanoseconds(a.From), "until": nanoseconds(a.Until), "policies": a.Policies,
				"accuracy": strconv.FormatInt(int64(a.Accuracy), 10), "compromised": nanoseconds(a.Compromised), "algorithms": ends,
			}})
			if err != nil {
				return
			}
		}
		w.Flush()
	}()
	for dec := json.NewDecoder(answers); ; {
		var j judgement
		if err := dec.Decode(&j); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, j)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(out) != len(stamps) {
		t.Fatalf("%d answers on %d tokens", len(out), len(stamps))
	}
	return out
}

// sameJudgements holds both verifiers against each other, but for what the page says that it can't judge, and counts what they say.
func sameJudgements(t *testing.T, stamps []stamp) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for i, js := range nodeJudgements(t, stamps) {
		want := goJudgement(stamps[i])
		if js.Reason == notChecked {
			seen[notChecked]++
			continue
		}
		if diff := cmp.Diff(want, js, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: Go and JavaScript differ:\n%s", stamps[i].name, diff)
		}
		seen[want.Reason]++
	}
	return seen
}

func TestPINNED_badTokensAreRefusedForTheSameReason(t *testing.T) {
	var stamps []stamp
	all := timestamptest.All(t)
	for _, b := range all {
		stamps = append(stamps, stampOf(b.Name, b.Token, b.Authority))
	}
	for i, js := range nodeJudgements(t, stamps) {
		if js.Reason != string(all[i].Reason) {
			t.Errorf("%s: JavaScript says %+v, want %s", all[i].Name, js, all[i].Reason)
		}
	}
}

// goodStamps are one of every accepted kind.
func goodStamps(t *testing.T) (stamps []stamp) {
	add := func(name string, key crypto.Signer, hash crypto.Hash, edit func(*timestamptest.Maker)) {
		m := timestamptest.NewMaker(t)
		m.Key, m.Cert, m.Hash = key, m.CA.Issue(timestamptest.Template(), key.Public()), hash
		edit(m)
		stamps = append(stamps, stampOf(name, m.DER(), m.Authority()))
	}
	rsa, p256 := timestamptest.RSAKey(t, 2048), timestamptest.ECDSAKey(t, elliptic.P256())
	nothing := func(*timestamptest.Maker) {}
	pss := func(m *timestamptest.Maker) { m.PSS = true }
	add("ECDSA P-256", p256, crypto.SHA256, nothing)
	add("ECDSA P-256 SHA-512", p256, crypto.SHA512, nothing)
	add("ECDSA P-384", timestamptest.ECDSAKey(t, elliptic.P384()), crypto.SHA384, nothing)
	add("ECDSA P-384 SHA-256", timestamptest.ECDSAKey(t, elliptic.P384()), crypto.SHA256, nothing)
	add("ECDSA P-521", timestamptest.ECDSAKey(t, elliptic.P521()), crypto.SHA512, nothing)
	add("ECDSA P-521 SHA-256", timestamptest.ECDSAKey(t, elliptic.P521()), crypto.SHA256, nothing)
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		add(fmt.Sprint("RSA PKCS 1 ", h), rsa, h, nothing)
		add(fmt.Sprint("RSA-PSS ", h), rsa, h, pss)
	}
	add("RSA of 3,072 bits", timestamptest.RSAKey(t, 3072), crypto.SHA256, nothing)
	add("RSA of 2,055 bits", timestamptest.RSAKey(t, 2055), crypto.SHA256, pss)
	add("ESSCertID v1", p256, crypto.SHA256, func(m *timestamptest.Maker) { m.V1, m.V2 = true, false })
	add("ESSCertID v1 and v2", p256, crypto.SHA256, func(m *timestamptest.Maker) { m.V1 = true })
	return stamps
}

func TestPINNED_goodTokensSayTheSame(t *testing.T) {
	stamps := goodStamps(t)
	if n := sameJudgements(t, stamps)[""]; n != len(stamps) {
		t.Errorf("%d of %d count", n, len(stamps))
	}
}

// TestPINNED_anyChangedBitOfATokenIsTheSameToBoth flips one bit of each byte of three tokens, and of some of the others.
func TestPINNED_anyChangedBitOfATokenIsTheSameToBoth(t *testing.T) {
	whole := []string{"ECDSA P-384", "RSA-PSS SHA-256", "ESSCertID v1 and v2"}
	var stamps []stamp
	for n, s := range goodStamps(t) {
		step := 9
		if slices.Contains(whole, s.name) && !testing.Short() {
			step = 1
		}
		for i := 0; i < len(s.token); i += step {
			flipped := s
			flipped.name = fmt.Sprintf("%s, bit %d of byte %d", s.name, (i+n)%8, i)
			flipped.token = bytes.Clone(s.token)
			flipped.token[i] ^= 1 << ((i + n) % 8)
			stamps = append(stamps, flipped)
		}
	}
	seen := sameJudgements(t, stamps)
	if seen[""]+seen[notChecked] > 0 {
		t.Errorf("%d count, and %d are not checked", seen[""], seen[notChecked])
	}
	t.Log(len(stamps), "tokens:", seen)
}

// TestPINNED_tokensGiveTheVerdictsOfTheGoVerifier in whole bundles, by trust files that say more and less of authorities.
func TestPINNED_tokensGiveTheVerdictsOfTheGoVerifier(t *testing.T) {
	cases := verifiertest.Tokens(t)
	seen := map[string]int{}
	for i, js := range nodeReports(t, cases) {
		want := goReport(t, cases[i])
		if diff := cmp.Diff(want, js); diff != "" {
			t.Errorf("%s: Go and JavaScript differ:\n%s", cases[i].Name, diff)
		}
		seen[fmt.Sprint(want["verdict"])]++
		for _, a := range want["anchors"].([]any) {
			if reason, refused := a.(map[string]any)["reason"].(string); refused {
				seen[reason]++
			}
		}
	}
	for _, s := range []string{"verified", "failed", "policy-unmet", "absent", "imprint", "not-der", "signature", "chain", "window", "compromised", "policy", "algorithm", "order"} {
		if seen[s] == 0 {
			t.Errorf("no case is %s", s)
		}
	}
	t.Log(len(cases), "cases:", seen)
}

// TestTrustVectorsAreRefusedAlike, whose bundle is of another log.
func TestTrustVectorsAreRefusedAlike(t *testing.T) {
	b, err := os.ReadFile("../docs/spec/vectors/trust.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct {
			Name, Trust string
			Accept      bool
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	l := evidencetest.NewWith(t, "log.test.example/prod", evidencetest.Options{})
	main, _ := verifiertest.Record(l, evidencetest.SessionID(1), 1)
	bundle := verifiertest.File(t, l.Evidence(main.ID))
	var cases []verifiertest.Case
	for _, v := range file.Vectors {
		cases = append(cases, verifiertest.Case{Name: v.Name, Trust: []byte(v.Trust), Bundle: bundle})
	}
	for i, js := range nodeReports(t, cases) {
		if unusable := js["exit"] == 2.0; unusable == file.Vectors[i].Accept {
			t.Errorf("%s: exit %v, of a file to accept: %v", file.Vectors[i].Name, js["exit"], file.Vectors[i].Accept)
		}
	}
}
