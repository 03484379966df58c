package core

import (
	"encoding/binary"
	"hash/adler32"
)

// zlib's format (RFC 1950), which HTTP calls deflate (RFC 9110, section 8.4.1.2):
// DEFLATE, like gzip, between a head of two bytes and another sum.

const (
	zlibHead    = "\x78\x9c" // DEFLATE, 32 KiB window, default level, no dictionary
	zlibSumSize = 4
)

// CompressZlib appends src in zlib's format.
func (z *Gzip) CompressZlib(dst, src []byte) []byte {
	dst = z.deflate(append(dst, zlibHead...), src)
	return binary.BigEndian.AppendUint32(dst, adler32.Checksum(src))
}

// DecompressZlib appends what src stands for: one stream and nothing else. What
// Decompress says of limit, errors and dst holds here, too.
func (z *Gzip) DecompressZlib(dst, src []byte, limit int) ([]byte, error) {
	const deflate, dictionary = 8, 0x20
	if len(src) < len(zlibHead)+zlibSumSize || src[0]&15 != deflate || src[0]>>4 > 7 ||
		src[1]&dictionary != 0 || (uint(src[0])<<8|uint(src[1]))%31 != 0 {
		return dst, ErrMalformed
	}
	src = src[len(zlibHead):]
	out, used, err := z.inflate(dst, src, max(limit, 0))
	if err != nil {
		return dst, err
	}
	if src = src[used:]; len(src) != zlibSumSize || binary.BigEndian.Uint32(src) != adler32.Checksum(out[len(dst):]) {
		return dst, ErrMalformed
	}
	return out, nil
}
