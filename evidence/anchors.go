package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/stenolog/steno/checkpoint"
	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/timestamp"
	"github.com/stenolog/steno/trust"
)

// External time. An anchor event of the log holds a time-stamp token over a checkpoint, that is over all leaves below its size;
// and whoever later stamps a checkpoint that covers the anchor's leaf, stamps the token too. So tokens are judged from the
// newest to the oldest, each by what later ones prove of it. No clock is asked.

// maxTokens bounds the work on a bundle of somebody who has a system key: so many anchor events may have their checkpoints in the file.
// Of the others, which a range has as many of as the log, so many are listed.
const maxTokens = 4 * MaxAnchors

// Reasons why a token does not count that are not of package timestamp.
const (
	reasonUnpinned = "unpinned"    // the trust file does not know the authority
	reasonAbsent   = "absent"      // the token is not in the file
	reasonUnproven = "compromised" // as timestamp.ReasonCompromised: nothing proves that the token is older
)

// A stamped is a token in an anchor event, and what is known of it.
type stamped struct {
	AnchorReport
	where     Where
	event     *entry.Anchor
	note      *Anchor
	token     timestamp.Token
	existed   time.Time // when a later token proves it to have existed; zero if none does
	by        *stamped  // that later one
	authority timestamp.Authority
}

// A head is a checkpoint that was stamped and belongs to the bundle's tree.
type head struct {
	size, index   uint64 // index of the leaf that names it
	since, quorum uint64 // before when a quorum of witnesses had not cosigned it, and when one had
	witnessed     bool
}

// anchors judges what was stamped.
func (v *verification) anchors(r *Report) {
	before := v.findings.n
	v.publics()
	v.stampedCheckpoints()
	v.tokens()
	slices.SortStableFunc(v.stamped, func(a, b *stamped) int { return cmp.Compare(b.Index, a.Index) })
	for i, s := range v.stamped {
		if s.Counts {
			v.succeed(s, v.stamped[:i])
		}
	}
	slices.SortStableFunc(v.stamped, func(a, b *stamped) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(*a.where.Event, *b.where.Event))
	})
	for _, s := range v.stamped {
		if s.Counts {
			v.passed[CheckAnchors]++
		}
		r.Anchors = append(r.Anchors, s.AnchorReport)
	}
	v.shaken = v.shaken || v.findings.n > before
}

// anchorEvent notes an anchor event whose entry was verified.
func (v *verification) anchorEvent(where Where, index uint64, e *entry.Entry, event int) error {
	value, err := e.Events[event].Value()
	if err != nil {
		return err
	}
	a, ok := value.(*entry.Anchor)
	if !ok {
		return errors.New("an anchor event that can't be read")
	}
	_, here := slices.BinarySearchFunc(v.b.Anchors, index, func(a Anchor, index uint64) int { return cmp.Compare(a.Index, index) })
	switch {
	case here && v.tokensHere == maxTokens:
		return fmt.Errorf("more than %d anchor events whose checkpoints are in the file", maxTokens)
	case here:
		v.tokensHere++
	case len(v.stamped)-v.tokensHere == maxTokens:
		v.unlisted++
		return nil
	}
	where.Seq, where.Event = ptr(e.Seq+uint64(event)), &event
	v.stamped = append(v.stamped, &stamped{
		AnchorReport: AnchorReport{Index: index, Authority: string(a.Authority), Size: a.Size}, where: where, event: a,
	})
	return nil
}

// publics checks public bytes against the anchor events that name them.
func (v *verification) publics() {
	named := map[entry.Hash]uint64{} // sizes
	for _, s := range v.stamped {
		for _, p := range publicOf(s.event) {
			if size, ok := named[p.SHA256]; ok && size != p.Size {
				v.find(CheckAnchors, Failed, s.where, "names public bytes by another size than an anchor before it")
			}
			named[p.SHA256] = p.Size
		}
	}
	v.public = map[entry.Hash]*Blob{}
	for i, b := range v.b.Public {
		where := Where{File: publicName(b.SHA256)}
		size, ok := named[b.SHA256]
		if !ok {
			v.find(CheckAnchors, Failed, where, "no anchor here names these bytes")
			continue
		}
		content, err := b.Load()
		switch {
		case err != nil:
			v.unread(CheckAnchors, where, err)
		case uint64(len(content)) != size || sha256.Sum256(content) != b.SHA256:
			v.find(CheckAnchors, Failed, where, "not the bytes that the anchor names")
		default:
			v.public[b.SHA256] = &v.b.Public[i]
		}
	}
	v.absentPublic = len(named) - len(v.public)
}

