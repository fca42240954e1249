package witness_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/witness"
)

const askedOrigin = "log.asked.example"

var askedAt = time.Unix(1_800_000_000, 0)

// An askingLog is a tree that grows, with its keys.
type askingLog struct {
	t       testing.TB
	signers []*checkpoint.Signer
	hashes  []tlog.Hash
	size    int64
}

func newAskingLog(t testing.TB, leaves ...string) *askingLog {
	t.Helper()
	l := &askingLog{t: t, signers: []*checkpoint.Signer{clientKey(t, checkpoint.Ed25519, askedOrigin)}}
	l.grow(leaves...)
	return l
}

// fork is another tree of the same keys.
func (l *askingLog) fork(leaves ...string) *askingLog {
	f := &askingLog{t: l.t, signers: l.signers}
	f.grow(leaves...)
	return f
}

func (l *askingLog) grow(leaves ...string) {
	for _, leaf := range leaves {
		h, err := tlog.StoredHashes(l.size, []byte(leaf), l.reader())
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes = append(l.hashes, h...)
		l.size++
	}
}

func (l *askingLog) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(at []int64) (out []tlog.Hash, err error) {
		for _, i := range at {
			out = append(out, l.hashes[i])
		}
		return out, nil
	})
}

func (l *askingLog) note(size int64) []byte {
	l.t.Helper()
	root := tlog.Hash(checkpoint.EmptyRoot())
	if size > 0 {
		var err error
		if root, err = tlog.TreeHash(size, l.reader()); err != nil {
			l.t.Fatal(err)
		}
	}
	text := checkpoint.Checkpoint{Origin: askedOrigin, Size: uint64(size), Root: root}.Text()
	var signers []note.Signer
	for _, s := range l.signers {
		signers = append(signers, s)
	}
	msg, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		l.t.Fatal(err)
	}
	return msg
}

func (l *askingLog) prove(size int64) func(context.Context, uint64) ([][32]byte, error) {
	return func(_ context.Context, from uint64) (out [][32]byte, err error) {
		p, err := tlog.ProveTree(size, int64(from), l.reader())
		for _, h := range p {
			out = append(out, h)
		}
		return out, err
	}
}

func (l *askingLog) verifiers() (vs []*checkpoint.Verifier) {
	for _, s := range l.signers {
		vs = append(vs, s.Verifier())
	}
	return vs
}

func clientKey(t testing.TB, a checkpoint.Algorithm, name string) *checkpoint.Signer {
	t.Helper()
	skey, _, err := checkpoint.GenerateKey(a, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func textOf(msg []byte) string {
	return string(msg[:bytes.Index(msg, []byte("\n\n"))+1])
}

// cosign is what an honest witness answers.
func cosign(t testing.TB, s *checkpoint.Signer, msg []byte, at time.Time) string {
	t.Helper()
	sig, err := s.SignAt([]byte(textOf(msg)), at)
	if err != nil {
		t.Fatal(err)
	}
	return string(checkpoint.SignatureLine(s.Name(), s.KeyHash(), sig))
}

// A peer is a witness that answers what it is told, whatever it is asked.
type peer struct {
	*httptest.Server
	mu       sync.Mutex
	requests []witness.Request
	add      func(w http.ResponseWriter, req witness.Request, n int)
	latest   func(w http.ResponseWriter)
}

func newPeer(t testing.TB) *peer {
	p := &peer{latest: func(w http.ResponseWriter) { w.WriteHeader(404) }}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /w/add-checkpoint", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		req, err := witness.ParseRequest(b)
		if err != nil {
			t.Errorf("request %q: %v", b, err)
		}
		p.mu.Lock()
		p.requests = append(p.requests, req)
		n := len(p.requests)
		p.mu.Unlock()
		p.add(w, req, n)
	})
	mux.HandleFunc("GET /w/"+checkpoint.OriginHash(askedOrigin)+"/checkpoint", func(w http.ResponseWriter, _ *http.Request) { p.latest(w) })
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *peer) olds() (sizes []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		sizes = append(sizes, r.Old)
	}
	return sizes
}

