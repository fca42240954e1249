package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/entry"
)

// The leaves are gone over once. Each has two signatures, and they are most of the work: so leaves are read, parsed, and their
// signatures verified in batches on all cores; what comes of a batch is then judged in the order of the log, by one. Nothing of a
// leaf is kept but what tables say of it.
//
// Of the processor time that a bundle of 10^5 events takes, seven a leaf, two thirds are Ed25519 (a fifth of that SHA-512 over the
// texts), an eighth is parsing, a tenth are the three SHA-256 (leaf, text, file), and judging in order is a twentieth. So batches
// are small, and nothing else is done side by side.

// leafBatch is how many leaves are read together: enough that handing them over costs nothing beside their signatures, and few
// enough that a small bundle is spread over all cores.
const leafBatch = 16

// A readLeaf is a leaf as far as it can be judged by itself, in any goroutine.
type readLeaf struct {
	index    uint64
	hash     [32]byte
	loadErr  error
	entry    *entry.Entry
	parseErr error
	received error     // what is wrong with its receipt
	signed   signature // by a recorder
	key      note.Verifier
	system   error // why the system's key does not count, and
	wrong    error // what is wrong with its signature, of an entry of the log's own
}

// A signature was verified by a key before the chain was known, whose key is the one that counts.
type signature struct {
	key string // verifier key, "" if nothing was verified
	err error
}

// A readBatch is some leaves, and the disclosures that belong to them.
type readBatch struct {
	leaves    []readLeaf
	disclosed []readDisclosure
}

// goOverLeaves judges the leaves and the disclosures.
func (v *verification) goOverLeaves() {
	v.notes = v.b.stampedNotes()
	v.walk = &treeWalk{tree: v.b.Tree, sizes: stops(v.notes, v.t.Origin, v.cp.Size), roots: map[uint64][32]byte{}}
	batches := max(1, (len(v.b.Leaves)+leafBatch-1)/leafBatch)
	inOrder(batches, func(n int) readBatch { return v.readBatch(n, n == batches-1) }, v.batch)
	v.inclusion()
}

// readBatch reads a batch of leaves, with the disclosures up to the last of them, or all that are left. It runs in many goroutines.
func (v *verification) readBatch(n int, last bool) readBatch {
	leaves := v.b.Leaves[n*leafBatch : min((n+1)*leafBatch, len(v.b.Leaves))]
	out := readBatch{leaves: make([]readLeaf, len(leaves))}
	for i, l := range leaves {
		out.leaves[i] = v.readLeaf(l)
	}
	from, to := 0, len(v.b.Disclosed)
	if n > 0 {
		from = v.disclosedAfter(v.b.Leaves[n*leafBatch-1].Index)
	}
	if !last {
		to = v.disclosedAfter(leaves[len(leaves)-1].Index)
	}
	for n := from; n < to; n++ {
		d := &v.b.Disclosed[n]
		i := slices.IndexFunc(out.leaves, func(l readLeaf) bool { return l.index == d.Index })
		var e *entry.Entry
		if i >= 0 {
			e = out.leaves[i].entry
		}
		out.disclosed = append(out.disclosed, v.readDisclosure(d, e))
	}
	return out
}

// disclosedAfter is the first disclosure of a leaf behind one.
func (v *verification) disclosedAfter(index uint64) int {
	return sort.Search(len(v.b.Disclosed), func(i int) bool { return v.b.Disclosed[i].Index > index })
}

func (v *verification) readLeaf(l Leaf) readLeaf {
	r := readLeaf{index: l.Index}
	if l.Index >= v.cp.Size {
		return r
	}
	var content []byte
	if content, r.loadErr = l.Load(); r.loadErr != nil {
		return r
	}
	r.hash = leafHash(content)
	if r.entry, r.parseErr = entry.Parse(content); r.parseErr != nil || r.entry.Origin != v.t.Origin {
		return r
	}
	r.received = v.keys.Received(r.entry, l.Index)
	if r.entry.Track == entry.SystemTrack {
		if r.key, r.system = v.keys.System(r.entry, l.Index); r.key != nil {
			r.wrong = r.entry.VerifyRecorder(r.key)
		}
		return r
	}
	r.signed = v.recorders.verify(r.entry)
	return r
}

// recorders are the keys that tracks seem to have: by the enrolments in their openings, which nobody has verified yet. Whose key
// it is, the chain knows, and takes a signature that was verified by the same; so nothing but time hangs on them.
type recorders struct{ byTrack sync.Map }

type trackName struct{ session, track string }

type recorderKey struct {
	text     string
	verifier note.Verifier
}

func (r *recorders) verify(e *entry.Entry) signature {
	name := trackName{e.Session, e.Track}
	known, ok := r.byTrack.Load(name)
	if !ok && e.Seq == 0 {
		known, ok = r.byTrack.LoadOrStore(trackName{strings.Clone(name.session), strings.Clone(name.track)}, claimedKey(e))
	}
	if !ok {
		return signature{}
	}
	k := known.(recorderKey)
	if k.verifier == nil {
		return signature{}
	}
	return signature{k.text, e.VerifyRecorder(k.verifier)}
}

