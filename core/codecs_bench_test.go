package core

import (
	"bytes"
	"testing"
)

// TestCodecsAllocateNothing: in the steady state, with buffers that have grown.
func TestCodecsAllocateNothing(t *testing.T) {
	var (
		buf     []byte
		e       Error
		es      EndStream
		q       GetQuery
		f       Fields
		p       Pairs
		text    = []byte(`{"code":"unavailable","message":"a \"b\"","details":[{"type":"a.B","value":"CgIIPA"}]}`)
		marker  = []byte(`{"error":{"code":"aborted","message":"m"},"metadata":{"A":["1","2"],"x-bin":["Zg,Zm8"]}}`)
		query   = []byte("connect=v1&base64=1&encoding=json&message=eyJuYW1lIjoiQnVmIn0")
		accept  = []byte("gzip;q=0.5, br, identity")
		codings = []string{"br", "gzip"}
		json    = []byte("application/json; charset=utf-8")
		message = []byte("a \"message\" with ü and 100%")
		status  = AppendStatus(nil, newError(NotFound, "m", "a.B", "x"))
		name    = []byte("content-type")
	)
	for _, c := range []struct {
		what string
		run  func()
	}{
		{"ParseError", func() { ParseError(text, Unknown, &e) }},
		{"AppendError", func() { buf = AppendError(buf[:0], &e) }},
		{"ParseEndStream", func() { ParseEndStream(marker, &es) }},
		{"AppendEndStream", func() { buf = AppendEndStream(buf[:0], &es.Error, es.Trailers) }},
		{"ParseStatus", func() { ParseStatus(status, &e) }},
		{"AppendStatus", func() { buf = AppendStatus(buf[:0], &e) }},
		{"gRPC message", func() { buf = AppendDecodeGRPCMessage(AppendGRPCMessage(buf[:0], message), message) }},
		{"ParseGet", func() { ParseGet(query, &q) }},
		{"AppendGet", func() { buf = AppendGet(buf[:0], "proto", "gzip", message) }},
		{"ParseContentType", func() { ParseContentType(json) }},
		{"AppendContentType", func() { buf = grpc.appendType(buf[:0], "proto") }},
		{"NegotiateCoding", func() { NegotiateCoding(accept, codings) }},
		{"timeouts", func() { buf = AppendGRPCTimeout(AppendConnectTimeout(buf[:0], 1500), 1500) }},
		{"reserved names", func() { ReservedRequest(name); ReservedResponse(name); ReservedTrailer(name) }},
		{"fields and pairs", func() {
			f.Reset()
			f.Add(name, json)
			f.addUint("x", 7)
			f.Get("x")
			p.Reset()
			p.Add(name, json)
			AppendBinaryValues(&p, name, []byte("Zg,Zm8"))
			for range p.All {
			}
		}},
	} {
		if n := testing.AllocsPerRun(100, c.run); n != 0 {
			t.Errorf("%s: %v allocations", c.what, n)
		}
	}
}

func BenchmarkParseError(b *testing.B) {
	text := []byte(`{"code":"unavailable","message":"overloaded: back off and retry","details":[{"type":"google.rpc.RetryInfo","value":"CgIIPA"}]}`)
	var e Error
	b.ReportAllocs()
	for b.Loop() {
		ParseError(text, Unknown, &e)
	}
}

func BenchmarkAppendError(b *testing.B) {
	e := newError(Unavailable, "overloaded: back off and retry", "google.rpc.RetryInfo", "\n\x02\b<")
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendError(buf[:0], e)
	}
}

func BenchmarkParseEndStream(b *testing.B) {
	text := []byte(`{"metadata":{"acme-operation-cost":["237"],"x-bin":["Zm9v"]}}`)
	var e EndStream
	b.ReportAllocs()
	for b.Loop() {
		ParseEndStream(text, &e)
	}
}

func BenchmarkParseContentType(b *testing.B) {
	text := []byte("application/connect+proto")
	b.ReportAllocs()
	for b.Loop() {
		ParseContentType(text)
	}
}

func BenchmarkReservedRequest(b *testing.B) {
	names := bytes.Fields([]byte("host user-agent content-type connect-protocol-version accept-encoding content-length x-request-id"))
	b.ReportAllocs()
	for b.Loop() {
		for _, name := range names {
			ReservedRequest(name)
		}
	}
}

func BenchmarkParseGet(b *testing.B) {
	query := []byte("connect=v1&base64=1&encoding=json&message=eyJuYW1lIjoiQnVmIn0")
	var q GetQuery
	b.ReportAllocs()
	for b.Loop() {
		ParseGet(query, &q)
	}
}

func BenchmarkDecodeBase64(b *testing.B) {
	text := AppendBase64URL(nil, make([]byte, 3000))
	var buf []byte
	b.SetBytes(3000)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AppendDecodeBase64URL(buf[:0], text)
	}
}