func newClient(t testing.TB, p *peer, l *askingLog, keys ...*checkpoint.Signer) *witness.Client {
	t.Helper()
	c := witness.ClientConfig{Name: "w1", URL: p.URL + "/w/", Log: l.verifiers(), Origin: askedOrigin, Now: func() time.Time { return askedAt }}
	for _, k := range keys {
		c.Verifiers = append(c.Verifiers, k.Verifier())
	}
	cl, err := witness.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

func say(s string) func(http.ResponseWriter, witness.Request, int) {
	return func(w http.ResponseWriter, _ witness.Request, _ int) { io.WriteString(w, s) }
}

func conflict(w http.ResponseWriter, size string) {
	w.Header().Set("Content-Type", "text/x.tlog.size")
	w.WriteHeader(409)
	io.WriteString(w, size)
}

func show(msg []byte) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.Write(msg) }
}

func TestClientKeepsWhatItsKeysCosigned(t *testing.T) {
	l := newAskingLog(t, "a", "b", "c")
	ed, pq, stranger := clientKey(t, checkpoint.CosignatureEd25519, "w/1"), clientKey(t, checkpoint.CosignatureMLDSA44, "w/1"), clientKey(t, checkpoint.CosignatureEd25519, "stranger")
	p := newPeer(t)
	msg := l.note(3)
	honest := cosign(t, ed, msg, askedAt) + cosign(t, pq, msg, askedAt)
	p.add = say(cosign(t, stranger, l.note(2), askedAt) + honest + cosign(t, ed, msg, askedAt.Add(time.Second)))
	c := newClient(t, p, l, ed, pq)
	for range 2 {
		lines, err := c.AddCheckpoint(t.Context(), 3, msg, l.prove(3))
		if err != nil || string(lines) != honest {
			t.Fatalf("got %q, %v", lines, err)
		}
	}
	if !bytes.Equal(p.requests[0].Note, msg) {
		t.Errorf("sent %q", p.requests[0].Note)
	}
	if got := p.olds(); !slices.Equal(got, []uint64{0, 3}) { // it remembers
		t.Errorf("asked from %v", got)
	}
}

// A witness that has less than was thought, or more, is asked again from there.
func TestClientProvesFromWhatTheWitnessHas(t *testing.T) {
	l := newAskingLog(t, "a", "b", "c", "d", "e", "f", "g")
	key := clientKey(t, checkpoint.CosignatureEd25519, "w/1")
	p := newPeer(t)
	has := uint64(4)
	roots := func(n uint64) [32]byte {
		c, err := checkpoint.Parse(textOf(l.note(int64(n))))
		if err != nil {
			t.Fatal(err)
		}
		return c.Root
	}
	p.add = func(w http.ResponseWriter, req witness.Request, _ int) {
		c, err := checkpoint.Parse(textOf(req.Note))
		if err != nil {
			t.Fatal(err)
		}
		if req.Old != has {
			conflict(w, fmt.Sprintf("%d\n", has))
		} else if err := checkpoint.VerifyConsistency(req.Old, c.Size, req.Proof, roots(has), c.Root); err != nil {
			t.Error(err)
			w.WriteHeader(422)
		} else {
			has = c.Size
			io.WriteString(w, cosign(t, key, req.Note, askedAt))
		}
	}
	c := newClient(t, p, l, key)
	for _, step := range []struct {
		size   int64
		forced uint64 // what the witness has by then
	}{{5, 4}, {6, 5}, {6, 6}, {7, 2}, {7, 0}} {
		has = step.forced
		if _, err := c.AddCheckpoint(t.Context(), uint64(step.size), l.note(step.size), l.prove(step.size)); err != nil {
			t.Errorf("%+v: %v", step, err)
		}
	}
	if want := []uint64{0, 4, 5, 6, 6, 2, 7, 0}; !slices.Equal(p.olds(), want) {
		t.Errorf("asked from %v, want %v", p.olds(), want)
	}
}

