package log_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/log"
)

// A puppet is a cosigner that answers what and when the test says.
type puppet struct {
	name    string
	asked   chan log.CosignRequest
	answers chan puppetAnswer
	end     func() // it answers nothing more
}

type puppetAnswer struct {
	lines []byte
	err   error
}

func newPuppet(t *testing.T, name string) *puppet {
	p := &puppet{name: name, asked: make(chan log.CosignRequest, 10000), answers: make(chan puppetAnswer, 10000)}
	p.end = sync.OnceFunc(func() { close(p.answers) })
	t.Cleanup(p.end)
	return p
}

func (p *puppet) Name() string { return p.name }

// Cosign waits for the answer whatever becomes of its context, as a cosigner does that does not keep its word.
func (p *puppet) Cosign(_ context.Context, req log.CosignRequest) ([]byte, error) {
	p.asked <- req
	a := <-p.answers
	return a.lines, a.err
}

// last returns the latest request and how many there were.
func (p *puppet) last() (req log.CosignRequest, n int) {
	for {
		select {
		case req = <-p.asked:
			n++
		default:
			return req, n
		}
	}
}

// bells collects alarms.
type bells struct {
	mu  sync.Mutex
	all []log.Alarm
}

func (b *bells) ring(a log.Alarm) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, a)
}

func (b *bells) heard() []log.Alarm {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.all
	b.all = nil
	return all
}

