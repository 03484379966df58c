package interop

import (
	"bytes"
	"compress/zlib"
	"io"

	"connectrpc.com/connect"
	"github.com/andybalholm/brotli"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
)

// codings are all that the module and the one beside it have, with what connect-go
// needs to know of the ones that it has not.
var codings = []string{"identity", "gzip", "deflate", "snappy", "br", "zstd"}

// unpacker is a connect.Decompressor.
type unpacker struct {
	io.Reader
	open func(io.Reader) (io.Reader, error)
}

func (u *unpacker) Close() error { return nil }

func (u *unpacker) Reset(from io.Reader) (err error) {
	u.Reader, err = u.open(from)
	return err
}

// packers are the codings that connect-go has not.
var packers = map[string]struct {
	open  func(io.Reader) (io.Reader, error)
	write func() connect.Compressor
}{
	"deflate": {func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
		func() connect.Compressor { return zlib.NewWriter(io.Discard) }},
	"snappy": {func(r io.Reader) (io.Reader, error) { return snappy.NewReader(r), nil },
		func() connect.Compressor { return snappy.NewBufferedWriter(io.Discard) }},
	"br": {func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
		func() connect.Compressor { return brotli.NewWriter(io.Discard) }},
	"zstd": {func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
		func() connect.Compressor {
			w, err := zstd.NewWriter(io.Discard)
			if err != nil {
				panic(err)
			}
			return w
		}},
}

// clientCoding has connect-go's client send with a coding, and accept it.
func clientCoding(name string) []connect.ClientOption {
	if name == "gzip" {
		return []connect.ClientOption{connect.WithSendGzip()}
	}
	p, ok := packers[name]
	if !ok {
		return nil
	}
	reader := func() connect.Decompressor { return &unpacker{bytes.NewReader(nil), p.open} }
	return []connect.ClientOption{connect.WithAcceptCompression(name, reader, p.write), connect.WithSendCompression(name)}
}

// serverCodings has connect-go's handlers know all of them.
func serverCodings() (options []connect.HandlerOption) {
	for name, p := range packers {
		reader := func() connect.Decompressor { return &unpacker{bytes.NewReader(nil), p.open} }
		options = append(options, connect.WithCompression(name, reader, p.write))
	}
	return options
}