// What a witness shows with the log's signature, and the checkpoint to be cosigned does not extend, comes out with its note;
// what it only claims, without; and what it shows that proves nothing changes nothing.
func TestROLLBACK_clientTellsShownFromClaimed(t *testing.T) {
	l := newAskingLog(t, "a", "b", "c", "d", "e")
	fork := l.fork("a", "b", "X", "d", "e")
	forged := newAskingLog(t, "a", "b", "c", "d", "e", "f", "g")
	larger := func(w http.ResponseWriter, _ witness.Request, _ int) { conflict(w, "5\n") }
	refuse := func(w http.ResponseWriter, _ witness.Request, _ int) { w.WriteHeader(422) }
	same := func(w http.ResponseWriter, _ witness.Request, n int) { conflict(w, "4\n") } // v1.0.0 said so of another root
	for name, x := range map[string]struct {
		add    func(http.ResponseWriter, witness.Request, int)
		latest func(http.ResponseWriter)
		note   []byte // of the AheadError
		claim  uint64 // its size, if there is no note
	}{
		"larger, shown":                   {larger, show(l.note(5)), l.note(5), 0},
		"larger, of another history":      {larger, show(fork.note(5)), fork.note(5), 0},
		"larger, not shown":               {larger, func(w http.ResponseWriter) { w.WriteHeader(404) }, nil, 5},
		"larger, forged":                  {larger, show(forged.note(7)), nil, 5},
		"larger, shown in rubbish":        {larger, show([]byte("\xff\x1b")), nil, 5},
		"larger, shown without end":       {larger, func(w http.ResponseWriter) { w.Write(bytes.Repeat([]byte("a"), 70<<10)) }, nil, 5},
		"larger, shown is what it had":    {larger, show(l.note(3)), nil, 5},
		"larger, shown is another's":      {larger, show(bytes.Replace(l.note(5), []byte(askedOrigin+"\n"), []byte("other.example\n"), 1)), nil, 5},
		"same size, other root":           {refuse, show(fork.note(4)), fork.note(4), 0},
		"same size, other root, by a 409": {same, show(fork.note(4)), fork.note(4), 0},
		"smaller, other root":             {refuse, show(fork.note(3)), fork.note(3), 0},
		"smaller, of one history":         {refuse, show(l.note(3)), nil, 0},
		"smaller, before the fork":        {refuse, show(fork.note(2)), nil, 0},
		"the same":                        {refuse, show(l.note(4)), nil, 0},
		"refused, larger shown":           {refuse, show(l.note(5)), l.note(5), 0},
		"refused, larger forged":          {refuse, show(forged.note(7)), nil, 0},
		"empty tree":                      {refuse, show(l.note(0)), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t)
			p.add, p.latest = x.add, x.latest
			_, err := newClient(t, p, l, clientKey(t, checkpoint.CosignatureEd25519, "w")).AddCheckpoint(t.Context(), 4, l.note(4), l.prove(4))
			var ahead *witness.AheadError
			if got := errors.As(err, &ahead); err == nil || got != (x.note != nil || x.claim > 0) {
				t.Fatalf("got %v", err)
			}
			if ahead != nil && (!bytes.Equal(ahead.Note, x.note) || x.note == nil && ahead.Size != x.claim || ahead.Size == 0) {
				t.Errorf("got size %d, note %q", ahead.Size, ahead.Note)
			}
		})
	}
}

