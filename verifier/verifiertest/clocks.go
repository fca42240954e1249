package verifiertest

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/evidence"
	"github.com/stenolog/steno/evidence/evidencetest"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/trust"
)

// A Clocked is a case in which clocks fit, or not.
type Clocked struct {
	Case
	Exit   int
	Words  string // of the check time; "" if no clock contradicts another
	Passed int    // of the check time
}

func (m *maker) clocks() {
	for _, c := range Clocks(m.t) {
		m.all = append(m.all, c.Case)
	}
}

// clocked is a log of three witnesses, whose clocks and those of authorities are told in seconds.
type clocked struct {
	*evidencetest.Log
	one, two, limited, stranger *evidencetest.Authority
	sessions                    []string
	bundle                      *evidence.Bundle // if it is not all that there is
	trust                       *trust.Trust     // if it is not what pins one and two, and demands no stamps
}

func at(seconds int) time.Time {
	return evidencetest.Noon.Time().Add(time.Duration(seconds) * time.Second)
}

// session records a session.
func (c *clocked) session() {
	c.sessions = append(c.sessions, evidencetest.SessionID(len(c.sessions)+1))
	Record(c.Log, c.sessions[len(c.sessions)-1], 1)
}

// stamp has the log cosigned when witnesses' clocks say one time, and stamped when authorities' say another. It claims a second more or less.
func (c *clocked) stamp(cosigned, stamped int, by ...*evidencetest.Authority) {
	c.end(cosigned)
	c.record(c.Checkpoint(), stamped, by...)
}

// stampUnseen has it stamped while witnesses are away.
func (c *clocked) stampUnseen(stamped int, by ...*evidencetest.Authority) {
	all := c.Witnesses
	c.Witnesses = nil
	note := c.Checkpoint()
	c.Witnesses = all
	c.record(note, stamped, by...)
}

func (c *clocked) record(note []byte, stamped int, by ...*evidencetest.Authority) {
	n := size(c.Log)
	for _, a := range by {
		c.Record(a.Name, n, note, a.Token(note, at(stamped)))
	}
}

// stampApart has it stamped when each witness's clock says a time of its own, and only so many of them have answered.
func (c *clocked) stampApart(cosigned []int, stamped int, by ...*evidencetest.Authority) {
	all := c.Witnesses
	c.Witnesses = nil
	note := c.Checkpoint()
	for i, seconds := range cosigned {
		c.Witnesses = all[i : i+1]
		c.end(seconds)
		one := c.Checkpoint()
		note = append(note, one[bytes.LastIndexByte(bytes.TrimSuffix(one, []byte("\n")), '\n')+1:]...)
	}
	c.Witnesses = all
	c.record(note, stamped, by...)
}

// end says what the clocks of witnesses say from now on.
func (c *clocked) end(cosigned int) { c.WitnessClock = at(cosigned) }

// pinning is a trust file that demands stamps of one and two.
func (c *clocked) pinning(stamps int) { c.trust = c.TrustPinning(stamps, c.one, c.two) }

// Clocks are bundles in which times by authorities and witnesses fit, or don't. Those that do by 60 s are a second from those that don't.
func Clocks(t testing.TB) (cases []Clocked) {
	t.Helper()
	from := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	authority := func(name string) *evidencetest.Authority {
		return evidencetest.NewAuthority(t, name, from, from.AddDate(9, 0, 0))
	}
	one, two, stranger := authority("one.example"), authority("two.example"), authority("stranger.example")
	limited := limiting(t, "limited.example", one)
	add := func(name string, exit, passed int, words string, make func(c *clocked)) {
		c := &clocked{Log: evidencetest.NewWith(t, origin, evidencetest.Options{Witnesses: 3, Quorum: 2}), one: one, two: two, limited: limited, stranger: stranger}
		c.pinning(0)
		make(c)
		if c.bundle == nil {
			c.bundle = c.Evidence(c.sessions...)
		}
		out := Clocked{Case: Case{Name: "clocks: " + name, Bundle: File(t, c.bundle), Trust: c.trust.Marshal()}, Exit: exit, Words: words, Passed: passed}
		cases = append(cases, out)
	}
	fit := func(name string, passed int, make func(c *clocked)) {
		add(name+", fits", evidence.ExitVerified, passed, "", make)
	}
	not := func(name, words string, make func(c *clocked)) { add(name, evidence.ExitPolicy, 0, words, make) }
	edges(fit, not)
	marked(fit, not)
	absent(fit, not)
	demanded(add, not)
	unjudged := len(cases)
	notHere(fit, not)
	for i := range cases[unjudged:] {
		cases[unjudged+i].Agree = Nothing
		if cases[unjudged+i].Exit == evidence.ExitVerified {
			cases[unjudged+i].Agree = Verdicts
		}
	}
	return cases
}

