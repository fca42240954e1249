package payload

import "github.com/stenolog/steno/entry"

// RefOf is the reference that an event holds.
func RefOf(p *entry.Payload) Ref {
	r := Ref{Media: Media(p.Media)}
	if p.Commitment != nil {
		r.Commitment = Hash(*p.Commitment)
	}
	for _, b := range p.Blobs {
		class, _ := ParseClass(string(b.Class)) // an event that entry has read holds no other word
		r.Blobs = append(r.Blobs, BlobRef{Class: class, SHA256: Hash(b.SHA256), Size: int64(b.Size)})
	}
	for i := range p.Parts {
		r.Parts = append(r.Parts, RefOf(&p.Parts[i]))
	}
	return r
}

// Event is the reference as an event holds it.
func (r Ref) Event() *entry.Payload {
	p := &entry.Payload{Media: entry.ID(r.Media)}
	if len(r.Parts) == 0 {
		c := entry.Hash(r.Commitment)
		p.Commitment = &c
	}
	for _, b := range r.Blobs {
		p.Blobs = append(p.Blobs, entry.Blob{Class: entry.ID(b.Class.String()), SHA256: entry.Hash(b.SHA256), Size: uint64(b.Size)})
	}
	for _, part := range r.Parts {
		p.Parts = append(p.Parts, *part.Event())
	}
	return p
}
