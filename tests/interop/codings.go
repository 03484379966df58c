package interop

import (
	"bytes"
	"compress/zlib"
	"io"

	"connectrpc.com/connect"
	"github.com/golang/snappy"
)

// codings are those of the module, with what connect-go needs to know of the
// ones that it has not.
var codings = []string{"identity", "gzip", "deflate", "snappy"}

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

func newInflater() connect.Decompressor {
	return &unpacker{bytes.NewReader(nil), func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }}
}

func newUnsnapper() connect.Decompressor {
	return &unpacker{bytes.NewReader(nil), func(r io.Reader) (io.Reader, error) { return snappy.NewReader(r), nil }}
}

func newDeflater() connect.Compressor { return zlib.NewWriter(io.Discard) }

func newSnapper() connect.Compressor { return snappy.NewBufferedWriter(io.Discard) }

// clientCoding has connect-go's client send with a coding, and accept it.
func clientCoding(name string) []connect.ClientOption {
	switch name {
	case "gzip":
		return []connect.ClientOption{connect.WithSendGzip()}
	case "deflate":
		return []connect.ClientOption{connect.WithAcceptCompression(name, newInflater, newDeflater), connect.WithSendCompression(name)}
	case "snappy":
		return []connect.ClientOption{connect.WithAcceptCompression(name, newUnsnapper, newSnapper), connect.WithSendCompression(name)}
	}
	return nil
}

// serverCodings has connect-go's handlers know all of them.
func serverCodings() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithCompression("deflate", newInflater, newDeflater),
		connect.WithCompression("snappy", newUnsnapper, newSnapper),
	}
}