// edges are the ways in which two clocks can contradict each other, each with its next neighbour that does not.
func edges(fit func(string, int, func(*clocked)), not func(string, string, func(*clocked))) {
	for _, e := range []struct {
		name, words string
		passed      int
		make        func(c *clocked, late int) // with clocks 60 s + late apart
	}{
		{"an authority says after, witnesses before", "the token of one.example at log index 1 says not before 2026-11-18T11:07:41Z, and the quorum of witnesses on the checkpoint of size 10, " +
			"which came after it, says not after 2026-11-18T11:06:40Z: one of these clocks is wrong, this file does not tell which, and no bracket here is to be relied on alone", 0, func(c *clocked, late int) {
			c.stamp(0, 61+late, c.one)
			c.session()
			c.end(0)
		}},
		{"witnesses say after, an authority before", "the quorum of witnesses on the checkpoint of size 1 says not before 2026-11-18T11:08:20Z, and the token of one.example at log index 10, " +
			"which came after it, says not after 2026-11-18T11:07:19Z: one of these clocks is wrong", 1, func(c *clocked, late int) {
			c.stamp(100, 100, c.stranger)
			c.session()
			c.stampUnseen(39-late, c.one)
			c.end(100)
		}},
		{"witnesses against themselves", "the quorum of witnesses on the checkpoint of size 1 says not before 2026-11-18T11:08:20Z, and the quorum of witnesses on the checkpoint of size 10, " +
			"which came after it, says not after 2026-11-18T11:07:19Z: one of these clocks is wrong", 0, func(c *clocked, late int) {
			c.stamp(100, 100, c.stranger)
			c.session()
			c.end(40 - late)
		}},
		{"a token over later cosignatures", "the quorum of witnesses on the checkpoint of size 9 says not before 2026-11-18T11:08:20Z, and the token of one.example at log index 9, " +
			"which came after it, says not after 2026-11-18T11:07:19Z: one of these clocks is wrong", 1, func(c *clocked, late int) {
			c.session()
			c.stamp(100, 39-late, c.one)
		}},
		{"a token in the middle of the session", "the token of one.example at log index 3 says not before 2026-11-18T11:08:19Z, and the quorum of witnesses on the checkpoint of size", 0, func(c *clocked, late int) {
			main := c.Open(evidencetest.SessionID(1), "bot", enrol(c.Log))
			c.stamp(0, 100, c.one)
			main.CloseOnly()
			c.sessions = []string{main.ID}
			c.end(39 - late)
		}},
		{"witnesses saw a token earlier than it was made", "the token of one.example at log index 9 says not before 2026-11-18T11:08:19Z, and the quorum of witnesses on the checkpoint of size 10, " +
			"which came after it, says not after 2026-11-18T11:07:18Z: one of these clocks is wrong", 1, func(c *clocked, late int) {
			c.session()
			c.stamp(0, 100, c.one)
			c.end(39 - late)
		}},
	} {
		fit(e.name, e.passed, func(c *clocked) { e.make(c, 0) })
		not(e.name, e.words, func(c *clocked) { e.make(c, 1) })
	}
	not("a clock beyond the last year", "says not before 9999-12-31T23:59:59Z", func(c *clocked) {
		c.WitnessClock = time.Unix(math.MaxInt64, 0)
		c.record(c.Checkpoint(), 100, c.stranger)
		c.session()
		c.end(100)
	})
}

