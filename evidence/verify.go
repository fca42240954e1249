package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// Options are what a caller demands beyond soundness.
type Options struct {
	// SignedBy lists the holders of recorders' keys that are good enough for every track; empty accepts all. Leaving
	// operator out demands that no track rests on the word of whoever runs the log.
	SignedBy []entry.Holder
}

// VerifyReader reads a bundle and verifies it. The error is a *ReadError: r could not be read, and there is nothing to
// judge. What is no bundle, or a damaged one, is a report of exit 1.
func VerifyReader(r io.ReaderAt, size int64, t *trust.Trust, opts Options) (Report, error) {
	digest := sha256.New()
	if _, err := io.Copy(digest, io.NewSectionReader(r, 0, size)); err != nil {
		return Report{}, &ReadError{err}
	}
	b, err := Read(r, size)
	var read *ReadError
	if errors.As(err, &read) {
		return Report{}, err
	}
	var report Report
	if err != nil {
		report = damaged(err, t)
	} else {
		report = Verify(b, t, opts)
	}
	report.Bundle = hex.EncodeToString(digest.Sum(nil))
	return report, nil
}

// damaged is the report on a file that is no intact bundle.
func damaged(err error, t *trust.Trust) Report {
	r := newReport()
	digest := t.Digest()
	r.Origin, r.TrustDigest = t.Origin, hex.EncodeToString(digest[:])
	f := Finding{Check: CheckBundle, Outcome: Failed, Detail: err.Error()}
	var format *FormatError
	if errors.As(err, &format) {
		f.Where, f.Detail = Where{File: format.File, Offset: &format.Offset}, format.Why
	}
	r.conclude(nil, []Finding{f})
	r.NotChecked = append(r.NotChecked, NotChecked{"everything-else", "the file is not an intact bundle, so nothing in it was judged"})
	return r
}

// A verification is the state of one Verify.
type verification struct {
	b        *Bundle
	t        *trust.Trust
	cp       trust.Checkpoint
	keys     Keys
	sessions map[string]*Session
	system   map[string]*systemTrack
	entries  map[uint64]*entry.Entry
	roots    map[uint64]entry.Hash // that recorders were shown, by size
	passed   map[CheckID]int
	findings []Finding

	leaves       int // that were taken into the tree
	absentPublic int // public blobs that anchors name

	walk    *treeWalk
	notes   []stampedNote
	stamped []*stamped
	heads   []head
	public  map[entry.Hash]*Blob // that are as they are named
	shaken  bool                 // something failed, or rests on a compromised key, that all sessions rest on or that can't be told to one
}

// A systemTrack is what is here of a system session: some of its entries, by sequence number.
type systemTrack []systemPoint

type systemPoint struct {
	seq, next  uint64
	hash, prev entry.Hash
}

// add puts an entry into its place. It tells whether it was there already, and what is wrong with it.
func (s *systemTrack) add(e *entry.Entry) (again bool, wrong string) {
	p := systemPoint{e.Seq, e.Next(), e.Hash(), e.Prev}
	i, taken := slices.BinarySearchFunc(*s, p.seq, func(q systemPoint, seq uint64) int { return cmp.Compare(q.seq, seq) })
	before, after := systemPoint{}, systemPoint{seq: math.MaxUint64}
	if i > 0 {
		before = (*s)[i-1]
	}
	if i < len(*s) {
		after = (*s)[i]
	}
	switch {
	case taken && after.hash == p.hash:
		return true, ""
	case taken || before.next > p.seq || p.next > after.seq:
		return false, "equivocation: the log has signed two texts for one sequence number of its own"
	case before.next == p.seq && before.hash != p.prev || p.next == after.seq && p.hash != after.prev:
		return false, "previous hash is not that of the entry before in the log's own session"
	}
	*s = slices.Insert(*s, i, p)
	return false, ""
}

// Verify judges a bundle by the keys in t alone.
func Verify(b *Bundle, t *trust.Trust, opts Options) Report {
	v := &verification{
		b: b, t: t, sessions: map[string]*Session{}, system: map[string]*systemTrack{}, entries: map[uint64]*entry.Entry{},
		roots:  map[uint64]entry.Hash{0: checkpoint.EmptyRoot()},
		passed: map[CheckID]int{CheckBundle: 1},
	}
	r := newReport()
	digest := t.Digest()
	r.Origin, r.TrustDigest = t.Origin, hex.EncodeToString(digest[:])
	if v.checkpoint() {
		info := CheckpointInfoOf(t, v.cp)
		r.Checkpoint = &info
		for _, id := range b.Sessions {
			v.sessions[id] = v.keys.Session(id)
		}
		v.notes = b.stampedNotes()
		v.walk = &treeWalk{tree: b.Tree, sizes: stops(v.notes, t.Origin, v.cp.Size), roots: map[uint64][sha256.Size]byte{}}
		for _, l := range b.Leaves {
			v.leaf(l)
		}
		v.inclusion()
		v.anchors(&r)
		v.judge(&r)
		v.times(&r)
		v.blobs(&r)
		v.disclosures(&r)
		v.policy(&r, opts)
	}
	r.conclude(v.passed, v.findings)
	r.NotChecked = v.notChecked(&r)
	return r
}

