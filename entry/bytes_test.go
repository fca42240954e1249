package entry_test

import (
	"errors"
	"testing"

	"github.com/stenolog/steno/entry"
)

// TestControlCharactersAreFoundAtEveryOffset is about the reading of eight bytes at a time.
func TestControlCharactersAreFoundAtEveryOffset(t *testing.T) {
	line := must(entry.Marshal(entry.TypeActionIntent, noon, entry.ActionIntent{Action: "a-1", Tool: "tool", Params: payload()}))
	for at := range line {
		for c := range 256 {
			b := append([]byte{}, line...)
			b[at] = byte(c)
			_, err := entry.ParseEvent(b)
			var e *entry.Error
			if !errors.As(err, &e) {
				e = &entry.Error{}
			}
			isControl := (c < 0x20 || c == 0x7f) && c != '\n'
			found := e.Code == entry.ControlCharacter || e.Code == entry.CarriageReturn
			if isControl != found || found && (e.Offset != at || (c == '\r') != (e.Code == entry.CarriageReturn)) {
				t.Fatalf("byte 0x%02x at %d: %v", c, at, err)
			}
		}
	}
}