// marked are clocks that the trust file says are not to be believed, each with its neighbour of which it does not.
func marked(fit func(string, int, func(*clocked)), not func(string, string, func(*clocked))) {
	authority := func(c *clocked) {
		c.stamp(0, 100, c.one)
		c.session()
		c.end(0)
	}
	not("an authority that is wrong", "the token of one.example at log index 1 says not before", authority)
	fit("an authority that is wrong, and marked", 0, func(c *clocked) {
		authority(c)
		since := c.one.Authority
		since.Compromised = at(50)
		c.trust = c.TrustWith(func(f *trust.Config) { f.Stamps, f.Authorities = 0, []timestamp.Authority{since} })
	})
	witnesses := func(c *clocked) {
		c.stampApart([]int{100, 100, 0}, 0, c.one)
		c.session()
		c.end(2)
	}
	not("two witnesses of three that are wrong", "the quorum of witnesses on the checkpoint of size 1 says not before", witnesses)
	fit("two witnesses of three that are wrong, and one is marked", 0, func(c *clocked) {
		witnesses(c)
		c.trust = c.TrustWith(func(f *trust.Config) {
			f.Windows = append(f.Windows, trust.Window{Role: trust.RoleWitness, Key: c.Witnesses[0].Verifier().String(), Until: 100, Compromised: true})
		})
	})
}

// absent have brackets of which something is missing, and clocks that nobody asked.
func absent(fit func(string, int, func(*clocked)), not func(string, string, func(*clocked))) {
	const years = 100_000_000
	fit("witnesses alone, before", 0, func(c *clocked) { c.session() })
	fit("witnesses alone, both", 0, func(c *clocked) { c.stamp(0, -years, c.stranger); c.session() })
	fit("authorities alone", 1, func(c *clocked) {
		c.stamp(years, 0, c.one)
		c.session()
		c.stamp(-years, 100, c.one)
		c.trust = c.TrustWith(func(f *trust.Config) {
			*f = c.trust.Config
			f.Policy, f.Operators = evidencetest.Policy([]string{c.trust.Log}, c.Witnesses, 0)
		})
	})
	fit("an authority alone, after", 0, func(c *clocked) {
		c.stampUnseen(0, c.one)
		c.session()
		c.trust = c.TrustWith(func(f *trust.Config) {
			*f = c.trust.Config
			f.Policy, f.Operators = evidencetest.Policy([]string{c.trust.Log}, c.Witnesses, 0)
		})
	})
	fit("fewer witnesses than a quorum", 1, func(c *clocked) {
		all := c.Witnesses
		c.Witnesses = all[:1]
		c.stamp(years, 0, c.one)
		c.session()
		c.stamp(-years, 100, c.one)
		c.Witnesses = all
		c.end(100)
	})
	for _, e := range []struct {
		name     string
		cosigned []int
	}{{"one witness ahead, of two", []int{0, years}}, {"one witness ahead, of three", []int{0, years, 1}}, {"one witness behind, of two", []int{0, -years}}} {
		fit(e.name, 1, func(c *clocked) {
			c.stampApart(e.cosigned, 0, c.one)
			c.session()
			c.stampApart(e.cosigned, 2, c.one)
			c.end(3)
		})
	}
	fit("one witness of three", 1, func(c *clocked) {
		c.session()
		c.end(0)
		note := c.Checkpoint()
		c.end(years)
		wrong := c.Checkpoint()
		last := bytes.LastIndexByte(bytes.TrimSuffix(wrong, []byte("\n")), '\n') + 1 // the third witness's signature
		c.record(append(note[:bytes.LastIndexByte(bytes.TrimSuffix(note, []byte("\n")), '\n')+1], wrong[last:]...), 0, c.one)
		c.end(0)
	})
	not("one authority of two that are demanded", "the token of one.example at log index 10, which came after it, says not after", func(c *clocked) {
		c.stamp(100, 100, c.stranger)
		c.session()
		c.stampUnseen(38, c.one)
		c.record(c.Checkpoint(), 200, c.two)
		c.end(200)
		c.pinning(2)
	})
}