// signedBy makes a note of any text.
func signedBy(t testing.TB, text string, s ...note.Signer) []byte {
	t.Helper()
	msg, err := note.Sign(&note.Note{Text: text}, s...)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// linesOf are the signature lines of a note of a text.
func linesOf(t testing.TB, text string, s ...note.Signer) []byte {
	return signedBy(t, text, s...)[len(text)+1:]
}

// What a witness shows of a larger or another history, signed by the log, stops it. What it claims does not.
func TestONEHISTORY_witnessAhead(t *testing.T) {
	base := newWorld(t)
	base.grow(t, 300)
	fork := base.clone()
	base.grow(t, 10)
	fork.grow(t, 10)
	ahead := base.clone()
	ahead.grow(t, 5)
	short := newWorld(t) // the same key on another history
	short.signer, short.verifier = base.signer, base.verifier
	short.guard, short.archive, short.tree = &memGuard{faults: short.faults}, newArchive(short.faults), newTree(short.faults)
	if err := log.Create(t.Context(), short.create()); err != nil {
		t.Fatal(err)
	}
	short.grow(t, 7)
	stranger, _ := newKey(t, origin)
	witness, _ := newKey(t, "w1")
	text := func(w *world) string { return checkpointText(w.tree.size, w.tree.rootAt(w.tree.size)) }

	for name, tc := range map[string]struct {
		answer log.AheadError
		stops  error
		alarms bool
	}{
		"shown larger":                  {log.AheadError{Size: 315, Note: ahead.guard.state.Note}, log.ErrGuardBehind, false},
		"shown larger, cosigned":        {log.AheadError{Size: 315, Note: append(bytes.Clone(ahead.guard.state.Note), linesOf(t, text(ahead), witness)...)}, log.ErrGuardBehind, false},
		"shown larger, said smaller":    {log.AheadError{Size: 1, Note: ahead.guard.state.Note}, log.ErrGuardBehind, false},
		"shown same size, another root": {log.AheadError{Size: 310, Note: fork.guard.state.Note}, log.ErrRootDiffers, false},
		"shown smaller, no prefix":      {log.AheadError{Size: 7, Note: short.guard.state.Note}, log.ErrRootDiffers, false},
		"shown what it signed itself":   {log.AheadError{Size: 310, Note: base.guard.state.Note}, nil, false},
		"shown a prefix":                {log.AheadError{Size: 300, Note: base.archive.notes[300]}, nil, false},
		"claimed":                       {log.AheadError{Size: 311}, nil, true},
		"claimed the greatest size":     {log.AheadError{Size: 1<<64 - 1}, nil, true},
		"claimed what it signed itself": {log.AheadError{Size: 310}, nil, false},
		"shown, signed by a stranger":   {log.AheadError{Size: 315, Note: signedBy(t, text(ahead), stranger)}, nil, true},
		"shown, of another log":         {log.AheadError{Size: 315, Note: signedBy(t, strings.Replace(text(ahead), origin, "log.example/2", 1), base.signer)}, nil, true},
		"shown, with extension lines":   {log.AheadError{Size: 315, Note: signedBy(t, text(ahead)+"ext\n", base.signer)}, nil, true},
		"shown junk":                    {log.AheadError{Size: 315, Note: []byte("junk\n\n\x00")}, nil, true},
		"shown too much":                {log.AheadError{Size: 315, Note: append(bytes.Clone(ahead.guard.state.Note), bytes.Repeat([]byte("— w AAAAAAA=\n"), 9000)...)}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := base.clone()
				p, b, reg := newPuppet(t, "w1"), new(bells), prometheus.NewRegistry()
				c := w.config()
				c.Cosigners, c.Alarm, c.Registerer = []log.Cosigner{p}, b.ring, reg
				l, err := log.Open(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				p.answers <- puppetAnswer{err: fmt.Errorf("cosigning: %w", &tc.answer)}
				synctest.Wait()
				stopped := l.Health().Stopped
				var refused *log.RefusedError
				if !errors.Is(stopped, tc.stops) || (stopped != nil) != (tc.stops != nil) || stopped != nil && (!errors.As(stopped, &refused) || refused.WayOut() == "") {
					t.Fatalf("stopped by %v", stopped)
				}
				if tc.stops != nil {
					if _, err := l.Append(t.Context(), [][]byte{{1}}); !errors.Is(err, log.ErrStopped) {
						t.Errorf("append: %v", err)
					}
					rest(time.Minute)
					if w.guard.state.Size != 310 || len(b.heard()) > 0 {
						t.Errorf("guard at %d", w.guard.state.Size)
					}
					shut(t, l)
					return
				}
				heard := b.heard()
				if want := (log.Alarm{Kind: log.AlarmCosignerAhead, Cosigner: "w1", Size: tc.answer.Size}); tc.alarms != (len(heard) == 1) || tc.alarms && heard[0] != want {
					t.Errorf("alarms %+v", heard)
				}
				// A liar goes on to be asked, and is not alarmed over at every lie.
				for range 50 {
					p.answers <- puppetAnswer{err: &tc.answer}
				}
				for range 60 {
					appendN(t, l, 1)
					rest(time.Second)
				}
				if size, _ := l.Checkpoint(); size < 369 {
					t.Errorf("published %d", size)
				}
				if _, n := p.last(); n < 6 || len(b.heard()) > 0 {
					t.Errorf("asked %d times in a minute", n)
				}
				if h := l.Health().Cosigners; len(h) != 1 || h[0].Name != "w1" || h[0].Answered || h[0].Since.IsZero() || h[0].Error == "" {
					t.Errorf("health %+v", h)
				}
				if n := testutil.CollectAndCount(reg, "steno_log_ahead_claims_total"); n != 1 {
					t.Errorf("%d series of claims", n)
				}
				p.end()
				shut(t, l)
				w.wantOneHistory(t)
			})
		})
	}
}

// The log's own key of before is as good a proof that it went further as its present one.
func TestONEHISTORY_shownUnderARetiredKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.grow(t, 10)
		ahead := w.clone()
		ahead.grow(t, 5)
		signer, verifier := newKey(t, origin)
		p := newPuppet(t, "w1")
		c := w.config()
		c.Signers, c.Verifiers, c.Cosigners = []note.Signer{signer}, []note.Verifier{verifier, w.verifier}, []log.Cosigner{p}
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first step is done
		p.answers <- puppetAnswer{err: &log.AheadError{Size: 15, Note: ahead.guard.state.Note}}
		synctest.Wait()
		if err := l.Health().Stopped; !errors.Is(err, log.ErrGuardBehind) {
			t.Errorf("stopped by %v", err)
		}
		shut(t, l)
	})
}

