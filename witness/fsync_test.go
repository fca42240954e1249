//go:build linux

package witness_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/internal/need"
	"github.com/stenolog/steno/witness"
)

// failSyncs makes fsync of files fail in a process until the function that it returns is called.
func failSyncs(t *testing.T, pid int, files ...string) (heal func()) {
	t.Helper()
	args := []string{"-f", "-o", os.DevNull, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-p", strconv.Itoa(pid)}
	for _, f := range files {
		args = append(args, "-P", f)
	}
	cmd := exec.Command(need.Program(t, "strace"), args...)
	says, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(says)
	var said strings.Builder
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "attached") {
			done := make(chan struct{})
			go func() {
				for lines.Scan() {
				}
				cmd.Wait()
				close(done)
			}()
			heal = func() {
				cmd.Process.Signal(os.Interrupt)
				<-done
			}
			t.Cleanup(heal)
			return heal
		}
	}
	cmd.Wait()
	need.Missing(t, "to be allowed to trace a process: "+said.String())
	return nil
}

// A file that can't be synced lets no signature out and ends all writing, also when the disk is well again.
func TestONEHISTORY_failedSync(t *testing.T) {
	key, _, err := checkpoint.GenerateKey(checkpoint.CosignatureEd25519, "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range []string{"state.db", "published.db"} {
		t.Run(file, func(t *testing.T) {
			l := newTestLog(t, origin, checkpoint.Ed25519)
			dirs := newDirs(t)
			addLog(t, dirs, l)
			base := new(testTree).growTo(t, 3, "leaf")
			a, b := base.fork().growTo(t, 7, "a"), base.fork().growTo(t, 7, "b")
			ask := func(c *child, tr *testTree, old int64) int {
				got, err := send("POST", c.url+witness.PathAddCheckpoint, l.request(t, tr, old).Marshal())
				if err != nil {
					t.Fatal(err)
				}
				return got.status
			}
			c := startChild(t, dirs, key, "")
			if got := ask(c, base, 0); got != 200 {
				t.Fatalf("status %d", got)
			}
			path := filepath.Join(dirs[i], file)
			heal := failSyncs(t, c.cmd.Process.Pid, path, path+"-wal")
			if got := ask(c, a, 3); got != 503 {
				t.Errorf("status %d with a sync that fails", got)
			}
			heal()
			for range 3 {
				if got := ask(c, b, 3); got != 503 {
					t.Errorf("status %d after a sync that failed", got)
				}
			}
			c.cmd.Process.Kill()
			c.cmd.Wait()
			c = startChild(t, dirs, key, "")
			first := ask(c, b, 3)
			second := ask(c, a, 3)
			if again := ask(c, a, 7); (first == 200) == (second == 200 || again == 200) {
				t.Errorf("one branch is answered %d, the other %d and %d", first, second, again)
			}
		})
	}
}
