package witness_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/time/rate"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/witness"
)

// Environment of a witness that runs as a process of its own and kills itself.
const (
	childDirs  = "STENO_WITNESS_CHILD"
	childKey   = "STENO_WITNESS_KEY"
	childPoint = "STENO_WITNESS_POINT"
)

// TestWitnessProcess is no test, but what the process that TestONEHISTORY_kill starts does.
func TestWitnessProcess(t *testing.T) {
	if os.Getenv(childDirs) == "" {
		t.Skip("runs in a process of its own only")
	}
	state, published, _ := strings.Cut(os.Getenv(childDirs), "\n")
	s, err := witness.OpenStore(state, published)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := checkpoint.NewSigner(os.Getenv(childKey))
	if err != nil {
		t.Fatal(err)
	}
	w, err := witness.New(context.Background(), witness.Config{Signers: []*checkpoint.Signer{signer}, State: s, Rate: float64(rate.Inf)})
	if err != nil {
		t.Fatal(err)
	}
	die := func(point string) {
		if point == os.Getenv(childPoint) {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	w.SetCrash(die)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listening %s\n", l.Addr())
	t.Fatal(http.Serve(l, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rec := &statusRecorder{ResponseWriter: rw}
		w.Handler().ServeHTTP(rec, r)
		http.NewResponseController(rw).Flush()
		if rec.status == 0 {
			die("answered")
		}
	})))
}

// statusRecorder keeps a status that is not 200.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// child is a witness's process.
type child struct {
	cmd *exec.Cmd
	url string
}

func startChild(t *testing.T, dirs [2]string, key, point string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestWitnessProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), childDirs+"="+dirs[0]+"\n"+dirs[1], childKey+"="+key, childPoint+"="+point)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return &child{cmd, "http://" + addr}
		}
		t.Log(lines.Text())
	}
	t.Fatal("the witness did not start")
	return nil
}

// Whatever point a witness is killed at, it never cosigns two roots of one size, and never forgets what it answered.
func TestONEHISTORY_kill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	key, vkey, err := checkpoint.GenerateKey(checkpoint.CosignatureEd25519, "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := checkpoint.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	l := newTestLog(t, origin, checkpoint.Ed25519)
	dirs := newDirs(t)
	addLog(t, dirs, l)
	seen := make(map[int64][32]byte) // what was cosigned, as far as anybody saw
	ask := func(c *child, tr *testTree, old int64) reply {
		r := l.request(t, tr, old)
		got, err := send("POST", c.url+witness.PathAddCheckpoint, r.Marshal())
		if got.status == 200 { // also if the connection broke after it
			if root, ok := seen[tr.size]; ok && root != tr.root(t, tr.size) {
				t.Fatalf("two roots of size %d are cosigned", tr.size)
			}
			seen[tr.size] = tr.root(t, tr.size)
			if err == nil && !strings.HasPrefix(got.body, "— "+verifier.Name()+" ") {
				t.Fatalf("answered %q", got.body)
			}
		}
		return got
	}
	base := new(testTree)
	for round, point := range []string{"promised", "published", "answered", "answered", "promised", "published", "answered", "promised", "published"} {
		a, b := base.fork().growTo(t, base.size+3, fmt.Sprint("a", round)), base.fork().growTo(t, base.size+3, fmt.Sprint("b", round))
		dying := startChild(t, dirs, key, point)
		ask(dying, a, base.size)
		dying.cmd.Wait()
		if status := dying.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
			t.Fatalf("round %d: the witness was not killed: %v", round, dying.cmd.ProcessState)
		}
		c := startChild(t, dirs, key, "")
		for _, old := range []int64{base.size, b.size, 0} {
			if got := ask(c, b, old); old != 0 && got.status == 200 {
				t.Fatalf("round %d: killed when %s, it cosigned the other branch from %d", round, point, old)
			}
		}
		if got := ask(c, a, base.size); got.status != 409 || got.body != fmt.Sprintln(a.size) {
			t.Errorf("round %d: killed when %s, it answers %d %q", round, point, got.status, got.body)
		}
		if got := ask(c, a, a.size); got.status != 200 {
			t.Errorf("round %d: killed when %s, the branch that was promised is answered %d %q", round, point, got.status, got.body)
		}
		c.cmd.Process.Kill()
		c.cmd.Wait()
		base = a
	}
}