// With a key that is known to be stolen anybody makes a larger checkpoint. It is a claim, and so it is at the start.
func TestShownUnderAStolenKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.grow(t, 10)
		ahead := w.clone()
		ahead.grow(t, 5)
		forged := ahead.guard.state.Note
		signer, verifier := newKey(t, origin)
		p, b := newPuppet(t, "w1"), new(bells)
		c := w.config()
		c.Signers, c.Verifiers, c.Cosigners, c.Alarm = []note.Signer{signer}, []note.Verifier{verifier, w.verifier}, []log.Cosigner{p}, b.ring
		c.Elsewhere = func(context.Context) ([][]byte, bool) { return [][]byte{forged}, true }
		c.Binds = func(msg []byte) bool {
			_, err := note.Open(msg, note.VerifierList(verifier))
			return err == nil
		}
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first step is done
		p.answers <- puppetAnswer{err: &log.AheadError{Size: 15, Note: forged}}
		synctest.Wait()
		if err := l.Health().Stopped; err != nil {
			t.Errorf("stopped by %v", err)
		}
		if heard := b.heard(); len(heard) != 1 || heard[0].Kind != log.AlarmCosignerAhead {
			t.Errorf("alarms %+v", heard)
		}
		p.end()
		shut(t, l)
	})
}

// Whatever a hostile witness answers neither stops the log nor gets published, and the others go on.
func TestHostileAnswers(t *testing.T) {
	const text0 = "another\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	evil, _ := newKey(t, "evil")
	for name, answer := range map[string]func(w *world, text string) puppetAnswer{
		"empty":     func(*world, string) puppetAnswer { return puppetAnswer{} },
		"a newline": func(*world, string) puppetAnswer { return puppetAnswer{lines: []byte("\n")} },
		"no newline": func(_ *world, s string) puppetAnswer {
			return puppetAnswer{lines: bytes.TrimSpace(linesOf(t, s, evil))}
		},
		"garbage":         func(*world, string) puppetAnswer { return puppetAnswer{lines: []byte("\xff\xfe\x00 garbage\n")} },
		"a page":          func(*world, string) puppetAnswer { return puppetAnswer{lines: []byte("<html>\n<body>teapot</body>\n")} },
		"oversize":        func(*world, string) puppetAnswer { return puppetAnswer{lines: line("evil", 1, 20000)} },
		"a hundred lines": func(*world, string) puppetAnswer { return puppetAnswer{lines: many(100)} },
		"another text":    func(*world, string) puppetAnswer { return puppetAnswer{lines: signedBy(t, text0, evil)} },
		"a new note": func(_ *world, s string) puppetAnswer {
			return puppetAnswer{lines: append([]byte("\n"), signedBy(t, s, evil)...)}
		},
		"a blank line": func(_ *world, s string) puppetAnswer {
			return puppetAnswer{lines: append(linesOf(t, s, evil), "\n— a AAAAAAA=\n"...)}
		},
		"carriage return": func(_ *world, s string) puppetAnswer {
			return puppetAnswer{lines: bytes.ReplaceAll(linesOf(t, s, evil), []byte("\n"), []byte("\r\n"))}
		},
		"a name with a tab":     func(*world, string) puppetAnswer { return puppetAnswer{lines: line("a\tb", 1, 64)} },
		"a name with a control": func(*world, string) puppetAnswer { return puppetAnswer{lines: line("a\x01b", 1, 64)} },
		"a name not in UTF-8":   func(*world, string) puppetAnswer { return puppetAnswer{lines: line("a\xffb", 1, 64)} },
		"a name with a plus":    func(*world, string) puppetAnswer { return puppetAnswer{lines: line("a+b", 1, 64)} },
		"no signature":          func(*world, string) puppetAnswer { return puppetAnswer{lines: []byte("— evil AAAAAQ==\n")} },
		"loose base64":          func(*world, string) puppetAnswer { return puppetAnswer{lines: []byte("— evil AAAAAQF=\n")} },
		"a third word":          func(*world, string) puppetAnswer { return puppetAnswer{lines: []byte("— evil AAAAAQE= x\n")} },
		"the log's own line":    func(w *world, s string) puppetAnswer { return puppetAnswer{lines: linesOf(t, s, w.signer)} },
		"the log's own name":    func(*world, string) puppetAnswer { return puppetAnswer{lines: line(origin, 7, 64)} },
		"own name among others": func(_ *world, s string) puppetAnswer {
			return puppetAnswer{lines: append(linesOf(t, s, evil), line(origin, 7, 64)...)}
		},
		"an error": func(*world, string) puppetAnswer { return puppetAnswer{err: errors.New("teapot")} },
		"an error, endless": func(*world, string) puppetAnswer {
			return puppetAnswer{err: errors.New(strings.Repeat("no\xff", 1<<16))}
		},
		"lines and an error": func(_ *world, s string) puppetAnswer {
			return puppetAnswer{linesOf(t, s, evil), errors.New("teapot")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				good, p := newWitness(t, w, "w1", always(10*time.Millisecond)), newPuppet(t, "evil")
				c := w.config()
				c.Cosigners, c.Quorum = []log.Cosigner{p, good}, good.cosigned
				l, err := log.Open(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // the first step is done
				for range 5 {
					appendN(t, l, 1)
					rest(time.Second)
					if req, n := p.last(); n > 0 {
						p.answers <- answer(w, string(req.Note[:bytes.Index(req.Note, []byte("\n\n"))+1]))
					}
					rest(time.Second)
				}
				size, msg := l.Checkpoint()
				if size != 5 || bytes.Contains(msg, []byte("— evil ")) || bytes.Count(msg, []byte("\n")) != 6 || l.Health().Stopped != nil {
					t.Errorf("published %q at %d, stopped by %v", msg, size, l.Health().Stopped)
				}
				if h := l.Health().Cosigners[0]; h.Since.IsZero() || h.Size != 0 || h.Error == "" || len(h.Error) > 256 {
					t.Errorf("health %+v", h)
				}
				if h := l.Health().Cosigners[1]; !h.Answered || h.Size != 5 || !h.Since.IsZero() {
					t.Errorf("health of the good one %+v", h)
				}
				p.end()
				shut(t, l)
				w.wantOneHistory(t)
			})
		})
	}
}

