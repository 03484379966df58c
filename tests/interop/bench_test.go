package interop

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/connectcore/connectcore/hostgo"
)

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

func (d *discarded) Flush() {}

// body is a request's content.
type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

// BenchmarkHandlers compares our handler with connect-go's, in process and in turns,
// without net/http's own part: the ratio is ours to theirs.
func BenchmarkHandlers(b *testing.B) {
	mine, err := hostgo.NewHandler(&hostgo.HandlerOptions{Module: module}, hostgo.Unary(unaryPath, oursUnary),
		hostgo.ServerStream(serverPath, oursServer))
	if err != nil {
		b.Fatal(err)
	}
	other := Theirs()
	small, large := encoded(strings.Repeat("a", 50)), encoded(strings.Repeat("abcdefgh", 8<<10))
	for _, c := range []struct {
		name, contentType, path string
		message                 []byte
		unlike                  bool
		header                  []string
	}{
		{"Connect", "application/proto", unaryPath, small, false, nil},
		{"Connect unlike", "application/proto", unaryPath, small, true, nil},
		{"Connect 64 KiB", "application/proto", unaryPath, large, false, nil},
		{"Connect gzip", "application/proto", unaryPath, zipped(large), false, []string{"Content-Encoding", "gzip", "Accept-Encoding", "gzip"}},
		{"gRPC", "application/grpc+proto", unaryPath, enveloped(0, small), false, []string{"Te", "trailers"}},
		{"gRPC unlike", "application/grpc+proto", unaryPath, enveloped(0, small), true, []string{"Te", "trailers"}},
		{"gRPC 64 KiB", "application/grpc+proto", unaryPath, enveloped(0, large), false, []string{"Te", "trailers"}},
		{"gRPC-Web", "application/grpc-web+proto", unaryPath, enveloped(0, small), false, nil},
		{"gRPC-Web unlike", "application/grpc-web+proto", unaryPath, enveloped(0, small), true, nil},
		{"Connect stream", streamTypes + "proto", serverPath, enveloped(0, encoded(askMany)), false, nil},
		{"gRPC stream", "application/grpc+proto", serverPath, enveloped(0, encoded(askMany)), false, []string{"Te", "trailers"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			content := &body{}
			r := httptest.NewRequest(http.MethodPost, c.path, http.NoBody)
			r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
			r.Body, r.ContentLength = content, int64(len(c.message))
			r.Header.Set("Content-Type", c.contentType)
			r.Header.Set("User-Agent", "bench")
			for i := 0; i < len(c.header); i += 2 {
				r.Header.Set(c.header[i], c.header[i+1])
			}
			n := 0
			turn := func(h http.Handler) time.Duration {
				begin := time.Now()
				for range 50 {
					if n++; c.unlike {
						r.Header.Set("Traceparent", fmt.Sprintf("00-%032x-%016x-01", n, n))
					}
					content.Reset(c.message)
					w := discarded{header: http.Header{}}
					h.ServeHTTP(&w, r)
					if w.status > 200 || w.size == 0 {
						b.Fatalf("status %d, %d bytes", w.status, w.size)
					}
				}
				return time.Since(begin)
			}
			var ours, theirs time.Duration
			for b.Loop() {
				ours += turn(mine)
				theirs += turn(other)
			}
			b.ReportMetric(float64(ours.Nanoseconds())/float64(50*b.N), "ns/ours")
			b.ReportMetric(float64(theirs.Nanoseconds())/float64(50*b.N), "ns/theirs")
			b.ReportMetric(float64(ours)/float64(theirs), "ratio")
		})
	}
}
