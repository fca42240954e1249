package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/gateway/mcp"
	"github.com/stenolog/steno/recorder"
)

func TestINTENTFIRST_callWaitsForTheLog(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		release := make(chan struct{})
		r.rec.setDurable(func(context.Context) error { <-release; return nil })
		r.says(r.client, callLine)
		r.want("server before the log acknowledged", r.toServer.take(), "")
		intents := r.rec.of(entry.TypeActionIntent)
		if len(intents) != 1 {
			t.Fatalf("%d intents spooled", len(intents))
		}
		in := intents[0].value.(entry.ActionIntent)
		if in.Action != "mcp-1" || in.Tool != "write_file" || in.Method != "tools/call" || in.Protocol != "mcp" {
			t.Fatalf("intent %+v", in)
		}
		r.want("params", intents[0].said["params"]+"\n", callLine)
		// A server that answers before it was asked is not believed: nothing of it reaches the client.
		r.says(r.server, resultLine)
		r.want("client before the call was forwarded", r.toClient.take(), "")
		close(release)
		synctest.Wait()
		r.want("server", r.toServer.take(), callLine)
		r.says(r.server, resultLine)
		r.want("client", r.toClient.take(), resultLine)
		res := r.rec.of(entry.TypeActionResult)
		if len(res) != 1 || result(t, res[0]).Outcome != (entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}) {
			t.Fatalf("results %+v", res)
		}
		r.want("response", res[0].said["response"]+"\n", resultLine)
	})
}

// TestINTENTFIRST_order looks at the order of effects: spooled, acknowledged, written; and spooled, handed over.
func TestINTENTFIRST_order(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log []string
		note := func(what string) func(string) {
			return func(s string) {
				mu.Lock()
				defer mu.Unlock()
				log = append(log, what+s)
			}
		}
		r := newRig(t, mcp.Config{})
		r.rec.mu.Lock()
		r.rec.happen = note("")
		r.rec.mu.Unlock()
		r.toServer.happen, r.toClient.happen = note("server "), note("client ")
		r.says(r.client, callLine)
		r.says(r.server, resultLine)
		mu.Lock()
		got := strings.Join(log, ", ")
		mu.Unlock()
		r.want("order", got, "spool action.intent, durable, server write, spool action.result, client write")
		_ = r.end()
	})
}

func TestFAILCLOSED_callRefusedWhileTheLogIsDown(t *testing.T) {
	for name, wait := range map[string]func(context.Context) error{"says no": down, "hangs": hangs} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, mcp.Config{DurableTimeout: second}, func(r *rig) {
				r.rec.setDurable(wait)
				r.says(r.client, callLine, pingLine)
				<-after(2 * second)
				synctest.Wait()
				r.want("server", r.toServer.take(), pingLine)
				got := r.toClient.take()
				mustContain(t, "answer", got, `{"jsonrpc":"2.0","id":3,"error":{"code":30501,`, `"why":"recording-unavailable","action":"mcp-1"`)
				rejects := r.rec.of(entry.TypeActionReject)
				if len(rejects) != 1 || rejects[0].value.(entry.ActionReject).Action != "mcp-1" || rejects[0].value.(entry.ActionReject).By != "recorder" {
					t.Fatalf("rejects %+v", rejects)
				}
				// It heals alone, and the id is free again.
				r.rec.setDurable(nil)
				r.says(r.client, callLine)
				r.want("server", r.toServer.take(), callLine)
			})
		})
	}
}

func TestFAILCLOSED_resultHandedOverNextCallRefused(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		r.says(r.client, callLine)
		r.rec.setDurable(down)
		r.says(r.server, resultLine)
		r.want("client", r.toClient.take(), resultLine)
		r.want("story", r.rec.story(), "action.intent action.result")
		r.toServer.take()
		r.says(r.client, strings.Replace(callLine, `"id":3`, `"id":4`, 1))
		r.want("server", r.toServer.take(), "")
		mustContain(t, "answer", r.toClient.take(), `"id":4,"error":{"code":30501`)
	})
}

func TestFAILCLOSED_resultThatCannotBeKeptIsHandedOverAndEndsTheSession(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		r.says(r.client, callLine)
		r.rec.mu.Lock()
		r.rec.spool = func(int) error { return errors.New("disk full") }
		r.rec.mu.Unlock()
		r.says(r.server, resultLine)
		r.want("client", r.toClient.take(), resultLine)
		r.want("server", r.toServer.take(), callLine)
		if !r.toServer.isClosed() {
			t.Fatal("the server's input is still open")
		}
		_ = r.client.Close()
		if err := r.end(); !errors.Is(err, mcp.ErrStopped) {
			t.Fatalf("Relay: %v", err)
		}
		r.want("server", r.toServer.take(), "")
	})
}

