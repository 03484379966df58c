package hostgo

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// replayed is a request's content that every round reads again.
type replayed struct{ bytes.Reader }

func (*replayed) Close() error { return nil }

// discarded is a response that is thrown away.
type discarded struct {
	header http.Header
	status int
	size   int
}

func (d *discarded) Header() http.Header { return d.header }

func (d *discarded) WriteHeader(status int) { d.status = status }

func (d *discarded) Write(p []byte) (int, error) {
	d.size += len(p)
	return len(p), nil
}

// BenchmarkUnary is a unary call in process, without net/http's own part: "raw"
// passes payloads as they are, "proto" decodes and encodes them.
func BenchmarkUnary(b *testing.B) {
	payload, err := proto.Marshal(wrapperspb.String("a message of fifty-two bytes, the benchmark's own"))
	if err != nil {
		b.Fatal(err)
	}
	large, err := proto.Marshal(wrapperspb.Bytes(make([]byte, 64<<10)))
	if err != nil {
		b.Fatal(err)
	}
	h, err := NewHandler(nil, Unary(echoPath, echo), echoBytes)
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name, path, contentType string
		payload                 []byte
		unlike                  bool // no head is like another
		coding                  string
	}{
		{"raw", echoBytes.Path, "application/proto", payload, false, "identity"},
		{"proto", echoPath, "application/proto", payload, false, "identity"},
		{"raw64KiB", echoBytes.Path, "application/proto", large, false, "identity"},
		{"unlike", echoBytes.Path, "application/proto", payload, true, "identity"},
		{"gzip", echoBytes.Path, "application/proto", payload, false, "gzip"},
		{"gRPC", echoBytes.Path, grpcType, envelope(nil, string(payload)), false, ""},
	} {
		b.Run(bench.name, func(b *testing.B) {
			body := &replayed{}
			request := httptest.NewRequest(http.MethodPost, bench.path, http.NoBody)
			request.Body, request.ContentLength = body, int64(len(bench.payload))
			request.Header.Set("Content-Type", bench.contentType)
			request.Header.Set("Connect-Protocol-Version", "1")
			request.Header.Set("User-Agent", "bench")
			request.Header.Set("Accept-Encoding", bench.coding)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if bench.unlike {
					request.Header.Set("X-Request-Id", strconv.Itoa(i))
				}
				body.Reset(bench.payload)
				w := discarded{header: http.Header{}}
				h.ServeHTTP(&w, request)
				if w.status != http.StatusOK || w.size < len(bench.payload) {
					b.Fatalf("status %d, %d bytes", w.status, w.size)
				}
			}
		})
	}
}

// BenchmarkUnaryParallel is the same on all processors, over all instances.
func BenchmarkUnaryParallel(b *testing.B) {
	h, err := NewHandler(nil, echoBytes)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		payload := bytes.Repeat([]byte{1}, 52)
		for pb.Next() {
			request := httptest.NewRequest(http.MethodPost, echoBytes.Path, io.NopCloser(bytes.NewReader(payload)))
			request.ContentLength = int64(len(payload))
			request.Header.Set("Content-Type", "application/proto")
			w := discarded{header: http.Header{}}
			h.ServeHTTP(&w, request)
			if w.status != http.StatusOK {
				b.Fatalf("status %d", w.status)
			}
		}
	})
}
