package core

import (
	"bytes"
	"compress/flate"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

// checkInflate compares inflate with the standard library on any bytes.
func checkInflate(t *testing.T, b []byte, limit int) {
	t.Helper()
	var z inflater
	out, used, err := z.inflate([]byte("before"), b, limit)
	if string(out[:6]) != "before" {
		t.Fatal("what was there is gone")
	}
	in := bytes.NewReader(b)
	std, stdErr := io.ReadAll(io.LimitReader(flate.NewReader(in), int64(limit)+1))
	switch {
	case len(std) > limit:
		// A block without a code for its end is malformed from the start here, and
		// only at its end there.
		if err == nil {
			t.Fatalf("over the limit, but taken: %d bytes", len(out)-6)
		}
	case stdErr != nil:
		// At a fault both must stop; which of the two faults was first is open.
		if err == nil {
			t.Fatalf("%q, the standard library says %v", out, stdErr)
		}
	case err != nil:
		t.Fatalf("%v, the standard library takes it", err)
	case !bytes.Equal(out[6:], std) || used != len(b)-in.Len():
		t.Fatalf("%d bytes of %d used: %q, want %q", used, len(b)-in.Len(), out[6:], std)
	}
}

func TestInflateAgreesOnDamagedInput(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var streams [][]byte
	for name, src := range samples() {
		src = src[:min(len(src), 1+rnd.IntN(4000))]
		for _, level := range []int{-2, 1, 6} {
			streams = append(streams, stdGzip(src, level)[gzipHeadSize:])
		}
		if name == "deep" {
			var z deflater
			streams = append(streams, z.deflate(nil, src))
		}
	}
	for range damages {
		b := bytes.Clone(streams[rnd.IntN(len(streams))])
		// Damage near the front hits the codes, which is where the rules are.
		for range rnd.IntN(4) {
			i := rnd.IntN(min(len(b), 1+rnd.IntN(200)))
			switch rnd.IntN(4) {
			case 0:
				b[i] ^= 1 << rnd.IntN(8)
			case 1:
				b[i] = byte(rnd.Uint32())
			case 2:
				b = append(b[:i], b[i+1:]...)
			default:
				b = slices.Insert(b, i, byte(rnd.Uint32()))
			}
			if len(b) == 0 {
				break
			}
		}
		checkInflate(t, b[:len(b)-min(len(b), rnd.IntN(20)*rnd.IntN(2))], rnd.IntN(9000))
	}
}

// damages is how often the test above tries: a second's worth.
const damages = 3000

// dynamicBlock makes a block whose codes have these lengths, each sent in four
// bits, followed by the bits of body, the first one first.
func dynamicBlock(lit, dist []uint8, body string) []byte {
	var w blockWriter
	w.start(nil)
	w.put(1|2<<1, 3)
	w.put(uint32(len(lit)-257), 5)
	w.put(uint32(len(dist)-1), 5)
	w.put(19-4, 4)
	for _, sym := range clenOrder {
		size := uint32(4)
		if sym > 15 {
			size = 0
		}
		w.put(size, 3)
	}
	for _, l := range slices.Concat(lit, dist) {
		w.put(uint32(bits.Reverse8(l))>>4, 4)
	}
	for _, c := range body {
		w.put(uint32(c-'0'), 1)
	}
	return w.finish()
}

func TestCodesOfABlock(t *testing.T) {
	// 'a' is 0, the end is 10, a match of 3 is 11; distance 1 is 0.
	lit := func(n int) []uint8 {
		l := make([]uint8, n)
		l['a'], l[256] = 1, 2
		if n > 257 {
			l[257] = 2
		}
		return l
	}
	without := func(l []uint8, syms ...int) []uint8 {
		for _, s := range syms {
			l[s] = 0
		}
		return l
	}
	with := func(l []uint8, sym int, size uint8) []uint8 {
		l[sym] = size
		return l
	}
	one := []uint8{1}
	var z inflater // one for all: no code is left over for the next block
	for _, c := range []struct {
		what string
		b    []byte
		out  string
		err  error
	}{
		{"complete", dynamicBlock(lit(258), one, "011010"), "aaaa", nil},
		{"all symbols sent", dynamicBlock(lit(286), make30(1), "011010"), "aaaa", nil},
		{"two distances", dynamicBlock(lit(258), []uint8{1, 1}, "011010"), "aaaa", nil},
		{"no distance", dynamicBlock(lit(258), []uint8{0}, "0010"), "aa", nil},
		{"no distance, but a match", dynamicBlock(lit(258), []uint8{0}, "011010"), "", ErrMalformed},
		{"the other half of a single code", dynamicBlock(lit(258), one, "011110"), "", ErrMalformed},
		{"too many lengths", dynamicBlock(lit(287), one, "011010"), "", ErrMalformed},
		{"too many distances", dynamicBlock(lit(258), append(make30(1), 0), "011010"), "", ErrMalformed},
		{"no end", dynamicBlock(with(without(lit(258), 256, 257), 'b', 1), one, "0000"), "", ErrMalformed},
		{"incomplete", dynamicBlock(without(lit(258), 257), one, "0010"), "", ErrMalformed},
		{"incomplete distances", dynamicBlock(lit(258), []uint8{2}, "0010"), "", ErrMalformed},
		{"too full", dynamicBlock(with(lit(258), 'b', 2), one, "0010"), "", ErrMalformed},
		{"distances too full", dynamicBlock(lit(258), []uint8{1, 1, 1}, "0010"), "", ErrMalformed},
		{"only an end", dynamicBlock(with(without(lit(257), 'a'), 256, 1), one, "0"), "", nil},
	} {
		for _, after := range []string{"", "eight more bytes and then some more"} {
			out, used, err := z.inflate(nil, append(bytes.Clone(c.b), after...), 4)
			if err != c.err || err == nil && (string(out) != c.out || used != len(c.b)) {
				t.Errorf("%s: %q, %d of %d, %v", c.what, out, used, len(c.b), err)
			}
		}
	}
	if _, _, err := z.inflate(nil, dynamicBlock(with(without(lit(258), 256, 257), 'b', 1), one, "00000000"), 3); err != ErrMalformed {
		t.Errorf("no end, over the limit: %v", err)
	}
}

// make30 is the lengths of 30 distance codes of which only the first is used.
func make30(first uint8) []uint8 {
	l := make([]uint8, 30)
	l[0] = first
	return l
}