func TestFAILCLOSED_intentThatCannotBeSpooled(t *testing.T) {
	inBubble(t, mcp.Config{OnFailure: mcp.Spool}, func(r *rig) {
		r.rec.mu.Lock()
		r.rec.spool = func(int) error { return errors.New("disk full") }
		r.rec.mu.Unlock()
		r.says(r.client, callLine)
		r.want("server", r.toServer.take(), "")
		mustContain(t, "answer", r.toClient.take(), `"id":3,"error":{"code":30501`)
		if err := r.end(); !errors.Is(err, mcp.ErrStopped) {
			t.Fatalf("Relay: %v", err)
		}
	})
}

// TestFAILCLOSED_spoolWithoutRoom has a spool that keeps its last room for results.
func TestFAILCLOSED_spoolWithoutRoom(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		r.says(r.client, callLine)
		r.toServer.take()
		r.rec.mu.Lock()
		r.rec.full = true
		r.rec.mu.Unlock()
		r.says(r.client, strings.Replace(callLine, `"id":3`, `"id":4`, 1))
		r.want("server", r.toServer.take(), "")
		mustContain(t, "answer", r.toClient.take(), `"id":4,"error":{"code":30501`)
		r.says(r.server, resultLine)
		r.want("client", r.toClient.take(), resultLine)
		r.want("story", r.rec.story(), "action.intent action.reject action.result")
		r.want("params", r.rec.all()[1].said["params"]+"\n", strings.Replace(callLine, `"id":3`, `"id":4`, 1))
	})
}

func TestSpoolModeIsBoundedAndSaysSo(t *testing.T) {
	n := 0
	call := func() string {
		n++
		return strings.Replace(callLine, `"id":3`, fmt.Sprintf(`"id":%d`, n), 1)
	}
	rolls := func(r *rig) (modes string) {
		for _, e := range r.rec.of(entry.TypeSessionRoll) {
			modes += string(e.value.(entry.SessionRoll).Why) + "=" + string(e.value.(entry.SessionRoll).OnFailure) + " "
		}
		return modes
	}
	t.Run("time", func(t *testing.T) {
		inBubble(t, mcp.Config{OnFailure: mcp.Spool, SpoolTime: 10 * second}, func(r *rig) {
			r.rec.setDurable(down)
			c := call()
			r.says(r.client, c)
			r.want("server", r.toServer.take(), c)
			r.want("rolls", rolls(r), "failure-mode=spool ")
			<-after(11 * second)
			r.says(r.client, call())
			r.want("server", r.toServer.take(), "")
			r.rec.setDurable(nil)
			c = call()
			r.says(r.client, c)
			r.want("server", r.toServer.take(), c)
			r.want("rolls", rolls(r), "failure-mode=spool failure-mode=closed ")
		})
	})
	t.Run("bytes", func(t *testing.T) {
		inBubble(t, mcp.Config{OnFailure: mcp.Spool, SpoolBytes: int64(len(callLine) + 10)}, func(r *rig) {
			r.rec.setDurable(down)
			c := call()
			r.says(r.client, c)
			r.want("server", r.toServer.take(), c)
			r.says(r.client, call())
			r.want("server", r.toServer.take(), "")
		})
	})
	t.Run("a known outage is not waited out by every call", func(t *testing.T) {
		inBubble(t, mcp.Config{OnFailure: mcp.Spool, DurableTimeout: 10 * second}, func(r *rig) {
			r.rec.setDurable(hangs)
			for _, wait := range []time.Duration{10 * second, second} {
				c := call()
				r.says(r.client, c)
				r.want("server", r.toServer.take(), "")
				<-after(wait)
				synctest.Wait()
				r.want("server", r.toServer.take(), c)
			}
		})
	})
	t.Run("a log that refuses is no outage", func(t *testing.T) {
		inBubble(t, mcp.Config{OnFailure: mcp.Spool}, func(r *rig) {
			r.rec.setDurable(func(context.Context) error { return errors.New("409: equivocation") })
			r.says(r.client, call())
			r.want("server", r.toServer.take(), "")
			r.want("rolls", rolls(r), "")
		})
	})
}

