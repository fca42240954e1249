package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stenolog/steno/entry"
	"github.com/stenolog/steno/evidence"
	et "github.com/stenolog/steno/evidence/evidencetest"
)

func newTestHolding(t *testing.T) *holding {
	h := et.Must(newHolding(filepath.Join(t.TempDir(), "file")))(t)
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// Sessions come one after the other, and their leaves stand between each other's.
func TestAHoldingHasLeavesInOrderAndOnce(t *testing.T) {
	h, r := newTestHolding(t), rand.New(rand.NewPCG(1, 2))
	want := map[uint64][]byte{}
	for range 40 {
		at := uint64(r.IntN(500))
		for range r.IntN(50) {
			leaf := []byte{byte(at), byte(at >> 8)}
			if err := h.add(at, leaf, at%3 > 0); err != nil {
				t.Fatal(err)
			}
			if l := h.leaf(at); l == nil || !bytes.Equal(et.Must(l.Load())(t), leaf) {
				t.Fatalf("leaf %d is not here", at)
			}
			want[at] = leaf
			at += uint64(1 + r.IntN(9))
		}
	}
	size := h.size()
	var b evidence.Bundle
	h.fill(&b)
	if len(b.Leaves) != len(want) || size != b.Leaves[len(b.Leaves)-1].Index+1 || !slices.IsSortedFunc(b.Leaves, compareLeaves) {
		t.Errorf("%d leaves, want %d; size %d", len(b.Leaves), len(want), size)
	}
	for _, l := range b.Leaves {
		if !bytes.Equal(et.Must(l.Load())(t), want[l.Index]) || h.system[l.Index] != (l.Index%3 == 0) {
			t.Errorf("leaf %d is another", l.Index)
		}
	}
	if err := h.add(b.Leaves[7].Index, []byte("x"), true); err == nil || !strings.Contains(err.Error(), "two different") {
		t.Error(err)
	}
}

// What a temporary file has no room for goes into another.
func TestASpillGoesOn(t *testing.T) {
	s := et.Must(newSpill(t.TempDir()))(t)
	defer s.close()
	first := et.Must(s.add([]byte("first")))(t)
	s.at = evidence.MaxBundle - 3
	last, next := et.Must(s.add([]byte("end")))(t), et.Must(s.add([]byte("next")))(t)
	for want, c := range map[string]evidence.Content{"first": first, "end": last, "next": next} {
		if got, err := c.Load(); string(got) != want {
			t.Errorf("%q, want %q: %v", got, want, err)
		}
	}
	if len(s.files) != 2 || s.size != 12 {
		t.Errorf("%d files, %d bytes", len(s.files), s.size)
	}
	s.most = s.size + 1
	if _, err := s.add([]byte("xx")); err == nil {
		t.Error("there is more than there may be")
	}
}

// Tables are in memory for as long as a file is made. There may be half a million rows of each.
func TestTheTablesOfAHoldingAreSmall(t *testing.T) {
	const rows, most = 50_000, 250 // bytes of a leaf, two blobs and a disclosure: 24, 96 and 48, and what slices have to spare
	h := newTestHolding(t)
	shown := evidence.Disclosed{Slot: "params", Content: evidence.ContentOf([]byte("{}"))}
	before := heap()
	for i := range uint64(rows) {
		hash := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		shown.Index = i
		err := h.add(i, hash[:4], true)
		for n := range 2 {
			hash[0] ^= byte(n)
			if err == nil {
				err = h.blobs.add(entry.Hash(hash), hash[:4])
			}
		}
		if err == nil {
			err = h.disclose(shown)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if grown := (heap() - before) / rows; grown > most {
		t.Errorf("%d bytes for each event, at most %d", grown, most)
	}
	h.forget()
	if left := (heap() - before) / rows; left > 10 {
		t.Errorf("%d bytes for each event when all is forgotten", left)
	}
	runtime.KeepAlive(h)
}

// heap is how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
