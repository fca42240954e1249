package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/stenolog/steno/entry"
)

// A handOver is what is known of how the file was handed over.
type handOver struct {
	record    *Custody
	recordErr error
	tally     entryTally
	events    []disclosureEvent // of the log, that name the record
	shown     []Finding         // content of classes that the record does not disclose
}

type disclosureEvent struct {
	index uint64
	entry.Disclosure
}

// openCustody reads the custody record, and reports what it says.
func (v *verification) openCustody(r *Report) {
	v.tally = entryTally{sum: sha256.New()}
	if v.b.Custody == nil {
		return
	}
	c, err := ParseCustody(v.b.Custody)
	v.record, v.recordErr = c, err
	if err != nil {
		return
	}
	digest := c.Hash()
	r.Custody = &CustodyReport{
		SHA256: hex.EncodeToString(digest[:]), Exhibit: c.Exhibit, Matter: c.Matter, Made: c.Made.Format(custodyLayout), Exporter: c.Exporter,
		Approver: c.Approver, Recipient: c.Recipient, Basis: c.Basis, Disclosed: append([]string{}, c.Disclosed...),
		Withheld: append([]Withheld{}, c.Withheld...), Entries: c.Entries, EntriesSHA256: hex.EncodeToString(c.EntriesHash[:]),
	}
}

// disclosureEvent notes an event of the log, whose entry was verified, if it is of this file's record.
func (v *verification) disclosureEvent(index uint64, ev entry.Event) error {
	if v.record == nil {
		return nil
	}
	d := disclosureEvent{index: index}
	if err := ev.Decode(&d.Disclosure); err != nil {
		return err
	}
	if d.Digest == v.record.Hash() {
		v.events = append(v.events, d)
	}
	return nil
}

// shows notes classes of content that the record does not say the file shows.
func (v *verification) shows(where Where, classes []string) {
	for _, class := range classes {
		if v.record != nil && !slices.Contains(v.record.Disclosed, class) {
			v.shown = append(v.shown, Finding{Check: CheckCustody, Outcome: Failed, Where: where,
				Detail: fmt.Sprintf("shows content of class %s, which the custody record does not disclose", class)})
			return
		}
	}
}

// custody judges the custody record: by the file, and by what the log said of it before there was a file.
func (v *verification) custody(r *Report) {
	before, where := v.findings.n, Where{File: fileCustody}
	switch {
	case v.b.Custody == nil:
		return
	case v.recordErr != nil:
		v.find(CheckCustody, Failed, where, v.recordErr.Error())
		return
	}
	if hash := v.tally.hash(); v.record.Entries != v.tally.n || v.record.EntriesHash != hash {
		v.find(CheckCustody, Failed, where, fmt.Sprintf("the record is of %d entries with the hash %x, and the file has %d entries of its sessions with the hash %x",
			v.record.Entries, v.record.EntriesHash, v.tally.n, hash))
	}
	if len(v.events) == 0 {
		v.find(CheckCustody, Failed, where, "no entry of the log here says that this was handed over: none names the hash of the record")
	} else {
		slices.SortStableFunc(v.events, func(a, b disclosureEvent) int { return cmp.Compare(a.index, b.index) })
		r.Custody.Index, r.Custody.Principal = &v.events[0].index, string(v.events[0].Principal)
		v.recorded()
	}
	v.findings.add(v.shown...)
	if v.findings.n == before {
		v.passed[CheckCustody]++
	}
}

// recorded compares the record with what the log said.
func (v *verification) recorded() {
	sessions := map[string]bool{}
	for _, e := range v.events {
		if err := v.record.agrees(e.Disclosure); err != nil {
			v.find(CheckCustody, Failed, Where{File: fileCustody, Index: &e.index}, err.Error())
		}
		for _, s := range e.Sessions {
			sessions[string(s)] = true
		}
	}
	named := 0
	for _, s := range v.b.Sessions {
		if sessions[s] {
			named++
		}
	}
	if named < len(v.b.Sessions) || named < len(sessions) {
		v.find(CheckCustody, Failed, Where{File: fileCustody}, fmt.Sprintf(
			"the log says that %d sessions were handed over, the file has %d, and %d are the same", len(sessions), len(v.b.Sessions), named))
	}
}

// agrees tells what the log recorded otherwise than the record says it, or nil.
func (c *Custody) agrees(d entry.Disclosure) error {
	var classes []string
	for _, class := range d.Classes {
		classes = append(classes, string(class))
	}
	slices.Sort(classes)
	switch {
	case string(d.Exhibit) != c.Exhibit:
		return errors.New("the log recorded another exhibit")
	case string(d.Matter) != c.Matter:
		return errors.New("the log recorded another matter")
	case !slices.Equal(classes, c.Disclosed):
		return errors.New("the log recorded other classes of content that are disclosed")
	}
	return nil
}

func (v *verification) custodyNotChecked() []NotChecked {
	if v.b.Custody == nil {
		return []NotChecked{{"custody", "who made this file for whom: it has no custody record"}}
	}
	return []NotChecked{{"custody-words", "the words in the custody record: who made the file, who approved it, for whom, on what ground and why something is withheld " +
		"is the word of whoever made it; the log knows as whom they were authenticated"}}
}
