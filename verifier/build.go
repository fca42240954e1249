package verifier

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// modules are those in browser/ that are in the page, each after those that it imports.
func modules() []string {
	return []string{"bytes", "sha256", "crypt", "entry", "keys", "policy", "der", "names", "x509", "chain", "trust", "checkpoint", "merkle", "archive", "bundle", "inclusion", "enrolment", "session",
		"system", "disclosure", "custody", "cms", "timestamp", "clocks", "anchors", "verify", "safe", "view", "dom", "schema", "page"}
}

var (
	importLine = regexp.MustCompile(`(?m)^import (\{ [A-Za-z0-9_, ]+ \}) from '\./([a-z0-9]+)\.mjs';$`)
	exportWord = regexp.MustCompile(`(?m)^export (const|class|function|async function) ([A-Za-z0-9_]+)`)
)

// Build makes the page of the tree that root is. The same tree gives the same bytes.
func Build(root fs.FS) ([]byte, error) {
	html, err := fs.ReadFile(root, "verifier/page.html")
	if err != nil {
		return nil, fmt.Errorf("reading the page: %w", err)
	}
	style, err := fs.ReadFile(root, "verifier/page.css")
	if err != nil {
		return nil, fmt.Errorf("reading the style: %w", err)
	}
	script, err := bundle(root)
	if err != nil {
		return nil, err
	}
	css := "\n" + string(style)
	// SPEC: CSP3: nothing is fetched, and no script and style but these two, by their hashes. Trusted types leave no way from a
	// string to markup.
	policy := fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		hashOf(script), hashOf(css))
	for _, part := range []string{script, css} {
		if strings.Contains(strings.ToLower(part), "</s") || strings.Contains(part, "<!--") {
			return nil, fmt.Errorf("making the page: a script or style would end early")
		}
	}
	return []byte(strings.NewReplacer("{{policy}}", policy, "{{style}}", css, "{{script}}", script).Replace(string(html))), nil
}

// bundle puts the modules one after the other, each in a function of its own, so that none sees another's names.
func bundle(root fs.FS) (string, error) {
	var b strings.Builder
	done := map[string]bool{}
	for _, name := range modules() {
		source, err := module(root, name)
		if err != nil {
			return "", err
		}
		for _, m := range importLine.FindAllStringSubmatch(source, -1) {
			if !done[m[2]] {
				return "", fmt.Errorf("making the page: %s.mjs imports %s.mjs, which does not stand before it", name, m[2])
			}
		}
		var names []string
		for _, m := range exportWord.FindAllStringSubmatch(source, -1) {
			names = append(names, m[2])
		}
		body := exportWord.ReplaceAllString(importLine.ReplaceAllString(source, "const $1 = from_$2;"), "$1 $2")
		if strings.Contains("\n"+body, "\nimport ") || strings.Contains("\n"+body, "\nexport ") {
			return "", fmt.Errorf("making the page: %s.mjs imports or exports in another form than the one that is understood", name)
		}
		fmt.Fprintf(&b, "\n// browser/%s.mjs\nconst from_%s = (() => {\n%sreturn { %s };\n})();\n", name, name, body, strings.Join(names, ", "))
		done[name] = true
	}
	return b.String(), nil
}

// module is the source of a module. The one of the schema is made here.
func module(root fs.FS, name string) (string, error) {
	if name != "schema" {
		b, err := fs.ReadFile(root, "browser/"+name+".mjs")
		if err != nil {
			return "", fmt.Errorf("reading a module of the page: %w", err)
		}
		return string(b), nil
	}
	b, err := fs.ReadFile(root, "docs/spec/entry.schema.json")
	if err != nil {
		return "", fmt.Errorf("reading the schema of events: %w", err)
	}
	var out bytes.Buffer
	out.WriteString("// docs/spec/entry.schema.json\nexport const schema = ")
	if err := json.Compact(&out, b); err != nil {
		return "", fmt.Errorf("reading the schema of events: %w", err)
	}
	out.WriteString(";\n")
	return out.String(), nil
}

// hashOf is how a Content-Security-Policy names a script or style.
func hashOf(s string) string {
	h := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(h[:])
}
