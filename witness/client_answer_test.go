package witness_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/witness"
)

// Each answer is refused, says why, and what the witness wrote is in the error only escaped.
func TestClientRefusesAnswer(t *testing.T) {
	l := newAskingLog(t, "a", "b", "c")
	key, other := clientKey(t, checkpoint.CosignatureEd25519, "w/1"), clientKey(t, checkpoint.CosignatureEd25519, "w/2")
	msg := l.note(3)
	good := cosign(t, key, msg, askedAt)
	timeZero := func() string {
		sig, err := key.SignAt([]byte(textOf(msg)), time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		binary.BigEndian.PutUint64(sig, 0)
		return string(checkpoint.SignatureLine(key.Name(), key.KeyHash(), sig))
	}
	raw := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	status := func(code int) func(http.ResponseWriter, witness.Request, int) {
		return func(w http.ResponseWriter, _ witness.Request, _ int) {
			w.WriteHeader(code)
			io.WriteString(w, good)
		}
	}
	for name, x := range map[string]struct {
		add  func(http.ResponseWriter, witness.Request, int)
		says string
	}{
		"empty":                    {say(""), "no sequence of signature lines"},
		"no line feed":             {say(strings.TrimSuffix(good, "\n")), "no sequence of signature lines"},
		"a blank line":             {say(good + "\n"), "no signature"},
		"a text before":            {say("evil\n" + good), "no signature"},
		"not UTF-8":                {say(good + "— w\xff AAAAAAAA\n"), "no sequence of signature lines"},
		"control characters":       {say(good + "— w\x1b[2J AAAAAAAA\n"), "malformed"},
		"carriage return":          {say(strings.Replace(good, "\n", "\r\n", 1)), "malformed"},
		"signature of three bytes": {say(good + "— x " + raw("abc") + "\n"), "malformed"},
		"101 signatures":           {say(good + manyLines(100)), "malformed"},
		"oversize":                 {say(strings.Repeat(good, 200)), "longer than 16384 bytes"},
		"unknown keys alone":       {say(cosign(t, other, msg, askedAt)), "no signature by a key"},
		"another checkpoint's":     {say(cosign(t, key, l.note(2), askedAt)), "not one of this checkpoint"},
		"a good one and another":   {say(cosign(t, key, l.note(2), askedAt) + good), "not one of this checkpoint"},
		"time zero":                {say(timeZero()), "has no time"},
		"in the future":            {say(cosign(t, key, msg, askedAt.Add(5*time.Minute+time.Second))), "clock and ours differ"},
		"in the year 300,000,000":  {say(cosign(t, key, msg, time.Unix(1<<53, 0))), "second 9007199254740992"},
		"an hour ago":              {say(cosign(t, key, msg, askedAt.Add(-time.Hour-time.Second))), "clock and ours differ"},
		"another status":           {status(201), "status 201"},
		"forbidden":                {status(403), "status 403 (Forbidden)"},
		"a redirect": {func(w http.ResponseWriter, _ witness.Request, _ int) {
			w.Header().Set("Location", "/w/elsewhere")
			w.WriteHeader(307)
		}, "redirects (status 307)"},
		"no HTTP":                         {hijacked("\x1b[2J\xff\nGET / evil"), "malformed HTTP response"},
		"a header that is none":           {hijacked("HTTP/1.1 200 OK\r\n\x1b[31mevil\r\n\r\n"), "malformed MIME"},
		"headers without end":             {hijacked("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 10000)), "headers exceeded"},
		"conflict of another type":        {func(w http.ResponseWriter, _ witness.Request, _ int) { w.WriteHeader(409); io.WriteString(w, "2\n") }, "text/x.tlog.size"},
		"conflict without line feed":      {func(w http.ResponseWriter, _ witness.Request, _ int) { conflict(w, "2") }, "no size"},
		"conflict with leading zero":      {func(w http.ResponseWriter, _ witness.Request, _ int) { conflict(w, "02\n") }, "no size"},
		"conflict with 2^63":              {func(w http.ResponseWriter, _ witness.Request, _ int) { conflict(w, "9223372036854775808\n") }, "no size"},
		"conflict with an endless number": {func(w http.ResponseWriter, _ witness.Request, _ int) { conflict(w, strings.Repeat("1", 100)) }, "longer than 32 bytes"},
		"conflict with what was asked":    {func(w http.ResponseWriter, _ witness.Request, _ int) { conflict(w, "0\n") }, "from which it was asked"},
		"another size each time":          {func(w http.ResponseWriter, _ witness.Request, n int) { conflict(w, fmt.Sprintf("%d\n", 1+n%2)) }, "another size 3 times"},
		"unprocessable":                   {status(422), "status 422"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t)
			p.add = x.add
			lines, err := newClient(t, p, l, key).AddCheckpoint(t.Context(), 3, msg, l.prove(3))
			if err == nil || lines != nil || !strings.Contains(err.Error(), x.says) {
				t.Fatalf("got %q, %v; want an error with %q", lines, err, x.says)
			}
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == '\ufffd' }) || len(err.Error()) > 600 {
				t.Errorf("error is not plain: %q", err)
			}
			var ahead *witness.AheadError
			if errors.As(err, &ahead) || len(p.requests) > 3 {
				t.Errorf("%v after %d requests", err, len(p.requests))
			}
		})
	}
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "— x %s\n", base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(i))))
	}
	return b.String()
}

// hijacked answers with raw bytes.
func hijacked(s string) func(http.ResponseWriter, witness.Request, int) {
	return func(w http.ResponseWriter, _ witness.Request, _ int) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, s)
		conn.Close()
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	l := newAskingLog(t, "a")
	p := newPeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	p.add = func(w http.ResponseWriter, _ witness.Request, _ int) { // begins to answer, and never ends
		io.WriteString(w, "— w")
		w.(http.Flusher).Flush()
		cancel()
		<-done
	}
	_, err := newClient(t, p, l, clientKey(t, checkpoint.CosignatureEd25519, "w")).AddCheckpoint(ctx, 1, l.note(1), l.prove(1))
	close(done)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestClientTellsWhatMayPass(t *testing.T) {
	l := newAskingLog(t, "a")
	for status, want := range map[int]bool{429: true, 500: true, 502: true, 503: true, 400: false, 403: false, 413: false} {
		p := newPeer(t)
		p.add = func(w http.ResponseWriter, _ witness.Request, _ int) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		}
		_, err := newClient(t, p, l, clientKey(t, checkpoint.CosignatureEd25519, "w")).AddCheckpoint(t.Context(), 1, l.note(1), l.prove(1))
		var se *witness.StatusError
		if !errors.As(err, &se) || se.Transient() != want || se.RetryAfter != 7*time.Second {
			t.Errorf("%d: %v", status, err)
		}
	}
	p := newPeer(t)
	p.add = func(w http.ResponseWriter, _ witness.Request, _ int) { w.WriteHeader(404) }
	if _, err := newClient(t, p, l, clientKey(t, checkpoint.CosignatureEd25519, "w")).AddCheckpoint(t.Context(), 1, l.note(1), l.prove(1)); !errors.Is(err, witness.ErrUnknownLog) {
		t.Error(err)
	}
}
