package core

import (
	"encoding/binary"
	"math/bits"
)

// Compression to DEFLATE (RFC 1951), with the effort of the usual level 6. The
// whole message is at hand, so matches are found in it directly.
//
// Plan: chains of earlier places with the same four bytes give matches; a match
// waits for one byte, in case the next one is better. Literals and matches pile up
// as tokens; a full pile becomes a block, in the cheapest of the three forms.

const (
	hashBits   = 15
	windowBits = 15
	window     = 1 << windowBits
	farthest   = window - 1 // one less, so that a place never shares a link with its match
	minMatch   = 4
	blockSize  = 1 << 14 // tokens in a block

	// Effort. A match of enough bytes is not improved on; one of good bytes gets a
	// quarter of the search; one of nice bytes ends the search.
	chainLength = 64
	goodMatch   = 8
	lazyMatch   = 16
	niceMatch   = 128
)

// deflater finds matches and makes blocks. Places are numbered on from message to
// message, a window apart, so that nothing has to be cleared between them.
type deflater struct {
	head [1 << hashBits]uint32 // newest place by hash
	prev [window]uint16        // how far back the one before is, 0 for too far
	base uint32                // number of the message's first byte

	tokens [blockSize]uint32
	n      int
	blocks blockWriter
}

// A token is a literal, or a match: flag, length - 3, distance.
const tokenMatch = 1 << 31

func (z *deflater) deflate(dst, src []byte) []byte {
	if z.base < window || uint64(z.base)+uint64(len(src)) > 1<<31 {
		clear(z.head[:])
		z.base = window
	}
	w := &z.blocks
	w.start(dst)
	z.n = 0
	var (
		i, from, done int // place; where the block begins; what its tokens cover
		waiting       bool
		was, wasBack  int // the match that waits at i-1; was is 0 for a literal
	)
	for i < len(src) {
		length, back := 0, 0
		if i+minMatch <= len(src) {
			candidate := z.insert(src, i)
			if was < lazyMatch {
				length, back = z.search(src, i, candidate, was)
			}
		}
		if was >= minMatch && length <= was {
			z.match(was, wasBack)
			end := i - 1 + was
			last := min(end, len(src)-minMatch+1)
			for i++; i < last; i++ {
				z.insert(src, i)
			}
			i, done, waiting, was = end, end, false, 0
		} else {
			if waiting {
				z.literal(src[i-1])
				done = i
			}
			waiting, was, wasBack = true, length, back
			i++
		}
		if z.n >= blockSize-1 {
			w.block(src[from:done], z.tokens[:z.n], false)
			from, z.n = done, 0
		}
	}
	if waiting {
		z.literal(src[len(src)-1])
	}
	w.block(src[from:], z.tokens[:z.n], true)
	z.base += uint32(len(src)) + window
	return w.finish()
}

func (z *deflater) literal(c byte) {
	z.tokens[z.n] = uint32(c)
	z.n++
}

func (z *deflater) match(length, back int) {
	z.tokens[z.n] = tokenMatch | uint32(length-3)<<16 | uint32(back)
	z.n++
}

// insert makes place i known and returns the number of the newest place with the
// same hash.
func (z *deflater) insert(src []byte, i int) uint32 {
	at := z.base + uint32(i)
	h := binary.LittleEndian.Uint32(src[i:]) * 0x9e3779b1 >> (32 - hashBits)
	candidate := z.head[h]
	z.head[h] = at
	link := at - candidate
	if link > farthest {
		link = 0
	}
	z.prev[at%window] = uint16(link)
	return candidate
}

// search returns the longest match at i that is longer than was.
func (z *deflater) search(src []byte, i int, candidate uint32, was int) (length, back int) {
	at := z.base + uint32(i)
	length = max(was, minMatch-1)
	most := min(len(src)-i, maxMatch)
	if length >= most {
		return 0, 0
	}
	tries := chainLength
	if was >= goodMatch {
		tries /= 4
	}
	here := src[i : i+most]
	for ; tries > 0; tries-- {
		d := at - candidate
		if d > farthest {
			break
		}
		there := src[i-int(d):]
		if there[length] == here[length] && binary.LittleEndian.Uint32(there) == binary.LittleEndian.Uint32(here) {
			if n := common(there, here); n > length {
				length, back = n, int(d)
				if n >= niceMatch || n == most {
					break
				}
			}
		}
		link := uint32(z.prev[candidate%window])
		if link == 0 {
			break
		}
		candidate -= link
	}
	if back == 0 {
		return 0, 0
	}
	return length, back
}

// common returns how many bytes of b a begins with. a is not the shorter one.
func common(a, b []byte) (n int) {
	a = a[:len(b)]
	for len(b)-n >= 8 {
		if x := le64(a[n:]) ^ le64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
		n += 8
	}
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
