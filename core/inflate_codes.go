package core

import "math/bits"

// The entries of length and distance symbols, without the codes' lengths, and the
// order of code length codes: RFC 1951, sections 3.2.5 and 3.2.7.
var (
	litEntries  = makeLitEntries()
	distEntries = makeDistEntries()
	clenOrder   = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

func makeLitEntries() (t [286]uint32) {
	for i := range 256 {
		t[i] = uint32(i)<<16 | entryLiteral
	}
	t[256] = entryEnd
	base := uint32(3)
	for i := range uint32(28) {
		extra := uint32(0)
		if i >= 8 {
			extra = i/4 - 1
		}
		t[257+i] = base<<16 | extra<<8
		base += 1 << extra
	}
	t[285] = maxMatch << 16
	return t
}

func makeDistEntries() (t [30]uint32) {
	base := uint32(1)
	for i := range uint32(30) {
		extra := uint32(0)
		if i >= 4 {
			extra = i/2 - 1
		}
		t[i] = base<<16 | extra<<8
		base += 1 << extra
	}
	return t
}

func (z *inflater) buildFixed() {
	if z.fixed {
		return
	}
	l := z.lens[:288]
	for i := range l {
		switch {
		case i < 144:
			l[i] = 8
		case i < 256:
			l[i] = 9
		case i < 280:
			l[i] = 7
		default:
			l[i] = 8
		}
	}
	buildCodes(z.fixedLit[:], litBits, l, litEntries[:])
	l = z.lens[:32]
	for i := range l {
		l[i] = 5
	}
	buildCodes(z.fixedDist[:], distBits, l, distEntries[:])
	z.fixed = true
}

// buildDynamic reads the codes of a block (RFC 1951, section 3.2.7).
func (z *inflater) buildDynamic() bool {
	if !z.need(14) {
		return false
	}
	nlit, ndist, nclen := int(z.buf&31)+257, int(z.buf>>5&31)+1, int(z.buf>>10&15)+4
	z.drop(14)
	if nlit > 286 || ndist > 30 {
		return false
	}
	var clens [19]uint8
	for _, sym := range clenOrder[:nclen] {
		if !z.need(3) {
			return false
		}
		clens[sym] = uint8(z.buf & 7)
		z.drop(3)
	}
	var entries [19]uint32
	for i := range entries {
		entries[i] = uint32(i) << 16
	}
	if !buildCodes(z.clen[:], clenBits, clens[:], entries[:]) {
		return false
	}
	for i := 0; i < nlit+ndist; {
		z.fill()
		e := z.clen[z.buf&(1<<clenBits-1)]
		n := uint(e & 0xff)
		if n == 0 || n > z.n {
			return false
		}
		z.drop(n)
		sym := uint8(e >> 16)
		if sym < 16 {
			z.lens[i] = sym
			i++
			continue
		}
		var again, width uint
		value := uint8(0)
		switch sym {
		case 16:
			if i == 0 {
				return false
			}
			again, width, value = 3, 2, z.lens[i-1]
		case 17:
			again, width = 3, 3
		default:
			again, width = 11, 7
		}
		if width > z.n {
			return false
		}
		again += uint(z.buf & (1<<width - 1))
		z.drop(width)
		if int(again) > nlit+ndist-i {
			return false
		}
		for range again {
			z.lens[i] = value
			i++
		}
	}
	// A block that cannot end is malformed.
	return z.lens[256] != 0 &&
		buildCodes(z.lit[:], litBits, z.lens[:nlit], litEntries[:]) &&
		buildCodes(z.dist[:], distBits, z.lens[nlit:nlit+ndist], distEntries[:])
}

// buildCodes fills a table for the canonical code with these lengths (RFC 1951,
// section 3.2.2). Symbols without an entry have codes that are malformed to use.
// Codes must be complete, but for no code at all and a single one of one bit.
func buildCodes(table []uint32, root uint, lens []uint8, entries []uint32) bool {
	var count, next [maxCode + 2]int
	for _, l := range lens {
		count[l]++
	}
	count[0] = 0
	left, longest := 1, uint(0)
	for l := uint(1); l <= maxCode; l++ {
		if left = left<<1 - count[l]; left < 0 {
			return false
		}
		next[l+1] = next[l] + count[l]
		if count[l] > 0 {
			longest = l
		}
	}
	if left > 0 && longest > 1 {
		return false
	}
	if left > 0 {
		clear(table[:1<<root])
	}
	var sorted [288]uint16
	total := next[maxCode+1]
	for sym, l := range lens {
		if l > 0 {
			sorted[next[l]] = uint16(sym)
			next[l]++
		}
	}
	code, length := uint32(0), uint(1)
	free := 1 << root // where the next subtable goes
	sub, subBits, subPrefix := 0, uint(0), uint32(1<<31)
	for _, sym := range sorted[:total] {
		for count[length] == 0 {
			length++
			code <<= 1
		}
		e := uint32(0)
		if int(sym) < len(entries) {
			e = entries[sym] | uint32(length)
		}
		rev := uint32(bits.Reverse16(uint16(code))) >> (16 - length)
		if length <= root {
			for i := rev; i < 1<<root; i += 1 << length {
				table[i] = e
			}
		} else {
			if prefix := rev & (1<<root - 1); prefix != subPrefix {
				subPrefix, sub, subBits = prefix, free, length-root
				for room := 1 << subBits; ; {
					if room -= count[root+subBits]; room <= 0 || root+subBits >= longest {
						break
					}
					subBits++
					room <<= 1
				}
				if free += 1 << subBits; free > len(table) {
					return false
				}
				table[prefix] = uint32(sub)<<16 | uint32(subBits)<<8 | entrySub
			}
			for i := rev >> root; i < 1<<subBits; i += 1 << (length - root) {
				table[sub+int(i)] = e
			}
		}
		count[length]--
		code++
	}
	return true
}
