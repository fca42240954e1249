package entry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

// An enrolmentVector is one of docs/spec/vectors/enrolment.json. Invalid ones have the code that a reader gives.
type enrolmentVector struct {
	Name      string   `json:"name"`
	Enroller  string   `json:"enroller"` // verifier key that is pinned
	Enrolment []byte   `json:"enrolment"`
	Code      string   `json:"code,omitempty"`
	Origin    string   `json:"origin,omitempty"`
	Recorder  string   `json:"recorder,omitempty"`
	Holder    string   `json:"holder,omitempty"`
	From      string   `json:"from,omitempty"`
	Until     string   `json:"until,omitempty"`
	Agents    []string `json:"agents,omitempty"`
}

func enrolmentVectors(t *testing.T) (all []enrolmentVector) {
	skey, pinned := fixedKey(t, "acme/enroller")
	enroller := must(note.NewSigner(skey))
	_, recorder := fixedKey(t, "acme/agents/bot")
	valid := func(name string, holder entry.Holder, agents ...string) []byte {
		e := entry.Enrolment{Origin: origin, RecorderKey: recorder, Holder: holder, From: noon, Until: noon + 1e12, Agents: agents}
		b := must(entry.SignEnrolment(e, enroller))
		all = append(all, enrolmentVector{name, pinned, b, "", origin, recorder, string(holder), e.From.String(), e.Until.String(), agents})
		return b
	}
	valid("of an agent", entry.HolderAgent, "bot")
	valid("of a gateway, for any agent", entry.HolderGateway, "*")
	valid("of the operator", entry.HolderOperator, "a", "b")
	good := string(valid("of two agents", entry.HolderAgent, "bot", "cat"))
	bad := func(name, code, b string) {
		if b == good {
			t.Fatalf("vector %s changes nothing", name)
		}
		all = append(all, enrolmentVector{Name: name, Enroller: pinned, Enrolment: []byte(b), Code: code})
	}
	// Of these the signature holds, so that it is the text that is refused.
	signed := func(name, old, new string) {
		text := strings.Replace(good[:strings.Index(good, "\n\n")+1], old, new, 1)
		bad(name, string(entry.BadEnrolment), string(must(note.Sign(&note.Note{Text: text}, enroller))))
	}
	signed("version", "/v1\n", "/v2\n")
	signed("origin with a leading slash", origin, "/"+origin)
	signed("holder unknown", "\nagent\n", "\nauditor\n")
	signed("holder in capitals", "\nagent\n", "\nAgent\n")
	signed("window that is empty", (noon + 1e12).String(), noon.String())
	signed("window without microseconds", noon.String(), noon.String()[:19]+"Z")
	signed("no agents", "bot\ncat\n", "")
	signed("agents not in order", "bot\ncat\n", "cat\nbot\n")
	signed("agent twice", "bot\ncat\n", "bot\nbot\n")
	signed("17 agents", "bot\ncat\n", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no\np\nq\n")
	signed("agent with a space", "bot\n", "b t\n")
	signed("any agent, held by an agent", "bot\ncat\n", "*\n")
	signed("any agent and another", "bot\ncat\n", "*\nbot\n")
	signed("recorder named as the log", recorder, vkeyOf(origin, must(base64.StdEncoding.DecodeString(recorder[len(recorder)-44:]))[1:]))
	signed("recorder named as its receipts", recorder, vkeyOf(origin+"/received", must(base64.StdEncoding.DecodeString(recorder[len(recorder)-44:]))[1:]))
	signed("key ID in capitals", recorder, strings.Replace(recorder, strings.Split(recorder, "+")[1], strings.ToUpper(strings.Split(recorder, "+")[1]), 1))
	signed("key ID of another key", recorder, strings.Replace(recorder, strings.Split(recorder, "+")[1], "00000000", 1))
	signed("key's name beyond ASCII", recorder, vkeyOf("acme/agents/b\u043et", must(base64.StdEncoding.DecodeString(recorder[len(recorder)-44:]))[1:]))
	for _, p := range weak(t) {
		signed("public key "+base64.StdEncoding.EncodeToString(p), recorder, vkeyOf("acme/agents/bot", p))
	}
	sig := good[strings.Index(good, "\n\n")+2:]
	bad("no signature", string(entry.BadEnrolment), strings.TrimSuffix(good, sig))
	bad("two signatures", string(entry.BadEnrolment), good+sig)
	bad("carriage return", string(entry.BadEnrolment), strings.Replace(good, "\nagent\n", "\nagent\r\n", 1))
	bad("no last line feed", string(entry.BadEnrolment), strings.TrimSuffix(good, "\n"))
	bad("changed text", string(entry.StrangeEnroller), strings.Replace(good, "\ncat\n", "\ndog\n", 1))
	stranger, _ := fixedKey(t, "acme/stranger")
	text := good[:strings.Index(good, "\n\n")+1]
	bad("stranger", string(entry.StrangeEnroller), string(must(note.Sign(&note.Note{Text: text}, must(note.NewSigner(stranger))))))
	return all
}

func TestEnrolmentVectors(t *testing.T) {
	vectors := enrolmentVectors(t)
	want := append(must(json.MarshalIndent(vectors, "", " ")), '\n')
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(vectorDir+"enrolment.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(must(os.ReadFile(vectorDir+"enrolment.json")), want) {
		t.Error("enrolment.json is not what this test makes; run go test ./entry -update and look at the difference")
	}
	for _, v := range vectors {
		e, err := entry.OpenEnrolment(v.Enrolment, note.VerifierList(must(note.NewVerifier(v.Enroller))))
		var coded *entry.Error
		switch {
		case v.Code == "" && err != nil, v.Code != "" && (!errors.As(err, &coded) || string(coded.Code) != v.Code):
			t.Errorf("%s: %v, want code %q", v.Name, err, v.Code)
		case v.Code == "" && (e.RecorderKey != v.Recorder || string(e.Holder) != v.Holder || e.Enroller != "acme/enroller"):
			t.Errorf("%s: %+v", v.Name, e)
		}
	}
}
