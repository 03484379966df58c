package core

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/golang/snappy"
)

// Snappy's framing format (framing_format.txt of google/snappy): chunks of at most
// 64 KiB, each with a sum. That is what the official conformance suite means by
// the coding; bare blocks have no name of their own in HTTP.

const (
	snappyHead       = "\xff\x06\x00\x00sNaPpY"
	snappyBlock      = 64 << 10
	snappyCompressed = 0x00
	snappyPlain      = 0x01
	snappySkippable  = 0x80 // and all above
	snappyIdentifier = 0xff
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func snappySum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// AppendSnappy appends src in the framing format.
func AppendSnappy(dst, src []byte) []byte {
	dst = append(dst, snappyHead...)
	for len(src) > 0 {
		block := src[:min(len(src), snappyBlock)]
		src = src[len(block):]
		at := len(dst)
		room := at + 8 + snappy.MaxEncodedLen(len(block))
		for cap(dst) < room {
			dst = append(dst[:cap(dst)], 0)
		}
		dst = dst[:room]
		packed := snappy.Encode(dst[at+8:], block)
		kind := byte(snappyCompressed)
		if len(packed) >= len(block)-len(block)/8 {
			kind = snappyPlain
			packed = dst[at+8 : at+8+copy(dst[at+8:], block)]
		}
		dst = dst[:at+8+len(packed)]
		binary.LittleEndian.PutUint32(dst[at:], uint32(kind)|uint32(len(packed)+4)<<8)
		binary.LittleEndian.PutUint32(dst[at+4:], snappySum(block))
	}
	return dst
}

// AppendUnsnappy appends what src stands for: one or more streams in the framing
// format and nothing else. What Gzip.Decompress says of limit, errors and dst holds
// here, too.
func AppendUnsnappy(dst, src []byte, limit int) ([]byte, error) {
	out := dst
	if room := min(snappyRoom(src), limit); cap(dst)-len(dst) < room {
		out = append(make([]byte, 0, len(dst)+room), dst...)
	}
	for first := true; first || len(src) > 0; first = false {
		if len(src) < 4 {
			return dst, ErrMalformed
		}
		kind, size := src[0], int(binary.LittleEndian.Uint32(src)>>8)
		if src = src[4:]; size > len(src) {
			return dst, ErrMalformed
		}
		chunk := src[:size]
		src = src[size:]
		switch {
		case first || kind == snappyIdentifier:
			if kind != snappyIdentifier || string(chunk) != snappyHead[4:] {
				return dst, ErrMalformed
			}
			continue
		case kind >= snappySkippable:
			continue
		case kind > snappyPlain || size < 4:
			return dst, ErrMalformed
		}
		sum, chunk := binary.LittleEndian.Uint32(chunk), chunk[4:]
		n := len(chunk)
		if kind == snappyCompressed {
			var err error
			if n, err = snappy.DecodedLen(chunk); err != nil {
				return dst, ErrMalformed
			}
		}
		switch at := len(out); {
		case n > snappyBlock:
			return dst, ErrMalformed
		case at-len(dst)+n > limit:
			return dst, ErrTooLarge
		case kind == snappyPlain:
			out = append(out, chunk...)
		default:
			out = slices.Grow(out, n)
			if _, err := snappy.Decode(out[at:at+n], chunk); err != nil {
				return dst, ErrMalformed
			}
			out = out[:at+n]
		}
		if snappySum(out[len(out)-n:]) != sum {
			return dst, ErrMalformed
		}
	}
	return out, nil
}

// snappyRoom adds up what the chunks say that they decompress to, as far as that is
// possible.
func snappyRoom(src []byte) (room int) {
	const mostRatio = 22 // three bytes copy 64
	for len(src) >= 4 {
		kind, size := src[0], int(binary.LittleEndian.Uint32(src)>>8)
		if src = src[4:]; size > len(src) {
			break
		}
		switch {
		case kind == snappyCompressed && size > 4:
			if n, err := snappy.DecodedLen(src[4:size]); err == nil {
				room += min(n, snappyBlock, mostRatio*size)
			}
		case kind == snappyPlain && size > 4:
			room += min(size-4, snappyBlock)
		}
		src = src[size:]
	}
	return room
}
