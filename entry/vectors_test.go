package entry_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

// A vector is one line of docs/spec/vectors/entry-valid.json or entry-invalid.json.
type vector struct {
	Name       string   `json:"name"`
	Signatures int      `json:"signatures"`       // 2 for a leaf, 1 for a submission
	Entry      []byte   `json:"entry"`            // base64
	Code       string   `json:"code,omitempty"`   // of an invalid one
	Hash       string   `json:"hash,omitempty"`   // of a valid one's text
	Events     []string `json:"events,omitempty"` // types
	Blobs      int      `json:"blobs,omitempty"`
	Recorder   string   `json:"recorder,omitempty"` // verifier keys
	Received   string   `json:"received,omitempty"`
}

const vectorDir = "../docs/spec/vectors/"

// fixedKey makes a key of a seed that is named, so that the vectors are the same every time.
func fixedKey(t *testing.T, name string) (skey, vkey string) {
	seed := sha256.Sum256([]byte("steno vector " + name))
	pub := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	h := sha256.Sum256(append([]byte(name+"\n\x01"), pub...))
	id := fmt.Sprintf("%s+%08x+", name, binary.BigEndian.Uint32(h[:]))
	b64 := base64.StdEncoding.EncodeToString
	return "PRIVATE+KEY+" + id + b64(append([]byte{1}, seed[:]...)), id + b64(append([]byte{1}, pub...))
}

func fixedWorld(t *testing.T) *world {
	w := &world{}
	skey, vkey := fixedKey(t, "acme/agents/bot")
	w.recorder, w.vkey = must(note.NewSigner(skey)), vkey
	eskey, evkey := fixedKey(t, "acme/enroller")
	seed := sha256.Sum256([]byte("steno vector received"))
	rskey, rvkey, err := entry.GenerateReceivedKey(bytes.NewReader(seed[:]), origin)
	if err != nil {
		t.Fatal(err)
	}
	w.stamper, w.received, w.receivedKey = must(entry.NewStamper(rskey)), must(entry.NewReceivedVerifier(rvkey)), rvkey
	w.enrol = must(entry.SignEnrolment(entry.Enrolment{
		Origin: origin, RecorderKey: w.vkey, Holder: entry.HolderAgent, From: noon - 1e12, Until: noon + 1e12, Agents: []string{"bot"},
	}, must(note.NewSigner(eskey))))
	w.anchors = entry.Anchors{Origin: origin, Enrollers: note.VerifierList(must(note.NewVerifier(evkey))), System: note.VerifierList()}
	return w
}

func (w *world) leaf(t *testing.T, h entry.Header, events ...[]byte) []byte {
	sub := w.submission(t, h, events...)
	return w.stamper.Stamp(sub, must(entry.ParseSubmission(sub)), noon+5)
}

// fill sets every member of an event's struct that its rules allow together.
func fill(v reflect.Value, tag string) {
	switch v.Interface().(type) {
	case entry.ID:
		word := "x-1"
		for part := range strings.SplitSeq(tag, ",") {
			if list, ok := strings.CutPrefix(part, "one="); ok {
				word, _, _ = strings.Cut(list, "|")
			}
		}
		v.SetString(word)
		return
	case entry.UUID:
		v.SetString(session)
		return
	case entry.Text:
		v.SetString("a \"note\" of \\ two\n— lines <&>\n")
		return
	case entry.Hash:
		v.Set(reflect.ValueOf(entry.Hash{1, 2, 3}))
		return
	case entry.Time:
		v.SetInt(int64(noon))
		return
	case entry.Payload:
		v.Set(reflect.ValueOf(*payload()))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), tag)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), tag)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Int64:
		v.SetInt(-7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		skip := map[string]bool{}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Name == "_" { // of either=a|b only a
				_, rest, _ := strings.Cut(f.Tag.Get("steno"), "|")
				rest, _, _ = strings.Cut(rest, ",")
				skip[rest] = true
				continue
			}
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); !skip[name] {
				fill(v.Field(i), f.Tag.Get("steno"))
			}
		}
	}
}

