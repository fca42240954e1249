package api

import (
	"net/http"
	"slices"

	"github.com/stenolog/steno/api/wire"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/recording"
)

// Codes of what this package itself refuses.
const (
	codeUnauthenticated = "unauthenticated"
	codeForbidden       = "forbidden"
	codeUnrecorded      = "access-unrecorded"
	codeNotFound        = "not-found"
	codeMethod          = "method-not-allowed"
	codeNotAcceptable   = "not-acceptable"
	codeMediaType       = "unsupported-media-type"
	codeEncoding        = "unsupported-encoding"
	codeSlowBody        = "slow-body"
	codeTruncatedBody   = "truncated-body"
	codeBodySize        = "body-too-large"
	codeParameter       = "bad-parameter"
	codeRateLimited     = "rate-limited"
	codeConnections     = "too-many-connections"
	codeBusy            = "too-much-in-flight"
	codeNotCovered      = "not-covered"
	codeTimeout         = "timeout"
	codeAnchoringOff    = "anchoring-off"
)

// A kind is what a code means: its HTTP status, and the title that RFC 9457 wants to be the same for every occurrence.
type kind struct {
	status int
	title  string
}

// kinds is the one table of errors. docs/spec/errors.md and openapi.yaml list the same codes; a test keeps them so.
var kinds = map[string]kind{
	// the request
	codeUnauthenticated: {http.StatusUnauthorized, "No valid bearer token"},
	codeForbidden:       {http.StatusForbidden, "The principal's role does not allow this"},
	codeUnrecorded:      {http.StatusServiceUnavailable, "The read could not be recorded, so it was not allowed"},
	codeNotFound:        {http.StatusNotFound, "There is no such thing"},
	codeMethod:          {http.StatusMethodNotAllowed, "The path has no such method"},
	codeNotAcceptable:   {http.StatusNotAcceptable, "The answer has no form that the client accepts"},
	codeMediaType:       {http.StatusUnsupportedMediaType, "The body has a media type that is not taken here"},
	codeEncoding:        {http.StatusUnsupportedMediaType, "Encoded bodies are not taken"},
	codeSlowBody:        {http.StatusRequestTimeout, "The body did not arrive in time"},
	codeTruncatedBody:   {http.StatusBadRequest, "The body ended early"},
	codeBodySize:        {http.StatusRequestEntityTooLarge, "The body is too large"},
	codeParameter:       {http.StatusBadRequest, "A parameter is malformed, unknown or repeated"},
	codeRateLimited:     {http.StatusTooManyRequests, "The principal sends too many requests"},
	codeConnections:     {http.StatusTooManyRequests, "The server has too many connections"},
	codeBusy:            {http.StatusTooManyRequests, "The server has too many bytes in flight"},
	codeNotCovered:      {http.StatusNotFound, "No checkpoint of the level covers the entry yet"},
	codeTimeout:         {http.StatusServiceUnavailable, "The server took too long"},
	codeAnchoringOff:    {http.StatusNotFound, "This log has no time-stamp authorities"},

	// the framing of a submission
	wire.CodeVersion:   {http.StatusUnprocessableEntity, "The submission is of another version"},
	wire.CodeFraming:   {http.StatusUnprocessableEntity, "The submission's frames are not in order"},
	wire.CodeTruncated: {http.StatusUnprocessableEntity, "The submission ends inside a frame"},
	wire.CodeTooMany:   {http.StatusUnprocessableEntity, "The submission has too many frames"},
	wire.CodeFrameSize: {http.StatusUnprocessableEntity, "A frame is too large"},

	// the form of an entry or event
	string(entry.UnknownVersion):   {http.StatusUnprocessableEntity, "The entry is of another version"},
	string(entry.BadHeader):        {http.StatusUnprocessableEntity, "The entry's header is malformed"},
	string(entry.NoEvents):         {http.StatusUnprocessableEntity, "The entry has no events"},
	string(entry.TooMany):          {http.StatusUnprocessableEntity, "There are too many of something"},
	string(entry.Oversize):         {http.StatusUnprocessableEntity, "Something is too long"},
	string(entry.InvalidUTF8):      {http.StatusUnprocessableEntity, "The entry is not UTF-8"},
	string(entry.CarriageReturn):   {http.StatusUnprocessableEntity, "The entry contains a carriage return"},
	string(entry.ControlCharacter): {http.StatusUnprocessableEntity, "The entry contains a control character"},
	string(entry.WhiteSpace):       {http.StatusUnprocessableEntity, "An event contains insignificant white space"},
	string(entry.Syntax):           {http.StatusUnprocessableEntity, "An event is not JSON"},
	string(entry.Trailing):         {http.StatusUnprocessableEntity, "There are bytes after the end"},
	string(entry.UnknownEvent):     {http.StatusUnprocessableEntity, "There is no such event"},
	string(entry.UnknownMember):    {http.StatusUnprocessableEntity, "The event has no such member"},
	string(entry.CaseVariant):      {http.StatusUnprocessableEntity, "A member's name differs in case only"},
	string(entry.Duplicate):        {http.StatusUnprocessableEntity, "A member stands twice"},
	string(entry.MissingMember):    {http.StatusUnprocessableEntity, "A member is missing"},
	string(entry.Conflicting):      {http.StatusUnprocessableEntity, "Members exclude or need each other"},
	string(entry.WrongType):        {http.StatusUnprocessableEntity, "A member has another type"},
	string(entry.BadValue):         {http.StatusUnprocessableEntity, "A member has a value that is not allowed"},
	string(entry.Float):            {http.StatusUnprocessableEntity, "A number is not an integer"},
	string(entry.IntegerRange):     {http.StatusUnprocessableEntity, "An integer is out of range"},
	string(entry.NegativeZero):     {http.StatusUnprocessableEntity, "A number is minus zero"},
	string(entry.Escape):           {http.StatusUnprocessableEntity, "A string has an escape that is not allowed"},
	string(entry.LoneSurrogate):    {http.StatusUnprocessableEntity, "A string has half a surrogate pair"},
	string(entry.Base64):           {http.StatusUnprocessableEntity, "A value is not canonical base64"},
	string(entry.Misplaced):        {http.StatusUnprocessableEntity, "The event does not belong there"},
	string(entry.MissingSignature): {http.StatusUnprocessableEntity, "A signature line is missing"},
	string(entry.ExtraSignature):   {http.StatusUnprocessableEntity, "There is a signature line too many"},
	string(entry.BadSignatureLine): {http.StatusUnprocessableEntity, "A signature line is malformed"},

	// an entry in its place
	string(entry.OtherOrigin):       {http.StatusUnprocessableEntity, "The entry was made for another log"},
	string(entry.BadSignature):      {http.StatusForbidden, "The recorder's signature does not verify"},
	string(entry.OtherRecorder):     {http.StatusForbidden, "The entry is signed by another key than the track's"},
	string(entry.WrongPrev):         {http.StatusConflict, "The entry does not follow the track's last one"},
	string(entry.Hole):              {http.StatusConflict, "Entries are missing before this one"},
	string(entry.SeqBehind):         {http.StatusConflict, "The sequence number is taken"},
	string(entry.TrackClosed):       {http.StatusConflict, "The track is closed"},
	string(entry.OtherSession):      {http.StatusConflict, "The entry belongs to another session or track"},
	string(entry.BadEnrolment):      {http.StatusForbidden, "The enrolment is malformed"},
	string(entry.StrangeEnroller):   {http.StatusForbidden, "No known enroller signed the enrolment"},
	string(entry.EnrolmentExpired):  {http.StatusForbidden, "The enrolment is not valid at this time"},
	string(entry.EnrolmentMismatch): {http.StatusForbidden, "The enrolment is for something else"},
	string(recording.CodeEmbedded):  {http.StatusUnprocessableEntity, "The checkpoint in the entry is none of this log's"},
	string(recording.CodeKeyWindow): {http.StatusForbidden, "The recorder's key counts no more, or not yet"},

	// sessions
	string(recording.CodeUnknownSession):  {http.StatusNotFound, "There is no such session"},
	string(recording.CodeOtherPrincipal):  {http.StatusForbidden, "The session is another principal's"},
	string(recording.CodePrincipal):       {http.StatusForbidden, "The principal's name cannot stand in the log"},
	string(recording.CodeEquivocation):    {http.StatusConflict, "Another text has this sequence number"},
	string(recording.CodeHeadsDiffer):     {http.StatusConflict, "The tracks end elsewhere than the close says"},
	string(recording.CodeSessionExists):   {http.StatusConflict, "The session exists"},
	string(recording.CodeTrackExists):     {http.StatusConflict, "The track exists"},
	string(recording.CodeBlobMissing):     {http.StatusUnprocessableEntity, "A blob that the entry names is missing"},
	string(recording.CodeBlobSuperfluous): {http.StatusUnprocessableEntity, "No event of the entry names the blob"},
	string(recording.CodeBlobMismatch):    {http.StatusUnprocessableEntity, "A blob is not the one that the entry names"},
	string(recording.CodeBlobRepeated):    {http.StatusUnprocessableEntity, "A blob stands twice"},
	string(recording.CodeWrapMissing):     {http.StatusUnprocessableEntity, "A wrapped key is missing"},
	string(recording.CodeWrapSuperfluous): {http.StatusUnprocessableEntity, "The entry does not commit to the wrapped key"},
	string(recording.CodeWrapInvalid):     {http.StatusUnprocessableEntity, "A wrapped key is not an age file"},
	string(recording.CodeKeyDestroyed):    {http.StatusConflict, "The key was destroyed"},
	string(recording.CodeTooManySessions): {http.StatusTooManyRequests, "Too many sessions are open"},
	string(recording.CodeTooManyTracks):   {http.StatusUnprocessableEntity, "The session has too many tracks"},
	string(recording.CodeTooManyEntries):  {http.StatusUnprocessableEntity, "The request has too many entries"},
	string(recording.CodeTooManyEvents):   {http.StatusUnprocessableEntity, "The request has too many events"},
	string(recording.CodeTooManyBlobs):    {http.StatusUnprocessableEntity, "The request has too many blobs, or too large ones"},
	string(recording.CodeRequestEmpty):    {http.StatusUnprocessableEntity, "The request has nothing to record"},
	string(recording.CodeMixedTracks):     {http.StatusUnprocessableEntity, "The request is about more than one track"},
	string(recording.CodeReservedTrack):   {http.StatusUnprocessableEntity, "The track's name is reserved"},
	string(recording.CodeReservedMember):  {http.StatusUnprocessableEntity, "The member is for the server to fill in"},
	string(recording.CodeIdempotency):     {http.StatusConflict, "The event id was used for another event"},
	string(recording.CodeEventID):         {http.StatusUnprocessableEntity, "An event id is missing or malformed"},
	string(recording.CodeJSONDepth):       {http.StatusUnprocessableEntity, "The JSON is nested too deep"},
	string(recording.CodeManagedOff):      {http.StatusNotFound, "This log does no managed recording"},
	string(recording.CodeNotManaged):      {http.StatusConflict, "The track is not managed"},

	// the log
	string(recording.CodeIndexBehind): {http.StatusServiceUnavailable, "The index is behind"},
	string(recording.CodeNotDurable):  {http.StatusServiceUnavailable, "A store failed, and nothing was taken"},
	string(recording.CodeOverloaded):  {http.StatusTooManyRequests, "The log is overloaded"},
	string(recording.CodeReadOnly):    {http.StatusServiceUnavailable, "The log takes nothing for now"},
	string(recording.CodeStopped):     {http.StatusServiceUnavailable, "The log has stopped until an operator starts it again"},
	string(recording.CodeClosing):     {http.StatusServiceUnavailable, "The server is shutting down"},
	string(recording.CodeGone):        {http.StatusServiceUnavailable, "The client went away before the answer"},
	string(recording.CodeInternal):    {http.StatusInternalServerError, "Something is wrong inside the server"},
}

// Codes lists every code that a problem can have, sorted.
func Codes() []string {
	codes := make([]string, 0, len(kinds))
	for c := range kinds {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	return codes
}
