package browser_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// goReport is what the Go verifier says, as JSON reads it.
func goReport(t *testing.T, c verifiertest.Case) map[string]any {
	t.Helper()
	var report evidence.Report
	if tr, err := trust.Parse(c.Trust); err != nil {
		report = evidence.UnusableReport(err)
	} else if report, err = evidence.VerifyReader(bytes.NewReader(c.Bundle), int64(len(c.Bundle)), tr, evidence.Options{}); err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(report.JSON(), &out); err != nil {
		t.Fatal(err)
	}
	return shared(out)
}

// shared leaves out of a report what two verifiers may say in other words: details, and the place inside an entry or
// of an error in the archive's structure.
func shared(r map[string]any) map[string]any {
	delete(r, "error")
	delete(r, "not_checked")
	for _, c := range r["checks"].([]any) {
		c := c.(map[string]any)
		delete(c, "detail")
		where, _ := c["where"].(map[string]any)
		delete(where, "member")
		if c["id"] != "bundle" {
			delete(where, "offset")
			delete(where, "event")
		}
	}
	for _, a := range r["anchors"].([]any) {
		delete(a.(map[string]any), "detail")
	}
	for _, s := range r["sessions"].([]any) {
		for _, tr := range s.(map[string]any)["tracks"].([]any) {
			if tr := tr.(map[string]any); tr["repeats"] == 0.0 {
				delete(tr, "repeats")
			}
		}
	}
	return r
}

// nodeReports are what the page's modules say.
func nodeReports(t *testing.T, cases []verifiertest.Case) (reports []map[string]any) {
	t.Helper()
	for _, b := range reportsOf(t, cases) {
		var r map[string]any
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		reports = append(reports, shared(r))
	}
	return reports
}

