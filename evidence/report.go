package evidence

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
)

// Exit codes of a verification.
const (
	ExitVerified   = 0 // everything that was checked is right, and the sessions are whole
	ExitFailed     = 1 // a signature, proof, link or byte of the file is wrong
	ExitUnusable   = 2 // there was nothing to judge: usage, missing file, unreadable trust file
	ExitPolicy     = 3 // every signature holds, but not what the caller or the trust file demanded
	ExitIncomplete = 4 // sound as far as it goes: a session is open, interrupted, or not all in the file
)

// A CheckID names a check. The names are stable.
type CheckID string

// The checks, in the order in which they are reported.
const (
	CheckBundle      CheckID = "bundle"      // the file is intact and in its one spelling
	CheckCheckpoint  CheckID = "checkpoint"  // signed by a pinned log key, for the pinned origin
	CheckWitnesses   CheckID = "witnesses"   // cosigned as the pinned policy demands
	CheckRange       CheckID = "range"       // every leaf of the range that the file names is here
	CheckInclusion   CheckID = "inclusion"   // every leaf is proven to stand in the log under that checkpoint
	CheckEntries     CheckID = "entries"     // every leaf is a well-formed entry, made for this log
	CheckReceived    CheckID = "received"    // every entry bears the log's receipt by a pinned key
	CheckEnrolment   CheckID = "enrolment"   // every track's key is enrolled by a pinned enroller, for its agent, log and time
	CheckRecorder    CheckID = "recorder"    // every entry is signed by its track's enrolled key
	CheckChain       CheckID = "chain"       // every link of every track, no hole, no number taken twice
	CheckTracks      CheckID = "tracks"      // tracks belong to their session; its close and the log's word agree with them
	CheckSystem      CheckID = "system"      // the log's own entries are signed by a pinned system key
	CheckAdmitted    CheckID = "admitted"    // the log says of every opening who was authenticated
	CheckEmbedded    CheckID = "embedded"    // checkpoints that recorders embedded are the log's
	CheckAnchors     CheckID = "anchors"     // time-stamp tokens are what their anchors say, and the log extends what they stamp
	CheckTime        CheckID = "time"        // as many time-stamp authorities bound the sessions' ends as the trust file demands, and no clock is proven wrong
	CheckBlobs       CheckID = "blobs"       // sealed bytes are those that the entries name
	CheckDisclosures CheckID = "disclosures" // shown segments match the commitments in the entries
	CheckCustody     CheckID = "custody"     // the custody record is right about the file, and the log recorded the hand-over
	CheckComplete    CheckID = "complete"    // the sessions are closed, without gaps, and all here
	CheckPolicy      CheckID = "policy"      // what the caller demanded
)

// checkOrder is every check, in order.
func checkOrder() []CheckID {
	return []CheckID{CheckBundle, CheckCheckpoint, CheckWitnesses, CheckRange, CheckInclusion, CheckEntries, CheckReceived, CheckEnrolment, CheckRecorder,
		CheckChain, CheckTracks, CheckSystem, CheckAdmitted, CheckEmbedded, CheckAnchors, CheckTime, CheckBlobs, CheckDisclosures, CheckCustody, CheckComplete, CheckPolicy}
}

// An Outcome is how a check ended.
type Outcome string

// Outcomes of a check.
const (
	Passed     Outcome = "passed"
	Failed     Outcome = "failed"
	Incomplete Outcome = "incomplete"
	Unmet      Outcome = "unmet"
	NotRun     Outcome = "not-run" // an earlier failure left nothing to check
)

// A Where is a place in a bundle or a log, as far as it is known.
type Where struct {
	File    string  `json:"file,omitempty"`
	Offset  *int64  `json:"offset,omitempty"` // from the start of the bundle for CheckBundle, else of the leaf
	Index   *uint64 `json:"index,omitempty"`  // of the leaf in the log
	Session string  `json:"session,omitempty"`
	Track   string  `json:"track,omitempty"`
	Seq     *uint64 `json:"seq,omitempty"`
	Event   *int    `json:"event,omitempty"` // in the entry, from 0
	Member  string  `json:"member,omitempty"`
}

