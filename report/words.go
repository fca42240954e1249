package report

import (
	"fmt"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
)

// typeWords says what kind of event it is.
func typeWords(t entry.Type) string {
	words := map[entry.Type]string{
		entry.TypeSessionOpen:     "Session opened",
		entry.TypeTrackOpen:       "Track opened",
		entry.TypePrivilegeChange: "Privilege changed",
		entry.TypeSessionRoll:     "Recording renewed",
		entry.TypeSessionClose:    "Session closed",
		entry.TypeInput:           "Given to the agent",
		entry.TypeReasoning:       "Reasoning of the agent",
		entry.TypeModelRequest:    "Asked of a model",
		entry.TypeModelResponse:   "Answered by a model",
		entry.TypeCalculation:     "Calculated",
		entry.TypeCatalog:         "Tools that the agent was offered",
		entry.TypeActionIntent:    "About to act",
		entry.TypeActionOutput:    "Output of an action",
		entry.TypeActionResult:    "Action ended",
		entry.TypeActionReject:    "Action not let through",
		entry.TypeActionSettle:    "Outcome of an action, learnt later",
		entry.TypeStateChange:     "State before and after",
		entry.TypeApproval:        "Decision on an action",
		entry.TypeDelegation:      "Work handed to or from another session",
		entry.TypeAnnotation:      "Remark on an earlier event",
		entry.TypeMessage:         "Other traffic",
		entry.TypeCoverage:        "Ways of acting that were seen",
	}[t]
	if words != "" {
		return words
	}
	return systemWords(t)
}

// systemWords says what kind of event of the log's own it is.
func systemWords(t entry.Type) string {
	words := map[entry.Type]string{
		entry.TypeSystemOpen:       "The log: begun or taken up again",
		entry.TypeSystemClose:      "The log: stopped in good order",
		entry.TypeAdmitted:         "The log: opening of a track admitted",
		entry.TypeLiveness:         "The log: which sessions were heard",
		entry.TypeVerdict:          "The log: what it says of the session",
		entry.TypeAlert:            "The log: alert",
		entry.TypeAnchor:           "The log: time stamp of an authority",
		entry.TypeAccess:           "The log: somebody was about to be given content",
		entry.TypeDisclosure:       "The log: evidence was handed out",
		entry.TypeKeyAdd:           "The log: key begins to count",
		entry.TypeKeyRetire:        "The log: key retired",
		entry.TypeKeyCompromised:   "The log: key compromised",
		entry.TypeRetentionSet:     "The log: kept for longer",
		entry.TypeRetentionExpired: "The log: period of retention over",
		entry.TypeHoldPlace:        "The log: hold placed",
		entry.TypeHoldRelease:      "The log: hold released",
		entry.TypeErasure:          "The log: keys destroyed",
		entry.TypeConfig:           "The log: configuration in force",
	}[t]
	if words == "" {
		return "Event"
	}
	return words
}

// memberWords is the name of an event's member in words.
func memberWords(name string) string {
	words := map[string]string{
		"params": "parameters", "agent_version": "agent's version", "capture": "captured by way of", "on_failure": "if recording fails", "heartbeat_s": "seconds between heartbeats",
		"duration_us": "took", "because": "because of", "inputs": "from", "refs": "refers to", "same_as": "same as", "n": "piece", "how": "authenticated by",
		"number":       "sessions of the agent so far",
		"next":         "events",
		"on_behalf_of": "on behalf of", "offset_us": "offset in microseconds", "error_us": "error in microseconds", "sha256": "SHA-256", "digest": "SHA-256",
	}[name]
	if words != "" {
		return words
	}
	return strings.ReplaceAll(name, "_", " ")
}

// stateWords says what the verdict on a session means.
func stateWords(verdict string) string {
	switch verdict {
	case evidence.VerdictComplete:
		return "complete: closed by its recorder, and every track that it names is here from the first event to the last"
	case evidence.VerdictLate:
		return "late: closed, and part of it was recorded after the session had been given up or closed"
	case evidence.VerdictInterrupted:
		return "interrupted: closed, with the gaps that are named below"
	case evidence.VerdictAbandoned:
		return "abandoned: never closed, for the log stopped hearing from its recorder"
	case evidence.VerdictOpen:
		return "open: not closed in this file, so that what came after is not known"
	case "":
		return "not known: the maker's verification did not come to it"
	}
	return "unproven: something of it failed to verify, or rests on a key alone that somebody else may have"
}

// holderWords says whose account a track is.
func holderWords(t evidence.TrackReport) string {
	switch t.SignedBy {
	case entry.HolderAgent:
		return "the agent: its own account of itself"
	case entry.HolderGateway:
		return fmt.Sprintf("a gateway in front of the agent (%s)", said(t.Vantage))
	}
	return "whoever operates the log, who could have written anything here at the time"
}

func gapWords(g evidence.Gap) string {
	text := map[string]string{
		"open-action":   "an action was begun, and how it ended was not recorded",
		"lost-track":    "a recorder could not be heard at the end",
		"missing-track": "a track that the session names is not in this file",
		"unnamed-track": "a track that the session's close does not name, so that nothing says where it ended",
		"spooled":       "actions went on while the log could not be reached",
		"restarted":     "a recorder was restarted",
		"hole":          "entries are missing from a track",
		"not-closed":    "the session was not closed",
	}[g.Kind]
	if text == "" {
		text = said(g.Kind).String()
	}
	if g.Track != "" {
		text += fmt.Sprintf("; track %s", said(g.Track))
	}
	if g.Seq != nil {
		text += fmt.Sprintf(", event %d", *g.Seq)
	}
	if g.Action != "" {
		text += fmt.Sprintf(", action %s", said(g.Action))
	}
	return text
}

// classWords says what a class of content is.
func classWords(class string) string {
	return map[string]string{
		"content":   "what was said and done",
		"personal":  "about natural persons",
		"secret":    "credentials and the like",
		"directory": "who acted for whom, why, and on what",
	}[class]
}
