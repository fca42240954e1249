package entry

// A Type is the name of an event.
type Type string

// The events that recorders write.
const (
	TypeSessionOpen     Type = "session.open"
	TypeTrackOpen       Type = "track.open"
	TypePrivilegeChange Type = "privilege.change"
	TypeSessionRoll     Type = "session.roll"
	TypeSessionClose    Type = "session.close"
	TypeInput           Type = "input"
	TypeReasoning       Type = "reasoning"
	TypeModelRequest    Type = "model.request"
	TypeModelResponse   Type = "model.response"
	TypeCalculation     Type = "calculation"
	TypeCatalog         Type = "catalog"
	TypeActionIntent    Type = "action.intent"
	TypeActionOutput    Type = "action.output"
	TypeActionResult    Type = "action.result"
	TypeActionReject    Type = "action.reject"
	TypeActionSettle    Type = "action.settle"
	TypeStateChange     Type = "state.change"
	TypeApproval        Type = "approval"
	TypeDelegation      Type = "delegation"
	TypeAnnotation      Type = "annotation"
	TypeMessage         Type = "message"
	TypeCoverage        Type = "coverage" // also the log's
)

// Ends tells whether nothing may follow the event on its track.
func (t Type) Ends() bool { return t == TypeSessionClose || t == TypeSystemClose }

// An ID is a word of closed vocabulary or a name that a machine gave: see CheckID. It must not name a person.
type ID string

// A UUID is a session's name: see CheckSession.
type UUID string

// A Text is a note in a string (an enrolment, a checkpoint, a key): printable UTF-8 and line feeds, at most 4,096 bytes.
type Text string

// A Payload is a reference to sealed bytes: what they commit to, and the blobs that hold them, one per class. Size is that
// of the ciphertext, which is padded. A payload of more than 16 MiB is Parts alone. docs/spec/payload.md defines it.
type Payload struct {
	_          struct{}  `steno:"either=commitment|parts,together=media|commitment|blobs"`
	Media      ID        `json:"media,omitempty" steno:"one=json|text|binary"`
	Commitment *Hash     `json:"commitment,omitempty"`
	Blobs      []Blob    `json:"blobs,omitempty" steno:"max=4"`
	Parts      []Payload `json:"parts,omitempty" steno:"min=2,max=64,flat"`
}

// A Blob is one class's ciphertext.
type Blob struct {
	Class  ID     `json:"class" steno:"required,one=content|personal|secret|directory"`
	SHA256 Hash   `json:"sha256" steno:"required"`
	Size   uint64 `json:"size" steno:"required"`
}

// A UnitKey commits to the key that seals a class on a track: see docs/spec/payload.md.
type UnitKey struct {
	Class      ID   `json:"class" steno:"required,one=content|personal|secret|directory"`
	Commitment Hash `json:"commitment" steno:"required"`
}

// A Ref points at an event of the same session.
type Ref struct {
	Track ID     `json:"track" steno:"required"`
	Seq   uint64 `json:"seq" steno:"required"`
}

// An ExternalRef names something outside: a journal, a ticket, a trade, a document.
type ExternalRef struct {
	System ID `json:"system" steno:"required"`
	Type   ID `json:"type" steno:"required"`
	ID     ID `json:"id" steno:"required"`
}

// Clock says how far the recorder's clock is to be believed, by its own account.
type Clock struct {
	Source   ID     `json:"source" steno:"required"`
	OffsetUS int64  `json:"offset_us"`
	ErrorUS  uint64 `json:"error_us"`
	Boot     ID     `json:"boot,omitempty"`
}

// Digests are SHA-256 digests of what the agent runs.
type Digests struct {
	Code   *Hash `json:"code,omitempty"`
	Prompt *Hash `json:"prompt,omitempty"`
	Config *Hash `json:"config,omitempty"`
}

// Model is the model that an agent uses.
type Model struct {
	Provider   ID       `json:"provider,omitempty"`
	ID         ID       `json:"id" steno:"required"`
	Parameters *Payload `json:"parameters,omitempty"`
}

// Retention is the class of regime under which a session is kept, and the event from which its period counts.
type Retention struct {
	Class   ID `json:"class" steno:"required"`
	Trigger ID `json:"trigger" steno:"required,one=session-open|session-close|matter-close|relationship-end"`
}

