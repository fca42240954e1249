package witness_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/witness"
)

const origin = "log.example/test"

var bothTypes = []checkpoint.Algorithm{checkpoint.Ed25519, checkpoint.CosignatureMLDSA44}

func TestStatuses(t *testing.T) {
	l := newTestLog(t, origin, bothTypes...)
	other := newTestLog(t, "other.example/log", checkpoint.Ed25519)
	w := newWorld(t, nil, l)
	tr := new(testTree).growTo(t, 40, "leaf")
	at := func(n int64) *testTree { return new(testTree).growTo(t, n, "leaf") }
	sized := func(n uint64, root [32]byte) []byte { return l.sign(t, checkpoint.Checkpoint{Size: n, Root: root}) }
	forged := l.request(t, at(7), 5)
	forged.Note = []byte(strings.Replace(string(forged.Note), "\n7\n", "\n8\n", 1))
	stranger := newTestLog(t, origin, checkpoint.Ed25519)
	one := &testLog{origin: origin, signers: l.signers[:1]}
	half := one.request(t, at(7), 5) // the Ed25519 line is good, the ML-DSA line is of another size
	half.Note = append(half.Note, lastLine(l.request(t, at(8), 5).Note)...)
	junk := l.request(t, at(8), 5)
	junk.Proof[0][0] ^= 1
	withProof := l.request(t, at(5), 0)
	withProof.Proof = tr.proof(t, 3, 5)
	sameWithProof := l.request(t, at(5), 5)
	sameWithProof.Proof = tr.proof(t, 3, 5)

	for _, step := range []struct {
		what string
		r    witness.Request
		want int
	}{
		{"unknown log", other.request(t, at(5), 0), 404},
		{"first, old 3", l.request(t, at(5), 3), 409},
		{"first, with a proof", withProof, 422},
		{"empty tree with a root of its own", witness.Request{Note: sized(0, [32]byte{1})}, 422},
		{"empty tree", l.request(t, at(0), 0), 200},
		{"empty tree again", l.request(t, at(0), 0), 200},
		{"first with leaves", l.request(t, at(5), 0), 200},
		{"the same again", l.request(t, at(5), 5), 200},
		{"the same, with a proof", sameWithProof, 422},
		{"by a stranger's key", stranger.request(t, at(6), 5), 403},
		{"forged size", forged, 403},
		{"one signature is another checkpoint's", half, 403},
		{"old larger than size", l.request(t, at(5), 6), 400},
		{"old is not the latest", l.request(t, at(6), 4), 409},
		{"old 0 again", l.request(t, at(6), 0), 409},
		{"empty tree after leaves", l.request(t, at(0), 0), 409},
		{"wrong proof", junk, 422},
		{"no proof", witness.Request{Old: 5, Note: l.request(t, at(8), 5).Note}, 422},
		{"same size, other root", witness.Request{Old: 5, Note: sized(5, [32]byte{1})}, 422},
		{"same size, other root, other old", witness.Request{Old: 4, Note: sized(5, [32]byte{1})}, 409},
		{"by one of two keys", one.request(t, at(6), 5), 200},
		{"grown", l.request(t, at(40), 6), 200},
	} {
		got := w.add(step.r)
		if got.status != step.want {
			t.Errorf("%s: status %d, want %d: %s", step.what, got.status, step.want, got.body)
		}
		checkReply(t, step.what, got)
		if got.status == 200 && w.cosigned(step.r, got) != 2 {
			t.Errorf("%s: not cosigned by both keys: %q", step.what, got.body)
		}
	}
	if got := w.add(l.request(t, at(41), 3)); got.body != "40\n" {
		t.Errorf("conflict says %q", got.body)
	}
}

func lastLine(b []byte) []byte {
	lines := strings.SplitAfter(string(b), "\n")
	return []byte(lines[len(lines)-2])
}

