package browser_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/verifier/verifiertest"
)

// TestPINNED_clocksContradictEachOtherToBoth, in the same words; and what the page can't tell it does not call verified.
func TestPINNED_clocksContradictEachOtherToBoth(t *testing.T) {
	clocks := verifiertest.Clocks(t)
	var cases []verifiertest.Case
	for _, c := range clocks {
		cases = append(cases, c.Case)
	}
	notChecked := 0
	for i, js := range reportsOf(t, cases) {
		c := clocks[i]
		pinned, err := trust.Parse(c.Trust)
		if err != nil {
			t.Fatal(err)
		}
		report, err := evidence.VerifyReader(bytes.NewReader(c.Bundle), int64(len(c.Bundle)), pinned, evidence.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want, got := checkOf(t, report.JSON(), "time"), checkOf(t, js, "time")
		if c.Agree == verifiertest.Nothing {
			notChecked++
			want["outcome"] = "not-checked"
		}
		if diff := cmp.Diff(want, got); diff != "" && c.Agree != verifiertest.Verdicts {
			t.Errorf("%s: Go and JavaScript differ:\n%s", c.Name, diff)
		}
	}
	if notChecked != 3 {
		t.Errorf("%d are not checked", notChecked)
	}
}

// checkOf is all that a report says of a check.
func checkOf(t *testing.T, report []byte, id string) map[string]any {
	t.Helper()
	var r struct{ Checks []map[string]any }
	if err := json.Unmarshal(report, &r); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Checks {
		if c["id"] == id {
			return c
		}
	}
	t.Fatalf("no check %s", id)
	return nil
}

func TestClockVectorsAreTheSameToBoth(t *testing.T) {
	var file struct{ Vectors []json.RawMessage }
	b, err := os.ReadFile("../docs/spec/vectors/evidence-clocks.json")
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	var in bytes.Buffer
	for _, v := range file.Vectors {
		if err := json.Compact(&in, v); err != nil {
			t.Fatal(err)
		}
		in.WriteByte('\n')
	}
	cmd := exec.Command(need.Program(t, "node"), modules(t, "fit.mjs"))
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(file.Vectors) || len(answers) < 20 {
		t.Fatalf("%d answers to %d vectors", len(answers), len(file.Vectors))
	}
	for i, line := range answers {
		var v struct {
			Name          string
			Contradiction *evidence.Contradiction
		}
		var got struct {
			Found *evidence.Contradiction
			Words string
		}
		if err := json.Unmarshal(file.Vectors[i], &v); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		words := ""
		if v.Contradiction != nil {
			words = v.Contradiction.String()
		}
		if diff := cmp.Diff(v.Contradiction, got.Found); diff != "" || got.Words != words {
			t.Errorf("%s: Go and JavaScript differ:\n%s%s\n%s", v.Name, diff, words, got.Words)
		}
	}
}
