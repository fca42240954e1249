package wire

import "github.com/stenolog/steno/entry"

// Paths of the API, as chi and net/http patterns write them. {id} is a session.
const (
	PathSessions    = "/v1/sessions"
	PathSession     = "/v1/sessions/{id}"
	PathTracks      = "/v1/sessions/{id}/tracks"
	PathEntries     = "/v1/sessions/{id}/entries"
	PathEvents      = "/v1/sessions/{id}/events"
	PathHeartbeat   = "/v1/sessions/{id}/heartbeat"
	PathClose       = "/v1/sessions/{id}/close"
	PathHead        = "/v1/sessions/{id}/head"
	PathKeys        = "/v1/sessions/{id}/keys"
	PathBlobs       = "/v1/sessions/{id}/blobs"
	PathRecords     = "/v1/records"
	PathBlob        = "/v1/blobs/{hash}" // SHA-256 in unpadded base64url; ?entry= is the index of a leaf that names it
	PathProof       = "/v1/entries/{index}/proof"
	PathTime        = "/v1/entries/{index}/time"
	PathCheckpoint  = "/v1/checkpoint" // the latest that the log has signed, whether it has the quorum or not
	PathAnchors     = "/v1/anchors"
	PathDisclosures = "/v1/disclosures"
)

// A Level says what a receipt states: durable by the log's received signature, integrated by a checkpoint that covers it and
// that the log has signed, witnessed by one that has the quorum of policy besides, anchored by a time-stamp token over such a
// one. Anchored is said in answers about time only, and cannot be waited for: it may be an hour away.
type Level string

// The levels that this version of the API knows. Without witnesses in policy nothing is called witnessed.
const (
	Durable    Level = "durable"
	Integrated Level = "integrated"
	Witnessed  Level = "witnessed"
	Anchored   Level = "anchored"
)

// Media types of answers.
const (
	JSONType    = "application/json"
	ProblemType = "application/problem+json"
	ProofType   = "text/plain; charset=utf-8"
	BlobType    = "application/octet-stream"
)

// An Answer is what every append is answered with: where the track stands, and a receipt for each entry that was taken.
type Answer struct {
	Session  string     `json:"session"`
	Track    string     `json:"track"`
	Next     uint64     `json:"next"` // sequence number that the next entry begins with
	Head     entry.Hash `json:"head"` // hash of the text of the last entry
	Receipts []Receipt  `json:"receipts"`
}

// A Receipt is the log's word for one entry.
type Receipt struct {
	Seq      uint64     `json:"seq"` // of the entry's first event
	Count    uint64     `json:"count"`
	Index    uint64     `json:"index"`    // of the leaf in the log
	Hash     entry.Hash `json:"hash"`     // of the entry's text
	Received string     `json:"received"` // the signature line, with its line feed
	Level    Level      `json:"level"`
	// Repeated says that the entry was in the log before, and this is its receipt of that time.
	Repeated bool `json:"repeated"`
	// Leaf is the whole leaf, for entries that the server made.
	Leaf string `json:"leaf,omitempty"`
	// Checkpoint is a signed note that covers the leaf, at every level but durable.
	Checkpoint string `json:"checkpoint,omitempty"`
}

// A Problem is an RFC 9457 problem: every answer of status 400 and above. Code is what programs branch on: see
// docs/spec/errors.md.
type Problem struct {
	Type   string `json:"type"` // urn:steno:problem:<code>
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
	// Request is the id under which the server's log knows the request.
	Request string `json:"request,omitempty"`

	// Where in the body or entry, as far as it is known.
	Offset *int   `json:"offset,omitempty"`
	Entry  *int   `json:"entry,omitempty"` // of the submission, from 0
	Event  *int   `json:"event,omitempty"` // of that entry or request, from 0
	Member string `json:"member,omitempty"`

	// How far the request was taken: where the track stands, and receipts for the prefix.
	Session  string      `json:"session,omitempty"`
	Track    string      `json:"track,omitempty"`
	Next     *uint64     `json:"next,omitempty"`
	Head     *entry.Hash `json:"head,omitempty"`
	Receipts []Receipt   `json:"receipts,omitempty"`

	// Heads are where the session's tracks stand, where that is what the client got wrong.
	Heads []TrackHead `json:"heads,omitempty"`
}

// ProblemPrefix is what the type of a problem has before its code.
const ProblemPrefix = "urn:steno:problem:"

// A Heartbeat answers a heartbeat.
type Heartbeat struct {
	NextS uint64 `json:"next_s"` // seconds until the next is due
	State string `json:"state"`
}

// A Head is where a session's tracks stand.
type Head struct {
	Session string `json:"session"`
	State   string `json:"state"`
	// First is the hash of the text of the session's first entry, which the opening of every other track names. It is left
	// out in the moment before the index has the session.
	First  *entry.Hash `json:"first,omitempty"`
	Tracks []TrackHead `json:"tracks"`
}

// A TrackHead is where one track stands.
type TrackHead struct {
	Track  string     `json:"track"`
	Next   uint64     `json:"next"`
	Head   entry.Hash `json:"head"`
	Closed bool       `json:"closed"`
}

// Sessions is a page of a search.
type Sessions struct {
	Sessions []Session `json:"sessions"`
	Next     string    `json:"next,omitempty"` // cursor of the next page
	Indexed  uint64    `json:"indexed"`        // size of the log that the answer reflects
}