func (w Where) String() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if w.File != "" {
		add("file %s", w.File)
	}
	if w.Index != nil {
		add("log index %d", *w.Index)
	}
	if w.Session != "" {
		add("session %s", w.Session)
	}
	if w.Track != "" {
		add("track %s", w.Track)
	}
	if w.Seq != nil {
		add("sequence number %d", *w.Seq)
	}
	if w.Event != nil {
		add("event %d", *w.Event)
	}
	if w.Member != "" {
		add("member %s", w.Member)
	}
	if w.Offset != nil {
		add("byte %d", *w.Offset)
	}
	return strings.Join(parts, ", ")
}

func ptr[T any](v T) *T { return &v }

// placeOf is where an entry stands.
func placeOf(index uint64, e *entry.Entry) Where {
	return Where{Index: &index, Session: e.Session, Track: e.Track, Seq: ptr(e.Seq)}
}

// at adds what an error of package entry says of the place in the entry.
func (w Where) at(err error) Where {
	var e *entry.Error
	if !errors.As(err, &e) {
		return w
	}
	w.Offset, w.Member = ptr(int64(e.Offset)), e.Member
	if e.Event >= 0 {
		w.Event = ptr(e.Event)
	}
	return w
}

// A Finding is something that is not as it should be.
type Finding struct {
	Check   CheckID `json:"check"`
	Outcome Outcome `json:"outcome"`
	Where   Where   `json:"where"`
	Detail  string  `json:"detail"`
}

func (f Finding) String() string {
	if place := f.Where.String(); place != "" {
		return place + ": " + f.Detail
	}
	return f.Detail
}

// A Check is the result of one check: how many things passed it, and the first of the worst
// that did not.
type Check struct {
	ID      CheckID `json:"id"`
	Outcome Outcome `json:"outcome"`
	Passed  int     `json:"passed"`
	Where   *Where  `json:"where,omitempty"`
	Detail  string  `json:"detail,omitempty"`
	Others  int     `json:"others,omitempty"` // further things that did not pass
}

// A NotChecked is something that a reader may expect to have been checked and that was not.
type NotChecked struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// A Report is the result of a verification. It has no time in it: the same file and trust give the same report.
type Report struct {
	Format      string          `json:"format"` // steno/report/v1
	Exit        int             `json:"exit"`
	Verdict     string          `json:"verdict"`         // verified, failed, unusable, policy-unmet or incomplete
	Error       string          `json:"error,omitempty"` // of exit 2
	Origin      string          `json:"origin,omitempty"`
	TrustDigest string          `json:"trust_sha256,omitempty"`  // hexadecimal: to be compared with what was pinned
	Bundle      string          `json:"bundle_sha256,omitempty"` // hexadecimal
	Checkpoint  *CheckpointInfo `json:"checkpoint,omitempty"`
	Checks      []Check         `json:"checks"`
	NotChecked  []NotChecked    `json:"not_checked"`
	Pending     []CheckID       `json:"pending"` // what the file says that it was made too early for: time, witnesses
	Custody     *CustodyReport  `json:"custody"` // null if there is no record that can be read
	Sessions    []SessionReport `json:"sessions"`
	Anchors     []AnchorReport  `json:"anchors"` // by leaf
}

