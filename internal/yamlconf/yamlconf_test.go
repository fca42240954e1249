package yamlconf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/internal/yamlconf"
)

type conf struct {
	Name string `yaml:"name" doc:"a name"`
	Wait yamlconf.Duration
	Max  yamlconf.Bytes `yaml:"max" doc:"at most"`
	In   []struct {
		Deep int `yaml:"deep" doc:"inside"`
	} `yaml:"in"`
}

func TestDecode(t *testing.T) {
	c := conf{Max: 7}
	if err := yamlconf.Decode([]byte("name: x\nwait: 90s\n"), &c); err != nil || c.Wait != yamlconf.Duration(90*time.Second) || c.Max != 7 {
		t.Errorf("%+v %v", c, err)
	}
	for text, says := range map[string]string{
		"colour: red": "colour", "name: a\nname: b": "already defined", "name: a\n---\nname: b": "more than one", "": "EOF",
		"wait: 30": "unit", "wait: 0s": "positive", "max: 100": "KiB", "max: -1B": "KiB", "max: 1MB": "KiB", "max: 4294967296B": "KiB",
		"name: " + strings.Repeat("x", 1<<20): "at most",
	} {
		if err := yamlconf.Decode([]byte(text), new(conf)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want something about %q", text, err, says)
		}
	}
}

func TestReadFile_ofEndless(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, []byte(strings.Repeat("#", 3<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := yamlconf.ReadFile(path)
	if err != nil || len(b) > 2<<20 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if err := yamlconf.Decode(b, new(conf)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("got %v", err)
	}
}

func TestStrings(t *testing.T) {
	for want, got := range map[string]string{
		"2m30s": yamlconf.Duration(150 * time.Second).String(), "1h": yamlconf.Duration(time.Hour).String(), "10m": yamlconf.Duration(10 * time.Minute).String(),
		"3MiB": yamlconf.Bytes(3 << 20).String(), "1025B": yamlconf.Bytes(1025).String(), "0B": yamlconf.Bytes(0).String(),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestReference(t *testing.T) {
	c := conf{Max: 16 << 10}
	c.In = append(c.In, struct {
		Deep int `yaml:"deep" doc:"inside"`
	}{3})
	want := "| setting | default | |\n|---|---|---|\n| `name` |  | a name |\n| `max` | `16KiB` | at most |\n| `in[].deep` | `3` | inside |\n"
	if got := yamlconf.Reference(c); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
