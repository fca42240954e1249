package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/client"
)

const childEnv = "STENO_CLIENT_TEST_CHILD"

// orders are what a child process is started with.
type orders struct {
	World    *world
	URL, Dir string
	Session  string // to resume; empty to open one
	First    int    // of the remarks
	Count    int    // 0 for ever
	Close    bool
}

func TestMain(m *testing.M) {
	if o := os.Getenv(childEnv); o != "" {
		if err := child(o); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child records remarks, and says on standard output what it was told is safe: "session ID", "spooled N", "durable N".
func child(env string) error {
	var o orders
	if err := json.Unmarshal([]byte(env), &o); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // a parent that dies does not leave it behind
	defer cancel()
	rec, err := client.New(o.World.config(o.URL, o.Dir))
	if err != nil {
		return err
	}
	var track *client.Track
	if o.Session == "" {
		track, err = rec.Open(ctx, opening())
	} else {
		track, err = rec.Resume(ctx, o.Session, "main")
	}
	if err != nil {
		return err
	}
	fmt.Println("session", track.Session())
	for i := o.First; o.Count == 0 || i < o.First+o.Count; i++ {
		if i%2 == 0 {
			if _, err := track.Spool(remark(fmt.Sprint(i))); err != nil {
				return err
			}
			fmt.Println("spooled", i)
			continue
		}
		if _, err := track.Record(ctx, remark(fmt.Sprint(i))); err != nil {
			return err
		}
		fmt.Println("durable", i)
	}
	if o.Close {
		if err := track.CloseSession(ctx, client.Closing{Outcome: "completed"}); err != nil {
			return err
		}
	}
	return rec.Close(ctx)
}

// A process is a running child and what it has said.
type process struct {
	cmd  *exec.Cmd
	said chan string
}

func start(t *testing.T, o orders) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(must(json.Marshal(o))))
	cmd.Stderr = os.Stderr
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, make(chan string, 100_000)}
	go func() {
		defer close(p.said)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			p.said <- sc.Text()
		}
		io.Copy(io.Discard, out)
	}()
	t.Cleanup(func() { p.cmd.Process.Kill() }) // gone already, if the test went well
	return p
}

// rest waits for the end of a child and returns all it said.
func (p *process) rest(t *testing.T, killed bool) []string {
	t.Helper()
	var lines []string
	for l := range p.said {
		lines = append(lines, l)
	}
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if killed != errors.As(err, &exit) || !killed && err != nil {
		t.Fatalf("child: %v", err)
	}
	return lines
}

// TestACKED_killedRecorders kills recorders at the two points that matter, and at any, and lets the next go on.
func TestACKED_killedRecorders(t *testing.T) {
	for _, point := range []string{"between spool and send", "between send and answer", "at any time"} {
		t.Run(point, func(t *testing.T) {
			w := newWorld()
			s, dir := newServer(t, w), t.TempDir()
			var victim atomic.Pointer[os.Process]
			strike := func() bool {
				p := victim.Swap(nil)
				if p != nil {
					p.Kill()
				}
				return p != nil
			}
			entriesSeen := 0
			s.with(func() {
				s.before = func(_ http.ResponseWriter, r *http.Request) bool {
					entriesSeen++
					if point == "between spool and send" && entriesSeen%7 == 0 && strike() {
						panic(http.ErrAbortHandler) // it never reached the log
					}
					return false
				}
				s.after = func(http.ResponseWriter, *wire.Answer) bool {
					if point == "between send and answer" && entriesSeen%7 == 0 && strike() {
						panic(http.ErrAbortHandler) // it is in the log, and nobody was told
					}
					return false
				}
			})
			session, first := "", 0
			var promised []string
			note := func(lines []string) {
				for _, l := range lines {
					word, id, _ := strings.Cut(l, " ")
					if word == "session" {
						session = id
						continue
					}
					promised = append(promised, id)
				}
			}
			for round := range 6 {
				o := orders{World: w, URL: s.URL, Dir: dir, Session: session, First: first}
				p := start(t, o)
				if session == "" {
					note([]string{<-p.said})
				}
				victim.Store(p.cmd.Process)
				if point == "at any time" {
					for range 3 + round*5 {
						if l, ok := <-p.said; ok {
							note([]string{l})
						}
					}
					strike()
				}
				note(p.rest(t, true))
				first += 1000
			}
			left, err := client.ReadSpool(dir)
			if err != nil || len(left) != 1 {
				t.Fatalf("spool after kills: %+v, %v", left, err)
			}
			p := start(t, orders{World: w, URL: s.URL, Dir: dir, Session: session, First: first, Count: 3, Close: true})
			note(p.rest(t, false))
			got := s.remarks(t, "main") // every seq once, every link checked
			seen := make(map[string]bool)
			for _, id := range got {
				if seen[id] {
					t.Errorf("remark %s is in the log twice", id)
				}
				seen[id] = true
			}
			for _, id := range promised {
				if !seen[id] {
					t.Errorf("remark %s was promised and is not in the log", id)
				}
			}
			if !slices.IsSortedFunc(got, func(a, b string) int { return number(a) - number(b) }) {
				t.Errorf("out of order: %v", got)
			}
			if len(promised) < 10 {
				t.Fatalf("only %d promises: the test tested little", len(promised))
			}
		})
	}
}

func number(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}
