package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// serveBaseline is the server that steno is measured against, in a process of its own.
func serveBaseline(args []string) error {
	flags := flag.NewFlagSet("baseline", flag.ContinueOnError)
	dir := flags.String("dir", "", "")
	size := flags.Uint("batch", 256, "")
	age := flags.Duration("age", time.Second, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	skey, _, err := note.GenerateKey(rand.Reader, "bench.example/baseline")
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		return err
	}
	driver, err := posix.New(context.Background(), posix.Config{Path: *dir})
	if err != nil {
		return err
	}
	appender, _, _, err := tessera.NewAppender(context.Background(), driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).WithCheckpointInterval(time.Second).WithBatching(*size, *age))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "reading", http.StatusInternalServerError)
			return
		}
		index, err := appender.Add(r.Context(), tessera.NewEntry(b))()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%d", index.Index)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return server.Serve(listener)
}

// A process is a server that was started and is stopped by stop.
type process struct {
	cmd  *exec.Cmd
	addr string
}

func (b *bench) baseline(age time.Duration) (*process, error) {
	dir, err := os.MkdirTemp(b.dir, "baseline-")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(b.ctx, self, "baseline", "-dir", dir, "-age", age.String())
	cmd.Stderr = io.Discard // klog tells of every flush
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the baseline: %w", err), cmd.Process.Kill())
	}
	return &process{cmd: cmd, addr: strings.TrimSpace(line)}, nil
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
}