// claimedKey is the recorder's key that an opening's enrolment names, in its third line.
func claimedKey(e *entry.Entry) recorderKey {
	var open entry.TrackOpen
	if e.Events[0].Decode(&open) != nil {
		return recorderKey{}
	}
	lines := strings.SplitN(string(open.Enrolment), "\n", 4)
	if len(lines) < 4 {
		return recorderKey{}
	}
	verifier, err := entry.NewVerifier(lines[2])
	if err != nil {
		return recorderKey{}
	}
	return recorderKey{lines[2], verifier}
}

// batch judges a batch in its turn.
func (v *verification) batch(b readBatch) {
	accepted := map[uint64]*entry.Entry{}
	for i := range b.leaves {
		before := v.findings.n
		if l := &b.leaves[i]; v.leaf(l) {
			accepted[l.index] = l.entry
		}
		v.shaken = v.shaken || v.findings.n > before
	}
	for _, d := range b.disclosed {
		v.disclosure(d, accepted[d.Index])
	}
}

// leaf judges what can be judged of a leaf by itself, hands its entry to its session, and tells whether that was done.
func (v *verification) leaf(l *readLeaf) bool {
	switch {
	case l.index >= v.cp.Size:
		v.find(CheckInclusion, Failed, fileOf(l.index), fmt.Sprintf("the leaf is not in the tree of size %d", v.cp.Size))
		return false
	case l.loadErr != nil:
		v.unread(CheckBundle, fileOf(l.index), l.loadErr)
		return false
	}
	v.walk.leaf(l.index, l.hash)
	v.leaves++
	e := l.entry
	if l.parseErr != nil {
		v.find(CheckEntries, Failed, fileOf(l.index).at(l.parseErr), detail(l.parseErr))
		return false
	}
	where := placeOf(l.index, e)
	if e.Origin != v.t.Origin {
		v.find(CheckEntries, Failed, where, "the entry was made for another log")
		return false
	}
	v.passed[CheckEntries]++
	s := v.sessions[e.Session]
	if s != nil && e.Track != entry.SystemTrack {
		v.tally.add(l.hash)
	}
	if l.received == nil {
		v.passed[CheckReceived]++
	} else if v.refused(CheckReceived, where, l.received) {
		return false
	}
	v.named(l.index, e)
	switch {
	case e.Track == entry.SystemTrack:
		v.systemEntry(l)
	case s == nil:
		v.find(CheckTracks, Failed, where, "an entry of a session that the bundle does not name")
	default:
		s.add(arrived{index: l.index, entry: e, signed: l.signed, again: v.again(l.index, l.hash)})
	}
	return true
}

// fileOf is where a leaf stands that is not known to be an entry.
func fileOf(index uint64) Where { return Where{File: leafName(index), Index: &index} }

// again reads a leaf that stands in the log ahead of its predecessors once more when its turn has come: however many there are,
// none is held.
func (v *verification) again(index uint64, hash [32]byte) func() (*entry.Entry, error) {
	return func() (*entry.Entry, error) {
		i, _ := slices.BinarySearchFunc(v.b.Leaves, index, func(l Leaf, index uint64) int { return cmp.Compare(l.Index, index) })
		content, err := v.b.Leaves[i].Load()
		if err != nil {
			v.noteUnread(err)
			return nil, err
		}
		if leafHash(content) != hash {
			return nil, errChanged
		}
		return entry.Parse(content)
	}
}

// inclusion judges whether the leaves stand in the log.
func (v *verification) inclusion() {
	if err := v.walk.end(v.cp.Size, v.cp.Root); err != nil {
		v.find(CheckInclusion, Failed, Where{File: fileTree}, err.Error())
		v.shaken = true
		return
	}
	v.passed[CheckInclusion] = v.leaves
	for size, root := range v.walk.roots {
		v.roots[size] = root
	}
}

// span judges whether the file has every leaf of the range that it names.
func (v *verification) span() {
	r := v.b.Range
	if r == nil {
		return
	}
	next := r.From
	for _, l := range v.b.Leaves {
		if l.Index >= r.From && l.Index < min(r.To, v.cp.Size) {
			v.passed[CheckRange]++
			if l.Index == next {
				next++
			}
		}
	}
	switch {
	case r.To > v.cp.Size:
		v.find(CheckRange, Failed, Where{File: fileManifest}, fmt.Sprintf("a range of leaves from %d up to %d, in a tree of size %d", r.From, r.To, v.cp.Size))
	case next < r.To:
		v.find(CheckRange, Failed, Where{Index: &next}, fmt.Sprintf("the leaf is not here, and the file says that it has all from %d up to, but not, %d", r.From, r.To))
	}
}