// checkReply checks what belongs to a status.
func checkReply(t *testing.T, what string, got reply) {
	t.Helper()
	media := got.header.Get("Content-Type")
	if got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: may be cached", what)
	}
	switch got.status {
	case 200:
	case 409:
		if media != "text/x.tlog.size" || !strings.HasSuffix(got.body, "\n") {
			t.Errorf("%s: conflict is %s %q", what, media, got.body)
		}
	default:
		var p struct {
			Type, Title, Code string
			Status            int
		}
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || media != "application/problem+json" || p.Status != got.status ||
			p.Code == "" || p.Title == "" || p.Type != "urn:steno:problem:"+p.Code {
			t.Errorf("%s: %v, %s %s", what, err, media, got.body)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	l := newTestLog(t, origin, bothTypes...)
	w := newWorld(t, nil, l)
	for what, body := range malformed() {
		want := http.StatusBadRequest
		if len(body) > witness.MaxBody {
			want = http.StatusRequestEntityTooLarge
		}
		got := w.do("POST", witness.PathAddCheckpoint, []byte(body))
		if got.status != want {
			t.Errorf("%s: status %d, want %d", what, got.status, want)
		}
		checkReply(t, what, got)
	}
	r := l.request(t, new(testTree).growTo(t, 3, "leaf"), 0)
	line := string(lastLine(r.Note))
	fits := string(r.Marshal()) + strings.Repeat("— other.example/w "+strings.Repeat("A", 800)+"\n", 70)
	for _, step := range []struct {
		what, method, path, body string
		want                     int
	}{
		{"70 signatures of strangers", "POST", witness.PathAddCheckpoint, fits, 200},
		{"body of 64 KiB and a byte", "POST", witness.PathAddCheckpoint, fits + strings.Repeat("x", witness.MaxBody+1-len(fits)), 413},
		{"a line twice", "POST", witness.PathAddCheckpoint, strings.Replace(string(r.Marshal()), "old 0", "old 3", 1) + line, 200},
		{"GET add-checkpoint", "GET", witness.PathAddCheckpoint, "", 405},
		{"PUT add-checkpoint", "PUT", witness.PathAddCheckpoint, fits, 405},
		{"POST checkpoint", "POST", "/" + checkpoint.OriginHash(origin) + "/checkpoint", "", 405},
		{"another path", "GET", "/add-checkpoint/", "", 404},
		{"root", "GET", "/", "", 404},
		{"upper-case hash", "GET", "/" + strings.ToUpper(checkpoint.OriginHash(origin)) + "/checkpoint", "", 404},
		{"longer path", "GET", "/x/" + checkpoint.OriginHash(origin) + "/checkpoint", "", 404},
	} {
		got := w.do(step.method, step.path, []byte(step.body))
		if got.status != step.want {
			t.Errorf("%s: status %d, want %d: %s", step.what, got.status, step.want, got.body)
		}
		if step.want == 405 && got.header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", step.what)
		}
		checkReply(t, step.what, got)
	}
}

func TestMonitoringShowsWhatLeft(t *testing.T) {
	l := newTestLog(t, origin, bothTypes...)
	w := newWorld(t, nil, l)
	if got := w.latest(origin); got.status != 404 {
		t.Errorf("before the first cosignature: %d", got.status)
	}
	if got := w.latest("unknown.example/log"); got.status != 404 {
		t.Errorf("unknown log: %d", got.status)
	}
	tr := new(testTree)
	for _, size := range []int64{3, 9} {
		old := tr.size
		r := l.request(t, tr.growTo(t, size, "leaf"), old)
		stray := r
		stray.Note = append(append([]byte(nil), r.Note...), "— stranger.example/w AAAAAAAA\n"...)
		lines := w.want(200, stray).body
		w.want(409, l.request(t, tr, 1))
		for range 2 {
			got := w.latest(origin)
			if want := string(r.Note) + lines; got.status != 200 || got.body != want {
				t.Fatalf("size %d: %d %q, want %q", size, got.status, got.body, want)
			}
			n, err := note.Open([]byte(got.body), note.VerifierList(append(w.verifiers(), l.verifiers(t)...)...))
			if err != nil || len(n.Sigs) != 4 || len(n.UnverifiedSigs) != 0 {
				t.Fatalf("size %d: %v, %+v", size, err, n)
			}
			w.restart()
		}
	}
}

func TestExtensionLinesGetNoMLDSACosignature(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	w := newWorld(t, nil, l)
	tr := new(testTree).growTo(t, 3, "leaf")
	r := witness.Request{Note: l.sign(t, checkpoint.Checkpoint{Size: 3, Root: tr.root(t, 3), Extensions: []string{"ext"}})}
	if got := w.want(200, r); w.cosigned(r, got) != 1 {
		t.Errorf("cosigned: %q", got.body)
	}
	w.stop()
	w.signers = w.signers[1:]
	w.start()
	r.Old = 3
	if got := w.want(400, r); !strings.Contains(got.body, "ML-DSA") {
		t.Errorf("it does not say why: %s", got.body)
	}
	r = l.request(t, tr, 3)
	if got := w.want(200, r); w.cosigned(r, got) != 1 {
		t.Errorf("cosigned: %q", got.body)
	}
}