func (v *verification) find(check CheckID, outcome Outcome, where Where, detail string) {
	v.findings = append(v.findings, Finding{Check: check, Outcome: outcome, Where: where, Detail: detail})
}

func (v *verification) checkpoint() bool {
	where := Where{File: fileCheckpoint}
	cp, err := v.t.OpenCheckpoint(v.b.Checkpoint)
	v.cp, v.keys = cp, Keys{v.t, cp.Witnessed}
	if v.b.Origin != v.t.Origin && (err == nil || v.keys.Outcome(err) == Unmet) {
		err = errors.New("the bundle is of another log than the one that is pinned")
	}
	v.shaken = err != nil
	if err == nil {
		v.passed[CheckCheckpoint]++
	} else if v.refused(CheckCheckpoint, where, err) {
		return false
	}
	// From here on every check runs, on however many things there are.
	for _, id := range checkOrder()[2:] {
		v.passed[id] += 0
	}
	if cp.Witnessed {
		v.passed[CheckWitnesses] += len(CheckpointInfoOf(v.t, cp).Operators())
	} else {
		v.find(CheckWitnesses, Unmet, where, cp.Missing)
	}
	return true
}

// refused notes what is wrong with an entry, and tells whether that ends its part in the verification.
func (v *verification) refused(check CheckID, where Where, err error) bool {
	outcome := v.keys.Outcome(err)
	v.find(check, outcome, where.at(err), detail(err))
	return outcome == Failed
}

// leaf judges what can be judged of a leaf by itself, and hands the entry to its session.
func (v *verification) leaf(l Leaf) {
	before := len(v.findings)
	defer func() { v.shaken = v.shaken || len(v.findings) > before }()
	where := Where{File: leafName(l.Index), Index: &l.Index}
	if l.Index >= v.cp.Size {
		v.find(CheckInclusion, Failed, where, fmt.Sprintf("the leaf is not in the tree of size %d", v.cp.Size))
		return
	}
	content, err := l.Load()
	if err != nil {
		v.find(CheckBundle, Failed, where, err.Error())
		return
	}
	v.walk.leaf(l.Index, leafHash(content))
	v.leaves++
	e, err := entry.Parse(content)
	if err != nil {
		v.find(CheckEntries, Failed, where.at(err), detail(err))
		return
	}
	where = placeOf(l.Index, e)
	if e.Origin != v.t.Origin {
		v.find(CheckEntries, Failed, where, "the entry was made for another log")
		return
	}
	v.passed[CheckEntries]++
	if err := v.keys.Received(e, l.Index); err == nil {
		v.passed[CheckReceived]++
	} else if v.refused(CheckReceived, where, err) {
		return
	}
	v.entries[l.Index] = e
	if e.Track == entry.SystemTrack {
		v.systemEntry(l.Index, e)
		return
	}
	s := v.sessions[e.Session]
	if s == nil {
		v.find(CheckTracks, Failed, where, "an entry of a session that the bundle does not name")
		return
	}
	s.Add(l.Index, e)
}

// inclusion judges whether the leaves stand in the log.
func (v *verification) inclusion() {
	if err := v.walk.end(v.cp.Size, v.cp.Root); err != nil {
		v.find(CheckInclusion, Failed, Where{File: fileTree}, err.Error())
		v.shaken = true
		return
	}
	v.passed[CheckInclusion] = v.leaves
}

