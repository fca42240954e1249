package main

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/trust"
)

// noOverlap is what a weak quorum allows.
const noOverlap = "two quorums need no operator in common: the log can show two histories and no witness lies"

// noQuorum is what a trust file without witnesses, or that demands none, allows.
const noQuorum = "no witness is demanded: that others were shown the same log is the log's word alone"

func newTrustShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show FILE", Short: "Show what a trust file pins, and the digest to compare", Args: exactly(1, "one file is needed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := readTrust(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), viewOf(t))
			}
			return write(cmd.OutOrStdout(), viewOf(t).lines()...)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return cmd
}

// A trustView is a trust file as it is shown.
type trustView struct {
	SHA256    string         `json:"sha256"`
	Version   uint64         `json:"version"` // 0 of the format's version 1
	Previous  string         `json:"previous,omitempty"`
	Origin    string         `json:"origin"`
	Log       []keyView      `json:"log"`
	Received  []keyView      `json:"received"`
	System    []keyView      `json:"system"`
	Enrollers []keyView      `json:"enrollers"`
	Recorders []keyView      `json:"recorders"` // those that have a window
	Threshold int            `json:"threshold"`
	Signers   []keyView      `json:"signers"`
	Operators []operatorView `json:"operators"`
	Quorum    string         `json:"quorum"`
	Overlap   bool           `json:"overlap"`
	Require   []requireView  `json:"require"`

	Authorities []authorityView `json:"authorities"`
	Stamps      int             `json:"stamps"`
	Algorithms  []algorithmView `json:"algorithms"` // those that have an end in time stamps

	Policy string `json:"policy"` // base64
}

type keyView struct {
	Key       string      `json:"key"`
	Algorithm string      `json:"algorithm,omitempty"`
	Window    *windowView `json:"window,omitempty"`
}

type windowView struct {
	From        uint64  `json:"from"`
	Until       *uint64 `json:"until,omitempty"`
	Compromised bool    `json:"compromised"`
}

type operatorView struct {
	Name      string        `json:"name"`
	Witnesses []witnessView `json:"witnesses"`
}

type witnessView struct {
	Name string `json:"name"`
	URL  string `json:"url,omitempty"`
	keyView
}

type requireView struct {
	Algorithm string `json:"algorithm"`
	From      string `json:"from"`
}

func viewOf(t *trust.Trust) trustView {
	windows := windowsOf(t)
	keys := func(role trust.Role, keys []string) []keyView {
		out := []keyView{}
		for _, k := range keys {
			out = append(out, keyView{Key: k, Window: windows[keyIn{role, k}]})
		}
		return out
	}
	v := trustView{
		SHA256: fmt.Sprintf("%x", t.Digest()), Version: t.Version, Origin: t.Origin, Threshold: t.Threshold,
		Received: keys(trust.RoleReceived, t.Received), System: keys(trust.RoleSystem, t.System), Enrollers: keys(trust.RoleEnroller, t.Enrollers),
		Signers: keys("", t.Signers), Recorders: []keyView{}, Operators: []operatorView{}, Require: []requireView{},
		Quorum: t.QuorumWords(), Overlap: t.Overlap(), Policy: base64.StdEncoding.EncodeToString(t.Policy),
		Authorities: authoritiesOf(t), Stamps: t.Stamps(), Algorithms: algorithmsOf(t),
	}
	if t.Version > 1 {
		v.Previous = fmt.Sprintf("%x", t.Previous)
	}
	for _, l := range t.LogVerifiers() {
		v.Log = append(v.Log, keyView{l.String(), l.Algorithm().String(), windows[keyIn{trust.RoleLog, l.String()}]})
	}
	for _, w := range t.Windows {
		if w.Role == trust.RoleRecorder {
			v.Recorders = append(v.Recorders, keyView{Key: w.Key, Window: windows[keyIn{w.Role, w.Key}]})
		}
	}
	for _, o := range t.Operators {
		v.Operators = append(v.Operators, operatorView{o.Name, witnessesOf(t, o.Name, windows)})
	}
	for _, r := range t.Require {
		v.Require = append(v.Require, requireView{r.Algorithm, r.From.Format(time.DateOnly)})
	}
	return v
}