// A Session is what can be searched of a session.
type Session struct {
	Session     string      `json:"session"`
	Agent       string      `json:"agent"`
	Privilege   string      `json:"privilege"`
	Tenant      string      `json:"tenant,omitempty"`
	Environment string      `json:"environment,omitempty"`
	Principal   string      `json:"principal"` // as authenticated when the session was opened
	State       string      `json:"state"`
	Opened      entry.Time  `json:"opened"`           // by the log's clock
	Closed      *entry.Time `json:"closed,omitempty"` // by the log's clock
	OpenIndex   uint64      `json:"open_index"`
	Number      uint64      `json:"number"` // of this agent's sessions, from 1
	Events      uint64      `json:"events"`
	Managed     bool        `json:"managed"`
}

// Entries is a page of a session's entries.
type Entries struct {
	Entries []Leaf  `json:"entries"`
	Next    *uint64 `json:"next,omitempty"` // "from" of the next page
	Indexed uint64  `json:"indexed"`        // size of the log that the answer reflects
}

// A Leaf is an entry as it is in the log. A JSON string carries its exact bytes, for an entry is UTF-8.
type Leaf struct {
	Index uint64 `json:"index"`
	Leaf  string `json:"leaf"`
	// Mention is true of entries of the log's own system sessions that speak of the session.
	Mention bool `json:"mention,omitempty"`
}

// Keys are the wrapped unit keys of a session.
type Keys struct {
	Session string `json:"session"`
	Keys    []Key  `json:"keys"`
}

// A Key is a wrapped unit key.
type Key struct {
	Track string     `json:"track"`
	Class string     `json:"class"`
	Key   entry.Hash `json:"key"`  // commitment
	File  []byte     `json:"file"` // an age file, in base64
}

// A Time says between which times an entry was logged, as far as the log knows: it is information, which a verifier proves for
// itself from the anchor events (docs/spec/anchors.md). What is not known is null.
type Time struct {
	Index     uint64     `json:"index"`
	Level     Level      `json:"level"`      // the highest that the entry has reached
	NotBefore *Bound     `json:"not_before"` // by the anchor below the entry whose token is the latest
	NotAfter  *Bound     `json:"not_after"`  // by the token over a checkpoint that covers the entry; of the k-th authority, where the trust file demands k
	Witnessed *Witnesses `json:"witnessed"`  // independently of the authorities
	// Authorities are those that the trust file names or the server asks, by name.
	Authorities []AuthorityTime `json:"authorities"`
}

// An AuthorityTime is what one time-stamp authority says of an entry. Where it says nothing, a side is absent.
type AuthorityTime struct {
	Authority string      `json:"authority"`
	Counts    bool        `json:"counts"`               // the server's trust file names it
	NotBefore *AnchorTime `json:"not_before,omitempty"` // by its last anchor below the entry
	NotAfter  *AnchorTime `json:"not_after,omitempty"`  // by its first one over a checkpoint that covers the entry
}

// An AnchorTime is a Bound of an authority that is named already.
type AnchorTime struct {
	Time        entry.Time `json:"time"`
	AnchorIndex uint64     `json:"anchor_index"`   // of the leaf with the token
	Size        uint64     `json:"size,omitempty"` // of the checkpoint that was stamped; of not_after only
}

// A Bound is a time that a time-stamp authority states, with its accuracy taken off (not before) or added (not after).
type Bound struct {
	Time        entry.Time `json:"time"`
	Authority   string     `json:"authority"`
	AnchorIndex uint64     `json:"anchor_index"`   // of the leaf with the token
	Size        uint64     `json:"size,omitempty"` // of the checkpoint that was stamped; of not_after only
}

// Witnesses are those that cosigned the published checkpoint which covers an entry: all of them had seen it by Time.
type Witnesses struct {
	Time      entry.Time `json:"time"`
	Size      uint64     `json:"size"` // of the checkpoint
	Witnesses []string   `json:"witnesses"`
}

// Anchors is what a round of anchoring came to.
type Anchors struct {
	// New is false where only the log's own events came since the last round: nobody was asked but those who owe a token of
	// that.
	New         bool              `json:"new"`
	Size        uint64            `json:"size"` // of the checkpoint
	Authorities []AuthorityAnswer `json:"authorities"`
}

// An AuthorityAnswer is what one time-stamp authority said.
type AuthorityAnswer struct {
	Authority   string      `json:"authority"`
	Anchored    bool        `json:"anchored"`               // its token over the checkpoint is in the log
	AnchorIndex *uint64     `json:"anchor_index,omitempty"` // of the leaf with it
	Time        *entry.Time `json:"time,omitempty"`         // that it states
	Reason      string      `json:"reason,omitempty"`       // why not: a word of docs/spec/anchors.md. It is asked again
}

// A Disclosure says what evidence is about to be handed out. It is asked for before that is done.
type Disclosure struct {
	Exhibit  string     `json:"exhibit"` // an id, as approver and matter are: they stand in clear in the log
	Digest   entry.Hash `json:"digest"`  // SHA-256 of the custody record, or of whatever else says what was handed out
	Approver string     `json:"approver,omitempty"`
	Matter   string     `json:"matter,omitempty"`
	Sessions []string   `json:"sessions"` // 1 to 1024, none twice
	Classes  []string   `json:"classes,omitempty"`
}

// Disclosed says that it is in the log, durably: in disclosure events of at most 64 sessions each.
type Disclosed struct {
	Principal string   `json:"principal"` // as authenticated
	Indexes   []uint64 `json:"indexes"`   // of the leaves with these events, ascending
}
