package hostgo

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"slices"
	"sync"

	"github.com/connectcore/connectcore/wasm/abi"
)

// packer is a coding that this side does itself, a message at a time. It is safe for
// use by several goroutines.
type packer interface {
	// compress appends src compressed.
	compress(dst, src []byte) ([]byte, error)
	// decompress appends what src stands for, at most limit bytes. The errors for
	// what is wrong with src are errCodingTooLarge and errCodingMalformed; any other
	// is about this side.
	decompress(dst, src []byte, limit int) ([]byte, error)
}

// packer returns what does a coding, nil if the module does it.
func (m *codingsModule) packer(name string) packer {
	switch _, ok := codingNumbers[name]; {
	case ok:
		return modulePacker{m, name}
	case zlibPackers[name] != nil:
		return zlibPackers[name]
	}
	return nil
}

// modulePacker is a coding of the codings' module.
type modulePacker struct {
	module *codingsModule
	name   string
}

func (p modulePacker) compress(dst, src []byte) ([]byte, error) {
	return p.module.compress(p.name, dst, src)
}

func (p modulePacker) decompress(dst, src []byte, limit int) ([]byte, error) {
	return p.module.decompress(p.name, dst, src, limit)
}

// zlibPacker is a coding of the standard library, which takes a third of the time
// that the module takes for it.
type zlibPacker struct {
	writers, readers sync.Pool
	// reset has a reader, if there is an old one that, read the next stream of src.
	reset   func(old any, src *bytes.Reader) (reader any, err error)
	members bool // there may be several streams
}

// zlibLevel is what messages are compressed with: the library's default takes a
// third longer and saves a hundredth.
const zlibLevel = 5

// zlibPackers are the codings of the standard library. HTTP's deflate is zlib's
// format (RFC 9110, section 8.4.1.2).
var zlibPackers = map[string]*zlibPacker{
	"gzip": {
		writers: sync.Pool{New: func() any {
			w, _ := gzip.NewWriterLevel(nil, zlibLevel) // the level exists
			return w
		}},
		reset: func(old any, src *bytes.Reader) (any, error) {
			const flags, reserved = 3, 0xe0 // RFC 1952, section 2.3.1.2: an error, which the library does not make
			var head [flags + 1]byte
			if _, err := src.ReadAt(head[:], src.Size()-int64(src.Len())); err != nil || head[flags]&reserved != 0 {
				return old, errCodingMalformed
			}
			r, ok := old.(*gzip.Reader)
			if !ok {
				r = new(gzip.Reader)
			}
			err := r.Reset(src)
			r.Multistream(false)
			return r, err
		},
		members: true,
	},
	"deflate": {
		writers: sync.Pool{New: func() any {
			w, _ := zlib.NewWriterLevel(nil, zlibLevel) // the level exists
			return w
		}},
		reset: func(old any, src *bytes.Reader) (any, error) {
			if r, ok := old.(zlib.Resetter); ok {
				return old, r.Reset(src, nil)
			}
			return zlib.NewReader(src)
		},
	},
}

// appender is a writer that appends.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

func (z *zlibPacker) compress(dst, src []byte) ([]byte, error) {
	w := z.writers.Get().(interface {
		io.WriteCloser
		Reset(w io.Writer)
	})
	out := appender(dst)
	w.Reset(&out)
	_, err := w.Write(src)
	if err == nil {
		err = w.Close()
	}
	z.writers.Put(w)
	return out, err
}

func (z *zlibPacker) decompress(dst, src []byte, limit int) ([]byte, error) {
	const least = 4 << 10
	in := bytes.NewReader(src)
	r, err := z.reset(z.readers.Get(), in)
	defer func() {
		if r != nil {
			z.readers.Put(r)
		}
	}()
	if err != nil {
		return dst, errCodingMalformed
	}
	// A byte more than may come out tells "exactly the limit" from "too much".
	end := len(dst) + limit + 1
	out := slices.Grow(dst, min(limit+1, max(least, 4*len(src))))
	for members := 1; ; {
		n, err := r.(io.Reader).Read(out[len(out):min(cap(out), end)])
		out = out[:len(out)+n]
		switch {
		case len(out) == end:
			return dst, errCodingTooLarge
		case err == io.EOF && in.Len() == 0:
			return out, nil
		case err == io.EOF && z.members && members < abi.MaxMembers:
			members++
			if r, err = z.reset(r, in); err != nil {
				return dst, errCodingMalformed
			}
		case err != nil:
			return dst, errCodingMalformed
		case len(out) == cap(out):
			out = slices.Grow(out, min(len(out), end-len(out)))
		}
	}
}