func TestOrderIsKeptBehindAWaitingCall(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		release := make(chan struct{})
		r.rec.setDurable(func(context.Context) error { <-release; return nil })
		second := strings.Replace(callLine, `"id":3`, `"id":4`, 1)
		r.says(r.client, callLine, second, pingLine)
		r.want("server", r.toServer.take(), "")
		close(release)
		synctest.Wait()
		r.want("server", r.toServer.take(), callLine+second+pingLine)
		// The calls run in parallel and may be answered in any order.
		r.says(r.server, pongLine, strings.Replace(resultLine, `"id":3`, `"id":4`, 1), resultLine)
		if res := r.rec.of(entry.TypeActionResult); len(res) != 2 || result(t, res[0]).Action != "mcp-2" || result(t, res[1]).Action != "mcp-1" {
			t.Fatalf("results %+v", res)
		}
	})
}

func TestServerEndsWithCallsInFlight(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		r.says(r.client, callLine, pingLine)
		_ = r.server.Close()
		synctest.Wait()
		got := r.toClient.take()
		mustContain(t, "answers", got, `"id":3,"error":{"code":30502`, `"id":"p","error":{"code":30502`)
		res := r.rec.of(entry.TypeActionResult)
		if len(res) != 1 || result(t, res[0]).Outcome != (entry.Outcome{Transport: "unknown", Protocol: "unknown", Tool: "unknown"}) {
			t.Fatalf("results %+v", res)
		}
	})
}

func TestServerEndsWhileACallWaitsForTheLog(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		release := make(chan struct{})
		r.rec.setDurable(func(context.Context) error { <-release; return nil })
		r.says(r.client, callLine)
		_ = r.server.Close()
		synctest.Wait()
		close(release)
		synctest.Wait()
		r.want("server", r.toServer.take(), "")
		mustContain(t, "answer", r.toClient.take(), `"id":3,"error":{"code":30502`)
		if res := r.rec.of(entry.TypeActionResult); len(res) != 1 || result(t, res[0]).Outcome.Transport != "failed" {
			t.Fatalf("results %+v", res)
		}
	})
}

// slowSpool takes its time for what is spooled, and none for what is recorded.
type slowSpool struct{ *fake }

func (s slowSpool) Spool(events ...recorder.Event) (entry.Ref, error) {
	<-after(second)
	return s.fake.Spool(events...)
}

func TestRecordIsInTheOrderInWhichTheClientSpoke(t *testing.T) {
	rec := slowSpool{&fake{}}
	inBubble(t, mcp.Config{Recorder: rec}, func(r *rig) {
		r.says(r.client, pingLine, callLine, strings.Replace(pingLine, `"p"`, `"q"`, 1))
		<-after(3 * second)
		r.want("story", rec.story(), "message action.intent message")
	})
}

func TestServerThatTakesNoInput(t *testing.T) {
	for _, part := range []int{0, 7} {
		inBubble(t, mcp.Config{}, func(r *rig) {
			r.toServer.err, r.toServer.part = io.ErrClosedPipe, part
			r.says(r.client, callLine)
			mustContain(t, "answer", r.toClient.take(), `"id":3,"error":{"code":30502`)
			want := entry.ID("failed")
			if part > 0 { // the server may hold the line but for its end
				want = "unknown"
			}
			if res := r.rec.of(entry.TypeActionResult); len(res) != 1 || result(t, res[0]).Outcome.Transport != want {
				t.Fatalf("results %+v", res)
			}
			r.toServer.err = nil
			r.says(r.client, pingLine) // would be the other half of what the server holds
			r.want("server", r.toServer.take(), "")
			mustContain(t, "answer", r.toClient.take(), `"id":"p","error":{"code":30502`)
		})
	}
}

func TestClientThatWentAwayStopsTheServer(t *testing.T) {
	inBubble(t, mcp.Config{}, func(r *rig) {
		r.says(r.client, callLine)
		r.toClient.err = io.ErrClosedPipe
		r.says(r.server, resultLine)
		if !r.toServer.isClosed() {
			t.Fatal("the server's input is still open")
		}
		r.want("story", r.rec.story(), "action.intent action.result")
	})
}

func TestCancelledContextLetsNothingThrough(t *testing.T) {
	inBubble(t, mcp.Config{OnFailure: mcp.Spool}, func(r *rig) {
		r.rec.setDurable(hangs)
		r.cancel()
		r.says(r.client, callLine)
		r.want("server", r.toServer.take(), "")
		mustContain(t, "answer", r.toClient.take(), `"id":3,"error":{"code":30501`)
	})
}
