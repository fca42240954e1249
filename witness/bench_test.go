package witness_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/witness"
)

// BenchmarkAddCheckpoint is one witness behind HTTP, cosigning for 100 logs, each of which waits for its answer before it asks
// again. One operation is one request, durable in both files before it is answered.
func BenchmarkAddCheckpoint(b *testing.B) {
	for name, keep := range map[string]func([]*checkpoint.Signer) []*checkpoint.Signer{
		"ed25519":           func(s []*checkpoint.Signer) []*checkpoint.Signer { return s[:1] },
		"ed25519+ml-dsa-44": func(s []*checkpoint.Signer) []*checkpoint.Signer { return s },
	} {
		b.Run(name, func(b *testing.B) {
			const logs = 100
			w := newWorld(b, func(c *witness.Config) { c.Signers = keep(c.Signers) })
			requests := make([][][]byte, logs)
			for i := range logs {
				l := newTestLog(b, fmt.Sprintf("log.example/%d", i), checkpoint.Ed25519)
				if err := w.store.AddLog(b.Context(), l.vkeys); err != nil {
					b.Fatal(err)
				}
				tr := new(testTree)
				for range b.N/logs + 1 {
					old := tr.size
					requests[i] = append(requests[i], l.request(b, tr.growTo(b, old+3, "leaf"), old).Marshal())
				}
			}
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: logs}}
			defer client.CloseIdleConnections()
			b.ResetTimer()
			var wg sync.WaitGroup
			for i := range logs {
				wg.Go(func() {
					for _, body := range requests[i] {
						res, err := client.Post(w.server.URL+witness.PathAddCheckpoint, "", bytes.NewReader(body))
						if err != nil {
							b.Error(err)
							return
						}
						answer, _ := io.ReadAll(res.Body)
						res.Body.Close()
						if res.StatusCode != http.StatusOK {
							b.Errorf("status %d: %s", res.StatusCode, answer)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(logs*len(requests[0]))/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
