package evidence

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// CheckpointInfo is the tree head under which everything was proven, and who has seen it.
type CheckpointInfo struct {
	Size      uint64            `json:"size"`
	Root      entry.Hash        `json:"root"`
	Witnessed bool              `json:"witnessed"` // cosigned as the trust file demands; false if it demands nothing
	Cosigned  []CosignatureInfo `json:"cosigned"`  // by pinned witnesses whose keys count, in the policy's order
}

// A CosignatureInfo is a witness's word that it saw no other history, and when by its clock.
type CosignatureInfo struct {
	Witness   string `json:"witness"` // name in the trust file
	Operator  string `json:"operator"`
	Key       string `json:"key"` // name and key ID
	Algorithm string `json:"algorithm"`
	Time      string `json:"time"` // RFC 3339, UTC
}

// CheckpointInfoOf says what there is to say of a checkpoint that t has opened.
func CheckpointInfoOf(t *trust.Trust, cp trust.Checkpoint) CheckpointInfo {
	info := CheckpointInfo{Size: cp.Size, Root: cp.Root, Witnessed: cp.Witnessed && t.NeedsWitnesses(), Cosigned: []CosignatureInfo{}}
	for _, c := range cp.Cosigned {
		info.Cosigned = append(info.Cosigned, CosignatureInfo{c.Witness, c.Operator, c.Key, c.Algorithm.String(), witnessTime(c.Time)})
	}
	return info
}

// lastSecond is the last that RFC 3339 can write: 9999-12-31T23:59:59Z. Whatever later time a witness claims is written so.
const lastSecond = 253_402_300_799

func witnessTime(seconds uint64) string {
	return time.Unix(int64(min(seconds, lastSecond)), 0).UTC().Format(time.RFC3339)
}

// Operators are those of the witnesses that have cosigned, each once: all keys of one have one voice.
func (c CheckpointInfo) Operators() (names []string) {
	for _, s := range c.Cosigned {
		if !slices.Contains(names, s.Operator) {
			names = append(names, s.Operator)
		}
	}
	return names
}

// UnseenText is said of a checkpoint that no pinned witness has cosigned, also where the trust file demands none.
const UnseenText = "seen by no pinned witness: that others were shown the same log is the log's word alone"

// Seen says in words by whom the checkpoint was seen and when, or "" if no pinned witness has cosigned.
func (c CheckpointInfo) Seen() string {
	names := c.Operators()
	var first, last string // RFC 3339 in UTC sorts as time does
	for _, s := range c.Cosigned {
		if first == "" || s.Time < first {
			first = s.Time
		}
		last = max(last, s.Time)
	}
	when := fmt.Sprintf("between %s and %s", first, last)
	if first == last {
		when = "at " + first
	}
	switch len(names) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("seen by 1 of the pinned witnesses (%s) %s by its clock", names[0], when)
	}
	return fmt.Sprintf("seen by %d of the pinned witnesses (%s) %s by their clocks", len(names), strings.Join(names, ", "), when)
}
