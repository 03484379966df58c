package core

// Decompression of DEFLATE (RFC 1951). The whole input is at hand and the output
// is one growing slice, so there is no window to copy, no interface to call and
// no state between blocks but a bit buffer. The standard library's reader costs a
// third more of the module's size (it needs fmt) and several times the time.
//
// Plan of one block: build two tables of codes; while there are at least 8 bytes
// of input and room for the longest match, run the fast loop, which tests neither;
// then run the careful loop, which tests everything, up to the end of the block.

const (
	litBits  = 10 // bits looked up at once: literals and lengths, distances, code lengths
	distBits = 8
	clenBits = 7
	// Room for the second-level tables as well. The worst complete codes of 15
	// bits need 1334 and 402 entries.
	litSize  = 1536
	distSize = 512

	maxCode  = 15
	maxMatch = 258
	outSlack = maxMatch + 16 // a match, the bytes that its copy may overshoot, two literals
)

// A table's entry:
//
//	bits 31-16  what it stands for: literal, base of a length or distance, start of a subtable
//	bits 12-8   extra bits to read, or bits that index the subtable
//	bits 15-13  kind
//	bits 7-0    length of the code; 0 for a code that does not exist
const (
	entryLiteral = 1 << 15
	entryEnd     = 1 << 14
	entrySub     = 1 << 13
)

// inflater holds the tables. The zero value is ready.
type inflater struct {
	lit, fixedLit   [litSize]uint32
	dist, fixedDist [distSize]uint32
	clen            [1 << clenBits]uint32
	lens            [288 + 32]uint8
	fixed           bool // the fixed tables are built

	in  []byte
	pos int
	buf uint64 // bits not used yet, the next one lowest; those from n on are a preview
	n   uint   // how many of them are taken from in
}

// inflate reads one stream from in and appends to dst what it stands for, at most
// limit bytes. It returns how much of in it used. Matches do not reach behind what
// dst was.
func (z *inflater) inflate(dst, in []byte, limit int) (out []byte, used int, err error) {
	z.in, z.pos, z.buf, z.n = in, 0, 0, 0
	start := len(dst)
	end := start + limit
	if end < start {
		end = int(^uint(0) >> 1)
	}
	for last := false; !last; {
		if !z.need(3) {
			return dst, 0, ErrMalformed
		}
		last = z.buf&1 == 1
		kind := z.buf >> 1 & 3
		z.drop(3)
		switch kind {
		case 0:
			dst, err = z.stored(dst, end)
		case 1:
			z.buildFixed()
			dst, err = z.block(dst, start, end, &z.fixedLit, &z.fixedDist)
		case 2:
			if !z.buildDynamic() {
				return dst, 0, ErrMalformed
			}
			dst, err = z.block(dst, start, end, &z.lit, &z.dist)
		default:
			err = ErrMalformed
		}
		if err != nil {
			return dst, 0, err
		}
	}
	return dst, z.pos - int(z.n>>3), nil
}

// need makes at least n bits available, n at most 56, if the input has them.
func (z *inflater) need(n uint) bool {
	for z.n < n {
		if z.pos == len(z.in) {
			return false
		}
		z.buf |= uint64(z.in[z.pos]) << z.n
		z.pos++
		z.n += 8
	}
	return true
}

// fill makes as many bits available as the input and the buffer allow.
func (z *inflater) fill() {
	for z.n <= 55 && z.pos < len(z.in) {
		z.buf |= uint64(z.in[z.pos]) << z.n
		z.pos++
		z.n += 8
	}
}

func (z *inflater) drop(n uint) {
	z.buf >>= n
	z.n -= n
}

// stored copies a block that is not compressed (RFC 1951, section 3.2.4).
func (z *inflater) stored(dst []byte, end int) ([]byte, error) {
	z.pos -= int(z.n >> 3)
	z.buf, z.n = 0, 0
	head := z.in[z.pos:]
	if len(head) < 4 {
		return dst, ErrMalformed
	}
	size := int(head[0]) | int(head[1])<<8
	if size^0xffff != int(head[2])|int(head[3])<<8 || size > len(head)-4 {
		return dst, ErrMalformed
	}
	if size > end-len(dst) {
		return dst, ErrTooLarge
	}
	z.pos += 4 + size
	return append(dst, head[4:4+size]...), nil
}

