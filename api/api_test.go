package api_test

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/stenolog/steno/api"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
)

type description struct {
	Paths      map[string]map[string]yaml.Node
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct{ Enum []string }
		}
	}
}

func openAPI(t *testing.T) description {
	t.Helper()
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if err := yaml.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The table in the code, docs/spec/errors.md and openapi.yaml have the same codes, statuses and titles.
func TestCodes_sameEverywhere(t *testing.T) {
	doc, err := os.ReadFile("../docs/spec/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]api.Kind)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| (\\d+) \\| (.+) \\|$").FindAllSubmatch(doc, -1) {
		status, _ := strconv.Atoi(string(m[2]))
		if _, twice := documented[string(m[1])]; twice {
			t.Errorf("errors.md has %s twice", m[1])
		}
		documented[string(m[1])] = api.Kind{Status: status, Title: string(m[3])}
	}
	if d := cmp.Diff(api.Kinds(), documented); d != "" {
		t.Errorf("code and errors.md differ:\n%s", d)
	}
	enum := openAPI(t).Components.Schemas["Problem"].Properties["code"].Enum
	if d := cmp.Diff(api.Codes(), enum); d != "" {
		t.Errorf("code and openapi.yaml differ:\n%s", d)
	}
}

// Every code that entry or recording can answer with is in the table, with the status that recording gives it.
func TestCodes_complete(t *testing.T) {
	kinds := api.Kinds()
	for _, file := range []string{"../entry/errors.go", "../recording/problem.go", "wire/wire.go"} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^\s+\w+\s+(?:entry\.)?(?:Code )?\s*= "([a-z0-9-]+)"$`).FindAllSubmatch(src, -1)
		if len(found) < 5 {
			t.Fatalf("%s: found %d codes", file, len(found))
		}
		for _, m := range found {
			k, ok := kinds[string(m[1])]
			if !ok {
				t.Errorf("%s has the code %s, the table does not", file, m[1])
			}
			p := recording.Problem{Code: entry.Code(m[1])}
			if file != "wire/wire.go" && p.Status() != k.Status {
				t.Errorf("%s: recording says %d, the table %d", m[1], p.Status(), k.Status)
			}
		}
	}
}

// Every route is described, on the listeners where it is, and nothing else.
func TestOpenAPI_routes(t *testing.T) {
	var described []string
	for path, item := range openAPI(t).Paths {
		for method, node := range item {
			var op struct {
				Listeners []string `yaml:"x-listeners"`
			}
			if method == "parameters" {
				continue
			}
			if err := node.Decode(&op); err != nil {
				t.Fatal(err)
			}
			for _, l := range op.Listeners {
				described = append(described, l+" "+method+" "+path)
			}
		}
	}
	slices.Sort(described)
	if d := cmp.Diff(api.Routes(), described); d != "" {
		t.Errorf("routes and openapi.yaml differ:\n%s", d)
	}
}

// Every reference in the description leads somewhere.
func TestOpenAPI_references(t *testing.T) {
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	refs := regexp.MustCompile(`\$ref: "#/([^"]+)"`).FindAllSubmatch(b, -1)
	if len(refs) < 50 {
		t.Fatalf("found %d references", len(refs))
	}
	for _, m := range refs {
		var at any = doc
		for step := range strings.SplitSeq(string(m[1]), "/") {
			inner, _ := at.(map[string]any)
			at = inner[step]
		}
		if at == nil {
			t.Errorf("#/%s leads nowhere", m[1])
		}
	}
}

func TestAccepts(t *testing.T) {
	for accept, want := range map[string]bool{
		"": true, "*/*": true, "application/*": true, "application/json": true, "text/html, application/json;q=0.1": true,
		"text/html": false, "application/json;q=0": false, "application/json;q=0.0, */*": false, "text/*, */*;q=0": false,
		"application/xml": false, "*/*;q=0.5": true, "application/*;q=0, application/json": true, "json": false, "application/json;q=x": false,
	} {
		r := &http.Request{Header: http.Header{}}
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		if got := api.Accepts(r, "application/json"); got != want {
			t.Errorf("Accept %q: %v", accept, got)
		}
	}
}
