package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/internal/need"
)

// A stuck content is never loaded to its end.
type stuck struct{}

func (stuck) ReadAt([]byte, int64) (int, error) {
	fmt.Println("stuck")
	select {}
}

// An exporter that is killed while it writes leaves nothing of what is in the file: it may be what was sealed.
func TestAKilledExporterLeavesNothing(t *testing.T) {
	const child = "STENO_TEST_KILLED_IN"
	if dir := os.Getenv(child); dir != "" {
		x := &export{evidenceFlags: evidenceFlags{out: filepath.Join(dir, "out")}}
		_, err := x.write(&evidence.Bundle{
			Origin: "log.example/prod", Range: &evidence.Range{From: 0, To: 2}, Report: make([]byte, 3<<20), // more than is buffered
			Leaves: []evidence.Leaf{evidence.LeafOf(0, []byte("a leaf")), {Index: 1, Content: evidence.ContentsIn(stuck{}).At(0, 1)}},
		})
		t.Fatal(err)
	}
	dir := t.TempDir()
	if f, err := nameless(dir); err != nil {
		need.Missing(t, "a file system whose files can be without a name")
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || said != "stuck\n" {
		t.Errorf("%q, %v", said, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		t.Errorf("it has ended by itself: %v", err)
	}
	holds(t, dir, nil)
}
