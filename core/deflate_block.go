package core

import (
	"math/bits"
	"slices"
)

// blockWriter turns tokens into blocks of DEFLATE (RFC 1951, section 3.2.3).
type blockWriter struct {
	out []byte
	buf uint64
	n   uint

	litFreq  [286]uint32
	distFreq [30]uint32
	clenFreq [19]uint32
	lit      [286]code
	dist     [30]code
	clen     [19]code
	sequence [286 + 30]uint16 // code length symbols, with what they repeat above bit 8
	sorted   [286]uint32
	weights  [286]uint32
}

// code is a code's bits, in the order of sending, and their number.
type code struct {
	bits uint16
	size uint8
}

func (w *blockWriter) start(dst []byte) { w.out, w.buf, w.n = dst, 0, 0 }

// finish returns what was written, filled up to whole bytes, and lets go of it.
func (w *blockWriter) finish() []byte {
	w.align()
	out := w.out
	w.out = nil
	return out
}

// put writes up to 16 bits where room was reserved or append may find it.
func (w *blockWriter) put(v uint32, size uint8) {
	w.buf |= uint64(v) << (w.n & 63)
	for w.n += uint(size); w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.buf))
		w.buf >>= 8
	}
}

func (w *blockWriter) align() {
	if w.n > 0 {
		w.out = append(w.out, byte(w.buf))
	}
	w.buf, w.n = 0, 0
}

// block writes tokens, which stand for src, in the form that takes the least room.
func (w *blockWriter) block(src []byte, tokens []uint32, last bool) {
	clear(w.litFreq[:])
	clear(w.distFreq[:])
	w.litFreq[256] = 1
	extra := 0
	for _, t := range tokens {
		if t&tokenMatch == 0 {
			w.litFreq[t&0xff]++
			continue
		}
		l, d := lengthSymbol(t>>16&0xff), distSymbol(t&0x7fff)
		w.litFreq[l]++
		w.distFreq[d]++
		extra += int(litEntries[l]>>8&31) + int(distEntries[d]>>8&31)
	}
	w.build(w.litFreq[:], w.lit[:], 15)
	w.build(w.distFreq[:], w.dist[:], 15)
	nlit, ndist := 286, 30
	for nlit > 257 && w.lit[nlit-1].size == 0 {
		nlit--
	}
	for ndist > 1 && w.dist[ndist-1].size == 0 {
		ndist--
	}
	sequence := w.lengths(nlit, ndist)
	w.build(w.clenFreq[:], w.clen[:], 7)
	nclen := 19
	for nclen > 4 && w.clen[clenOrder[nclen-1]].size == 0 {
		nclen--
	}

	dynamic := 14 + 3*nclen + extra
	for sym, f := range w.clenFreq {
		dynamic += int(f) * (int(w.clen[sym].size) + clenExtra(uint16(sym)))
	}
	fixed := extra
	for sym, f := range w.litFreq {
		dynamic += int(f) * int(w.lit[sym].size)
		fixed += int(f) * int(fixedLitCode(sym).size)
	}
	for sym, f := range w.distFreq {
		dynamic += int(f) * int(w.dist[sym].size)
		fixed += int(f) * 5
	}
	final := uint32(0)
	if last {
		final = 1
	}
	stored := 8*len(src) + 40*(len(src)/0xffff+1)
	switch {
	case stored < min(dynamic, fixed):
		w.stored(src, final)
		return
	case fixed <= dynamic:
		w.put(final|1<<1, 3)
		for sym := range w.lit {
			w.lit[sym] = fixedLitCode(sym)
		}
		for sym := range w.dist {
			w.dist[sym] = code{bits.Reverse16(uint16(sym)) >> 11, 5}
		}
		dynamic = fixed
	default:
		w.put(final|2<<1, 3)
		w.put(uint32(nlit-257), 5)
		w.put(uint32(ndist-1), 5)
		w.put(uint32(nclen-4), 4)
		for _, sym := range clenOrder[:nclen] {
			w.put(uint32(w.clen[sym].size), 3)
		}
		for _, s := range sequence {
			sym := s & 0xff
			w.put(uint32(w.clen[sym].bits), w.clen[sym].size)
			w.put(uint32(s>>8), uint8(clenExtra(sym)))
		}
	}
	w.body(tokens, dynamic/8+16)
}