// publicOf are the public bytes that an anchor names, but for the checkpoint: that has a file of its own.
func publicOf(a *entry.Anchor) []entry.PublicBlob {
	all := slices.DeleteFunc(slices.Clone(a.LongTerm), func(p entry.PublicBlob) bool { return p.SHA256 == a.Checkpoint })
	if a.TokenBlob != nil {
		all = append(all, *a.TokenBlob)
	}
	return all
}

// stampedCheckpoints checks the checkpoints that were stamped: each is the one that its leaf names, and the tree of the bundle's
// extends it.
func (v *verification) stampedCheckpoints() {
	events := map[uint64][]*stamped{}
	for _, s := range v.stamped {
		events[s.Index] = append(events[s.Index], s)
	}
	for i := range v.b.Anchors {
		a := &v.b.Anchors[i]
		if err := v.stampedCheckpoint(a, v.notes[i], events[a.Index]); err != nil {
			v.find(CheckAnchors, Failed, Where{File: anchorName(a.Index), Index: &a.Index}, err.Error())
		}
	}
}

func (v *verification) stampedCheckpoint(a *Anchor, cp stampedNote, events []*stamped) error {
	if len(events) == 0 {
		return errors.New("no anchor of the log stands at this leaf in the file")
	}
	if cp.err != nil {
		return cp.err
	}
	digest := entry.Hash(sha256.Sum256(a.Note))
	of := slices.DeleteFunc(slices.Clone(events), func(s *stamped) bool { return s.event.Checkpoint != digest })
	switch {
	case len(of) == 0:
		return errors.New("not the checkpoint that the anchor names")
	case cp.Origin != v.t.Origin:
		return errors.New("a checkpoint of another log")
	case cp.Size > a.Index:
		return fmt.Errorf("the checkpoint of size %d would cover the anchor itself", cp.Size)
	}
	for _, s := range of {
		if s.Size != cp.Size {
			return fmt.Errorf("the anchor says size %d, its checkpoint %d", s.Size, cp.Size)
		}
	}
	if cp.Size > v.cp.Size {
		return fmt.Errorf("the checkpoint of size %d is larger than the file's, of size %d", cp.Size, v.cp.Size)
	}
	if root, reached := v.walk.roots[cp.Size]; !reached || root != cp.Root {
		return fmt.Errorf("the tree of the file's checkpoint does not extend the one that was stamped, of size %d", cp.Size)
	}
	for _, s := range of {
		s.note = a
	}
	h := head{size: cp.Size, index: a.Index}
	// What witnesses saw is a second bracket, that hangs on no authority. Whether log and witnesses signed as is demanded is
	// no matter to the first: the root was proven above.
	if cp, err := v.t.OpenCheckpoint(a.Note); err == nil {
		h.cosigned(v.t, cp)
	}
	v.heads = append(v.heads, h)
	return nil
}

// cosigned notes when a quorum of witnesses had cosigned it, if they have.
func (h *head) cosigned(t *trust.Trust, cp trust.Checkpoint) {
	h.quorum, h.witnessed = t.QuorumTime(cp)
	h.since, _ = t.QuorumSince(cp)
}

// openNote reads a checkpoint without a look at its signatures.
func openNote(b []byte) (checkpoint.Checkpoint, error) {
	_, err := note.Open(b, note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return checkpoint.Checkpoint{}, fmt.Errorf("no signed note: %w", err)
	}
	return checkpoint.Parse(unverified.Note.Text)
}

