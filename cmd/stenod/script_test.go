package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/trust"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"stenod": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "GOCOVERDIR="+os.Getenv("GOCOVERDIR"))
			e.Values[serversKey{}] = make(map[string]*running)
			e.Values[witnessesKey{}] = make(map[string]func())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"trust": makeTrust, "start": startServer, "finish": stopServer, "get": get, "setup-log": setupLog,
			"witnesses": runWitnesses, "halt": haltWitness, "await": await,
		},
	})
}

// trust KEYS FILE: what an enroller and compliance do: the trust file of the keys that "stenod key generate" printed.
func makeTrust(ts *testscript.TestScript, neg bool, args []string) {
	keys := make(map[string]string)
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		kind, vkey, _ := strings.Cut(strings.TrimSpace(line), " ")
		keys[kind] = vkey
	}
	_, enroller, err := note.GenerateKey(rand.Reader, "acme/enroller")
	ts.Check(err)
	t, err := trust.New(keys["log"], []string{keys["received"]}, []string{keys["system"]}, []string{enroller})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), t.Marshal(), 0o644))
}

// setup-log makes keys and trust for stenod.yaml in the work directory, and creates the log.
func setupLog(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("stenod", "key", "generate", "--origin", "log.test.example", "--dir", "keys"))
	ts.Check(os.WriteFile(ts.MkAbs("lines"), []byte(ts.ReadFile("stdout")), 0o644))
	makeTrust(ts, false, []string{"lines", "trust"})
	ts.Check(ts.Exec("stenod", "log", "init"))
}

type running struct {
	cmd   *exec.Cmd
	addrs map[string]string
}

// start NAME runs "stenod serve" until it says that it is ready; finish NAME ends it and demands exit 0 (stop would end the script).
func startServer(ts *testscript.TestScript, neg bool, args []string) {
	exe, err := exec.LookPath("stenod")
	if err != nil { // testscript puts it into the script's PATH
		for dir := range strings.SplitSeq(ts.Getenv("PATH"), string(os.PathListSeparator)) {
			if _, err := os.Stat(dir + "/stenod"); err == nil {
				exe = dir + "/stenod"
				break
			}
		}
	}
	r := &running{addrs: make(map[string]string)}
	r.cmd = exec.Command(exe, "serve")
	r.cmd.Dir, r.cmd.Env = ts.Getenv("WORK"), append(os.Environ(), "PATH="+ts.Getenv("PATH"))
	r.cmd.Stderr = os.Stderr
	out, err := r.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(r.cmd.Start())
	ts.Defer(func() {
		if r.cmd.ProcessState == nil {
			r.cmd.Process.Kill()
			r.cmd.Wait()
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "ready" {
			servers(ts)[args[0]] = r
			for name, addr := range r.addrs {
				ts.Setenv(strings.ToUpper(name), addr)
			}
			return
		}
		name, addr, _ := strings.Cut(lines.Text(), " ")
		r.addrs[name] = addr
	}
	ts.Fatalf("the server ended before it was ready: %v", r.cmd.Wait())
}

// serversKey names, among a script's values, the servers that it started.
type serversKey struct{}

func servers(ts *testscript.TestScript) map[string]*running {
	return ts.Value(serversKey{}).(map[string]*running)
}

func stopServer(ts *testscript.TestScript, neg bool, args []string) {
	r := servers(ts)[args[0]]
	ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
	ts.Check(r.cmd.Wait())
}

// get ADDRESS PATH STATUS prints the answer.
func get(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+args[0]+args[1], nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if fmt.Sprint(resp.StatusCode) != args[2] {
		ts.Fatalf("%d %s", resp.StatusCode, b)
	}
	fmt.Fprintf(ts.Stdout(), "%s", b)
}
