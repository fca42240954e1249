package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/trust"
)

// keyWords are what the log itself has last said of keys, and of the trust file by which it wants to be judged. Nothing is
// judged by it. It can tell that the pinned trust file is not the latest.
type keyWords struct {
	words map[keyName]keyWord
	trust *entry.Hash
	at    uint64 // where it named the trust file
	more  int    // words on keys that were not kept
}

type keyName struct {
	role trust.Role
	key  string
}

type keyWord struct {
	index, size uint64
	typ         entry.Type // key.retire or key.compromised
}

const (
	maxKeyWords = 1 << 12
	maxNewer    = 16 // that a report names
)

func (k *keyWords) take(index uint64, v any) {
	switch v := v.(type) {
	case *entry.KeyAdd: // takes back what was said before
		delete(k.words, nameOf(*v))
	case *entry.KeyRetire:
		k.note(entry.KeyAdd(*v), keyWord{index, v.Size, entry.TypeKeyRetire})
	case *entry.KeyCompromised:
		k.note(entry.KeyAdd(*v), keyWord{index, v.Size, entry.TypeKeyCompromised})
	case *entry.Config:
		if v.Trust != nil {
			k.trust, k.at = v.Trust, index
		}
	}
}

func nameOf(v entry.KeyAdd) keyName {
	role := trust.Role(v.Role)
	if role == "managed" { // a recorder of the log's
		role = trust.RoleRecorder
	}
	return keyName{role, string(v.Key)}
}

func (k *keyWords) note(v entry.KeyAdd, w keyWord) {
	name := nameOf(v)
	if _, known := k.words[name]; !known && len(k.words) == maxKeyWords {
		k.more++
		return
	}
	if k.words == nil {
		k.words = map[keyName]keyWord{}
	}
	k.words[name] = w
}

// newer says in words what the log has said that the pinned trust file does not.
func (k *keyWords) newer(t *trust.Trust) (out []string) {
	if digest := t.Digest(); k.trust != nil && *k.trust != digest {
		out = append(out, fmt.Sprintf("the log wants to be judged by another trust file than the pinned one (log index %d: SHA-256 %x)", k.at, *k.trust))
	}
	var lacking []keyName
	for name, w := range k.words {
		if lacks(t, name, w) {
			lacking = append(lacking, name)
		}
	}
	slices.SortFunc(lacking, func(a, b keyName) int {
		return cmp.Or(cmp.Compare(k.words[a].index, k.words[b].index), cmp.Compare(a.role, b.role), cmp.Compare(a.key, b.key))
	})
	for _, name := range lacking[:min(len(lacking), maxNewer)] {
		w := k.words[name]
		says := fmt.Sprintf("counts no more from size %d on", w.size)
		if w.typ == entry.TypeKeyCompromised {
			says = fmt.Sprintf("is compromised, and counts up to size %d for what witnesses saw", w.size)
		}
		out = append(out, fmt.Sprintf("the log says that the %s key %s %s (log index %d), and the pinned trust file does not: it may be older than the log's word, by which nothing was judged",
			name.role, shortKey(name.key), says, w.index))
	}
	if n := k.more + max(0, len(lacking)-maxNewer); n > 0 {
		out = append(out, fmt.Sprintf("the log's word on %d keys more", n))
	}
	return out
}

// lacks tells whether the trust file has a key, and not what the log says of it. It has no list of recorders' keys.
func lacks(t *trust.Trust, name keyName, w keyWord) bool {
	for _, window := range t.Windows {
		if window.Role == name.role && window.Key == name.key {
			return window.Until == trust.NoEnd || w.typ == entry.TypeKeyCompromised && !window.Compromised
		}
	}
	switch name.role {
	case trust.RoleRecorder:
		return true
	case trust.RoleReceived:
		return slices.Contains(t.Received, name.key)
	case trust.RoleSystem:
		return slices.Contains(t.System, name.key)
	case trust.RoleEnroller:
		return slices.Contains(t.Enrollers, name.key)
	case trust.RoleWitness:
		return slices.ContainsFunc(t.Witnesses(), func(w trust.Witness) bool { return w.Verifier.String() == name.key })
	}
	for _, v := range t.LogVerifiers() {
		if v.String() == name.key {
			return true
		}
	}
	return false
}

// shortKey is a verifier key without the key.
func shortKey(vkey string) string {
	parts := strings.SplitN(vkey, "+", 3)
	return strings.Join(parts[:min(len(parts), 2)], "+")
}