type keyIn struct {
	role trust.Role
	key  string
}

func windowsOf(t *trust.Trust) map[keyIn]*windowView {
	m := map[keyIn]*windowView{}
	for _, w := range t.Windows {
		v := &windowView{From: w.From, Compromised: w.Compromised}
		if w.Until != trust.NoEnd {
			v.Until = &w.Until
		}
		m[keyIn{w.Role, w.Key}] = v
	}
	return m
}

func witnessesOf(t *trust.Trust, operator string, windows map[keyIn]*windowView) (out []witnessView) {
	for _, w := range t.Witnesses() {
		if w.Operator == operator {
			k := w.Verifier.String()
			out = append(out, witnessView{w.Name, w.URL, keyView{k, w.Verifier.Algorithm().String(), windows[keyIn{trust.RoleWitness, k}]}})
		}
	}
	return out
}

func (w *windowView) String() string {
	switch {
	case w == nil:
		return ""
	case w.Until == nil:
		return fmt.Sprintf("  from %d", w.From)
	case w.Compromised:
		return fmt.Sprintf("  from %d to %d, COMPROMISED", w.From, *w.Until)
	}
	return fmt.Sprintf("  from %d to %d", w.From, *w.Until)
}

// shortKey leaves out of a key what nobody reads: an ML-DSA key is 1.8 kB. The file's digest pins it.
func shortKey(vkey string) string {
	const most = 200
	if len(vkey) <= most {
		return vkey
	}
	name, rest, _ := strings.Cut(vkey, "+")
	id, _, _ := strings.Cut(rest, "+")
	return name + "+" + id + "+…"
}

func (v trustView) lines() (out []string) {
	say := func(word, format string, args ...any) {
		out = append(out, fmt.Sprintf("%-9s %s", word, fmt.Sprintf(format, args...)))
	}
	keys := func(word string, keys []keyView) {
		for _, k := range keys {
			note := ""
			if k.Algorithm != "" && k.Algorithm != checkpoint.Ed25519.String() {
				note = "  " + k.Algorithm
			}
			say(word, "%s%s%s", shortKey(k.Key), note, k.Window)
		}
	}
	say("sha256", "%s", v.SHA256)
	if v.Version > 0 {
		say("version", "%d", v.Version)
	}
	if v.Previous != "" {
		say("previous", "%s", v.Previous)
	}
	say("origin", "%s", v.Origin)
	keys("log", v.Log)
	keys("received", v.Received)
	keys("system", v.System)
	keys("enroller", v.Enrollers)
	keys("recorder", v.Recorders)
	for _, o := range v.Operators {
		for _, w := range o.Witnesses {
			say("witness", "%s of %s: %s  %s%s  %s", w.Name, o.Name, shortKey(w.Key), w.Algorithm, w.Window, w.URL)
			out[len(out)-1] = strings.TrimRight(out[len(out)-1], " ")
		}
	}
	say("quorum", "%s", v.Quorum)
	switch {
	case v.Quorum == "none":
		say("", "%s", noQuorum)
	case !v.Overlap:
		say("", "%s", noOverlap)
	}
	for _, r := range v.Require {
		say("require", "%s from %s on", r.Algorithm, r.From)
	}
	v.times(say)
	if v.Threshold > 0 {
		say("updates", "%d of %d signers", v.Threshold, len(v.Signers))
	} else {
		say("updates", "none: it can only be pinned anew")
	}
	keys("signer", v.Signers)
	return out
}

// times says whose time stamps count, and until when.
func (v trustView) times(say func(word, format string, args ...any)) {
	for _, a := range v.Authorities {
		say("authority", "%s  %s", a.Name, a.terms())
		for _, c := range a.Anchors {
			say("", "its chains end by %s", c)
		}
	}
	say("times", "%s", stampWords(v.Stamps, len(v.Authorities)))
	for _, a := range v.Algorithms {
		say("algorithm", "%s %s", a.Name, a.terms())
	}
}
