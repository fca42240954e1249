package posix_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stenolog/steno/storage/posix"
)

// BenchmarkAppend measures one Append at a time, durable, of n leaves of 4 KiB, as the log's committer calls it.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64, 256, 1024} {
		b.Run(fmt.Sprintf("leaves=%d", n), func(b *testing.B) {
			ctx := context.Background()
			dir := b.TempDir()
			if err := posix.CreateTree(ctx, dir); err != nil {
				b.Fatal(err)
			}
			tree, err := posix.OpenTree(ctx, posix.TreeConfig{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			leaves := make([][]byte, n)
			for i := range leaves {
				leaves[i] = make([]byte, 4096)
				rand.Read(leaves[i])
			}
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := tree.Append(ctx, leaves); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(n*len(took))/b.Elapsed().Seconds(), "leaves/s")
			if err := tree.Close(ctx); err != nil {
				b.Fatal(err)
			}
		})
	}
}
