// Package guest is what the codings' module does: br and zstd, a message at
// a time (../../ABI.md, "The codings' module"). Natively it runs the same tests.
package guest

import (
	"errors"
	"runtime"

	"github.com/connectcore/connectcore/wasm/codings/abi"
)

// Guest is one instance. What it keeps between calls is memory: no result depends
// on it. It is not safe for concurrent use; the zero value is ready.
type Guest struct {
	in, out []byte
	br      brotliCoding
	zstd    zstdCoding
	work    int // about how much may have been allocated since Collect was called

	// Collect, if not nil, is called now and then, between two messages: the place to
	// have garbage collected.
	Collect func()
}

const (
	keep  = 1 << 20   // the largest arena, in bytes, that is kept for the next message
	often = 512 << 10 // how much work it takes to look for garbage
)

var (
	errTooLarge  = errors.New("decompresses to more than the limit")
	errMalformed = errors.New("is malformed")
	errUnknown   = errors.New("no such coding")
)

// Reserve makes the in arena at least size bytes and returns it; nil where there
// cannot be one.
func (g *Guest) Reserve(size uint32) (arena []byte) {
	defer func() {
		if recover() != nil {
			g.in, arena = nil, nil
		}
	}()
	g.tidy()
	if n := int(size); g.in == nil || n > len(g.in) {
		g.in = nil // it is not needed while the new one is made
		g.in = make([]byte, max(n, 64<<10))
	}
	return g.in
}

// Compress compresses the first size bytes of the in arena. The levels are those
// of the coding's own tools, and the nearest that there is is taken. The result
// holds until the next call.
func (g *Guest) Compress(coding uint32, level int, size uint32) (out []byte, fault uint32) {
	return g.run(size, func(dst, src []byte) ([]byte, error) {
		switch coding {
		case abi.Br:
			return g.br.compress(dst, src, level), nil
		case abi.Zstd:
			return g.zstd.compress(dst, src, level), nil
		}
		return dst, errUnknown
	})
}

// Decompress does the opposite, to at most limit bytes.
func (g *Guest) Decompress(coding, limit, size uint32) (out []byte, fault uint32) {
	return g.run(size, func(dst, src []byte) ([]byte, error) {
		switch coding {
		case abi.Br:
			return g.br.decompress(dst, src, int(limit))
		case abi.Zstd:
			return g.zstd.decompress(dst, src, int(limit))
		}
		return dst, errUnknown
	})
}

func (g *Guest) run(size uint32, code func(dst, src []byte) ([]byte, error)) (out []byte, fault uint32) {
	defer func() {
		if recover() != nil {
			out, fault = nil, abi.FaultPanic
		}
	}()
	if uint64(size) > uint64(len(g.in)) {
		return nil, abi.FaultArgument
	}
	if g.out == nil {
		g.out = make([]byte, 0, 4<<10) // never without an address, which would mean a fault
	}
	out, err := code(g.out[:0], g.in[:size:size])
	const least = 16 << 10
	g.work += least + int(size) + len(out)
	if err != nil {
		g.work += often // nobody knows how much was made of it
	}
	switch err {
	case nil:
		g.out = out
		return out, 0
	case errTooLarge:
		return nil, abi.FaultTooLarge
	case errUnknown:
		return nil, abi.FaultArgument
	}
	return nil, abi.FaultMalformed
}

// grown returns b with room for size bytes in all. Where that is much, garbage is
// collected first: of the steps and messages before there may be as much again.
func grown(b []byte, size int) []byte {
	if size > keep {
		runtime.GC()
		const step = 256 << 10
		size = (size + step - 1) &^ (step - 1) // so that one coding's buffer fits where another's was
	}
	return append(make([]byte, 0, size), b...)
}

// tidy gives back what the messages before took.
func (g *Guest) tidy() {
	if g.work <= often {
		return
	}
	g.work = 0
	if len(g.in) > keep {
		g.in = nil
	}
	if cap(g.out) > keep {
		g.out = nil
	}
	if g.Collect != nil {
		g.Collect()
	}
}
