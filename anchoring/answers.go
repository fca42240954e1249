package anchoring

import "time"

// A Bracket says between which times an entry was logged, as far as the anchors in the log go. Nil is not known.
type Bracket struct {
	NotBefore, NotAfter *Bound
	Authorities         []Nearest // each that is trusted or asked, by name
}

// A Nearest is what one authority says of an entry: by its last anchor below, and its first one above. Nil is an anchor that is
// not there, or says nothing.
type Nearest struct {
	Authority           string
	Counts              bool // the trust file names it
	NotBefore, NotAfter *Bound
}

// A Bound is one side of a Bracket.
type Bound struct {
	Time      time.Time // what the token states, less its accuracy (not before) or and its accuracy (not after)
	Authority string
	Index     uint64 // of the leaf with the token
	Size      uint64 // of the checkpoint that was stamped
}

// An Outcome is what a round came to.
type Outcome struct {
	New     bool   // something was there to be stamped; else only the log's own events came since the last round
	Size    uint64 // of the checkpoint
	Answers []Answer
}

// An Answer is what one authority said. Reason is empty if its token over the checkpoint is in the log.
type Answer struct {
	Authority string
	Index     uint64    // of the leaf with the token
	Time      time.Time // that it states
	Reason    string    // a word of docs/spec/anchors.md
}
