// Package deployment_test holds what a deployment gets to what the programs do.
package deployment_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stenolog/steno/internal/daemon"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/internal/witnessd"
)

// exposure is the highest that systemd-analyze may find, in tenths. It was 1.1 with systemd 252: what is left is that they
// are servers on a network.
const exposure = "15"

func units() []string { return []string{"stenod", "steno-witness"} }

// unit is a unit's text, with the program where this test has one.
func unit(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name + ".service")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// settings are the values of a setting, in their order.
func settings(text, name string) (values []string) {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			values = append(values, v)
		}
	}
	return values
}

func TestUnits_verifySilently(t *testing.T) {
	analyze := need.Program(t, "systemd-analyze")
	for _, name := range units() {
		dir := t.TempDir()
		program := filepath.Join(dir, name)
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(unit(t, name), "/usr/local/bin/"+name, program)
		file := filepath.Join(dir, name+".service")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestUnits_exposure(t *testing.T) {
	analyze := need.Program(t, "systemd-analyze")
	for _, name := range units() {
		out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+exposure, name+".service").CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestSysusers(t *testing.T) {
	sysusers := need.Program(t, "systemd-sysusers")
	file, err := filepath.Abs("sysusers.conf")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sysusers, "--dry-run", "--root="+t.TempDir(), file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range units() {
		if user := settings(unit(t, name), "User"); len(user) != 1 || !strings.Contains(string(out), "Creating user '"+user[0]+"'") {
			t.Errorf("%s runs as %q, and sysusers.conf makes\n%s", name, user, out)
		}
	}
}

// TestExamples_fitTheUnits: what an example configuration writes to is what its unit may write to, and mounts first.
func TestExamples_fitTheUnits(t *testing.T) {
	stenod, err := daemon.Load("stenod.yaml")
	if err != nil {
		t.Error(err)
	}
	w, err := witnessd.Load("steno-witness.yaml")
	if err != nil {
		t.Error(err)
	}
	writes := map[string][]string{
		"stenod":        {stenod.Dir, filepath.Dir(stenod.Guard)},
		"steno-witness": {w.Dir, w.Published},
	}
	for _, name := range units() {
		text := unit(t, name)
		state := strings.Fields(strings.Join(settings(text, "StateDirectory"), " "))
		mounts := strings.Fields(strings.Join(settings(text, "RequiresMountsFor"), " "))
		for i, dir := range writes[name] {
			if len(state) != len(writes[name]) || dir != "/var/lib/"+state[i] || len(mounts) <= i || mounts[i] != dir {
				t.Errorf("%s.yaml writes to %s; StateDirectory=%q RequiresMountsFor=%q", name, writes[name], state, mounts)
			}
		}
		conf := settings(text, "ConfigurationDirectory")
		if start := settings(text, "ExecStart"); len(conf) != 1 || len(start) != 1 || !strings.HasSuffix(start[0], " serve --config /etc/"+conf[0]+"/"+name+".yaml") {
			t.Errorf("%s: ExecStart=%q ConfigurationDirectory=%q", name, start, conf)
		}
	}
}
