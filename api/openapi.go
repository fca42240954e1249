package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var openAPIYAML []byte

// A document is the OpenAPI description in both spellings.
type document struct{ yaml, json []byte }

func loadOpenAPI() (document, error) {
	var v map[string]any
	if err := yaml.Unmarshal(openAPIYAML, &v); err != nil {
		return document{}, fmt.Errorf("reading openapi.yaml: %w", err)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return document{}, fmt.Errorf("converting openapi.yaml: %w", err)
	}
	return document{openAPIYAML, b}, nil
}

func (a *API) serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, ".json") {
		send(w, "application/openapi+json;version=3.1", "public, max-age=3600", a.openapi.json)
		return
	}
	send(w, "application/openapi+yaml;version=3.1", "public, max-age=3600", a.openapi.yaml)
}