// block decodes a compressed block (RFC 1951, section 3.2.3).
func (z *inflater) block(dst []byte, start, end int, lit *[litSize]uint32, dist *[distSize]uint32) ([]byte, error) {
	for {
		if end-len(dst) >= outSlack && len(z.in)-z.pos >= 8 {
			if cap(dst)-len(dst) < outSlack {
				dst = grow(dst, end)
			}
			out, o, state := z.fast(dst[:cap(dst)], len(dst), start, end, lit, dist)
			dst = out[:o]
			switch state {
			case fastEnd:
				return dst, nil
			case fastBad:
				return dst, ErrMalformed
			}
			if end-len(dst) >= outSlack && len(z.in)-z.pos >= 8 {
				continue // it only wants room
			}
		}
		// One symbol, carefully.
		z.fill()
		e := lit[z.buf&(1<<litBits-1)]
		if e&entrySub != 0 {
			e = lit[uint64(e>>16)+z.buf>>litBits&(1<<(e>>8&31)-1)]
		}
		n := uint(e & 0xff)
		if n == 0 || n > z.n {
			return dst, ErrMalformed
		}
		z.drop(n)
		if e&entryLiteral != 0 {
			if len(dst) >= end {
				return dst, ErrTooLarge
			}
			dst = append(dst, byte(e>>16))
			continue
		}
		if e&entryEnd != 0 {
			return dst, nil
		}
		extra := uint(e >> 8 & 31)
		if extra > z.n {
			return dst, ErrMalformed
		}
		length := int(e>>16) + int(z.buf&(1<<extra-1))
		z.drop(extra)
		z.fill()
		e = dist[z.buf&(1<<distBits-1)]
		if e&entrySub != 0 {
			e = dist[uint64(e>>16)+z.buf>>distBits&(1<<(e>>8&31)-1)]
		}
		n, extra = uint(e&0xff), uint(e>>8&31)
		if n == 0 || n+extra > z.n {
			return dst, ErrMalformed
		}
		z.drop(n)
		back := int(e>>16) + int(z.buf&(1<<extra-1))
		z.drop(extra)
		if back > len(dst)-start {
			return dst, ErrMalformed
		}
		if length > end-len(dst) {
			return dst, ErrTooLarge
		}
		for range length {
			dst = append(dst, dst[len(dst)-back])
		}
	}
}

// grow gives dst room for at least outSlack bytes.
func grow(dst []byte, end int) []byte {
	room := max(len(dst), 512)
	room = max(min(room, end-len(dst)), outSlack)
	return append(make([]byte, 0, len(dst)+room), dst...)
}

// What the fast loop ended with.
const (
	fastMore = iota // it came near the end of the input or of the room
	fastEnd         // the block has ended
	fastBad
)

// fast decodes into out from o on while there are 8 bytes of input and outSlack
// bytes of room.
func (z *inflater) fast(out []byte, o, start, end int, lit *[litSize]uint32, dist *[distSize]uint32) ([]byte, int, int) {
	in, pos, buf, nbits := z.in, z.pos, z.buf, z.n
	room := min(len(out), end) - outSlack
	state := fastMore
	for o <= room && len(in)-pos >= 8 {
		// 56 bits or more from here: enough for a length (20) and a distance (28).
		buf |= le64(in[pos:]) << (nbits & 63)
		pos += int((63 - nbits) >> 3)
		nbits |= 56

		e := lit[buf&(1<<litBits-1)]
		if e&entryLiteral != 0 {
			out[o] = byte(e >> 16)
			o++
			buf >>= e & 63
			nbits -= uint(e & 0xff)
			// Literals come in runs, and there are bits for two more before a match.
			e = lit[buf&(1<<litBits-1)]
			if e&entryLiteral != 0 {
				out[o] = byte(e >> 16)
				o++
				buf >>= e & 63
				nbits -= uint(e & 0xff)
				continue
			}
			if nbits < 48 {
				continue
			}
		}
		if e&entrySub != 0 {
			e = lit[(e>>16+uint32(buf>>litBits)&(1<<(e>>8&31)-1))%litSize]
		}
		if e&0xff == 0 {
			state = fastBad
			break
		}
		buf >>= e & 63
		nbits -= uint(e & 0xff)
		if e&entryLiteral != 0 {
			out[o] = byte(e >> 16)
			o++
			continue
		}
		if e&entryEnd != 0 {
			state = fastEnd
			break
		}
		extra := e >> 8 & 31
		length := int(e>>16) + int(buf&(1<<extra-1))
		buf >>= extra
		nbits -= uint(extra)

		e = dist[buf&(1<<distBits-1)]
		if e&entrySub != 0 {
			e = dist[(e>>16+uint32(buf>>distBits)&(1<<(e>>8&31)-1))%distSize]
		}
		if e&0xff == 0 {
			state = fastBad
			break
		}
		buf >>= e & 63
		extra = e >> 8 & 31
		back := int(e>>16) + int(buf&(1<<extra-1))
		buf >>= extra
		nbits -= uint(e&0xff) + uint(extra)
		if back > o-start {
			state = fastBad
			break
		}
		from, to := o-back, o+length
		switch {
		case back >= 8:
			for {
				putLE64(out[o:], le64(out[from:]))
				if o += 8; o >= to {
					break
				}
				from += 8
			}
			o = to
		case back == 1:
			v := uint64(out[from]) * 0x0101010101010101
			for ; o < to; o += 8 {
				putLE64(out[o:], v)
			}
			o = to
		default:
			for ; o < to; o++ {
				out[o] = out[from]
				from++
			}
		}
	}
	z.pos, z.buf, z.n = pos, buf, nbits
	return out, o, state
}

func le64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

func putLE64(b []byte, v uint64) {
	_ = b[7]
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	b[4], b[5], b[6], b[7] = byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56)
}
