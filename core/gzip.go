package core

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
)

// What can be wrong with compressed data.
var (
	ErrTooLarge  = errors.New("decompresses to more than the limit")
	ErrMalformed = errors.New("is not valid gzip")
)

// Gzip compresses and decompresses one message at a time and keeps its scratch
// memory between them. The zero value is ready. It is not for use by two
// goroutines at once.
type Gzip struct {
	w   *gzip.Writer
	r   *gzip.Reader
	in  bytes.Reader
	out appendWriter
}

type appendWriter struct{ b []byte }

func (w *appendWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// Compress appends src as one gzip member.
func (z *Gzip) Compress(dst, src []byte) []byte {
	z.out.b = dst
	if z.w == nil {
		z.w, _ = gzip.NewWriterLevel(&z.out, 6)
	} else {
		z.w.Reset(&z.out)
	}
	_, _ = z.w.Write(src)
	_ = z.w.Close()
	return z.out.b
}

// Decompress appends what src, one or more gzip members and nothing else, stands
// for. limit is the most bytes that it may be; it is tested while decompressing.
// The errors are ErrTooLarge and ErrMalformed; dst is then returned as it was.
func (z *Gzip) Decompress(dst, src []byte, limit int) ([]byte, error) {
	start := len(dst)
	z.in.Reset(src)
	var err error
	if z.r == nil {
		z.r, err = gzip.NewReader(&z.in)
	} else {
		err = z.r.Reset(&z.in)
	}
	if err != nil {
		z.r = nil
		return dst, ErrMalformed
	}
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := z.r.Read(dst[len(dst):min(cap(dst), start+limit+1)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst)-start > limit:
			return dst[:start], ErrTooLarge
		case err == io.EOF:
			return dst, nil
		case err != nil:
			return dst[:start], ErrMalformed
		}
	}
}