// line is a signature in form only.
func line(name string, id byte, n int) []byte {
	raw := append([]byte{1, 2, 3, id}, bytes.Repeat([]byte{id}, n)...)
	return []byte("— " + name + " " + base64.StdEncoding.EncodeToString(raw) + "\n")
}

func many(n int) (lines []byte) {
	for i := range n {
		lines = append(lines, line("evil", byte(i), 64)...)
	}
	return lines
}

// However many witnesses there are, and however greedy, the note stays one that others read, and none takes another's place.
func TestNoteStaysReadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, greedy := range []int{1, 2, 5, 12, 40} {
			w := newWorld(t)
			good := newWitness(t, w, "w1", always(10*time.Second)) // when all others have taken what they get
			pq := newCheckpointKey(t, checkpoint.CosignatureMLDSA44, "w1")
			good.signer, good.verifier = pq, pq.Verifier()
			c := w.config()
			c.Cosigners = []log.Cosigner{good}
			for i := range greedy {
				p := newPuppet(t, fmt.Sprint("greedy", i))
				lines := many(0)
				for k := range 8 {
					lines = append(lines, line(p.name, byte(k), 1500)...) // 16 KiB in all
				}
				lines = lines[:min(len(lines), 16<<10)]
				lines = lines[:bytes.LastIndexByte(lines, '\n')+1]
				p.answers <- puppetAnswer{lines: lines}
				c.Cosigners = append(c.Cosigners, p)
				p.end()
			}
			l, err := log.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the first step is done
			rest(30 * time.Second)
			_, msg := l.Checkpoint()
			n, err := note.Open(msg, note.VerifierList(w.verifier))
			if err != nil || len(msg) > checkpoint.MaxNote || len(n.UnverifiedSigs) < min(greedy, 25) {
				t.Errorf("%d greedy: %d bytes, %v", greedy, len(msg), err)
			}
			if !good.cosigned(msg) && greedy < 15 {
				t.Errorf("%d greedy: no place for the last one", greedy)
			}
			shut(t, l)
		}
	})
}

