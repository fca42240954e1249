package entry

import "fmt"

// A Code names what is wrong with an entry, an enrolment or a chain. Codes are stable: they appear in problem responses and
// are listed in docs/spec/errors.md.
type Code string

// What can be wrong with bytes.
const (
	UnknownVersion   Code = "unknown-version"
	BadHeader        Code = "bad-header"
	NoEvents         Code = "no-events"
	TooMany          Code = "too-many"
	Oversize         Code = "oversize"
	InvalidUTF8      Code = "invalid-utf8"
	CarriageReturn   Code = "carriage-return"
	ControlCharacter Code = "control-character"
	WhiteSpace       Code = "white-space"
	Syntax           Code = "syntax"
	Trailing         Code = "trailing-bytes"
	UnknownEvent     Code = "unknown-event"
	UnknownMember    Code = "unknown-member"
	CaseVariant      Code = "case-variant-member"
	Duplicate        Code = "duplicate-member"
	MissingMember    Code = "missing-member"
	Conflicting      Code = "conflicting-members"
	WrongType        Code = "wrong-type"
	BadValue         Code = "bad-value"
	Float            Code = "float"
	IntegerRange     Code = "integer-range"
	NegativeZero     Code = "negative-zero"
	Escape           Code = "escape"
	LoneSurrogate    Code = "lone-surrogate"
	Base64           Code = "base64"
	Misplaced        Code = "misplaced-event"
	MissingSignature Code = "missing-signature"
	ExtraSignature   Code = "extra-signature"
	BadSignatureLine Code = "bad-signature-line"
)

// What can be wrong with an entry in its place.
const (
	OtherOrigin       Code = "other-origin"
	BadSignature      Code = "bad-signature"
	OtherRecorder     Code = "other-recorder"
	WrongPrev         Code = "wrong-prev"
	Hole              Code = "hole"
	SeqBehind         Code = "seq-behind"
	TrackClosed       Code = "track-closed"
	OtherSession      Code = "other-session"
	BadEnrolment      Code = "bad-enrolment"
	StrangeEnroller   Code = "strange-enroller"
	EnrolmentExpired  Code = "enrolment-expired"
	EnrolmentMismatch Code = "enrolment-mismatch"
)

// An Error says what is wrong and where. Offset counts bytes from the start of what was parsed; Event is the index of the
// event in the entry, −1 outside events; Member is the path of the member, such as "tracks.head". Its text quotes nothing
// that the author of the entry chose, so that it can be shown and logged as it is.
type Error struct {
	Code   Code
	Offset int
	Event  int
	Member string
	cause  error
}

func (e *Error) Error() string {
	where := fmt.Sprintf("byte %d", e.Offset)
	if e.Event >= 0 {
		where += fmt.Sprintf(", event %d", e.Event)
	}
	if e.Member != "" {
		where += ", member " + e.Member
	}
	return fmt.Sprintf("%s: %v (%s)", e.Code, e.cause, where)
}

// Detail is the explanation alone.
func (e *Error) Detail() string { return e.cause.Error() }

func (e *Error) Unwrap() error { return e.cause }

func errorAt(code Code, offset int, format string, args ...any) *Error {
	return &Error{Code: code, Offset: offset, Event: -1, cause: fmt.Errorf(format, args...)}
}

// errorIn is an error about an event as a whole.
func (e *Entry) errorIn(event int, code Code, format string, args ...any) *Error {
	err := errorAt(code, 0, format, args...)
	err.Event = event
	return err
}