// A CustodyReport is what a custody record says, and what the log said of the hand-over. Whether they agree, and with the file, says
// the check custody.
type CustodyReport struct {
	SHA256        string     `json:"sha256"` // of the record, hexadecimal
	Exhibit       string     `json:"exhibit"`
	Matter        string     `json:"matter,omitempty"`
	Made          string     `json:"made"` // RFC 3339, UTC
	Exporter      string     `json:"exporter"`
	Approver      string     `json:"approver,omitempty"`
	Recipient     string     `json:"recipient,omitempty"`
	Basis         string     `json:"basis,omitempty"`
	Disclosed     []string   `json:"disclosed"`
	Withheld      []Withheld `json:"withheld"`
	Entries       int        `json:"entries"`
	EntriesSHA256 string     `json:"entries_sha256"`      // hexadecimal
	Index         *uint64    `json:"index"`               // of the first leaf with a disclosure event that names the record; null if there is none
	Principal     string     `json:"principal,omitempty"` // as which the log authenticated whoever handed it over, by that event
}

// A SessionReport is what was proven of a session.
type SessionReport struct {
	Session    string         `json:"session"`
	Verdict    string         `json:"verdict"`               // complete, late, interrupted, abandoned, open or unproven
	LogVerdict string         `json:"log_verdict,omitempty"` // the log's last word, which can worsen ours and never better it
	Agent      string         `json:"agent,omitempty"`
	Privilege  string         `json:"privilege,omitempty"`
	Outcome    string         `json:"outcome,omitempty"` // by session.close
	From       *entry.Time    `json:"logged_from,omitempty"`
	Until      *entry.Time    `json:"logged_until,omitempty"`
	Time       SessionTime    `json:"time"`
	Events     uint64         `json:"events"`
	Actions    uint64         `json:"actions"`
	Tracks     []TrackReport  `json:"tracks"`
	Gaps       []Gap          `json:"gaps"`
	Alerts     []AlertReport  `json:"alerts"`
	Payloads   PayloadsReport `json:"payloads"`
}

// A SessionTime says between which times a session was logged, by others than the log. What is not known is null.
type SessionTime struct {
	NotBefore   *TimeBound        `json:"not_before"`
	NotAfter    *TimeBound        `json:"not_after"`
	Authorities []string          `json:"authorities"` // that bound its end, whether enough or not
	Stamps      int               `json:"stamps"`      // how many the trust file demands
	Witnessed   *WitnessedBetween `json:"witnessed"`   // a second bracket, by the clocks of pinned witnesses
	// Contradiction is not null where one of the clocks that the brackets rest on is proven to be wrong, and nothing tells which: neither is
	// to be relied on alone.
	Contradiction *Contradiction `json:"contradiction"`
}

// A TimeBound is what a time-stamp token proves, its accuracy taken off (not before) or added (not after).
type TimeBound struct {
	Time        string `json:"time"` // RFC 3339, UTC
	Authority   string `json:"authority"`
	AnchorIndex uint64 `json:"anchor_index"`   // of the leaf with the token
	Size        uint64 `json:"size,omitempty"` // of the checkpoint that was stamped; of not_after
}

// A WitnessedBetween is a bracket by witnesses.
type WitnessedBetween struct {
	NotBefore *WitnessBound `json:"not_before"`
	NotAfter  *WitnessBound `json:"not_after"`
}

// A WitnessBound is when a quorum of witnesses had cosigned a checkpoint.
type WitnessBound struct {
	Time string `json:"time"` // RFC 3339, UTC
	Size uint64 `json:"size"`
}

// An AnchorReport is what there is to say of a time-stamp token.
type AnchorReport struct {
	Index      uint64 `json:"index"` // of the leaf
	Authority  string `json:"authority"`
	Size       uint64 `json:"size"` // of the checkpoint that was stamped
	Time       string `json:"time,omitempty"`
	AccuracyMS int64  `json:"accuracy_ms,omitempty"`
	Counts     bool   `json:"counts"`
	Reason     string `json:"reason,omitempty"` // why not: a reason of docs/spec/timestamp.md or evidence.md
	Detail     string `json:"detail,omitempty"`
}