// Outcome says how an action went, layer by layer: HTTP 200 can carry an MCP error, an MCP result an error of the tool.
type Outcome struct {
	Transport ID `json:"transport" steno:"required,one=ok|failed|unknown"`
	Protocol  ID `json:"protocol" steno:"required,one=ok|error|unknown"`
	Tool      ID `json:"tool" steno:"required,one=success|failure|rejected|unknown"`
}

// Managed marks an event that the log's own recorder wrote for a client: the client's id for it, and a MAC of the client's
// request under a key of the session, so that a retry is recognised from the log alone.
type Managed struct {
	EventID ID    `json:"event_id,omitempty"`
	MAC     *Hash `json:"mac,omitempty"`
}

// Recorder is what session.open and track.open say of the recorder and of what it records.
type Recorder struct {
	Agent        ID        `json:"agent" steno:"required"`
	AgentVersion ID        `json:"agent_version,omitempty"`
	Digests      *Digests  `json:"digests,omitempty"`
	Model        *Model    `json:"model,omitempty"`
	Vantage      ID        `json:"vantage" steno:"required,one=observed|self-reported"`
	Capture      ID        `json:"capture" steno:"required"`                     // how: mcp-stdio, http, sdk, managed, …
	OnFailure    ID        `json:"on_failure" steno:"required,one=closed|spool"` // what happens to actions when recording fails
	Clock        *Clock    `json:"clock,omitempty"`
	Keys         []UnitKey `json:"keys" steno:"required,max=4"`
	Enrolment    Text      `json:"enrolment" steno:"required"`
	Checkpoint   Text      `json:"checkpoint,omitempty"` // the latest of this log that the recorder verified
}

// SessionOpen begins track main, and with it the session.
type SessionOpen struct {
	Recorder
	Privilege   ID            `json:"privilege" steno:"required,one=production-write|administrative|sensitive-data|cross-workspace|break-glass|personal-data|financial|high-risk"`
	Grant       ID            `json:"grant,omitempty"`
	Refs        []ExternalRef `json:"refs,omitempty" steno:"max=16"`
	Tenant      ID            `json:"tenant,omitempty"`
	Environment ID            `json:"environment,omitempty"`
	Retention   Retention     `json:"retention" steno:"required"`
	HeartbeatS  uint64        `json:"heartbeat_s" steno:"required,range=1-3600"` // seconds between heartbeats
	Parent      *ParentRef    `json:"parent,omitempty"`
	Principal   *Payload      `json:"principal,omitempty"`
	OnBehalfOf  *Payload      `json:"on_behalf_of,omitempty"`
	Purpose     *Payload      `json:"purpose,omitempty"`
	Managed
}

// ParentRef names the delegation event of the session that started this one.
type ParentRef struct {
	Session UUID   `json:"session" steno:"required"`
	Track   ID     `json:"track" steno:"required"`
	Seq     uint64 `json:"seq" steno:"required"`
}

// TrackOpen begins any other track. Main is the hash of the text of the session's first entry, so that a track belongs to
// one session and can't be spliced into another.
type TrackOpen struct {
	Recorder
	Main Hash `json:"main" steno:"required"`
	Managed
}

// PrivilegeChange says that the session's privilege was raised or lowered.
type PrivilegeChange struct {
	Privilege ID            `json:"privilege" steno:"required,one=production-write|administrative|sensitive-data|cross-workspace|break-glass|personal-data|financial|high-risk|routine"`
	Direction ID            `json:"direction" steno:"required,one=raise|lower"`
	Grant     ID            `json:"grant,omitempty"`
	Reason    *Payload      `json:"reason,omitempty"`
	Refs      []ExternalRef `json:"refs,omitempty" steno:"max=16"`
	Managed
}

// SessionRoll carries a track on with something renewed: the checkpoint seen, the unit keys, the clock.
type SessionRoll struct {
	Why        ID        `json:"why" steno:"required,one=checkpoint|restart|rekey|clock|failure-mode"`
	Keys       []UnitKey `json:"keys,omitempty" steno:"max=4"`
	Clock      *Clock    `json:"clock,omitempty"`
	OnFailure  ID        `json:"on_failure,omitempty" steno:"one=closed|spool"`
	Checkpoint Text      `json:"checkpoint,omitempty"`
	Managed
}