// body writes tokens with the codes at hand; room is enough for them.
func (w *blockWriter) body(tokens []uint32, room int) {
	w.out = slices.Grow(w.out, room)
	out, o, buf, n := w.out[:cap(w.out)], len(w.out), w.buf, w.n
	for _, t := range tokens {
		if t&tokenMatch == 0 {
			c := w.lit[t&0xff]
			buf |= uint64(c.bits) << (n & 63)
			n += uint(c.size)
		} else {
			length, back := t>>16&0xff, t&0x7fff
			sym := lengthSymbol(length)
			c, e := w.lit[sym], litEntries[sym]
			buf |= uint64(c.bits) << (n & 63)
			n += uint(c.size)
			buf |= uint64(length+3-e>>16) << (n & 63)
			n += uint(e >> 8 & 31)
			sym = distSymbol(back)
			c, e = w.dist[sym], distEntries[sym]
			buf |= uint64(c.bits) << (n & 63)
			n += uint(c.size)
			buf |= uint64(back-e>>16) << (n & 63)
			n += uint(e >> 8 & 31)
		}
		// At most 7 bits stay, so that the 48 of a match always fit.
		putLE64(out[o:], buf)
		o += int(n >> 3)
		buf >>= n &^ 7 & 63
		n &= 7
	}
	w.out, w.buf, w.n = out[:o], buf, n
	w.put(uint32(w.lit[256].bits), w.lit[256].size)
}

// stored writes src as it is, in as many blocks as it takes (section 3.2.4).
func (w *blockWriter) stored(src []byte, final uint32) {
	for {
		part := src[:min(len(src), 0xffff)]
		src = src[len(part):]
		if len(src) > 0 {
			w.put(0, 3)
		} else {
			w.put(final, 3)
		}
		w.align()
		size := uint16(len(part))
		w.out = append(w.out, byte(size), byte(size>>8), byte(^size), byte(^size>>8))
		w.out = append(w.out, part...)
		if len(src) == 0 {
			return
		}
	}
}

// lengths writes the lengths of both codes as symbols of the third (section
// 3.2.7) and counts them.
func (w *blockWriter) lengths(nlit, ndist int) []uint16 {
	clear(w.clenFreq[:])
	s := w.sequence[:0]
	at := func(i int) uint8 {
		if i < nlit {
			return w.lit[i].size
		}
		return w.dist[i-nlit].size
	}
	for i := 0; i < nlit+ndist; {
		size, run := at(i), 1
		for i+run < nlit+ndist && at(i+run) == size {
			run++
		}
		i += run
		if size != 0 {
			s = w.emit(s, uint16(size))
			run--
			for ; run >= 3; run -= min(run, 6) {
				s = w.emit(s, 16|uint16(min(run, 6)-3)<<8)
			}
		} else {
			for ; run >= 11; run -= min(run, 138) {
				s = w.emit(s, 18|uint16(min(run, 138)-11)<<8)
			}
			if run >= 3 {
				s = w.emit(s, 17|uint16(run-3)<<8)
				run = 0
			}
		}
		for ; run > 0; run-- {
			s = w.emit(s, uint16(size))
		}
	}
	return s
}

func (w *blockWriter) emit(s []uint16, v uint16) []uint16 {
	w.clenFreq[v&0xff]++
	return append(s, v)
}

func clenExtra(sym uint16) int {
	switch sym {
	case 16:
		return 2
	case 17:
		return 3
	case 18:
		return 7
	}
	return 0
}

