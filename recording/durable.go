package recording

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/payload"
	"github.com/stenolog/steno/storage"
)

const (
	ageMagic = "age-encryption.org/v1\n"
	maxWrap  = 64 << 10 // bytes of an age file
)

// checkBlobs compares the blobs that came with those that the entry names. What was left out must be durable already.
func (r *Recording) checkBlobs(ctx context.Context, x arrival) error {
	if err := checkNames(x.e.Blobs); err != nil {
		return err
	}
	var missing []storage.Ref
	named := x.e.Blobs
	for _, b := range x.Blobs {
		hash := entry.Hash(sha256.Sum256(b))
		i := 0
		for i < len(named) && named[i].SHA256 != hash {
			i++
		}
		if i == len(named) {
			if len(x.Blobs) > len(x.e.Blobs) {
				return problem(CodeBlobSuperfluous, "%d blobs came, the entry names %d", len(x.Blobs), len(x.e.Blobs))
			}
			return problem(CodeBlobMismatch, "a blob is none of those that the entry names, or not in their order")
		}
		ref := payload.BlobRef{SHA256: payload.Hash(hash), Size: int64(named[i].Size)}
		if err := ref.Check(b); err != nil {
			p := problem(CodeBlobMismatch, "a blob has another size than the entry says, or is no blob of this version")
			p.Event, p.Member, p.Err = named[i].Event, named[i].Slot, err
			return p
		}
		missing = append(missing, refsOf(named[:i])...)
		named = named[i+1:]
	}
	missing = append(missing, refsOf(named)...)
	if len(missing) == 0 {
		return nil
	}
	has, err := r.cfg.Blobs.Has(ctx, missing)
	if err != nil {
		return r.notDurable("looking for blobs", err)
	}
	for i, ok := range has {
		if !ok {
			return missingBlob(x.e.Blobs, missing[i])
		}
	}
	return nil
}

// checkNames refuses a blob that stands in two places: to erase one would be to erase the other.
func checkNames(named []entry.BlobAt) error {
	seen := make(map[entry.Hash]bool, len(named))
	for _, b := range named {
		if seen[b.SHA256] {
			p := problem(CodeBlobRepeated, "a blob is named in two places")
			p.Event, p.Member = b.Event, b.Slot
			return p
		}
		seen[b.SHA256] = true
	}
	return nil
}

func missingBlob(named []entry.BlobAt, ref storage.Ref) error {
	p := problem(CodeBlobMissing, "a blob that the entry names did not come and is not held")
	for _, b := range named {
		if b.SHA256 == entry.Hash(ref.SHA256) {
			p.Event, p.Member = b.Event, b.Slot
			break
		}
	}
	return p
}

func refsOf(named []entry.BlobAt) []storage.Ref {
	refs := make([]storage.Ref, len(named))
	for i, b := range named {
		refs[i] = storage.Ref{SHA256: storage.Hash(b.SHA256), Size: int64(b.Size)}
	}
	return refs
}

// checkWraps compares the wraps that came with the keys that the entry commits to. What was left out must be held already.
func (r *Recording) checkWraps(ctx context.Context, session string, x arrival) error {
	wanted := make(map[entry.Hash]bool, len(x.keys))
	for _, k := range x.keys {
		if wanted[k.Commitment] {
			return problem(CodeWrapInvalid, "the entry commits to a key twice")
		}
		wanted[k.Commitment] = true
	}
	for _, w := range x.Wraps {
		if !wanted[w.Key] {
			return problem(CodeWrapSuperfluous, "a wrap is of no key that the entry commits to, or came twice")
		}
		if len(w.File) > maxWrap || !bytes.HasPrefix(w.File, []byte(ageMagic)) {
			return problem(CodeWrapInvalid, "a wrap is no age file of at most %d bytes", maxWrap)
		}
		delete(wanted, w.Key)
	}
	if len(wanted) == 0 {
		return nil
	}
	held, err := r.cfg.Keyring.List(ctx, session)
	if err != nil {
		return r.notDurable("looking for wraps", err)
	}
	for _, w := range held {
		if w.Track == x.e.Track {
			delete(wanted, entry.Hash(w.Key))
		}
	}
	if len(wanted) > 0 {
		return problem(CodeWrapMissing, "%d keys that the entry commits to came without their wrap", len(wanted))
	}
	return nil
}

// keep makes blobs and wraps durable, before the entries that name them.
func (r *Recording) keep(ctx context.Context, s *session, fresh []arrival) error {
	class := ""
	s.view(func(f *facts) { class = f.Retention })
	var blobs []storage.Blob
	var wraps []storage.Wrap
	for _, x := range fresh {
		if x.e.Track == entry.MainTrack && x.e.Seq == 0 {
			var open entry.SessionOpen
			if err := x.e.Events[0].Decode(&open); err != nil {
				return err
			}
			class = string(open.Retention.Class)
		}
		for _, b := range x.Blobs {
			blobs = append(blobs, storage.Blob{Ref: storage.Ref{SHA256: sha256.Sum256(b), Size: int64(len(b))}, Bytes: b})
		}
		wraps = append(wraps, wrapsOf(x)...)
	}
	if len(blobs) > 0 {
		at := storage.Segment{Class: segmentClass(class), Day: r.cfg.Now().UTC().Truncate(24 * time.Hour)}
		if err := r.cfg.Blobs.Put(ctx, at, blobs); err != nil {
			return r.notDurable("storing blobs", err)
		}
	}
	for _, w := range wraps {
		if err := r.cfg.Keyring.Put(ctx, w); errors.Is(err, storage.ErrExists) {
			continue // wraps are random: the first one, of an attempt whose answer was lost, opens as well
		} else if errors.Is(err, storage.ErrDestroyed) {
			return problem(CodeKeyDestroyed, "a key that the entry commits to was destroyed")
		} else if err != nil {
			return r.notDurable("storing wraps", err)
		}
	}
	return nil
}

func wrapsOf(x arrival) []storage.Wrap {
	class := make(map[entry.Hash]string, len(x.keys))
	for _, k := range x.keys {
		class[k.Commitment] = string(k.Class)
	}
	wraps := make([]storage.Wrap, len(x.Wraps))
	for i, w := range x.Wraps {
		wraps[i] = storage.Wrap{
			Session: x.e.Session, Track: x.e.Track, Class: class[w.Key], Key: storage.Hash(w.Key), File: w.File,
		}
	}
	return wraps
}

// segmentClass is a retention class as storage spells it.
func segmentClass(class string) string {
	b := []byte(strings.ToLower(class))
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			b[i] = '-'
		}
	}
	return string(b[:min(len(b), 64)])
}

// notDurable tells of a store that failed. One that accepts nothing more, after an fsync that failed, takes the log with
// it: there is no signing on beside a disk that is not to be trusted.
func (r *Recording) notDurable(what string, err error) error {
	p := problem(CodeNotDurable, "%s did not succeed; nothing was taken", what)
	if errors.Is(err, storage.ErrReadOnly) {
		r.cfg.Log.Stop(fmt.Errorf("%s: %w", what, err))
		p = problem(CodeStopped, "the log has stopped, because its disk is not to be trusted; nothing was taken")
	}
	p.Err = err
	return p
}