// SessionClose ends the session. Tracks names every other track: how many events it has and the hash of its last entry's
// text; a track whose recorder could not be heard is named as lost.
type SessionClose struct {
	Outcome ID         `json:"outcome" steno:"required,one=completed|failed|aborted|unknown"`
	Tracks  []TrackEnd `json:"tracks" steno:"required,max=32"`
	Reason  *Payload   `json:"reason,omitempty"`
	Managed
}

// TrackEnd is where a track ends.
type TrackEnd struct {
	Track ID     `json:"track" steno:"required"`
	Next  uint64 `json:"next" steno:"required"` // sequence number after the last event: the number of events
	Head  Hash   `json:"head" steno:"required"`
	Lost  bool   `json:"lost,omitempty"`
}

// Input is something the agent was given.
type Input struct {
	_         struct{}      `steno:"either=content|same_as"`
	Kind      ID            `json:"kind" steno:"required,one=user|system|document|retrieval|memory|file|event|other"`
	Source    ID            `json:"source,omitempty"`
	Version   ID            `json:"version,omitempty"`
	Retrieved Time          `json:"retrieved,omitempty"`
	Content   *Payload      `json:"content,omitempty"`
	SameAs    *Ref          `json:"same_as,omitempty"`
	Refs      []ExternalRef `json:"refs,omitempty" steno:"max=16"`
	Managed
}

// Reasoning is what the agent thought, in the form in which it could be had. Form absent says that there was none to be had.
type Reasoning struct {
	Form    ID       `json:"form" steno:"required,one=plain|summary|encrypted|absent"`
	Call    ID       `json:"call,omitempty"`
	Content *Payload `json:"content,omitempty"`
	SameAs  *Ref     `json:"same_as,omitempty"`
	Because []Ref    `json:"because,omitempty" steno:"max=32"`
	Managed
}

// ModelRequest is what was sent to a model.
type ModelRequest struct {
	_          struct{} `steno:"either=content|same_as"`
	Call       ID       `json:"call" steno:"required"`
	Model      *Model   `json:"model,omitempty"`
	Parameters *Payload `json:"parameters,omitempty"`
	Content    *Payload `json:"content,omitempty"`
	SameAs     *Ref     `json:"same_as,omitempty"`
	Inputs     []Ref    `json:"inputs,omitempty" steno:"max=32"`
	Managed
}

// ModelResponse is what a model answered.
type ModelResponse struct {
	Call         ID       `json:"call" steno:"required"`
	Outcome      Outcome  `json:"outcome" steno:"required"`
	Content      *Payload `json:"content,omitempty"`
	Stop         ID       `json:"stop,omitempty"`
	InputTokens  uint64   `json:"input_tokens,omitempty"`
	OutputTokens uint64   `json:"output_tokens,omitempty"`
	Managed
}

// Calculation is an intermediate result.
type Calculation struct {
	Name    ID       `json:"name" steno:"required"`
	Content *Payload `json:"content" steno:"required"`
	Inputs  []Ref    `json:"inputs,omitempty" steno:"max=32"`
	Managed
}

// Catalog is the tool definitions as the agent saw them.
type Catalog struct {
	_       struct{} `steno:"either=content|same_as"`
	Source  ID       `json:"source" steno:"required"`
	Count   uint64   `json:"count"`
	Content *Payload `json:"content,omitempty"`
	SameAs  *Ref     `json:"same_as,omitempty"`
	Managed
}

// ActionIntent is durable before the action is let through.
type ActionIntent struct {
	Action   ID            `json:"action" steno:"required"`
	Tool     ID            `json:"tool" steno:"required"`
	Protocol ID            `json:"protocol,omitempty"`
	Method   ID            `json:"method,omitempty"`
	Target   *Payload      `json:"target,omitempty"`
	Params   *Payload      `json:"params" steno:"required"`
	Because  []Ref         `json:"because,omitempty" steno:"max=32"`
	Inputs   []Ref         `json:"inputs,omitempty" steno:"max=32"`
	Refs     []ExternalRef `json:"refs,omitempty" steno:"max=16"`
	Managed
}

// ActionOutput is a piece of what an action gives while it runs.
type ActionOutput struct {
	Action  ID       `json:"action" steno:"required"`
	Stream  ID       `json:"stream" steno:"required,one=stdout|stderr|content|progress|log"`
	N       uint64   `json:"n"`
	Content *Payload `json:"content" steno:"required"`
	Managed
}

