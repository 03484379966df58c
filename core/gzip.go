package core

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// What can be wrong with compressed data.
var (
	ErrTooLarge  = errors.New("decompresses to more than the limit")
	ErrMalformed = errors.New("is malformed")
)

// Gzip compresses and decompresses one message at a time (RFC 1952) and keeps its
// scratch memory between them: 16 KiB to decompress, 350 KiB more to compress, made
// on first use. The zero value is ready. It is not for two goroutines at once.
type Gzip struct {
	in  *inflater
	out *deflater
}

const (
	gzipHeadSize = 10
	gzipTailSize = 8
)

// gzipHead has no name, no time, no level and an unknown system: equal messages
// are equal compressed.
const gzipHead = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// Compress appends src as one gzip member.
func (z *Gzip) Compress(dst, src []byte) []byte {
	dst = z.deflate(append(dst, gzipHead...), src)
	sum, size := crc32.ChecksumIEEE(src), uint32(len(src))
	return append(dst,
		byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24),
		byte(size), byte(size>>8), byte(size>>16), byte(size>>24))
}

// MaxMembers is how many members, or frames of zstd, one message may consist of.
// Ours, rule 13: each costs a thousand times what its bytes do.
const MaxMembers = 2048

// Decompress appends what src stands for: one or more gzip members (RFC 1952,
// section 2.2) and nothing else. limit is the most bytes that this may be; it is
// tested while decompressing, before the bytes are there. The errors are
// ErrTooLarge and ErrMalformed, with dst as it was. What lies between dst's length
// and its capacity may be overwritten in any case.
func (z *Gzip) Decompress(dst, src []byte, limit int) ([]byte, error) {
	limit = max(limit, 0)
	whole := len(dst)
	out := z.reserve(dst, src, limit)
	for members := 0; members == 0 || len(src) > 0; members++ {
		head := gzipHeader(src)
		if head == 0 || members == MaxMembers {
			return dst, ErrMalformed
		}
		src = src[head:]
		start := len(out)
		var used int
		var err error
		out, used, err = z.inflate(out, src, limit-(start-whole))
		if err != nil {
			return dst, err
		}
		if src = src[used:]; len(src) < gzipTailSize ||
			binary.LittleEndian.Uint32(src) != crc32.ChecksumIEEE(out[start:]) ||
			binary.LittleEndian.Uint32(src[4:]) != uint32(len(out)-start) {
			return dst, ErrMalformed
		}
		src = src[gzipTailSize:]
	}
	return out, nil
}

// deflate appends src as one DEFLATE stream.
func (z *Gzip) deflate(dst, src []byte) []byte {
	if z.out == nil {
		z.out = new(deflater)
	}
	return z.out.deflate(dst, src)
}

// inflate appends what one DEFLATE stream stands for, and says how much of src
// that took.
func (z *Gzip) inflate(dst, src []byte, limit int) (out []byte, used int, err error) {
	if z.in == nil {
		z.in = new(inflater)
	}
	out, used, err = z.in.inflate(dst, src, limit)
	z.in.in = nil // it is the caller's
	return out, used, err
}

// reserve gives dst the room that src says it needs, within the limit and what
// DEFLATE can make of so many bytes: a lie costs no more than the truth could.
func (z *Gzip) reserve(dst, src []byte, limit int) []byte {
	if len(src) < gzipHeadSize+gzipTailSize {
		return dst
	}
	const mostRatio = 1032
	says := uint64(binary.LittleEndian.Uint32(src[len(src)-4:]))
	room := int(min(says, uint64(limit), uint64(len(src))*mostRatio)) + outSlack
	if cap(dst)-len(dst) >= room {
		return dst
	}
	return append(make([]byte, 0, len(dst)+room), dst...)
}

// gzipHeader returns the size of a member's header (RFC 1952, section 2.3), 0 if
// it is none.
func gzipHeader(b []byte) int {
	const (
		hasSum     = 1 << 1
		hasExtra   = 1 << 2
		hasName    = 1 << 3
		hasComment = 1 << 4
		reserved   = 0xe0
	)
	if len(b) < gzipHeadSize || b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 || b[3]&reserved != 0 {
		return 0
	}
	flags, n := b[3], gzipHeadSize
	if flags&hasExtra != 0 {
		if len(b) < n+2 {
			return 0
		}
		if n += 2 + int(b[n]) + int(b[n+1])<<8; n > len(b) {
			return 0
		}
	}
	for _, flag := range [...]byte{hasName, hasComment} {
		if flags&flag == 0 {
			continue
		}
		for {
			if n >= len(b) {
				return 0
			}
			if n++; b[n-1] == 0 {
				break
			}
		}
	}
	if flags&hasSum != 0 {
		sum := crc32.ChecksumIEEE(b[:n])
		if len(b) < n+2 || b[n] != byte(sum) || b[n+1] != byte(sum>>8) {
			return 0
		}
		n += 2
	}
	return n
}
