package recording

import "context"

// Snapshot writes the heads now.
func (r *Recording) Snapshot(ctx context.Context) error { return r.registry.snapshot(ctx) }

// Look looks at the clock now, as the watch does every second.
func (r *Recording) Look(ctx context.Context) {
	w := watching{r: r, liveness: r.cfg.Now(), snapshot: r.cfg.Now()}
	w.look(ctx)
}