// A TrackReport is what was proven of a track.
type TrackReport struct {
	Track      string       `json:"track"`
	Agent      string       `json:"agent"`
	SignedBy   entry.Holder `json:"signed_by"` // agent, gateway or operator
	Recorder   string       `json:"recorder"`  // name of the key
	Enroller   string       `json:"enroller"`
	Vantage    string       `json:"vantage"`
	Capture    string       `json:"capture"`
	Entries    int          `json:"entries"`
	Repeats    int          `json:"repeats,omitempty"` // leaves with a text that the log had already
	Events     uint64       `json:"events"`
	FirstIndex uint64       `json:"first_index"`
	LastIndex  uint64       `json:"last_index"`
	From       entry.Time   `json:"logged_from"`
	Until      entry.Time   `json:"logged_until"`
	Head       entry.Hash   `json:"head"`
	Admitted   *Admission   `json:"admitted,omitempty"`
}

// An Admission is what the log says of whoever opened a track.
type Admission struct {
	Index     uint64 `json:"index"`
	Principal string `json:"principal"`
	How       string `json:"how"`
	Number    uint64 `json:"number,omitempty"` // of the agent's sessions, by the log's word
}

// A Gap is something that is known to be missing from a record, or that puts its wholeness in doubt.
type Gap struct {
	Kind   string  `json:"kind"` // open-action, lost-track, missing-track, unnamed-track, spooled, restarted, hole, not-closed
	Track  string  `json:"track,omitempty"`
	Seq    *uint64 `json:"seq,omitempty"`
	Action string  `json:"action,omitempty"`
}

// An AlertReport is an alert of the log about a session.
type AlertReport struct {
	Index    uint64 `json:"index"`
	Alert    string `json:"alert"`
	Severity string `json:"severity"`
}

// PayloadsReport counts sealed payloads.
type PayloadsReport struct {
	Blobs     int `json:"blobs"`    // that the entries name
	Included  int `json:"included"` // of them, in the bundle
	Disclosed int `json:"disclosed"`
}

const reportFormat = "steno/report/v1"

// UnusableReport is the report of exit 2.
func UnusableReport(err error) Report {
	r := newReport()
	r.Error = err.Error()
	r.conclude(nil, findings{})
	r.Exit, r.Verdict = ExitUnusable, "unusable"
	return r
}

func newReport() Report {
	return Report{Format: reportFormat, Checks: []Check{}, NotChecked: []NotChecked{}, Pending: []CheckID{}, Sessions: []SessionReport{}, Anchors: []AnchorReport{}}
}

// worse tells whether an outcome is worse than another. That of a check is its worst.
func (o Outcome) worse(than Outcome) bool {
	order := []Outcome{Incomplete, Unmet, Failed}
	return slices.Index(order, o) > slices.Index(order, than)
}

// conclude fills the checks from what passed and what was found, and draws the verdict.
func (r *Report) conclude(passed map[CheckID]int, found findings) {
	worst := map[Outcome]bool{}
	for _, id := range checkOrder() {
		n, ran := passed[id]
		c := Check{ID: id, Outcome: NotRun, Passed: n, Others: found.others[id]}
		if ran {
			c.Outcome = Passed
		}
		for _, f := range found.first {
			if f.Check != id {
				continue
			}
			if c.Where == nil {
				c.Outcome, c.Where, c.Detail = f.Outcome, &f.Where, f.Detail
			} else if c.Others++; f.Outcome.worse(c.Outcome) {
				c.Outcome, c.Where, c.Detail = f.Outcome, &f.Where, f.Detail
			}
			worst[f.Outcome] = true
		}
		r.Checks = append(r.Checks, c)
	}
	switch {
	case worst[Failed]:
		r.Exit, r.Verdict = ExitFailed, "failed"
	case worst[Unmet]:
		r.Exit, r.Verdict = ExitPolicy, "policy-unmet"
	case worst[Incomplete]:
		r.Exit, r.Verdict = ExitIncomplete, "incomplete"
	default:
		r.Exit, r.Verdict = ExitVerified, "verified"
	}
}