// demanded are what else the check says, and what the file says that it waits for.
func demanded(add func(string, int, int, string, func(*clocked)), not func(string, string, func(*clocked))) {
	pending := []evidence.CheckID{evidence.CheckTime}
	against := func(c *clocked) {
		c.stamp(100, 100, c.stranger)
		c.session()
		c.end(0)
	}
	not("and too few stamps", "; the session's last entry is bound by 0 time-stamp authorities, and the trust file demands 1; one.example: no token", func(c *clocked) {
		against(c)
		c.pinning(1)
	})
	not("and the file waits for stamps", "the trust file demands 1", func(c *clocked) {
		against(c)
		c.pinning(1)
		c.bundle = c.Evidence(c.sessions...)
		c.bundle.Pending = pending
	})
	not("and the file says that it waits", "no bracket here is to be relied on alone", func(c *clocked) {
		against(c)
		c.bundle = c.Evidence(c.sessions...)
		c.bundle.Pending = pending
	})
	add("one session of two", evidence.ExitPolicy, 1, "at log index 9, which came after it", func(c *clocked) {
		c.session()
		c.stamp(100, 38, c.one)
		c.stamp(200, 200, c.one)
		c.session()
		c.stamp(300, 300, c.one)
	})
	not("one session, and another that waits for stamps", "which came after it", func(c *clocked) {
		c.session()
		c.stamp(100, 38, c.one)
		c.stamp(200, 200, c.one)
		c.session()
		c.pinning(1)
		c.bundle = c.Evidence(c.sessions...)
		c.bundle.Pending = pending
	})
	not("the later session, and an earlier one that waits for stamps", "which came after it", func(c *clocked) {
		// Leaves are in the order of the log, sessions in that of their names.
		c.sessions = append(c.sessions, evidencetest.SessionID(7))
		Record(c.Log, evidencetest.SessionID(7), 1)
		c.stamp(100, 38, c.one)
		c.stamp(200, 200, c.one)
		c.session()
		c.pinning(1)
		c.bundle = c.Evidence(c.sessions...)
		c.bundle.Pending = pending
	})
}

// notHere are of a kind that the page can't judge.
func notHere(fit func(string, int, func(*clocked)), not func(string, string, func(*clocked))) {
	for late, add := range []func(make func(c *clocked)){
		func(make func(c *clocked)) { fit("a token whose chain limits names", 1, make) },
		func(make func(c *clocked)) {
			not("a token whose chain limits names", "the token of limited.example at log index 9", make)
		},
	} {
		add(func(c *clocked) {
			c.session()
			c.stamp(100, 39-late, c.limited)
			c.trust = c.TrustPinning(0, c.limited)
		})
	}
	not("a quorum of ml-dsa-44 behind one that is none", "the quorum of witnesses on the checkpoint of size 1 says not before", func(c *clocked) {
		all := []*checkpoint.Signer{c.Witnesses[0], c.Witnesses[2], evidencetest.NewWitness(c.T(), checkpoint.CosignatureMLDSA44, "witness2.example/pq")}
		c.Witnesses = []*checkpoint.Signer{all[0], all[2]}
		c.stamp(100, 100, c.stranger)
		c.Witnesses = all[:2]
		c.stamp(39, 100, c.stranger)
		c.Witnesses = []*checkpoint.Signer{all[0], all[2]}
		c.end(101)
		forged := c.Checkpoint()
		forged[len(forged)-10] ^= 'A' ^ 'B'
		c.record(forged, 101, c.stranger)
		c.Witnesses = all[:2]
		c.session()
		c.end(102)
		c.trust = c.TrustWith(func(f *trust.Config) { f.Policy, f.Operators = evidencetest.Policy([]string{c.Trust.Log}, all, 2) })
	})
	for late, add := range []func(make func(c *clocked)){
		func(make func(c *clocked)) { fit("a quorum of ml-dsa-44", 0, make) },
		func(make func(c *clocked)) {
			not("a quorum of ml-dsa-44", "the quorum of witnesses on the checkpoint of size 1 says not before", make)
		},
	} {
		add(func(c *clocked) {
			all := []*checkpoint.Signer{c.Witnesses[0], evidencetest.NewWitness(c.T(), checkpoint.CosignatureMLDSA44, "witness2.example/pq")}
			c.Witnesses = all[1:]
			c.stamp(100, 100, c.stranger)
			c.session()
			c.Witnesses = all[:1]
			c.end(40 - late)
			c.trust = c.TrustWith(func(f *trust.Config) { f.Policy, f.Operators = evidencetest.Policy([]string{c.Trust.Log}, all, 1) })
		})
	}
}
