package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/stenolog/steno/entry"
)

// query reads the parameters of a request strictly: each known, each once.
func query(r *http.Request, known ...string) (url.Values, error) {
	if len(r.URL.RawQuery) > maxQuery {
		return nil, refuse(codeParameter, "the query is too long")
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &requestError{codeParameter, "the query is malformed", err}
	}
	for k, v := range q {
		if !slices.Contains(known, k) {
			return nil, refuse(codeParameter, "the path has no such parameter; it has: "+list(known))
		}
		if len(v) != 1 {
			return nil, refuse(codeParameter, k+" stands more than once")
		}
	}
	return q, nil
}

const maxQuery = 4096

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	s := words[0]
	for _, w := range words[1:] {
		s += ", " + w
	}
	return s
}

// number reads a decimal without sign or leading zeros, or takes the default if the parameter is absent.
func number(q url.Values, name string, def, most uint64) (uint64, error) {
	if !q.Has(name) {
		return def, nil
	}
	s := q.Get(name)
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != s || n > most {
		return 0, refuse(codeParameter, name+" is not a decimal number up to "+strconv.FormatUint(most, 10))
	}
	return n, nil
}

// id reads a parameter that is an id.
func id(q url.Values, name string) (string, error) {
	s := q.Get(name)
	if q.Has(name) && entry.CheckID(s) != nil {
		return "", refuse(codeParameter, name+" is not an id: 1 to 128 of letters, digits and . _ : / + -")
	}
	return s, nil
}

// moment reads an RFC 3339 time as microseconds since 1970; 0 if it is absent.
func moment(q url.Values, name string) (int64, error) {
	if !q.Has(name) {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339Nano, q.Get(name))
	if err != nil || t.UnixMicro() <= 0 {
		return 0, refuse(codeParameter, name+" is not an RFC 3339 time")
	}
	return t.UnixMicro(), nil
}