// Of forty requests for forty trees, one is cosigned.
func TestONEHISTORY_race(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	w := newWorld(t, nil, l)
	for round, base := 0, new(testTree); round < 5; round++ {
		trees, replies := make([]*testTree, 40), make([]reply, 40)
		var wg sync.WaitGroup
		for i := range trees {
			trees[i] = base.fork().growTo(t, base.size+1+int64(i%8), fmt.Sprintf("branch %d ", i))
			r := l.request(t, trees[i], base.size).Marshal()
			wg.Go(func() {
				var err error
				if replies[i], err = send("POST", w.server.URL+witness.PathAddCheckpoint, r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		won := -1
		for i, got := range replies {
			switch {
			case got.status == 200 && won < 0:
				won = i
			case got.status == 200:
				t.Fatalf("round %d: both %d and %d were cosigned", round, won, i)
			case got.status != 409:
				t.Errorf("round %d: %d is answered %d: %s", round, i, got.status, got.body)
			}
		}
		if won < 0 {
			t.Fatalf("round %d: none was cosigned", round)
		}
		base = trees[won]
	}
}

func TestRateIsPerLogAndSpentBySignaturesOnly(t *testing.T) {
	l, quiet := newTestLog(t, origin, checkpoint.Ed25519), newTestLog(t, "quiet.example/log", checkpoint.Ed25519)
	w := newWorld(t, func(c *witness.Config) { c.Rate, c.Burst = 0.5, 3 }, l, quiet)
	tr := new(testTree).growTo(t, 3, "leaf")
	stranger := newTestLog(t, origin, checkpoint.Ed25519)
	for range 10 {
		w.want(403, stranger.request(t, tr, 0))
		w.do("POST", witness.PathAddCheckpoint, []byte("junk"))
	}
	r := l.request(t, tr, 0)
	w.want(200, r)
	r.Old = 3
	w.want(200, r)
	w.want(200, r)
	got := w.want(429, r)
	if got.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
	}
	checkReply(t, "rate", got)
	w.want(200, quiet.request(t, tr, 0))
	w.clock.set(time.Second * 5) // the wall clock gives nothing
	w.want(429, r)
	w.clock.pass(2 * time.Second)
	w.want(200, r)
	w.want(429, r)
}

// A checkpoint that is overtaken on its way out is answered, and does not come back as the latest.
func TestOvertakenCheckpointIsNotShownAsLatest(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	w := newWorld(t, nil, l)
	reached, goOn := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	w.witness.SetCrash(func(point string) {
		if point == "promised" && first.CompareAndSwap(false, true) {
			close(reached)
			<-goOn
		}
	})
	tr := new(testTree).growTo(t, 3, "leaf")
	slow := l.request(t, tr, 0)
	answer := make(chan reply)
	go func() {
		got, _ := send("POST", w.server.URL+witness.PathAddCheckpoint, slow.Marshal())
		answer <- got
	}()
	<-reached
	w.want(200, l.request(t, tr.growTo(t, 5, "leaf"), 3))
	latest := w.latest(origin)
	close(goOn)
	if got := <-answer; got.status != 200 || w.cosigned(slow, got) != 2 {
		t.Errorf("the slow one is answered %d %q", got.status, got.body)
	}
	if now := w.latest(origin); now.body != latest.body || !strings.Contains(now.body, "\n5\n") {
		t.Errorf("shows %q after %q", now.body, latest.body)
	}
	w.restart()
}

func TestCloseAnswersWhatItTook(t *testing.T) {
	l := newTestLog(t, origin, checkpoint.Ed25519)
	w := newWorld(t, nil, l)
	reached, goOn := make(chan struct{}), make(chan struct{})
	w.witness.SetCrash(func(point string) {
		if point == "promised" {
			close(reached)
			<-goOn
		}
	})
	r := l.request(t, new(testTree).growTo(t, 3, "leaf"), 0).Marshal()
	first := make(chan reply)
	go func() {
		got, _ := send("POST", w.server.URL+witness.PathAddCheckpoint, r)
		first <- got
	}()
	<-reached
	closed := make(chan error)
	go func() { closed <- w.witness.Close() }()
	for w.add(l.request(t, new(testTree), 0)).status != 503 {
		time.Sleep(time.Millisecond) // until Close has begun
	}
	select {
	case <-closed:
		t.Fatal("closed with a request in flight")
	default:
	}
	close(goOn)
	if got := <-first; got.status != 200 {
		t.Errorf("status %d", got.status)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
