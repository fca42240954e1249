package payload

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// maxRefJSON bounds what is parsed as a Ref: 64 parts of four blobs take less than 40 kB.
const maxRefJSON = 64 << 10

// A Ref is a payload as it stands in an event: either Media, Commitment and Blobs, or Parts.
type Ref struct {
	Media      Media
	Commitment Hash
	Blobs      []BlobRef // in class order, each class once
	Parts      []Ref     // 2 to MaxParts, none with parts of its own, all of one media
}

// A BlobRef names the ciphertext of one class.
type BlobRef struct {
	Class  Class
	SHA256 Hash
	Size   int64 // of the ciphertext
}

// Check says whether blob is the one that b names, as far as can be seen without a key.
func (b BlobRef) Check(blob []byte) error {
	if int64(len(blob)) != b.Size || sha256.Sum256(blob) != b.SHA256 {
		return ErrBlob
	}
	// SPEC: payload.md, Blob: the magic line.
	if !bytes.HasPrefix(blob, []byte(blobMagic)) {
		return fmt.Errorf("%w: unknown version", ErrBlob)
	}
	return nil
}

// All returns the blobs of the payload and of its parts, in order.
func (r Ref) All() []BlobRef {
	all := r.Blobs
	for _, p := range r.Parts {
		all = append(all[:len(all):len(all)], p.Blobs...)
	}
	return all
}

// Check says whether r keeps every rule that can be checked without the blobs.
func (r Ref) Check() error {
	if len(r.Parts) == 0 {
		return r.checkOne()
	}
	if r.Media != "" || r.Commitment != (Hash{}) || len(r.Blobs) != 0 {
		return fmt.Errorf("%w: parts beside other members", ErrRef)
	}
	if len(r.Parts) < 2 || len(r.Parts) > MaxParts {
		return fmt.Errorf("%w: %d parts, not 2 to %d", ErrRef, len(r.Parts), MaxParts)
	}
	seen := make(map[Hash]bool)
	for k, p := range r.Parts {
		if len(p.Parts) != 0 {
			return fmt.Errorf("%w: part %d has parts", ErrRef, k)
		}
		if p.Media != r.Parts[0].Media {
			return fmt.Errorf("%w: part %d has another media than part 0", ErrRef, k)
		}
		if err := p.checkOne(); err != nil {
			return fmt.Errorf("part %d: %w", k, err)
		}
		for _, b := range p.Blobs {
			// SPEC: payload.md, In an event: one place for one blob, or to erase one would erase another.
			if seen[b.SHA256] {
				return fmt.Errorf("%w: part %d names a blob again", ErrRef, k)
			}
			seen[b.SHA256] = true
		}
	}
	return nil
}

func (r Ref) checkOne() error {
	if !r.Media.valid() {
		return fmt.Errorf("%w: unknown media", ErrRef)
	}
	if len(r.Blobs) == 0 {
		return fmt.Errorf("%w: no blobs", ErrRef)
	}
	last := Class(0)
	for i, b := range r.Blobs {
		if !b.Class.valid() || b.Class <= last {
			return fmt.Errorf("%w: classes are unknown, repeated or out of order", ErrRef)
		}
		last = b.Class
		for _, before := range r.Blobs[:i] {
			if before.SHA256 == b.SHA256 {
				return fmt.Errorf("%w: two classes name one blob", ErrRef)
			}
		}
		// SPEC: payload.md, In an event: the size is one that padding can give.
		plain := b.Size - int64(blobOverhead)
		if plain < minPlaintext || b.Size > int64(MaxBlob) || padded(int(plain)) != int(plain) {
			return fmt.Errorf("%w: %d is not the size of a blob", ErrRef, b.Size)
		}
	}
	return nil
}

// list returns the parts, or r itself as the only one.
func (r Ref) list() []Ref {
	if len(r.Parts) > 0 {
		return r.Parts
	}
	return []Ref{r}
}

// placeOf is the place of the k-th of list.
func (r Ref) placeOf(at Place, k int) Place {
	if len(r.Parts) > 0 {
		return at.part(k)
	}
	return at
}

// MarshalJSON gives the one form of r: these members, in this order, without white space.
func (r Ref) MarshalJSON() ([]byte, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if len(r.Parts) == 0 {
		return r.append(make([]byte, 0, 100+120*len(r.Blobs))), nil
	}
	b := []byte(`{"parts":[`)
	for k, p := range r.Parts {
		if k > 0 {
			b = append(b, ',')
		}
		b = p.append(b)
	}
	return append(b, "]}"...), nil
}

func (r Ref) append(b []byte) []byte {
	b = append(append(b, `{"media":"`...), r.Media...)
	b = append(b, `","commitment":"`...)
	b = base64.StdEncoding.AppendEncode(b, r.Commitment[:])
	b = append(b, `","blobs":[`...)
	for i := range r.Blobs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `{"class":"`...), r.Blobs[i].Class.String()...)
		b = append(b, `","sha256":"`...)
		b = base64.StdEncoding.AppendEncode(b, r.Blobs[i].SHA256[:])
		b = append(b, `","size":`...)
		b = strconv.AppendInt(b, r.Blobs[i].Size, 10)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// refJSON is for reading; what it is lenient about the comparison in UnmarshalJSON refuses.
type refJSON struct {
	Media      Media  `json:"media"`
	Commitment []byte `json:"commitment"`
	Blobs      []struct {
		Class  string `json:"class"`
		SHA256 []byte `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"blobs"`
	Parts []refJSON `json:"parts"`
}

func (j refJSON) ref() (Ref, error) {
	r := Ref{Media: j.Media}
	if len(j.Parts) > MaxParts || len(j.Blobs) > int(Directory) {
		return Ref{}, fmt.Errorf("%w: too many parts or blobs", ErrRef)
	}
	copy(r.Commitment[:], j.Commitment)
	for _, b := range j.Blobs {
		c, err := ParseClass(b.Class)
		if err != nil {
			return Ref{}, fmt.Errorf("%w: %w", ErrRef, err)
		}
		br := BlobRef{Class: c, Size: b.Size}
		copy(br.SHA256[:], b.SHA256)
		r.Blobs = append(r.Blobs, br)
	}
	for _, p := range j.Parts {
		part, err := p.ref()
		if err != nil {
			return Ref{}, err
		}
		r.Parts = append(r.Parts, part)
	}
	return r, nil
}

// UnmarshalJSON accepts exactly what MarshalJSON gives.
func (r *Ref) UnmarshalJSON(b []byte) error {
	if len(b) > maxRefJSON {
		return fmt.Errorf("%w: %d bytes", ErrRef, len(b))
	}
	var j refJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("%w: %w", ErrRef, err)
	}
	got, err := j.ref()
	if err != nil {
		return err
	}
	again, err := got.MarshalJSON()
	if err != nil {
		return err
	}
	// SPEC: payload.md, In an event: one form. All values are of closed alphabets that no JSON writer escapes.
	if !bytes.Equal(again, b) {
		return fmt.Errorf("%w: not in its one form", ErrRef)
	}
	*r = got
	return nil
}
