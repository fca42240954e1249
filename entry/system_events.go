package entry

// The events that the log itself writes, on the one track of its system session.
const (
	TypeSystemOpen       Type = "system.open"
	TypeSystemClose      Type = "system.close"
	TypeAdmitted         Type = "admitted"
	TypeLiveness         Type = "liveness"
	TypeVerdict          Type = "verdict"
	TypeAlert            Type = "alert"
	TypeAnchor           Type = "anchor"
	TypeAccess           Type = "access"
	TypeDisclosure       Type = "disclosure"
	TypeKeyAdd           Type = "key.add"
	TypeKeyRetire        Type = "key.retire"
	TypeKeyCompromised   Type = "key.compromised"
	TypeRetentionSet     Type = "retention.set"
	TypeRetentionExpired Type = "retention.expired"
	TypeHoldPlace        Type = "hold.place"
	TypeHoldRelease      Type = "hold.release"
	TypeErasure          Type = "erasure"
	TypeConfig           Type = "config"
)

// SystemOpen begins a system session: one per incarnation of the process that writes the log. It names its predecessor, and
// the first one of a log that succeeds another names that log and its last known checkpoint.
type SystemOpen struct {
	Version         ID     `json:"version" steno:"required"`
	Key             Text   `json:"key" steno:"required"` // verifier key of this system session's signatures
	Predecessor     UUID   `json:"predecessor,omitempty"`
	PredecessorHead *Hash  `json:"predecessor_head,omitempty"` // hash of the text of its last entry
	Epoch           uint64 `json:"epoch"`                      // of the lease that this process holds
	Size            uint64 `json:"size"`                       // of the log when the process took it over
	Succeeds        Text   `json:"succeeds,omitempty"`         // last known checkpoint of the retired log
	Checkpoint      Text   `json:"checkpoint,omitempty"`
}

// SystemClose ends a system session in good order.
type SystemClose struct {
	Why ID `json:"why" steno:"required,one=shutdown|upgrade|retired"`
}

// Admitted answers the opening of a session or track: who was authenticated, and how. Number counts this agent's sessions
// from 1; with Previous, the hash of the text that opened the one before, they form a list that can be checked.
type Admitted struct {
	Session         UUID   `json:"session" steno:"required"`
	Track           ID     `json:"track" steno:"required"`
	Open            Hash   `json:"open" steno:"required"` // hash of the text of the track's first entry
	Principal       ID     `json:"principal" steno:"required"`
	How             ID     `json:"how" steno:"required,one=token|mtls|oidc|local"`
	Number          uint64 `json:"number,omitempty"`
	PreviousSession UUID   `json:"previous_session,omitempty"`
	Previous        *Hash  `json:"previous,omitempty"`
}

// Liveness lists live sessions and when each was last heard, once a minute, in as many parts as it takes.
type Liveness struct {
	Part     uint64        `json:"part"`
	Parts    uint64        `json:"parts" steno:"required"`
	Sessions []LiveSession `json:"sessions" steno:"required,max=64"`
}

// LiveSession is a session and the time of its last heartbeat or entry.
type LiveSession struct {
	Session UUID `json:"session" steno:"required"`
	Heard   Time `json:"heard" steno:"required"`
}

// Verdict is what the log says of a session as a whole. It locks nothing: a later verdict may follow.
type Verdict struct {
	Session UUID       `json:"session" steno:"required"`
	Verdict ID         `json:"verdict" steno:"required,one=complete|interrupted|abandoned|late"`
	Why     ID         `json:"why" steno:"required,one=closed|open-actions|lost-track|spooled|silent|heard-again|after-close|restarted"`
	Tracks  []TrackEnd `json:"tracks" steno:"required,max=33"`
}

// Alert is something that somebody should look at.
type Alert struct {
	Alert     ID     `json:"alert" steno:"required"`
	Severity  ID     `json:"severity" steno:"required,one=info|warning|critical"`
	Session   UUID   `json:"session,omitempty"`
	Track     ID     `json:"track,omitempty"`
	Seq       uint64 `json:"seq,omitempty"`
	Text      *Hash  `json:"text,omitempty"`      // hash of the text that was refused, or of the one in the log
	Principal ID     `json:"principal,omitempty"` // whose request raised it
}