// systemEntry judges an entry of the log's own. Only some of a system session are in a bundle, so that its chain is
// followed where two of them stand next to each other; an audit follows it all.
func (v *verification) systemEntry(index uint64, e *entry.Entry) {
	where := placeOf(index, e)
	key, outside := v.keys.System(e, index)
	if key == nil {
		v.find(CheckSystem, Failed, where, "an entry of the log's own that is signed by no pinned system key")
		return
	}
	if err := e.VerifyRecorder(key); err != nil {
		v.find(CheckSystem, Failed, where.at(err), detail(err))
		return
	}
	if outside != nil && v.refused(CheckSystem, where, outside) {
		return
	}
	s := v.system[e.Session]
	if s == nil {
		s = &systemTrack{}
		v.system[e.Session] = s
	}
	switch again, wrong := s.add(e); {
	case again:
		return
	case wrong != "":
		v.find(CheckSystem, Failed, where, wrong)
		return
	}
	if outside == nil {
		v.passed[CheckSystem]++
	}
	for i, ev := range e.Events {
		if ev.Type == entry.TypeAnchor {
			if err := v.anchorEvent(where, index, e, i); err != nil {
				v.find(CheckAnchors, Failed, where, err.Error())
			}
		}
		if s := v.sessions[Mentions(ev)]; s != nil {
			if err := s.Say(index, e, i); err != nil {
				v.find(CheckSystem, Failed, where, err.Error())
			}
		}
	}
}

func (v *verification) judge(r *Report) {
	for _, id := range v.b.Sessions {
		s := v.sessions[id]
		report, findings := s.Judge(v.t)
		if v.shaken {
			report.Verdict = VerdictUnproven
		}
		r.Sessions = append(r.Sessions, report)
		v.findings = append(v.findings, findings...)
		for id, n := range s.passed {
			v.passed[id] += n
		}
		v.views(s)
	}
}

// views compares what recorders were shown: of one size there is one root. That they belong to the bundle's tree, which is
// larger than any of them, takes an audit.
func (v *verification) views(s *Session) {
	for _, m := range s.embedded {
		cp, err := v.t.OpenCheckpoint([]byte(m.note))
		if v.keys.Embedded(cp, err, m.index) != nil {
			continue // Judge has told
		}
		if root, known := v.roots[cp.Size]; known && root != cp.Root {
			v.find(CheckEmbedded, Failed, m.where, fmt.Sprintf("split view: the recorder was shown another root for size %d than was shown before", cp.Size))
			continue
		}
		v.roots[cp.Size] = cp.Root
	}
}

func (v *verification) policy(r *Report, opts Options) {
	for _, s := range r.Sessions {
		for _, t := range s.Tracks {
			if len(opts.SignedBy) > 0 && !slices.Contains(opts.SignedBy, t.SignedBy) {
				v.find(CheckPolicy, Unmet, Where{Session: s.Session, Track: t.Track, Index: &t.FirstIndex},
					fmt.Sprintf("the track is signed by a key that the %s holds, which was not accepted", t.SignedBy))
				continue
			}
			v.passed[CheckPolicy]++
		}
	}
}

// UnwitnessedText is what a report says where the trust file demands no witnesses.
const UnwitnessedText = "cosignatures on the checkpoint: the trust file demands none, and whether others saw the same log rests on the log's key alone"

// notChecked says what a reader may take for granted and must not.
func (v *verification) notChecked(r *Report) []NotChecked {
	out := []NotChecked{
		{"outside", "whether anything was done outside this record: no log can know"},
		{"uniqueness", "whether the log holds other entries of these sessions than those here, or has said more of them: a full audit or an auditing cosigner tells"},
		{"numbering", "the numbers and predecessors of the agents' sessions, and the chain of the log's own sessions: a full audit tells"},
	}
	if !v.t.NeedsWitnesses() {
		out = slices.Insert(out, 2, NotChecked{"witnesses", UnwitnessedText})
	}
	out = append(out, v.timeNotChecked(r)...)
	sealed, absent := 0, 0
	for _, s := range r.Sessions {
		sealed += s.Payloads.Blobs
		absent += s.Payloads.Blobs - s.Payloads.Included
	}
	if sealed > 0 {
		out = append(out, NotChecked{"sealed-content", fmt.Sprintf("what is sealed in %d pieces of content, beyond %d disclosures: it is committed to, and takes a key to read",
			sealed, v.passed[CheckDisclosures])})
	}
	if absent > 0 {
		out = append(out, NotChecked{"absent-content", fmt.Sprintf("%d pieces of sealed content are not in the file", absent)})
	}
	if v.b.Trust != nil {
		why := "the trust file in the bundle: it is the one that was pinned, and was not used"
		if sha256.Sum256(v.b.Trust) != v.t.Digest() {
			why = "the trust file in the bundle: it is another one than was pinned, and was not used"
		}
		out = append(out, NotChecked{"trust-file", why})
	}
	return append(out, NotChecked{"readme", "README.txt in the bundle: it is for reading, and whoever made the file can write into it what they like"})
}