func validVectors(t *testing.T) (all []vector) {
	w := fixedWorld(t)
	add := func(name string, leaf []byte, signatures int) {
		e := must(map[int]func([]byte) (*entry.Entry, error){1: entry.ParseSubmission, 2: entry.Parse}[signatures](leaf))
		v := vector{Name: name, Signatures: signatures, Entry: leaf, Hash: e.Hash().String(), Blobs: len(e.Blobs), Recorder: w.vkey, Received: w.receivedKey}
		for _, ev := range e.Events {
			v.Events = append(v.Events, string(ev.Type))
		}
		all = append(all, v)
	}
	open := must(entry.Marshal(entry.TypeSessionOpen, noon, w.open()))
	h := entry.Header{Origin: origin, Session: session, Track: "main"}
	add("session.open alone", w.leaf(t, h, open), 2)
	add("session.open as a submission", w.submission(t, h, open), 1)
	for _, typ := range entry.Types() {
		sample := entry.Sample(typ)
		fill(reflect.ValueOf(sample).Elem(), "")
		h := entry.Header{Origin: origin, Session: session, Track: "gateway-1", Seq: 41, Prev: entry.Hash{4}}
		switch typ {
		case entry.TypeSessionOpen, entry.TypeSessionClose:
			h.Track = "main"
		case entry.TypeTrackOpen:
		default:
			if entry.OfSystem(typ) {
				h.Track = entry.SystemTrack
			}
		}
		if typ == entry.Opener(h.Track) {
			h.Seq, h.Prev = 0, entry.Hash{}
		}
		add("every member of "+string(typ), w.leaf(t, h, must(entry.Marshal(typ, noon, sample))), 2)
	}
	parts := payload()
	parts = &entry.Payload{Parts: []entry.Payload{*parts, *parts}}
	h = entry.Header{Origin: origin, Session: session, Track: "main", Seq: 3, Prev: entry.Hash{4}}
	add("payload in parts", w.leaf(t, h, must(entry.Marshal(entry.TypeCalculation, noon, entry.Calculation{Name: "sum", Content: parts}))), 2)
	last := h
	last.Seq = entry.MaxSeq - 1
	add("last sequence number", w.leaf(t, last, must(entry.Marshal(entry.TypeCalculation, noon, entry.Calculation{Name: "sum", Content: payload()}))), 2)
	return all
}

