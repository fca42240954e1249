package entry_test

import (
	"fmt"
	"testing"

	"github.com/stenolog/steno/entry"
)

// entryOfEight is an entry of 8 events and about 4 KiB: what audits read by the million.
func entryOfEight(tb testing.TB) []byte {
	t, ok := tb.(*testing.T)
	if !ok {
		t = &testing.T{}
	}
	w := newWorld(t)
	var lines [][]byte
	for i := range 4 {
		id := entry.ID(fmt.Sprintf("action-%d", i))
		lines = append(lines,
			must(entry.Marshal(entry.TypeActionIntent, noon, entry.ActionIntent{Action: id, Tool: "ledger.post", Protocol: "mcp",
				Method: "tools/call", Params: payload(), Because: []entry.Ref{{Track: "main", Seq: 4}}})),
			must(entry.Marshal(entry.TypeActionResult, noon, entry.ActionResult{Action: id, DurationUS: 1234, Response: payload(),
				Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}})))
	}
	return w.leaf(t, entry.Header{Origin: origin, Session: session, Track: "main", Seq: 17, Prev: entry.Hash{4}}, lines...)
}

func BenchmarkParse(b *testing.B) {
	leaf := entryOfEight(b)
	b.SetBytes(int64(len(leaf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := entry.Parse(leaf); err != nil {
			b.Fatal(err)
		}
	}
}
