//go:build !linux

package witness

import "time"

// monotonic returns a clock that nobody sets. On some systems it stands still while the machine sleeps; the clock then seems
// to have jumped, and an operator has to say that it has not.
func monotonic() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