func TestDuplicateCosignatures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, q := newPuppet(t, "w1"), newPuppet(t, "w2")
		c := w.config()
		c.Cosigners = []log.Cosigner{p, q}
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first step is done
		p.answers <- puppetAnswer{lines: bytes.Repeat(line("w1", 1, 64), 5)}
		synctest.Wait()
		// The same key, in another signature and from another side: the first one counts.
		q.answers <- puppetAnswer{lines: append(line("w1", 1, 65), line("w1", 2, 64)...)}
		rest(time.Second)
		if _, msg := l.Checkpoint(); bytes.Count(msg, []byte("— ")) != 3 {
			t.Errorf("published %s", msg)
		}
		p.end()
		q.end()
		shut(t, l)
	})
}

// A line that makes readers reject the whole note is not added to one that has its quorum.
func TestSpoilingLineIsNotAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		good, p := newWitness(t, w, "w1", always(0)), newPuppet(t, "evil")
		_, other := newKey(t, "w2")
		c := w.config()
		c.Cosigners = []log.Cosigner{good, p}
		c.Quorum = func(msg []byte) bool {
			n, err := note.Open(msg, note.VerifierList(good.verifier, other))
			return err == nil && len(n.Sigs) > 0
		}
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		appendN(t, l, 1)
		rest(time.Second)
		bad := append([]byte{byte(other.KeyHash() >> 24), byte(other.KeyHash() >> 16), byte(other.KeyHash() >> 8), byte(other.KeyHash())}, make([]byte, 64)...)
		p.answers <- puppetAnswer{lines: []byte("— w2 " + base64.StdEncoding.EncodeToString(bad) + "\n")} // of size 0
		p.answers <- puppetAnswer{lines: []byte("— w2 " + base64.StdEncoding.EncodeToString(bad) + "\n")}
		rest(3 * time.Second)
		if size, msg := l.Checkpoint(); size != 1 || !c.Quorum(msg) || bytes.Contains(msg, []byte("— w2 ")) {
			t.Errorf("published %s", msg)
		}
		if _, msg := l.Signed(); bytes.Contains(msg, []byte("— w2 ")) {
			t.Errorf("signed, and spoiled for whoever cosigns later: %s", msg)
		}
		p.end()
		shut(t, l)
	})
}

// An answer that comes after hours, for a checkpoint that was long overtaken, changes nothing that is published; and health
// tells of the cosigner in the meantime.
func TestAnswerAfterHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		good, slow := newWitness(t, w, "w1", always(0)), newPuppet(t, "slow")
		c := w.config()
		c.Cosigners, c.Quorum = []log.Cosigner{good, slow}, good.cosigned
		l, err := log.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		appendN(t, l, 1)
		rest(time.Second)
		if h := l.Health().Cosigners[1]; h.Answered || !h.Since.IsZero() {
			t.Errorf("it has time left: %+v", h)
		}
		start := time.Now()
		rest(time.Minute)
		if h := l.Health().Cosigners[1]; h.Answered || h.Since.IsZero() || h.Since.After(start) || h.Error == "" {
			t.Errorf("it is overdue: %+v", h)
		}
		appendN(t, l, 1)
		rest(time.Hour)
		old, n := slow.last()
		if old.Size != 0 || n != 1 {
			t.Fatalf("asked %d times, for size %d", n, old.Size)
		}
		slow.answers <- puppetAnswer{lines: line("slow", 1, 64)}
		synctest.Wait()
		if size, msg := l.Checkpoint(); size != 2 || bytes.Contains(msg, []byte("— slow ")) {
			t.Errorf("published %s", msg)
		}
		if now, _ := slow.last(); now.Size != 2 { // and now it is asked for the present one
			t.Errorf("asked for size %d", now.Size)
		}
		slow.answers <- puppetAnswer{lines: line("slow", 1, 64)}
		synctest.Wait()
		if _, msg := l.Checkpoint(); bytes.Count(msg, []byte("— ")) != 3 {
			t.Errorf("the straggler is missing: %s", msg)
		}
		if h := l.Health().Cosigners[1]; !h.Answered || h.Size != 2 || !h.Since.IsZero() || h.Error != "" {
			t.Errorf("it is well again: %+v", h)
		}
		slow.end()
		shut(t, l)
	})
}