func TestClientShowsLatest(t *testing.T) {
	l := newAskingLog(t, "a", "b")
	key := clientKey(t, checkpoint.CosignatureEd25519, "w/1")
	msg := append(l.note(2), cosign(t, key, l.note(2), askedAt)...)
	for name, x := range map[string]struct {
		latest func(http.ResponseWriter)
		says   string
	}{
		"good":        {show(msg), ""},
		"redirect":    {func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(302) }, "redirects"},
		"rubbish":     {show([]byte("evil\x1b\n")), "no signed note"},
		"not a tree":  {show(bytes.Replace(msg, []byte("\n2\n"), []byte("\n02\n"), 1)), "decimal"},
		"another log": {show(bytes.Replace(msg, []byte(askedOrigin+"\n"), []byte("other\n"), 1)), "another log"},
		"too long":    {show(append(bytes.Clone(msg), bytes.Repeat([]byte("— a "), 20<<10)...)), "longer than 65536"},
		"away":        {func(w http.ResponseWriter) { w.WriteHeader(503) }, "status 503"},
	} {
		p := newPeer(t)
		p.latest = x.latest
		got, err := newClient(t, p, l, key).Latest(t.Context(), askedOrigin)
		if x.says == "" && (err != nil || !bytes.Equal(got, msg)) || x.says != "" && (err == nil || !strings.Contains(err.Error(), x.says)) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	p := newPeer(t)
	if _, err := newClient(t, p, l, key).Latest(t.Context(), askedOrigin); !errors.Is(err, witness.ErrUnknownLog) {
		t.Error(err)
	}
}