// fixedLitCode is the code of section 3.2.6.
func fixedLitCode(sym int) code {
	switch {
	case sym < 144:
		return code{bits.Reverse16(uint16(0x30+sym)) >> 8, 8}
	case sym < 256:
		return code{bits.Reverse16(uint16(0x190+sym-144)) >> 7, 9}
	case sym < 280:
		return code{bits.Reverse16(uint16(sym-256)) >> 9, 7}
	}
	return code{bits.Reverse16(uint16(0xc0+sym-280)) >> 8, 8}
}

// lengthSymbol returns the symbol of a length less 3 (section 3.2.5).
func lengthSymbol(v uint32) uint32 {
	switch {
	case v < 8:
		return 257 + v
	case v == maxMatch-3:
		return 285
	}
	e := uint32(bits.Len32(v)) - 3
	return 257 + e<<2 + v>>e
}

// distSymbol returns the symbol of a distance (section 3.2.5).
func distSymbol(d uint32) uint32 {
	if d--; d < 4 {
		return d
	}
	e := uint32(bits.Len32(d)) - 2
	return e<<1 + d>>e
}

// build makes the canonical code of least size for the frequencies whose codes
// have at most limit bits.
func (w *blockWriter) build(freq []uint32, codes []code, limit uint) {
	const symBits = 9
	sorted := w.sorted[:0]
	for sym, f := range freq {
		codes[sym] = code{}
		if f > 0 {
			sorted = append(sorted, f<<symBits|uint32(sym))
		}
	}
	if len(sorted) == 0 {
		return
	}
	slices.Sort(sorted)
	var count [maxCode + 2]int
	w.depths(sorted, symBits, limit, &count)

	// The rarest symbols get the longest codes.
	length := limit
	var sizes [maxCode + 2]int
	copy(sizes[:], count[:])
	for _, s := range sorted {
		for sizes[length] == 0 {
			length--
		}
		sizes[length]--
		codes[s&(1<<symBits-1)].size = uint8(length)
	}
	var next [maxCode + 2]uint16
	for l := uint(1); l <= limit; l++ {
		next[l+1] = (next[l] + uint16(count[l])) << 1
	}
	for sym := range codes {
		if l := codes[sym].size; l > 0 {
			codes[sym].bits = bits.Reverse16(next[l]) >> (16 - l)
			next[l]++
		}
	}
}

// depths counts, by length, the codes of a Huffman code for the sorted weights. The
// tree is built in place: first each inner node's parent, then its depth.
func (w *blockWriter) depths(sorted []uint32, shift, limit uint, count *[maxCode + 2]int) {
	n := len(sorted)
	if n == 1 {
		count[1] = 1
		return
	}
	a := w.weights[:n-1] // inner nodes, lightest first: weight, then parent, then depth
	leaf, node := 0, 0
	for i := range a {
		sum := uint32(0)
		for range 2 {
			if leaf < n && (node >= i || sorted[leaf]>>shift <= a[node]) {
				sum += sorted[leaf] >> shift
				leaf++
			} else {
				sum += a[node]
				a[node] = uint32(i)
				node++
			}
		}
		a[i] = sum
	}
	a[n-2] = 0
	for i := n - 3; i >= 0; i-- {
		a[i] = a[a[i]] + 1
	}
	// At each depth, the places that are no inner nodes are leaves.
	places, inner := 1, n-2
	for depth := uint(0); places > 0; depth++ {
		nodes := 0
		for inner >= 0 && uint(a[inner]) == depth {
			nodes++
			inner--
		}
		count[min(depth, limit)] += places - nodes
		places = nodes * 2
	}
	// What was cut to the limit made the code too full: lengthen others for it.
	full := 0
	for l := uint(1); l <= limit; l++ {
		full += count[l] << (limit - l)
	}
	for ; full > 1<<limit; full-- {
		count[limit]--
		for l := limit - 1; ; l-- {
			if count[l] > 0 {
				count[l]--
				count[l+1] += 2
				break
			}
		}
	}
}
