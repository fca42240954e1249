package evidence_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stenolog/steno/evidence"
	. "github.com/stenolog/steno/evidence/evidencetest"
)

func TestCustodyRecordHasOneSpelling(t *testing.T) {
	c := Custody()
	c.Entries, c.EntriesHash = 37, [32]byte{0xab}
	raw := c.Marshal()
	want := `steno/custody/v1
exhibit A-7
matter M-2026-17
made 2026-11-18T11:06:40Z
exporter Jane Doe, internal audit
approver John Roe, general counsel
recipient Financial Regulator, Mr. X
basis request of 2026-11-20
disclosed content
withheld personal privileged matter
withheld secret
entries 37 ab00000000000000000000000000000000000000000000000000000000000000
nonce AQIDAAAAAAAAAAAAAAAAAA==
`
	if string(raw) != want {
		t.Fatalf("%s", raw)
	}
	back := Must(evidence.ParseCustody(raw))(t)
	if !reflect.DeepEqual(*back, c) || back.Hash() != c.Hash() {
		t.Fatalf("%+v", back)
	}
	least := evidence.Custody{Exhibit: "A", Made: time.Unix(0, 0).UTC(), Exporter: "x"}
	if !reflect.DeepEqual(*Must(evidence.ParseCustody(least.Marshal()))(t), least) {
		t.Fatalf("%s", least.Marshal())
	}
	for _, x := range badCustody() {
		bad := strings.Replace(want, x[0], x[1], 1)
		if bad == want {
			t.Fatalf("%q is not there", x[0])
		}
		if c, err := evidence.ParseCustody([]byte(bad)); (err == nil) != (x[2] != "") {
			t.Errorf("%q for %q: %v, %+v", x[1], x[0], err, c)
		}
	}
	long := strings.Repeat("ä", 250)
	if _, err := evidence.ParseCustody([]byte(strings.Replace(want, "Jane Doe, internal audit", long, 1))); err != nil {
		t.Error(err)
	}
	if _, err := evidence.ParseCustody([]byte(want + strings.Repeat("x", 16<<10))); err == nil {
		t.Error("a long one is read")
	}
}

// badCustody are changes to a record that make it none, but for those that have a third word.
func badCustody() [][3]string {
	long := strings.Repeat("ä", 250)
	return [][3]string{
		{"custody/v1", "custody/v2"}, {"exhibit A-7\n", ""}, {"exhibit A-7", "exhibit A 7"}, {"exhibit A-7", "exhibit  A-7"}, {"exhibit", "Exhibit"},
		{"matter M-2026-17", "matter "}, {"matter M-2026-17", "matter"}, {"matter M-2026-17", "matter @"}, {"matter M-2026-17\n", "matter M\nmatter M\n"},
		{"made 2026-11-18T11:06:40Z\n", ""}, {":40Z", ":40.0Z"}, {":40Z", ":40.5Z"}, {":40Z", ":40+00:00"}, {"T11:06:40", "T12:26:60"}, {"2026-11-18T", "2026-11-31T"},
		{"exporter Jane Doe, internal audit\n", ""}, {"Jane", " Jane"}, {"audit\n", "audit \n"}, {"Jane", "Ja\x00ne"}, {"Jane", "Ja\x7fne"}, {"Jane", "Ja\u0085ne"},
		{"Jane", "Ja\u2028ne"}, {"Jane", "Ja\u2029ne"}, {"Jane", "\u202eenaJ"}, {"Jane", "Ja\u200fne"}, {"Jane", "Ja\u061cne"}, {"Jane", "Ja\u2066ne"}, {"Jane", "Ja\xffne"},
		{"Jane Doe, internal audit", long + "x"}, {"Jane", "Ja\rne"}, {"\n", "\r\n"},
		{"approver", "basis"}, {"recipient Financial Regulator, Mr. X\n", "recipient \n"},
		{"disclosed content", "disclosed everything"}, {"disclosed content", "disclosed content because"}, {"disclosed content\n", "disclosed content\ndisclosed content\n"},
		{"disclosed content\n", "disclosed directory\ndisclosed content\n"}, {"disclosed content\n", "disclosed personal\n"}, {"disclosed content\n", "", "a record as good"},
		{"withheld secret", "withheld secret "}, {"withheld secret", "withheld content"}, {"withheld personal privileged", "withheld personal  privileged"},
		{"withheld secret\n", "withheld secret\nwithheld secret\n"}, {"withheld secret\n", "withheld directory\n"},
		{"entries 37", "entries 037"}, {"entries 37", "entries +37"}, {"entries 37", "entries -1"}, {"entries 37", "entries 200001"}, {"entries 37 ab", "entries 37 AB"},
		{"00\nnonce", "\nnonce"}, {"entries 37 ab", "entries 37  ab"}, {"AAA==", "AAB=="}, {"AQID", "AQI"}, {"AAA==\n", "AAA=="}, {"AAA==\n", "AAA==\n\n"}, {"AAA==\n", "AAA==\nx y\n"},
		{"basis request", "\nbasis request"}, {"nonce AQIDAAAAAAAAAAAAAAAAAA==\n", ""},
	}
}

func TestCustodyCheckRefusesWhatCannotBeRead(t *testing.T) {
	for name, spoil := range map[string]func(c *evidence.Custody){
		"no exhibit":        func(c *evidence.Custody) { c.Exhibit = "" },
		"no exporter":       func(c *evidence.Custody) { c.Exporter = "" },
		"a line more":       func(c *evidence.Custody) { c.Basis = "x\nnonce y" },
		"a class":           func(c *evidence.Custody) { c.Disclosed = []string{"x"} },
		"both":              func(c *evidence.Custody) { c.Withheld[0].Class = "content" },
		"parts of a second": func(c *evidence.Custody) { c.Made = c.Made.Add(1) },
		"a year":            func(c *evidence.Custody) { c.Made = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		c := Custody()
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		if spoil(&c); c.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzCustodyHasOneSpelling(f *testing.F) {
	c := Custody()
	f.Add(c.Marshal())
	f.Add([]byte("steno/custody/v1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := evidence.ParseCustody(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Marshal(), b) || c.Check() != nil {
			t.Fatalf("%q is written %q, %v", b, c.Marshal(), c.Check())
		}
	})
}
