package witness

import (
	"errors"
	"fmt"
	"time"
)

// The rules by which a clock is judged. docs/spec/witness.md gives the reasons.
const (
	// ClockTolerance is how far the clock may be behind the latest time noted. Within it, cosignatures bear that time.
	ClockTolerance = 10 * time.Second
	// ClockJump is how far the clock may run ahead of the monotonic clock since it was first believed.
	ClockJump = time.Hour
	// ClockGap is how far, when a witness starts, the clock may be ahead of the latest time noted.
	ClockGap = 7 * 24 * time.Hour
	// ClockNote is how often the time is noted without requests.
	ClockNote = 10 * time.Minute
)

// ErrClock means that the clock can't be believed, so that nothing is cosigned.
var ErrClock = errors.New("the clock can't be believed")

// A clock holds the wall clock against what was noted and against a clock that nobody sets. It is the committer's alone.
type clock struct {
	now  func() time.Time
	mono func() time.Duration

	resets   uint64 // of the store, when the reference was taken
	begun    bool   // there is a reference
	believed bool   // the reference is a time that this process believed; else the latest time noted, at the start
	ref      int64  // seconds since 1970
	refMono  time.Duration
}

// read returns the time to cosign by, in seconds since 1970, given the latest time noted (0: none).
func (c *clock) read(noted int64, resets uint64) (int64, error) {
	now, mono := c.now().Unix(), c.mono()
	if now <= 0 {
		return 0, fmt.Errorf("%w: it is not after 1970", ErrClock)
	}
	switch {
	case !c.begun && noted == 0: // a new witness
		c.believed, c.ref, c.refMono = true, now, mono
	case !c.begun:
		c.ref, c.refMono = noted, mono
	case c.resets != resets: // noted is the operator's time
		c.believed, c.ref, c.refMono = true, noted, mono
	}
	c.begun, c.resets = true, resets
	if behind := noted - now; behind > seconds(ClockTolerance) {
		return 0, fmt.Errorf("%w: it is %d s behind the latest time noted, %s", ErrClock, behind, stamp(noted))
	}
	slack, since := ClockGap, "the latest time noted before the start"
	if c.believed {
		slack, since = ClockJump, "a monotonic clock"
	}
	if ahead := now - c.ref - seconds(mono-c.refMono); ahead > seconds(slack) {
		return 0, fmt.Errorf("%w: it is %d s ahead of %s, more than %d", ErrClock, ahead, since, seconds(slack))
	}
	if !c.believed {
		c.believed, c.ref, c.refMono = true, now, mono
	}
	return max(now, noted), nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func stamp(t int64) string { return time.Unix(t, 0).UTC().Format(time.RFC3339) }
