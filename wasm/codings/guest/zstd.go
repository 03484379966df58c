package guest

import (
	"github.com/klauspost/compress/zstd"

	numbers "github.com/connectcore/connectcore/wasm/abi"
	"github.com/connectcore/connectcore/wasm/codings/abi"
)

// zstdWindow is the window to compress with, in bytes: that of zstd's own tool at
// its usual level. It decides how much memory a compressor keeps.
const zstdWindow = 2 << 20

// zstdCoding is the coding zstd (RFC 8878) with the window that HTTP allows
// (RFC 9659).
type zstdCoding struct {
	in  *zstd.Decoder
	out [zstd.SpeedBestCompression + 1]*zstd.Encoder
}

func (c *zstdCoding) compress(dst, src []byte, level int) []byte {
	const usual = 3 // what zstd's own tool calls 0, too
	if level == 0 {
		level = usual
	}
	speed := zstd.EncoderLevelFromZstd(level)
	w := c.out[speed]
	if w == nil {
		// One of the options could only fail if it made no sense.
		w, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		c.out[speed] = w
	}
	return w.EncodeAll(src, dst)
}

// decompress appends what src stands for: one or more frames and nothing else.
func (c *zstdCoding) decompress(dst, src []byte, limit int) ([]byte, error) {
	if c.in == nil {
		c.in, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(abi.MaxWindow), zstd.WithDecodeAllCapLimit(true))
	}
	out := dst
	for frames := 0; frames == 0 || len(src) > 0; frames++ {
		f, ok := parseFrame(src)
		if !ok || frames == numbers.MaxMembers {
			return dst, errMalformed
		}
		left := uint64(limit - (len(out) - len(dst)))
		if f.declares && f.declared > left {
			return dst, errTooLarge
		}
		if !f.skippable {
			// The library decompresses to as much as there is room for: the block
			// with the first byte too many must fit.
			room := min(f.content, left+maxBlock)
			if f.declares {
				room = min(room, f.declared)
			}
			if need := len(out) + int(room); cap(out) < need {
				// Twice as much as before: there may be many frames.
				out = grown(out, max(need, min(2*cap(out), len(dst)+limit)))
			}
			part, err := c.in.DecodeAll(src[:f.size], out[len(out):len(out):len(out)+int(room)])
			switch {
			case uint64(len(part)) > left:
				return dst, errTooLarge
			case err != nil:
				return dst, errMalformed
			}
			out = append(out, part...) // mostly onto itself
		}
		src = src[f.size:]
	}
	return out, nil
}