// tokens judges each token by itself.
func (v *verification) tokens() {
	pinned := map[string]timestamp.Authority{}
	for _, a := range v.t.Authorities() {
		pinned[a.Name] = a
	}
	for _, s := range v.stamped {
		if s.note == nil {
			s.refuse(reasonAbsent, "the checkpoint that was stamped is not in the file")
			continue
		}
		der, err := v.tokenOf(s.event)
		if err != nil {
			v.unread(CheckAnchors, s.where, err)
			s.refuse(string(timestamp.ReasonNotDER), err.Error())
			continue
		}
		a, known := pinned[s.Authority]
		switch {
		case der == nil:
			s.refuse(reasonAbsent, "the token is not in the file")
		case !known:
			s.refuse(reasonUnpinned, "the trust file does not name this authority")
		default:
			s.authority = a
			v.token(s, der)
		}
	}
}

// tokenOf is the token of an anchor, nil if it is not here.
func (v *verification) tokenOf(a *entry.Anchor) ([]byte, error) {
	if a.TokenBlob == nil {
		der, err := base64.StdEncoding.Strict().DecodeString(string(a.Token))
		if err != nil {
			return nil, errors.New("the anchor's token is not in base64")
		}
		return der, nil
	}
	b := v.public[a.TokenBlob.SHA256]
	if b == nil {
		return nil, nil
	}
	der, err := b.Load()
	if err == nil && sha256.Sum256(der) != b.SHA256 { // later tokens cover the one that is named, and no other of the same note
		err = errChanged
	}
	return der, err
}

func (s *stamped) refuse(reason, detail string) { s.Counts, s.Reason, s.Detail = false, reason, detail }

// token judges a token by its authority. That it does not count by what this verifier has pinned is no fault of the file; all
// else is: nobody could accept it.
func (v *verification) token(s *stamped, der []byte) {
	t, err := timestamp.Verify(der, sha256.Sum256(s.note.Note), s.authority)
	if err == nil {
		s.token, s.Counts = t, true
		s.Time, s.AccuracyMS = instant(t.Time), t.Accuracy.Milliseconds()
		return
	}
	var refused *timestamp.Error
	if !errors.As(err, &refused) {
		refused = &timestamp.Error{Reason: timestamp.ReasonNotDER, Detail: err.Error()}
	}
	s.refuse(string(refused.Reason), refused.Detail)
	if !ByPins(refused.Reason) {
		v.find(CheckAnchors, Failed, s.where, fmt.Sprintf("the token of %s: %s (%s)", s.Authority, refused.Detail, refused.Reason))
	}
}

// ByPins tells whether a token is refused for what a trust file says alone: another verifier may take it.
func ByPins(r timestamp.Reason) bool {
	switch r {
	case timestamp.ReasonWindow, timestamp.ReasonCompromised, timestamp.ReasonChain, timestamp.ReasonPolicy, timestamp.ReasonAccuracyCap,
		timestamp.ReasonAuthority, timestamp.ReasonAlgorithm:
		return true
	}
	return false
}

// succeed judges a token by those that came later, which were judged before.
func (v *verification) succeed(s *stamped, later []*stamped) {
	for _, l := range later {
		// SPEC: RFC 4998 5.2: a renewal covers the earlier token. Its leaf lies in the tree that the later one stamped.
		if l.Counts && l.Size > s.Index && (s.by == nil || l.token.NotAfter().Before(s.existed)) {
			s.existed, s.by = l.token.NotAfter(), l
		}
	}
	if since := s.authority.Compromised; !since.IsZero() && (s.by == nil || !s.existed.Before(since)) {
		s.refuse(reasonUnproven, fmt.Sprintf("the authority is compromised since %s, and no later token proves that this one existed before", instant(since)))
		return
	}
	for _, e := range s.token.Ends {
		// Its own time, which is before the end, is all that there is of the newest: enough, unless whoever forges can choose it.
		if s.by == nil && e.Broken || s.by != nil && !s.existed.Before(e.End) {
			s.refuse(string(timestamp.ReasonAlgorithm), fmt.Sprintf("it uses %s, which counts before %s, and no later token proves that this one existed before",
				e.Name, e.End.Format(time.DateOnly)))
			return
		}
	}
	if s.by != nil && s.token.NotBefore().After(s.existed) {
		detail := fmt.Sprintf("the token of %s says %s, and the later one of %s, at leaf %d, which covers it, says %s: one of the authorities is wrong",
			s.Authority, s.Time, s.by.Authority, s.by.Index, s.by.Time)
		v.find(CheckAnchors, Failed, s.where, detail)
		s.refuse("order", detail)
	}
}