// reportsOf are so, whole, all in one run of Node.
func reportsOf(t *testing.T, cases []verifiertest.Case) (reports []json.RawMessage) {
	t.Helper()
	dir := t.TempDir()
	var in bytes.Buffer
	for i, c := range cases {
		files := map[string]string{"bundle": filepath.Join(dir, fmt.Sprint(i, ".bundle")), "trust": filepath.Join(dir, fmt.Sprint(i, ".trust"))}
		for kind, content := range map[string][]byte{"bundle": c.Bundle, "trust": c.Trust} {
			if err := os.WriteFile(files[kind], content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		line, err := json.Marshal(files)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := exec.Command(need.Program(t, "node"), modules(t, "judge.mjs"), schema)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var r json.RawMessage
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		reports = append(reports, r)
	}
	if len(reports) != len(cases) {
		t.Fatalf("%d reports on %d bundles", len(reports), len(cases))
	}
	return reports
}

func TestPINNED_verdictsAreThoseOfTheGoVerifier(t *testing.T) {
	cases := verifiertest.Cases(t)
	seen := map[string]int{}
	for i, js := range nodeReports(t, cases) {
		c := cases[i]
		want := goReport(t, c)
		seen[fmt.Sprint(want["verdict"])]++
		switch c.Agree {
		case verifiertest.Nothing:
			if js["verdict"] != "not-checked" || js["exit"] != 3.0 {
				t.Errorf("%s: JavaScript says %v, exit %v, of what it can't check", c.Name, js["verdict"], js["exit"])
			}
			continue
		case verifiertest.Verdicts:
			for _, r := range []map[string]any{want, js} {
				delete(r, "checks")
				delete(r, "checkpoint")
				delete(r, "anchors")
				for _, s := range r["sessions"].([]any) {
					delete(s.(map[string]any), "time")
				}
			}
		}
		if diff := cmp.Diff(want, js); diff != "" {
			t.Errorf("%s: Go and JavaScript differ:\n%s", c.Name, diff)
		}
	}
	for _, v := range []string{"verified", "failed", "policy-unmet", "incomplete", "unusable"} {
		if seen[v] == 0 {
			t.Errorf("no case is %s", v)
		}
	}
	t.Log(len(cases), "cases:", seen)
}

// TestArchivesAreRefusedInTheSameWords, but for what is wrong with a name in a manifest.
func TestArchivesAreRefusedInTheSameWords(t *testing.T) {
	cases := slices.DeleteFunc(verifiertest.Cases(t), func(c verifiertest.Case) bool { return !c.Form || strings.HasPrefix(c.Name, "form: manifest") })
	bundleOf := func(report []byte) evidence.Check {
		var r evidence.Report
		if err := json.Unmarshal(report, &r); err != nil {
			t.Fatal(err)
		}
		return r.Checks[0]
	}
	for i, js := range reportsOf(t, cases) {
		tr, err := trust.Parse(cases[i].Trust)
		if err != nil {
			t.Fatal(err)
		}
		r, err := evidence.VerifyReader(bytes.NewReader(cases[i].Bundle), int64(len(cases[i].Bundle)), tr, evidence.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bundleOf(r.JSON()), bundleOf(js)); diff != "" {
			t.Errorf("%s: Go and JavaScript differ:\n%s", cases[i].Name, diff)
		}
	}
}

// TestPINNED_anyChangedBitIsTheSameToBoth changes a bundle at random, by a fixed seed: half of the changes in the file, half in
// a leaf, the tree, the checkpoint or the custody record, with the archive repaired.
func TestPINNED_anyChangedBitIsTheSameToBoth(t *testing.T) {
	l := evidencetest.NewWith(t, "log.test.example/prod", evidencetest.Options{Witnesses: 2, Quorum: 1})
	l.Record("tsa.example", uint64(len(l.Leaves)), l.Checkpoint(), []byte("no token"))
	main, gateway := verifiertest.Record(l, evidencetest.SessionID(1), 1)
	b := l.Evidence(main.ID)
	verifiertest.Disclose(l, b, gateway, nil)
	b = l.HandOver(b, evidencetest.Custody())
	b.Range, b.Pending = &evidence.Range{From: 1, To: uint64(len(l.Leaves))}, []evidence.CheckID{evidence.CheckTime}
	whole := verifiertest.File(t, b)
	if want := goReport(t, verifiertest.Case{Bundle: whole, Trust: l.Trust.Marshal()}); want["exit"] != 0.0 {
		t.Fatalf("what is to be changed is not right: %v", want)
	}
	tree, leaves, checkpoint, custody := b.Tree, b.Leaves, b.Checkpoint, b.Custody
	r := rand.New(rand.NewPCG(305, 2033))
	var cases []verifiertest.Case
	for i := range 400 {
		c := verifiertest.Case{Name: fmt.Sprint("change ", i), Trust: l.Trust.Marshal()}
		if i%2 == 0 {
			c.Bundle = bytes.Clone(whole)
			c.Bundle[r.IntN(len(whole))] ^= 1 << r.IntN(8)
		} else {
			b.Tree, b.Leaves, b.Checkpoint, b.Custody = slices.Clone(tree), slices.Clone(leaves), checkpoint, custody
			flip := func(content []byte) []byte {
				content = bytes.Clone(content)
				content[r.IntN(len(content))] ^= 1 << r.IntN(8)
				return content
			}
			switch r.IntN(8) {
			case 0:
				b.Checkpoint = flip(b.Checkpoint)
			case 1:
				h := &b.Tree[r.IntN(len(b.Tree))]
				h[r.IntN(len(h))] ^= 1 << r.IntN(8)
			case 2:
				b.Custody = flip(custody)
			default:
				leaf := &b.Leaves[r.IntN(len(b.Leaves))]
				*leaf = evidence.LeafOf(leaf.Index, flip(evidencetest.Content(t, *leaf)))
			}
			c.Bundle = verifiertest.File(t, b)
		}
		cases = append(cases, c)
	}
	for i, js := range nodeReports(t, cases) {
		if diff := cmp.Diff(goReport(t, cases[i]), js); diff != "" {
			t.Errorf("%s: Go and JavaScript differ:\n%s", cases[i].Name, diff)
		}
	}
}

// TestTrustFilesAreRefusedAlike, also by names that every JavaScript object has.
func TestTrustFilesAreRefusedAlike(t *testing.T) {
	l := evidencetest.NewWith(t, "log.test.example/prod", evidencetest.Options{Witnesses: 3, Quorum: 2})
	main, _ := verifiertest.Record(l, evidencetest.SessionID(1), 1)
	bundle := verifiertest.File(t, l.Evidence(main.ID))
	var cases []verifiertest.Case
	for _, threshold := range []string{"any", "all", "1", "01", "+1", "1.0", "0", "2", "constructor", "toString", "__proto__"} {
		for _, name := range []string{"other", "hasOwnProperty", "__proto__", "none"} {
			line := fmt.Sprintf("group %s %s g\n", name, threshold)
			cases = append(cases, verifiertest.Case{Name: line, Bundle: bundle, Trust: append(l.Trust.Marshal(), line...)})
		}
	}
	for i, js := range nodeReports(t, cases) {
		if diff := cmp.Diff(goReport(t, cases[i]), js); diff != "" {
			t.Errorf("%s: Go and JavaScript differ:\n%s", cases[i].Name, diff)
		}
	}
}

// TestWhatIsNotCheckedIsNotPassed: signatures of ML-DSA-44 that nothing hangs on, and would spoil the checkpoint if they were wrong.
func TestWhatIsNotCheckedIsNotPassed(t *testing.T) {
	cases := slices.DeleteFunc(verifiertest.Cases(t), func(c verifiertest.Case) bool { return c.Name != "ml-dsa-44, not needed" })
	js := nodeReports(t, cases)[0]
	for _, c := range js["checks"].([]any) {
		if c := c.(map[string]any); c["id"] == "checkpoint" && c["outcome"] != "not-checked" || js["exit"] != 0.0 {
			t.Errorf("exit %v, %v", js["exit"], c)
		}
	}
}