func TestClientIsOfGoodConfiguration(t *testing.T) {
	key, log := clientKey(t, checkpoint.CosignatureEd25519, "w").Verifier(), clientKey(t, checkpoint.Ed25519, askedOrigin).Verifier()
	good := witness.ClientConfig{Name: "w", URL: "https://w.example/prefix", Origin: askedOrigin, Verifiers: []*checkpoint.Verifier{key}, Log: []*checkpoint.Verifier{log}}
	if _, err := witness.NewClient(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*witness.ClientConfig){
		"no name": func(c *witness.ClientConfig) { c.Name = "" }, "no origin": func(c *witness.ClientConfig) { c.Origin = "" },
		"no keys": func(c *witness.ClientConfig) { c.Verifiers = nil }, "no log": func(c *witness.ClientConfig) { c.Log = nil },
		"a key twice": func(c *witness.ClientConfig) { c.Verifiers = append(c.Verifiers, key) }, "a log's key": func(c *witness.ClientConfig) { c.Verifiers = c.Log },
		"file": func(c *witness.ClientConfig) { c.URL = "file:///etc" }, "query": func(c *witness.ClientConfig) { c.URL += "?a" },
		"user": func(c *witness.ClientConfig) { c.URL = "https://a:b@w.example" }, "no host": func(c *witness.ClientConfig) { c.URL = "https:///w" }, "no URL": func(c *witness.ClientConfig) { c.URL = "" },
	} {
		c := good
		change(&c)
		if _, err := witness.NewClient(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestClientUsesNoProxyOfTheEnvironment(t *testing.T) {
	if witness.NewTransport().Proxy != nil {
		t.Error("requests would go where an environment variable says")
	}
}

func TestClientRefusesToAskForAnotherCheckpoint(t *testing.T) {
	l := newAskingLog(t, "a", "b")
	p := newPeer(t)
	p.add = func(http.ResponseWriter, witness.Request, int) { t.Error("asked") }
	c := newClient(t, p, l, clientKey(t, checkpoint.CosignatureEd25519, "w"))
	for name, x := range map[string]struct {
		size uint64
		msg  []byte
	}{"another size": {1, l.note(2)}, "another origin": {2, bytes.Replace(l.note(2), []byte(askedOrigin+"\n"), []byte("other\n"), 1)}, "no note": {2, []byte("x")}} {
		if _, err := c.AddCheckpoint(t.Context(), x.size, x.msg, l.prove(2)); err == nil {
			t.Errorf("%s: sent", name)
		}
	}
}

// askingWorld is a real witness that knows the log, and a client of both its keys.
func askingWorld(t *testing.T, l *askingLog) (*world, *witness.Client) {
	w := newWorld(t, nil)
	var vkeys []string
	for _, v := range l.verifiers() {
		vkeys = append(vkeys, v.String())
	}
	if err := w.store.AddLog(t.Context(), vkeys); err != nil {
		t.Fatal(err)
	}
	c := witness.ClientConfig{Name: "w1", URL: w.server.URL, Log: l.verifiers(), Origin: askedOrigin, Now: w.clock.now}
	for _, k := range w.signers {
		c.Verifiers = append(c.Verifiers, k.Verifier())
	}
	client, err := witness.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	return w, client
}

func TestClientAndWitness(t *testing.T) {
	l := newAskingLog(t, "a", "b", "c", "d", "e", "f", "g", "h", "i")
	l.signers = append(l.signers, clientKey(t, checkpoint.CosignatureMLDSA44, askedOrigin))
	w, c := askingWorld(t, l)
	if _, err := c.Latest(t.Context(), askedOrigin); !errors.Is(err, witness.ErrUnknownLog) {
		t.Errorf("a log without a checkpoint: %v", err)
	}
	for _, size := range []int64{0, 1, 1, 5, 9} {
		msg := l.note(size)
		lines, err := c.AddCheckpoint(t.Context(), uint64(size), msg, l.prove(size))
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		var keys []note.Verifier
		for _, k := range w.signers {
			keys = append(keys, k.Verifier())
		}
		n, err := note.Open(append(bytes.Clone(msg), lines...), note.VerifierList(keys...))
		if err != nil || len(n.Sigs) != 2 {
			t.Errorf("size %d: %q, %v", size, lines, err)
		}
		shown, err := c.Latest(t.Context(), askedOrigin)
		if err != nil || textOf(shown) != textOf(msg) {
			t.Errorf("size %d: shows %q, %v", size, shown, err)
		}
	}
	// A client that knows nothing of it finds out.
	_, again := askingWorld(t, l)
	for _, size := range []int64{3, 7} {
		if _, err := again.AddCheckpoint(t.Context(), uint64(size), l.note(size), l.prove(size)); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
	}
	stranger := newAskingLog(t, "a")
	if _, err := again.AddCheckpoint(t.Context(), 1, stranger.note(1), stranger.prove(1)); err == nil {
		t.Error("a stranger's checkpoint was cosigned")
	}
}

// The witness has seen more, or another branch, and shows it.
func TestROLLBACK_theWitnessShowsWhatItHas(t *testing.T) {
	l := newAskingLog(t, "a", "b", "c", "d", "e")
	fork := l.fork("a", "b", "X", "d", "e", "f", "g")
	for _, size := range []int64{2, 4, 5, 6, 7} {
		w, c := askingWorld(t, l)
		if _, err := c.AddCheckpoint(t.Context(), 5, l.note(5), l.prove(5)); err != nil {
			t.Fatal(err)
		}
		if size == 4 { // with what it remembers, and without
			c = reask(t, w, l)
		}
		branch := fork
		if size < 5 {
			branch = l
		}
		_, err := c.AddCheckpoint(t.Context(), uint64(size), branch.note(size), branch.prove(size))
		var ahead *witness.AheadError
		if !errors.As(err, &ahead) || ahead.Size != 5 || textOf(ahead.Note) != textOf(l.note(5)) {
			t.Errorf("size %d: %v", size, err)
		}
	}
}

func reask(t *testing.T, w *world, l *askingLog) *witness.Client {
	c := witness.ClientConfig{Name: "w1", URL: w.server.URL, Log: l.verifiers(), Origin: askedOrigin, Now: w.clock.now, Verifiers: []*checkpoint.Verifier{w.signers[0].Verifier()}}
	client, err := witness.NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}