func invalidVectors(t *testing.T) (all []vector) {
	w := fixedWorld(t)
	h := entry.Header{Origin: origin, Session: session, Track: "main", Seq: 17, Prev: entry.Hash{4}}
	intent := must(entry.Marshal(entry.TypeActionIntent, noon, entry.ActionIntent{Action: "a-1", Tool: "t", Params: payload()}))
	result := must(entry.Marshal(entry.TypeActionResult, noon, entry.ActionResult{Action: "a-1", Code: 7,
		Outcome: entry.Outcome{Transport: "ok", Protocol: "ok", Tool: "success"}}))
	good := string(w.leaf(t, h, intent, result))
	lines := strings.SplitAfter(good, "\n")
	sig := lines[len(lines)-2]
	edit := func(name, old, new string, code entry.Code) {
		b := strings.Replace(good, old, new, 1)
		if b == good {
			t.Fatalf("vector %s changes nothing", name)
		}
		all = append(all, vector{Name: name, Signatures: 2, Entry: []byte(b), Code: string(code)})
	}
	edit("unknown version", "entry/v1", "entry/v2", entry.UnknownVersion)
	edit("origin with a space", origin, "log example", entry.BadHeader)
	edit("session of version 4", "-7abc-", "-4abc-", entry.BadHeader)
	edit("upper-case session", "0123456789ab", "0123456789AB", entry.BadHeader)
	edit("track with an underscore", "/main", "/m_in", entry.BadHeader)
	edit("leading zero in the sequence number", "\n17\n", "\n017\n", entry.BadHeader)
	edit("sequence number 2^53", "\n17\n", "\n9007199254740992\n", entry.BadHeader)
	edit("previous hash not canonical", "AAAAA=\n", "AAAAB=\n", entry.Base64)
	edit("no events", string(intent)+"\n"+string(result)+"\n", "", entry.NoEvents)
	edit("unknown event", "action.intent", "action.attempt", entry.UnknownEvent)
	edit("time before event", `"event":"action.intent","time":"`, `"time":"action.intent","event":"`, entry.Syntax)
	edit("31 February", noon.String()[:10], "2026-02-31", entry.BadValue)
	edit("milliseconds", noon.String()[19:], ".000Z", entry.BadValue)
	edit("unknown member", `"tool":"t"`, `"toool":"t"`, entry.UnknownMember)
	edit("case variant", `"tool":"t"`, `"Tool":"t"`, entry.CaseVariant)
	edit("long s", `"params"`, `"paramſ"`, entry.CaseVariant)
	edit("duplicate member", `"tool":"t"`, `"tool":"t","tool":"t"`, entry.Duplicate)
	edit("duplicate event", `"tool":"t"`, `"event":"x","tool":"t"`, entry.UnknownMember)
	edit("missing member", `"tool":"t",`, ``, entry.MissingMember)
	edit("null", `"tool":"t"`, `"tool":null`, entry.WrongType)
	edit("float", `"code":7`, `"code":7.0`, entry.Float)
	edit("exponent", `"code":7`, `"code":7e0`, entry.Float)
	edit("big integer", `"code":7`, `"code":9007199254740992`, entry.IntegerRange)
	edit("minus zero", `"code":7`, `"code":-0`, entry.NegativeZero)
	edit("leading zero", `"code":7`, `"code":07`, entry.BadValue)
	edit("negative size", `"size":100`, `"size":-1`, entry.IntegerRange)
	edit("word outside the vocabulary", `"transport":"ok"`, `"transport":"okay"`, entry.BadValue)
	edit("lone surrogate", `"tool":"t"`, `"tool":"\ud800"`, entry.LoneSurrogate)
	edit("low surrogate first", `"tool":"t"`, `"tool":"\udc00\ud800"`, entry.LoneSurrogate)
	edit("escape in an id", `"tool":"t"`, `"tool":"\u0074"`, entry.Escape)
	edit("at sign in an id", `"tool":"t"`, `"tool":"a@b"`, entry.BadValue)
	edit("white space", `"tool":"t"`, `"tool": "t"`, entry.WhiteSpace)
	edit("white space before the brace", "}\n{", " }\n{", entry.WhiteSpace)
	edit("bytes after the event", "}\n{", "} \n{", entry.Trailing)
	edit("hash not canonical", "AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", entry.Base64)
	edit("blob twice", `"blobs":[{`, `"blobs":[{"class":"content","sha256":"AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","size":1},{`, entry.BadValue)
	edit("unknown class", `"class":"content"`, `"class":"public"`, entry.BadValue)
	edit("payload without media", `"media":"json",`, ``, entry.MissingMember)
	i, j := strings.Index(good, `{"media"`), strings.Index(good, "]}}\n")
	edit("payload in one part", good[i:j+2], `{"parts":[`+good[i:j+2]+`]}`, entry.BadValue)
	edit("opens in the middle", "action.intent", "session.open", entry.UnknownMember)
	edit("carriage return", "}\n{", "}\r\n{", entry.CarriageReturn)
	edit("control character", `"tool":"t"`, "\"tool\":\"\x01\"", entry.ControlCharacter)
	edit("delete", `"tool":"t"`, "\"tool\":\"\x7f\"", entry.ControlCharacter)
	edit("invalid UTF-8", `"tool":"t"`, "\"tool\":\"\xff\"", entry.InvalidUTF8)
	edit("encoded surrogate", `"tool":"t"`, "\"tool\":\"\xed\xa0\x80\"", entry.InvalidUTF8)
	edit("no signature", good[strings.Index(good, "\n\n")+2:], "", entry.MissingSignature)
	edit("one signature", sig, "", entry.MissingSignature)
	edit("three signatures", sig, sig+sig, entry.ExtraSignature)
	edit("trailing byte", sig, sig+"x", entry.ExtraSignature)
	edit("no last line feed", sig, strings.TrimSuffix(sig, "\n"), entry.BadSignatureLine)
	edit("hyphen for em dash", sig, strings.Replace(sig, "—", "-", 1), entry.BadSignatureLine)
	edit("signature not canonical", "=\n", "\n", entry.Base64)
	edit("receipt by another name", "/received ", "/receipt ", entry.BadSignatureLine)
	edit("key's name with a letter that looks like another", "— acme/agents/bot ", "— acme/agents/b\u043et ", entry.BadSignatureLine)
	edit("key's name with an override of direction", "— acme/", "— \u202eacme/", entry.BadSignatureLine)
	edit("key's name with an ideographic space", "— acme/", "— a\u3000cme/", entry.BadSignatureLine)
	edit("key's name with a plus", "— acme/", "— a+cme/", entry.BadSignatureLine)
	edit("key's name of 161", "— acme/agents/bot ", "— "+strings.Repeat("a", 161)+" ", entry.BadSignatureLine)
	edit("other track's opening", string(result), string(must(entry.Marshal(entry.TypeTrackOpen, noon,
		entry.TrackOpen{Recorder: w.open().Recorder}))), entry.Misplaced)
	edit("system event on a recorder's track", string(result), string(must(entry.Marshal(entry.TypeConfig, noon, entry.Config{}))), entry.Misplaced)
	edit("event after session.close", string(intent), string(must(entry.Marshal(entry.TypeSessionClose, noon,
		entry.SessionClose{Outcome: "completed", Tracks: []entry.TrackEnd{}}))), entry.Misplaced)
	edit("text too long", string(result), strings.Repeat(string(result)+"\n", 60)+string(result), entry.Oversize)
	edit("sequence runs over", "\n17\n", "\n9007199254740991\n", entry.IntegerRange)
	edit("first event is no opening", "\n17\n", "\n0\n", entry.Misplaced)
	return all
}

func TestVectors(t *testing.T) {
	for file, vectors := range map[string][]vector{"entry-valid.json": validVectors(t), "entry-invalid.json": invalidVectors(t)} {
		want := append(must(json.MarshalIndent(vectors, "", " ")), '\n')
		if flag.Lookup("update").Value.String() == "true" {
			if err := os.WriteFile(vectorDir+file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got := must(os.ReadFile(vectorDir + file))
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what this test makes; run go test ./entry -update and look at the difference", file)
		}
		for _, v := range vectors {
			parse := entry.Parse
			if v.Signatures == 1 {
				parse = entry.ParseSubmission
			}
			_, err := parse(v.Entry)
			var e *entry.Error
			if v.Code == "" && err != nil || v.Code != "" && (!errors.As(err, &e) || string(e.Code) != v.Code) {
				t.Errorf("%s: %v, want code %q", v.Name, err, v.Code)
			}
		}
	}
}
