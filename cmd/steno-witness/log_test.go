package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
	"github.com/stenolog/steno/witness"
)

// A treeLog is a log that will sign anything. Its branches are main, and fork@N, which has other leaves from N on.
type treeLog struct {
	origin string
	vkey   string
	signer *checkpoint.Signer
}

// newlog NAME ORIGIN makes a log, with its verifier key in $NAME.
func newLog(ts *testscript.TestScript, _ bool, args []string) {
	skey, vkey, err := checkpoint.GenerateKey(checkpoint.Ed25519, args[1])
	ts.Check(err)
	s, err := checkpoint.NewSigner(skey)
	ts.Check(err)
	rigOf(ts).logs[args[0]] = &treeLog{args[1], vkey, s}
	ts.Setenv(strings.ToUpper(args[0]), vkey)
	ts.Setenv(strings.ToUpper(args[0])+"_HASH", checkpoint.OriginHash(args[1]))
}

// hashes are the stored hashes of a branch's first leaves.
func hashes(branch string, size int64) (tlog.HashReaderFunc, error) {
	from := size
	if at, ok := strings.CutPrefix(branch, "fork@"); ok {
		var err error
		if from, err = strconv.ParseInt(at, 10, 64); err != nil {
			return nil, err
		}
	} else if branch != "main" {
		return nil, fmt.Errorf("no branch %q", branch)
	}
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i := range size {
		leaf := fmt.Sprint("leaf ", i)
		if i >= from {
			leaf = fmt.Sprint("other leaf ", i)
		}
		h, err := tlog.StoredHashes(i, []byte(leaf), read)
		if err != nil {
			return nil, err
		}
		stored = append(stored, h...)
	}
	return read, nil
}

// request makes what the log sends to prove that its branch grew from old to size.
func (l *treeLog) request(branch string, old, size int64) (r witness.Request, err error) {
	read, err := hashes(branch, size)
	if err != nil {
		return r, err
	}
	root, err := tlog.TreeHash(size, read)
	if err != nil {
		return r, err
	}
	text := checkpoint.Checkpoint{Origin: l.origin, Size: uint64(size), Root: root}.Text()
	if r.Note, err = note.Sign(&note.Note{Text: text}, l.signer); err != nil {
		return r, err
	}
	r.Old = uint64(old)
	if 0 < old && old < size {
		proof, err := tlog.ProveTree(size, old, read)
		if err != nil {
			return r, err
		}
		for _, h := range proof {
			r.Proof = append(r.Proof, h)
		}
	}
	return r, nil
}

// submit URL LOG BRANCH OLD SIZE STATUS asks for a cosignature and prints the answer. Of 200 it verifies that every key of
// the file vkeys, of "steno-witness key generate", has cosigned.
func submit(ts *testscript.TestScript, _ bool, args []string) {
	old, err := strconv.ParseInt(args[3], 10, 64)
	ts.Check(err)
	size, err := strconv.ParseInt(args[4], 10, 64)
	ts.Check(err)
	r, err := rigOf(ts).logs[args[1]].request(args[2], old, size)
	ts.Check(err)
	answer := exchange(ts, "POST", args[0]+witness.PathAddCheckpoint, r.Marshal(), args[5])
	if args[5] != "200" {
		return
	}
	cosigned(ts, append(bytes.Clone(r.Note), answer...))
}

// cosigned demands cosignatures by all keys.
func cosigned(ts *testscript.TestScript, b []byte) {
	var keys []note.Verifier
	for line := range strings.Lines(ts.ReadFile("vkeys")) {
		_, vkey, _ := strings.Cut(strings.TrimSpace(line), " ")
		v, err := checkpoint.NewVerifier(vkey)
		ts.Check(err)
		keys = append(keys, v)
	}
	n, err := note.Open(b, note.VerifierList(keys...))
	ts.Check(err)
	if len(keys) == 0 || len(n.Sigs) != len(keys) {
		ts.Fatalf("%d of %d keys cosigned\n%s", len(n.Sigs), len(keys), b)
	}
}

// get URL STATUS prints the answer.
func get(ts *testscript.TestScript, _ bool, args []string) {
	exchange(ts, "GET", args[0], nil, args[1])
}

// exchange makes a request, as the client whose files $CLIENT names, and prints the answer, which must have the status; or,
// where no answer can be had, the status "none".
func exchange(ts *testscript.TestScript, method, url string, body []byte, status string) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	ts.Check(err)
	transport := &http.Transport{TLSClientConfig: clientTLS(ts), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if status == "none" {
		if err == nil {
			resp.Body.Close()
			ts.Fatalf("it answered %d", resp.StatusCode)
		}
		fmt.Fprintln(ts.Stdout(), err)
		return nil
	}
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.TLS != nil {
		fmt.Fprintf(ts.Stdout(), "from %s\n", resp.TLS.PeerCertificates[0].Subject.CommonName)
	}
	fmt.Fprintf(ts.Stdout(), "%s\n%s\n%s", resp.Proto, resp.Header.Get("Content-Type"), b)
	if strconv.Itoa(resp.StatusCode) != status {
		ts.Fatalf("%d %s", resp.StatusCode, b)
	}
	return b
}

func clientTLS(ts *testscript.TestScript) *tls.Config {
	c := &tls.Config{}
	if pem, err := os.ReadFile(ts.MkAbs("ca.pem")); err == nil {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(pem)
	}
	if name := ts.Getenv("CLIENT"); name != "" {
		pair, err := tls.LoadX509KeyPair(ts.MkAbs(name+".pem"), ts.MkAbs(name+".key"))
		ts.Check(err)
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// forked FILE LOG demands a fork file that convicts the log by its key alone, and no other log.
func forked(ts *testscript.TestScript, _ bool, args []string) {
	f, err := trust.ParseFork([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	for name, l := range rigOf(ts).logs {
		v, err := checkpoint.NewVerifier(l.vkey)
		ts.Check(err)
		if err := f.Verify(v); (err == nil) != (name == args[1]) {
			ts.Fatalf("against %s: %v", name, err)
		}
	}
}

// certs makes authorities ca and other, and certificates server, client (of ca) and stranger (of other), as NAME.pem and
// NAME.key.
func certs(ts *testscript.TestScript, _ bool, _ []string) {
	ca, other := newAuthority(ts, "ca"), newAuthority(ts, "other")
	ca.issue(ts, "server")
	ca.issue(ts, "server2")
	ca.issue(ts, "client")
	other.issue(ts, "stranger")
}
