package evidence_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
)

func TestCommandExitsAsItSays(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write(t, l.Evidence(SessionID(1)))
	pinned, good := put("trust", l.Trust.Marshal()), put("good", file)
	flipped := bytes.Clone(file)
	flipped[0] ^= 1
	l.Open(SessionID(2), "bot", r)
	open := put("open", write(t, l.Evidence(SessionID(2))))
	for _, c := range []struct {
		exit int
		args []string
	}{
		{0, []string{"--trust", pinned, good}},
		{0, []string{"--trust", pinned, "--signed-by", "gateway,agent", good}},
		{1, []string{"--trust", pinned, put("flipped", flipped)}},
		{1, []string{"--trust", pinned, put("empty", nil)}},
		{1, []string{"--trust", pinned, pinned}},
		{2, []string{"--trust", pinned, filepath.Join(dir, "nothing")}},
		{2, []string{"--trust", pinned, dir}},
		{2, []string{"--trust", good, good}},
		{2, []string{"--trust", filepath.Join(dir, "nothing"), good}},
		{2, []string{good}},
		{2, []string{"--trust", pinned}},
		{2, []string{"--trust", pinned, good, good}},
		{2, []string{"--trust", pinned, "--signed-by", "nobody", good}},
		{2, []string{"--trust", pinned, "--what", good}},
		{3, []string{"--trust", pinned, "--signed-by", "gateway", good}},
		{4, []string{"--trust", pinned, open}},
	} {
		var text, errs bytes.Buffer
		if got := evidence.Main(c.args, &text, &errs); got != c.exit || text.Len()+errs.Len() == 0 {
			t.Errorf("%q: exit %d, want %d\n%s%s", c.args, got, c.exit, text.String(), errs.String())
		}
		var out bytes.Buffer
		if got := evidence.Main(append([]string{"--json"}, c.args...), &out, &errs); got != c.exit {
			t.Errorf("%q with --json: exit %d, want %d", c.args, got, c.exit)
		}
		var behind bytes.Buffer
		if got := evidence.Main(append(slices.Clone(c.args), "--json"), &behind, &errs); got != evidence.ExitUnusable && got != c.exit || !json.Valid(behind.Bytes()) {
			t.Errorf("%q and --json: exit %d, %s", c.args, got, behind.String())
		}
		dec := json.NewDecoder(&out)
		dec.DisallowUnknownFields()
		var report evidence.Report
		if err := dec.Decode(&report); err != nil || report.Exit != c.exit || dec.More() || report.Checks == nil || report.NotChecked == nil {
			t.Errorf("%q with --json: %v, exit %d in it, want %d", c.args, err, report.Exit, c.exit)
		}
	}
	for _, args := range [][]string{{"--bogus", "--json=true", good}, {"-json=1"}, {"--json", "--json=maybe"}} {
		var out bytes.Buffer
		if got := evidence.Main(args, &out, new(bytes.Buffer)); got != evidence.ExitUnusable || !json.Valid(out.Bytes()) {
			t.Errorf("%q: exit %d, %s", args, got, out.String())
		}
	}
	var help bytes.Buffer
	if evidence.Main([]string{"--help"}, &help, &help) != 0 || !strings.Contains(help.String(), "exit codes") {
		t.Errorf("help: %s", help.String())
	}
}

func TestTextReportTellsALawyerWhatWasProven(t *testing.T) {
	l, r := newLog(t)
	session(l, 1, r)
	report := verify(t, l.Evidence(SessionID(1)), l.Trust)
	var text bytes.Buffer
	if err := report.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{
		"VERIFIED", "COMPLETE", "signed by the agent", "enrolled by acme/enroller", "logged between", "by the log's word",
		"What was NOT checked", "external time", "log index 1 to 8",
	} {
		if !strings.Contains(text.String(), words) {
			t.Errorf("no %q in\n%s", words, text.String())
		}
	}
}

// failingReader stands for a disk that fails.
type failingReader struct{}

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, os.ErrPermission }

func TestAFileThatCannotBeReadIsNotJudged(t *testing.T) {
	l, _ := newLog(t)
	if _, err := evidence.VerifyReader(failingReader{}, 100, l.Trust, evidence.Options{}); err == nil {
		t.Fatal("judged")
	}
}
