package evidence

import (
	"cmp"
	"container/heap"

	"github.com/stenolog/steno/entry"
)

// An arrived is an entry whose turn may not have come.
type arrived struct {
	index  uint64
	entry  *entry.Entry
	signed signature
	again  func() (*entry.Entry, error) // reads it again, so that it need not be held
}

// verify verifies the recorder's signature, if that was not done by the chain's key already.
func (a arrived) verify(chain *entry.Track) error {
	if chain.Enrolment != nil && a.signed.key == chain.Enrolment.RecorderKey {
		return a.signed.err
	}
	return a.entry.VerifyRecorder(chain.Verifier)
}

// An early is an entry that stands in the log ahead of its predecessors.
type early struct {
	seq, index uint64
	order      int // of arrival
	signed     signature
	read       func() (*entry.Entry, error)
}

// waiting is a heap of them, the lowest sequence number first.
type waiting []early

func (w waiting) Len() int { return len(w) }
func (w waiting) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(w[i].seq, w[j].seq), cmp.Compare(w[i].order, w[j].order)) < 0
}
func (w waiting) Swap(i, j int) { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(x any)   { *w = append(*w, x.(early)) }
func (w *waiting) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}

// drain takes what came early, as far as it fits now.
func (s *Session) drain(t *track) {
	for !t.broken && len(t.early) > 0 && t.early[0].seq <= t.chain.Next {
		next := heap.Pop(&t.early).(early)
		e, err := next.read()
		if err != nil {
			t.broken = true
			s.find(CheckBundle, Failed, Where{Index: &next.index, Session: s.ID}, err.Error())
			return
		}
		s.take(t, arrived{next.index, e, next.signed, next.read})
	}
}
