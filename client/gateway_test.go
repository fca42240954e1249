package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/client"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/gateway/mcp"
	"github.com/stenolog/steno/recorder"
)

// A gated is a track as a gateway wants it.
type gated struct{ *client.Track }

func (g gated) Record(ctx context.Context, events ...recorder.Event) (entry.Ref, error) {
	span, err := g.Track.Record(ctx, events...)
	if errors.Is(err, client.ErrPending) {
		err = fmt.Errorf("%w: %w", mcp.ErrPending, err)
	}
	return entry.Ref{Track: entry.ID(g.Name()), Seq: span.Seq}, err
}

func (g gated) Spool(events ...recorder.Event) (entry.Ref, error) {
	span, err := g.Track.Spool(events...)
	return entry.Ref{Track: entry.ID(g.Name()), Seq: span.Seq}, err
}

// A gateway whose recorder was shown two histories lets no further call through, whatever it may do on failure; the result of
// the call that was under way is kept and handed over.
func TestFAILCLOSED_aForkStopsTheCallsOfAGateway(t *testing.T) {
	w := newWitnessed()
	s := newServer(t, w)
	cfg := w.config(s.URL, t.TempDir())
	caught := make(chan error, 1)
	cfg.Alarm = func(err error) { caught <- err }
	rec := newRecorder(t, cfg)
	main := open(t, rec)
	eventually(t, "a checkpoint is verified", func() bool { return len(states(rec)) == 0 })

	stdin, client2gateway := io.Pipe()
	gateway2client, stdout := io.Pipe()
	gateway2server, toServer := io.Pipe()
	fromServer, server2gateway := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- mcp.Relay(context.Background(), mcp.Config{Stdin: stdin, Stdout: stdout, Recorder: gated{main}, OnFailure: mcp.Spool}, toServer, fromServer)
	}()
	say := func(to io.Writer, line string) {
		if _, err := io.WriteString(to, line+"\n"); err != nil {
			t.Error(err)
		}
	}
	atServer, atClient := bufio.NewScanner(gateway2server), bufio.NewScanner(gateway2client)
	hear := func(at *bufio.Scanner) string {
		if !at.Scan() {
			t.Fatalf("the gateway ended: %v", at.Err())
		}
		return at.Text()
	}
	call := `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"pay","arguments":{}}}`
	say(client2gateway, fmt.Sprintf(call, 1))
	if got := hear(atServer); !strings.Contains(got, `"id":1`) {
		t.Fatalf("the server was sent %s", got)
	}
	s.with(func() {
		rewriteFirst(s)
		s.add([]byte("one more"))
	})
	if fork := new(client.ForkError); !errors.As(<-caught, &fork) {
		t.Fatal("the fork was not found")
	}
	say(server2gateway, `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`)
	if got := hear(atClient); !strings.Contains(got, `"result"`) {
		t.Fatalf("the result of the call under way: %s", got)
	}
	say(client2gateway, fmt.Sprintf(call, 2))
	if got := hear(atClient); !strings.Contains(got, `"id":2`) || !strings.Contains(got, "recording-unavailable") {
		t.Fatalf("a call after the fork: %s", got)
	}
	client2gateway.Close()
	if atServer.Scan() {
		t.Errorf("the server was sent %s", atServer.Text())
	}
	server2gateway.Close()
	if err := <-done; err != nil {
		t.Errorf("the gateway: %v", err)
	}
	if err := rec.Close(within(t, time.Second)); err != nil && !errors.Is(err, client.ErrDistrusted) {
		t.Error(err)
	}
	tracks, err := client.ReadSpool(cfg.Dir)
	if err != nil || len(tracks) != 1 || len(tracks[0].Entries) == 0 {
		t.Errorf("the result is not in the spool: %+v, %v", tracks, err)
	}
}
