package api

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// However a body arrives, its bytes are the same and what is held of the budget is given back.
func TestBody_read(t *testing.T) {
	for _, size := range []int{0, 1, 2, firstRead - 1, firstRead, firstRead + 1, 3*firstRead + 7} {
		want := bytes.Repeat([]byte("x"), size)
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader, "data with the end": iotest.DataErrReader, "halves": iotest.HalfReader,
		} {
			for _, length := range []int64{int64(size), -1} {
				b := &body{budget: &budget{max: 1 << 20}}
				if err := b.read(wrap(bytes.NewReader(want)), length, 1<<19); err != nil || !bytes.Equal(b.bytes, want) {
					t.Fatalf("%s, %d bytes, length %d: %d bytes, %v", name, size, length, len(b.bytes), err)
				}
				if b.held != int64(cap(b.bytes)) || b.budget.inUse() != b.held {
					t.Errorf("%d bytes: %d allocated, %d held", size, cap(b.bytes), b.held)
				}
				if b.release(); b.budget.inUse() != 0 {
					t.Errorf("%d bytes: %d held after release", size, b.budget.inUse())
				}
			}
		}
	}
}

func TestBody_overBudget(t *testing.T) {
	bud := &budget{max: 2 * firstRead}
	b := &body{budget: bud}
	err := b.read(strings.NewReader(strings.Repeat("x", 3*firstRead)), -1, 1<<20)
	var own *requestError
	if !errors.As(err, &own) || own.code != codeBusy {
		t.Errorf("got %v", err)
	}
	if b.release(); bud.inUse() != 0 {
		t.Errorf("%d held after release", bud.inUse())
	}
}
