package timestamp_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"testing/iotest"

	"github.com/stenolog/steno/timestamp"
)

func TestNewRequest(t *testing.T) {
	digest := sha256.Sum256([]byte("a note"))
	// The reader returns its last data together with EOF, which readers may.
	r, err := timestamp.NewRequest(digest, iotest.DataErrReader(bytes.NewReader(bytes.Repeat([]byte{0xab}, 16))))
	if err != nil {
		t.Fatal(err)
	}
	want := "304c" + "020101" + "3031300d060960864801650304020105000420" + hex.EncodeToString(digest[:]) +
		"0211" + "00abababababababababababababababab" + "0101ff"
	if got := hex.EncodeToString(r.DER); got != want {
		t.Errorf("request\n%s, want\n%s", got, want)
	}
	if _, err := timestamp.NewRequest(digest, bytes.NewReader(nil)); err == nil {
		t.Error("a request was made without randomness")
	}
}

func TestTokenOfNothing(t *testing.T) {
	r, err := timestamp.NewRequest([32]byte{}, bytes.NewReader(make([]byte, 16)))
	if err != nil {
		t.Fatal(err)
	}
	var refused *timestamp.Error
	// A rejection, badAlg, with words: 30 .. 02 01 02, 30 { UTF8String "no" }, BIT STRING.
	rejection, _ := hex.DecodeString("300f300d02010230040c026e6f03020780")
	if _, err := r.Token(rejection); !errors.As(err, &refused) || refused.Reason != timestamp.ReasonNotGranted {
		t.Errorf("a rejection is read as %v", err)
	}
	if _, err := r.Token([]byte("<html>")); !errors.As(err, &refused) || refused.Reason != timestamp.ReasonNotDER {
		t.Errorf("HTML is read as %v", err)
	}
	if _, err := r.Token(make([]byte, timestamp.MaxToken+1)); !errors.As(err, &refused) || refused.Reason != timestamp.ReasonTooLarge {
		t.Errorf("64 KiB and a byte are read as %v", err)
	}
}
