package guest

import (
	"bytes"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/andybalholm/brotli/matchfinder"
)

// brotliLevels are the levels of the library's newer compressor, from 0. In a
// module it takes half the time of the older one, for the same size, and adds
// half as much code. Levels 10 and 11 of other tools are its last.
const brotliLevels = 10

// brotliBlock is how much of a message is compressed at a time, in bytes.
const brotliBlock = 64 << 10

// brotliCoding is the coding br (RFC 7932).
type brotliCoding struct {
	src     bytes.Reader
	in      *brotli.Reader
	out     [brotliLevels]*matchfinder.Writer
	matches []matchfinder.Match
}

func (c *brotliCoding) compress(dst, src []byte, level int) []byte {
	level = max(0, min(level, brotliLevels-1))
	w := c.out[level]
	if w == nil {
		w = brotli.NewWriterV2(nil, level)
		c.out[level] = w
	}
	w.Reset(nil)
	// Its two halves, without its copies of what goes in and comes out.
	for first := true; first || len(src) > 0; first = false {
		block := src[:min(len(src), brotliBlock)]
		src = src[len(block):]
		c.matches = w.MatchFinder.FindMatches(c.matches[:0], block)
		dst = w.Encoder.Encode(dst, block, c.matches, len(src) == 0)
	}
	return dst
}

// decompress appends what src stands for: one stream and nothing else. It changes
// src.
func (c *brotliCoding) decompress(dst, src []byte, limit int) (out []byte, err error) {
	narrow(src, limit)
	c.src.Reset(src)
	if c.in == nil {
		c.in = brotli.NewReader(&c.src) // the large-window extension is off
	} else if err := c.in.Reset(&c.src); err != nil {
		return dst, err
	}
	defer func() {
		c.src.Reset(nil)
		if err != nil || len(out)-len(dst) > keep {
			c.in = nil // its window may be large
		}
	}()
	// A byte more than may come out tells "exactly the limit" from "too much".
	end := len(dst) + limit + 1
	// How much is asked for at a time must not depend on the room that happens to be
	// there: where data is both damaged and too large, it decides which is found first.
	out = dst
	ask := min(end, len(dst)+max(4<<10, 2*len(src)))
	for {
		if cap(out) < ask {
			out = grown(out, ask)
		}
		n, err := c.in.Read(out[len(out):ask])
		out = out[:len(out)+n]
		switch {
		case len(out) == end:
			return dst, errTooLarge
		case err == io.EOF:
			return out, nil
		case err != nil:
			return dst, errMalformed
		case len(out) == ask:
			ask = min(end, 4*ask)
		}
	}
}

// narrow has a stream declare no larger window than limit bytes can fill, since
// the library makes a buffer of the window's size: up to 16 MiB. That changes
// nothing in the first limit+1 bytes, where distances are smaller.
func narrow(src []byte, limit int) {
	// RFC 7932, section 9.1: windows of 2^18 and above are a bit that is set, and
	// three more that are not all zero.
	if len(src) == 0 || src[0]&1 == 0 {
		return
	}
	for n := byte(1); n < src[0]>>1&7; n++ {
		if 1<<(17+n)-16 > limit {
			src[0] = src[0]&^0xe | n<<1
			return
		}
	}
}
