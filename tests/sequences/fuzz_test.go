package sequences

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/connectcore/connectcore/tests/bound"
	"github.com/connectcore/connectcore/wasm/guest"
)

type inside struct{ g *guest.Guest }

func (i inside) Step(batch []byte) ([]byte, error) {
	copy(i.g.Reserve(len(batch)), batch)
	return i.g.Step(len(batch)), nil
}

// seeds are scripts of some length by chance.
func seeds() (all [][]byte) {
	r := rand.New(rand.NewPCG(3, 5))
	for range 60 {
		b := make([]byte, 40+r.IntN(400))
		for i := range b {
			b[i] = byte(r.Uint32())
			if r.IntN(2) == 0 {
				b[i] %= 32
			}
		}
		all = append(all, b)
	}
	// And some in which a command comes again and again, until there is too much of something.
	for i := range 60 {
		size := 2 + r.IntN(6)
		again := []byte{32, 200, byte(size), byte(r.IntN(32))}
		for range size - 1 {
			again = append(again, byte(r.IntN(5)))
		}
		all = append(all, slices.Concat(all[i][:20+r.IntN(20)], again, all[i][20:40]))
	}
	return all
}

// Invariant: whatever hosts and peers say, in whatever order, in both roles, all protocols
// and stream types,
//   - nothing panics, and events are whole records, each for a call that is open and of the role;
//   - a call ends at most once, and nothing comes for it afterwards but, where its host rejects a
//     message, another outcome;
//   - however content is cut, and however much of it is carried, each call sees the same;
//   - a client and a server that talk to each other agree: no side hears what the other has not
//     said, a success is one of both, a part of a response is none, a failure has one code;
//   - time, memory and what comes out are in proportion to what goes in.
func FuzzSequences(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, 8<<20+uint64(len(b))<<13, func() { same(t, b) })
	})
}

func same(t *testing.T, b []byte) {
	var whole string
	for cut := Whole; cut <= Bytes; cut++ {
		saw, err := Play(inside{guest.New()}, bytes.Clone(b), cut)
		switch {
		case err != nil:
			t.Fatalf("cut %d: %v", cut, err)
		case cut == Whole:
			whole = saw
		case saw != whole:
			t.Fatalf("cut %d:\n%s\nwhole:\n%s", cut, saw, whole)
		}
	}
}
