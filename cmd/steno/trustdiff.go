package main

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/stenolog/steno/trust"
)

// diffTrust says in words what a trust file changes against another.
func diffTrust(old, next *trust.Trust) []string {
	d := &trustDiff{old: viewOf(old), next: viewOf(next)}
	d.place(old, next)
	const noMore = ", and what it signed counts no more"
	d.keys("log key", noMore, d.old.Log, d.next.Log)
	d.keys("received key", noMore, d.old.Received, d.next.Received)
	d.keys("system key", noMore, d.old.System, d.next.System)
	d.keys("enroller", noMore, d.old.Enrollers, d.next.Enrollers)
	d.recorders()
	d.witnesses()
	d.rules(old, next)
	d.authorities()
	d.algorithms()
	d.keys("signer", "", d.old.Signers, d.next.Signers)
	if d.old.Threshold != d.next.Threshold || len(d.old.Signers) != len(d.next.Signers) {
		d.say("an update needs %d of %d signers; it was %d of %d", d.next.Threshold, len(d.next.Signers), d.old.Threshold, len(d.old.Signers))
	}
	if len(d.lines) == d.head {
		d.say("nothing else changes")
	}
	return d.lines
}

type trustDiff struct {
	old, next trustView
	lines     []string
	head      int // of lines, the first that say nothing about keys
}

func (d *trustDiff) say(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *trustDiff) place(old, next *trust.Trust) {
	defer func() { d.head = len(d.lines) }()
	switch {
	case old.Digest() == next.Digest():
		d.say("the files are the same")
	case old.Origin != next.Origin:
		d.say("origin: %s, and it was %s: ANOTHER LOG", next.Origin, old.Origin)
	case old.Version > 0 && next.Version == old.Version+1 && next.Previous == old.Digest():
		d.say("version %d, which follows version %d", next.Version, old.Version)
	default:
		d.say("version %d, which does NOT follow version %d: it names another number or file before it", next.Version, old.Version)
	}
}

func (d *trustDiff) keys(what, removed string, old, next []keyView) {
	by := func(keys []keyView, key string) *keyView {
		if i := slices.IndexFunc(keys, func(k keyView) bool { return k.Key == key }); i >= 0 {
			return &keys[i]
		}
		return nil
	}
	for _, k := range old {
		if by(next, k.Key) == nil {
			d.say("%s removed%s: %s", what, removed, shortKey(k.Key))
		}
	}
	for _, k := range next {
		o := by(old, k.Key)
		if o == nil {
			d.say("%s added: %s%s", what, shortKey(k.Key), k.Window)
			continue
		}
		d.window(what, k.Key, o.Window, k.Window)
	}
}

// window says how the part of the log changes for which a key counts.
func (d *trustDiff) window(what, key string, old, next *windowView) {
	if old.String() == next.String() {
		return
	}
	key = shortKey(key)
	switch {
	case next != nil && next.Compromised && (old == nil || !old.Compromised):
		d.say("%s marked COMPROMISED, and ended at %d: %s", what, *next.Until, key)
	case old != nil && old.Compromised && (next == nil || !next.Compromised):
		d.say("%s NO LONGER marked compromised: %s%s", what, key, next)
	case next == nil:
		d.say("%s counts for all of the log again: %s", what, key)
	case next.Until != nil && (old == nil || old.Until == nil):
		d.say("%s ended at %d: %s%s", what, *next.Until, key, next)
	default:
		d.say("%s counts for another part of the log: %s%s", what, key, next)
	}
}

// recorders are listed only if they have a window.
func (d *trustDiff) recorders() {
	all := map[string][2]*windowView{}
	for i, list := range [][]keyView{d.old.Recorders, d.next.Recorders} {
		for _, k := range list {
			both := all[k.Key]
			both[i] = k.Window
			all[k.Key] = both
		}
	}
	for _, k := range slices.Concat(d.next.Recorders, d.old.Recorders) {
		if both, ok := all[k.Key]; ok {
			d.window("recorder", k.Key, both[0], both[1])
			delete(all, k.Key)
		}
	}
}

type placedWitness struct {
	witnessView
	operator string
}

func placed(v trustView) map[string]placedWitness {
	m := map[string]placedWitness{}
	for _, o := range v.Operators {
		for _, w := range o.Witnesses {
			m[w.Key] = placedWitness{w, o.Name}
		}
	}
	return m
}

func (d *trustDiff) witnesses() {
	old, next := placed(d.old), placed(d.next)
	for _, o := range d.old.Operators {
		for _, w := range o.Witnesses {
			if _, ok := next[w.Key]; !ok {
				d.say("witness removed: %s of %s, %s %s", w.Name, o.Name, shortKey(w.Key), w.Algorithm)
			}
		}
	}
	for _, o := range d.next.Operators {
		for _, w := range o.Witnesses {
			was, ok := old[w.Key]
			if !ok {
				d.say("witness added: %s of %s, %s %s%s", w.Name, o.Name, shortKey(w.Key), w.Algorithm, w.Window)
				continue
			}
			if was.operator != o.Name {
				d.say("witness %s is %s's; it was %s's", w.Name, o.Name, was.operator)
			}
			if was.Name != w.Name {
				d.say("witness %s is called %s", was.Name, w.Name)
			}
			if was.URL != w.URL {
				d.say("witness %s is asked at %q; it was %q", w.Name, w.URL, was.URL)
			}
			d.window("witness "+w.Name, w.Key, was.Window, w.Window)
		}
	}
}

func (d *trustDiff) rules(old, next *trust.Trust) {
	before := len(d.lines)
	if d.old.Quorum != d.next.Quorum {
		d.say("quorum: %s; it was: %s", d.next.Quorum, d.old.Quorum)
	}
	switch {
	case d.old.Quorum != "none" && d.next.Quorum == "none":
		d.say("WEAKER: %s", noQuorum)
	case d.old.Overlap && !d.next.Overlap:
		d.say("WEAKER: %s", noOverlap)
	}
	if !slices.Equal(d.old.Require, d.next.Require) {
		for _, r := range d.old.Require {
			d.say("no longer required: %s from %s on", r.Algorithm, r.From)
		}
		for _, r := range d.next.Require {
			d.say("required: %s from %s on", r.Algorithm, r.From)
		}
	}
	if len(d.lines) == before && before == d.head && !bytes.Equal(old.Policy, next.Policy) {
		d.say("the policy's text changes in what has no effect: names, spaces, comments, order, or what the quorum does not need")
	}
}