// Anchor is external time for a published checkpoint: an RFC 3161 token over the SHA-256 of its exact note.
type Anchor struct {
	_          struct{}     `steno:"either=token|token_blob"`
	Authority  ID           `json:"authority" steno:"required"`
	Size       uint64       `json:"size" steno:"required"` // of the checkpoint
	Checkpoint Hash         `json:"checkpoint" steno:"required"`
	Covers     *Hash        `json:"covers,omitempty"` // SHA-256 of the earlier token that this one renews
	Token      Text         `json:"token,omitempty"`  // DER in base64
	TokenBlob  *PublicBlob  `json:"token_blob,omitempty"`
	LongTerm   []PublicBlob `json:"long_term,omitempty" steno:"max=16"` // chain, revocation data, policy document
}

// PublicBlob is bytes that are not sealed, named by hash.
type PublicBlob struct {
	Kind   ID     `json:"kind" steno:"required"`
	SHA256 Hash   `json:"sha256" steno:"required"`
	Size   uint64 `json:"size" steno:"required"`
}

// Access says that somebody was about to be given content. It is durable before the content leaves.
type Access struct {
	Principal ID     `json:"principal" steno:"required"`
	What      ID     `json:"what" steno:"required,one=entries|blobs|keys|export|bundle"`
	Session   UUID   `json:"session,omitempty"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
	Blob      *Hash  `json:"blob,omitempty"`
	Matter    ID     `json:"matter,omitempty"`
}

// Disclosure says that evidence was handed out.
type Disclosure struct {
	Exhibit   ID       `json:"exhibit" steno:"required"`
	Digest    Hash     `json:"digest" steno:"required"`
	Principal ID       `json:"principal" steno:"required"`
	Approver  ID       `json:"approver,omitempty"`
	Matter    ID       `json:"matter,omitempty"`
	Sessions  []UUID   `json:"sessions" steno:"required,max=64"`
	Classes   []ID     `json:"classes,omitempty" steno:"max=4,one=content|personal|secret|directory"`
	Recipient *Payload `json:"recipient,omitempty"`
	Basis     *Payload `json:"basis,omitempty"`
}

// KeyAdd, KeyRetire and KeyCompromised say what the log's trust file has of a key, when that has changed: from which size of
// the log on it counts, from which on no longer, or from which on no longer and before only where witnesses saw what it
// signed. KeyAdd takes back what was said before. A verifier believes its own trust file, not them.
type KeyAdd struct {
	Role ID     `json:"role" steno:"required,one=log|received|system|managed|witness|enroller|recorder"`
	Key  Text   `json:"key" steno:"required"`
	Size uint64 `json:"size" steno:"required"`
}

// KeyRetire ends a key's window.
type KeyRetire KeyAdd

// KeyCompromised marks a key.
type KeyCompromised KeyAdd

// RetentionSet lengthens what is kept.
type RetentionSet struct {
	Sessions []UUID   `json:"sessions" steno:"required,max=64"`
	Class    ID       `json:"class" steno:"required"`
	Until    Time     `json:"until,omitempty"`
	People   []ID     `json:"people" steno:"required,max=4"`
	Reason   *Payload `json:"reason,omitempty"`
}

// RetentionExpired says that a period is over by anchored time.
type RetentionExpired struct {
	Sessions []UUID `json:"sessions" steno:"required,max=64"`
	Class    ID     `json:"class" steno:"required"`
	Anchor   uint64 `json:"anchor" steno:"required"` // log index of the anchor by which it was judged
}

// HoldPlace forbids erasure.
type HoldPlace struct {
	Hold     ID       `json:"hold" steno:"required"`
	Matter   ID       `json:"matter,omitempty"`
	Sessions []UUID   `json:"sessions" steno:"required,max=64"`
	People   []ID     `json:"people" steno:"required,max=4"`
	Reason   *Payload `json:"reason,omitempty"`
}

// HoldRelease ends a hold.
type HoldRelease struct {
	Hold   ID       `json:"hold" steno:"required"`
	People []ID     `json:"people" steno:"required,max=4"`
	Reason *Payload `json:"reason,omitempty"`
}

// Erasure attests that unit keys were destroyed, why, and by whom.
type Erasure struct {
	Session   UUID     `json:"session" steno:"required"`
	Keys      []Hash   `json:"keys" steno:"required,max=64"`
	Basis     ID       `json:"basis" steno:"required,one=retention|data-subject|court-order|other"`
	People    []ID     `json:"people" steno:"required,max=4"`
	Effective Time     `json:"effective" steno:"required"`
	Reason    *Payload `json:"reason,omitempty"`
}

// Config commits to the configuration that is in force, and to the trust file by which the log lets others judge it.
type Config struct {
	Digest  Hash  `json:"digest" steno:"required"`
	Version ID    `json:"version,omitempty"`
	Trust   *Hash `json:"trust,omitempty"` // SHA-256 of the trust file
}