// ActionResult is how an action ended. Code is the protocol's own number, where it has one.
type ActionResult struct {
	Action     ID            `json:"action" steno:"required"`
	Outcome    Outcome       `json:"outcome" steno:"required"`
	Response   *Payload      `json:"response,omitempty"`
	Code       int64         `json:"code,omitempty"`
	DurationUS uint64        `json:"duration_us,omitempty"`
	Items      []ItemResult  `json:"items,omitempty" steno:"max=64"`
	Refs       []ExternalRef `json:"refs,omitempty" steno:"max=16"`
	Managed
}

// ItemResult is the outcome of one item of a bulk action.
type ItemResult struct {
	Item    ID      `json:"item" steno:"required"`
	Outcome Outcome `json:"outcome" steno:"required"`
}

// ActionReject says that an action was not let through, by whom and why. Params is what was asked for, when no intent has it.
type ActionReject struct {
	Action ID       `json:"action" steno:"required"`
	Tool   ID       `json:"tool,omitempty"`
	By     ID       `json:"by" steno:"required,one=recorder|gateway|policy|approver|target|log"`
	Why    ID       `json:"why" steno:"required,one=recording-unavailable|no-permit|malformed|batch|policy|denied|cancelled|too-large|unknown-tool|other"`
	Params *Payload `json:"params,omitempty"`
	Detail *Payload `json:"detail,omitempty"`
	Managed
}

// ActionSettle says later what became of an action whose outcome was unknown.
type ActionSettle struct {
	Action   ID            `json:"action" steno:"required"`
	Outcome  Outcome       `json:"outcome" steno:"required"`
	Known    ID            `json:"known" steno:"required,one=read-back|told|claimed"`
	Response *Payload      `json:"response,omitempty"`
	Refs     []ExternalRef `json:"refs,omitempty" steno:"max=16"`
	Managed
}

// StateChange is what an action changed, and how that is known.
type StateChange struct {
	Action ID            `json:"action,omitempty"`
	Known  ID            `json:"known" steno:"required,one=read-back|told|claimed"`
	Target *Payload      `json:"target,omitempty"`
	Before *Payload      `json:"before,omitempty"`
	After  *Payload      `json:"after,omitempty"`
	Refs   []ExternalRef `json:"refs,omitempty" steno:"max=16"`
	Managed
}

// Approval is somebody's decision about an action, and what they were shown.
type Approval struct {
	Action   ID            `json:"action,omitempty"`
	Decision ID            `json:"decision" steno:"required,one=approved|denied|expired"`
	Decided  Time          `json:"decided,omitempty"`
	Approver *Payload      `json:"approver" steno:"required"`
	Shown    *Payload      `json:"shown,omitempty"`
	Refs     []ExternalRef `json:"refs,omitempty" steno:"max=16"`
	Managed
}

// Delegation links a session to one that it started, or by which it was started.
type Delegation struct {
	Direction ID   `json:"direction" steno:"required,one=to|from"`
	Session   UUID `json:"session" steno:"required"`
	Agent     ID   `json:"agent" steno:"required"`
	Action    ID   `json:"action,omitempty"`
	Managed
}

// Annotation is a correction, a reference to a case, or a remark about an earlier event.
type Annotation struct {
	Kind    ID            `json:"kind" steno:"required,one=correction|case|remark|gap"`
	About   *Ref          `json:"about,omitempty"`
	Content *Payload      `json:"content,omitempty"`
	Refs    []ExternalRef `json:"refs,omitempty" steno:"max=16"`
	Managed
}

// Message is protocol traffic that is no action.
type Message struct {
	Direction ID       `json:"direction" steno:"required,one=from-agent|to-agent"`
	Protocol  ID       `json:"protocol" steno:"required"`
	Method    ID       `json:"method,omitempty"`
	Action    ID       `json:"action,omitempty"`
	Content   *Payload `json:"content" steno:"required"`
	Managed
}

// Coverage says which ways of acting were enforced, observed or not seen at all.
type Coverage struct {
	Surfaces []Surface `json:"surfaces" steno:"required,max=64"`
	Managed
}

// Surface is one way of acting.
type Surface struct {
	Surface ID `json:"surface" steno:"required"`
	State   ID `json:"state" steno:"required,one=enforced|observed|absent"`
}
