package core

// Each target runs within a bound of time and memory (package bound): none hangs, and none
// makes more of its input than its size and the limits allow.

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/connectcore/connectcore/tests/bound"
)

// codecMemory is what a codec may allocate, in bytes, for an input of n bytes.
func codecMemory(n int) uint64 { return 512<<10 + 100*uint64(n) }

// Invariant: any bytes are JSON exactly where the standard library says so and they are UTF-8
// that is not nested too deeply; text that is read is the standard library's; parse(append(x)) = x
// for every text.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `[1,-2.5e+3,"a\u00e9\ud83d\ude00",null,true,{"a":[]}]`, "\"\xff\"", `[[[`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, codecMemory(len(b)), func() {
			r := jsonReader{b: b}
			r.skip()
			ok := r.end()
			if std := json.Valid(b) && utf8.Valid(b); ok && !std || std && !ok && maxDepth(b) <= jsonDepth {
				t.Fatalf("%q: %v, the standard library says %v", b, ok, std)
			}
			r = jsonReader{b: b}
			if text := r.text(nil); !r.failed {
				var std string
				if !utf8.Valid(text) || json.Unmarshal(b[:r.i], &std) != nil || std != string(text) {
					t.Fatalf("%q becomes %q, the standard library says %q", b[:r.i], text, std)
				}
			}
			r = jsonReader{b: AppendJSONString(nil, b)}
			if text := r.text(nil); !r.end() || !bytes.Equal(text, appendText(nil, b)) {
				t.Fatalf("%q written and read is %q", b, text)
			}
		})
	})
}

// maxDepth is how deep the brackets of a JSON text nest.
func maxDepth(b []byte) (deepest int) {
	depth, inside := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inside && c == '\\':
			i++
		case c == '"':
			inside = !inside
		case !inside && (c == '[' || c == '{'):
			depth++
			deepest = max(deepest, depth)
		case !inside && (c == ']' || c == '}'):
			depth--
		}
	}
	return deepest
}

func checkError(t *testing.T, e *Error) {
	t.Helper()
	if e.Code == OK || !e.Code.Valid() || !utf8.Valid(e.Message) {
		t.Fatalf("%d %q", e.Code, e.Message)
	}
	if _, ok := PairsOf(e.Details.Len(), e.Details.Bytes()); !ok {
		t.Fatalf("details %q", e.Details.Bytes())
	}
	for name := range e.Details.All {
		if len(name) == 0 || !utf8.Valid(name) || bytes.IndexByte(name, '/') >= 0 {
			t.Fatalf("detail of type %q", name)
		}
	}
}

// Invariant: any bytes are an error or are refused, and what is refused leaves nothing behind; an
// error never has code OK or a number that is no code, and its text is UTF-8; what is no JSON is
// never taken; parse(append(x)) = x for every error that can be read.
func FuzzConnectError(f *testing.F) {
	for _, s := range []string{
		`{"code":"unavailable","message":"m","details":[{"type":"a.B","value":"Zg=="},{"value":"\/\/4","type":"x\/y"}]}`,
		`{"code":null,"message":"\ud800"}`, `{}`, `null`, `{"code":"ok"}`, `{"details":[{}],"message":"m"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, codecMemory(len(b)), func() {
			e, again := dirty(), dirty()
			if !ParseError(b, Internal, e) {
				if !sameError(e, new(Error)) {
					t.Fatalf("refused, but %v %q", e.Code, e.Message)
				}
				return
			}
			checkError(t, e)
			if !json.Valid(b) {
				t.Fatal("not JSON, but taken")
			}
			text := AppendError(nil, e)
			if !ParseError(text, Unknown, again) || !sameError(e, again) {
				t.Fatalf("written as %s", text)
			}
		})
	})
}

// Invariant: any bytes are an end marker or are refused, and what is refused leaves nothing behind; a
// success has no error in it; trailers are legal fields and none of the protocol's; append(parse(x))
// parses to the same, and is then written the same.
func FuzzEndStream(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"error":{"code":"aborted","message":"m"},"metadata":{"A":["1","2"],"x-bin":["Zg,Zm8"],"a":[""]}}`,
		`{"error":null}`, `{"error":{}}`, `{"metadata":{"connect-x":["1"],"b":["\u0000"]}}`, `{"metadata":{"-bin":[""]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, codecMemory(len(b)), func() {
			e, again := dirtyEndStream(), dirtyEndStream()
			if !ParseEndStream(b, e) {
				if !sameEndStream(e, new(EndStream)) {
					t.Fatal("refused, but not empty")
				}
				return
			}
			if e.Failed {
				checkError(t, &e.Error)
			} else if !sameError(&e.Error, new(Error)) {
				t.Fatal("a success with an error")
			}
			if e.Trailers.Len() > 0 {
				if _, ok := FieldsOf(e.Trailers.Len(), e.Trailers.Bytes()); !ok {
					t.Fatalf("trailers %q", e.Trailers.Bytes())
				}
			}
			for name, value := range e.Trailers.All {
				if !ValidFieldName(name) || !ValidFieldValue(value) || ReservedTrailer(name) ||
					IsBinaryName(name) && AppendBinaryValues(new(Pairs), name, value) {
					t.Fatalf("trailer %q: %q", name, value)
				}
			}
			for name := range e.Binary.All {
				if !ValidFieldName(name) || ReservedTrailer(name) || !IsBinaryName(name) {
					t.Fatalf("binary trailer %q", name)
				}
			}
			if weigh(e.Trailers, e.Binary).tooMuch() {
				return // what was over the limit is gone
			}
			// Writing groups equal names, so only the second round is sure to be the same.
			text := endStream(nil, &e.Error, e.Trailers, e.Binary)
			if !ParseEndStream(text, again) || again.Failed != e.Failed || !sameError(&again.Error, &e.Error) ||
				again.Trailers.Len() != e.Trailers.Len() || again.Binary.Len() != e.Binary.Len() {
				t.Fatalf("written as %s", text)
			}
			if third := endStream(nil, &again.Error, again.Trailers, again.Binary); !bytes.Equal(third, text) {
				t.Fatalf("written as %s, then as %s", text, third)
			}
		})
	})
}

// Invariant: any bytes are a google.rpc.Status or are refused, and what is refused leaves nothing
// behind; parse(append(x)) = x for every status and for every text as grpc-message, which is
// printable ASCII on the wire and UTF-8 behind it, whatever came.
func FuzzStatus(f *testing.F) {
	for _, s := range []string{
		"\x08\x05\x12\x03abc\x1a\x1d\x0a\x17type.googleapis.com/a.B\x12\x02\xff\x00", "\x08\x11", "\x23\x08\x01\x24", "\x12\x02\xc3\x28",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, codecMemory(len(b)), func() {
			e, again := dirty(), dirty()
			if ParseStatus(b, e) {
				if e.Code != OK {
					checkError(t, e)
				}
				wire := AppendStatus(nil, e)
				if !ParseStatus(wire, again) || !sameError(e, again) {
					t.Fatalf("written as %q", wire)
				}
			} else if !sameError(e, new(Error)) {
				t.Fatal("refused, but not empty")
			}
			text := appendText(nil, b)
			wire := AppendGRPCMessage(nil, text)
			for _, c := range wire {
				if c < ' ' || c > '~' {
					t.Fatalf("%q on the wire", wire)
				}
			}
			if got := AppendDecodeGRPCMessage(nil, wire); !bytes.Equal(got, text) {
				t.Fatalf("%q becomes %q and then %q", text, wire, got)
			}
			if got := AppendDecodeGRPCMessage([]byte("x"), b); got[0] != 'x' || !utf8.Valid(got) {
				t.Fatalf("%q becomes %q", b, got)
			}
		})
	})
}

// Invariant: any bytes name a protocol, stream type and codec or are refused, and what is refused
// leaves nothing behind; parse(append(x)) = x.
func FuzzContentType(f *testing.F) {
	for _, s := range []string{
		"application/json; charset=\"utf-8\"", "application/connect+proto", "Application/GRPC", "application/grpc-web-text+json;a=b", "a/b",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, codecMemory(len(b)), func() {
			ct, ok := ParseContentType(b)
			if !ok {
				if ct.Codec != nil || ct.Protocol != 0 {
					t.Fatal("refused, but not empty")
				}
				return
			}
			again, ok := ParseContentType(ct.dialect.appendType(nil, string(ct.Codec)))
			if !ok || again.Protocol != ct.Protocol || again.Stream != ct.Stream || again.Text != ct.Text || !bytes.Equal(again.Codec, ct.Codec) {
				t.Fatalf("%q: %+v, then %+v", b, ct, again)
			}
		})
	})
}

// Invariant: any bytes are a timeout or are refused; parse(append(x)) = x, but for what gRPC's eight
// digits round up; a timeout that is sent is never shorter than the one that is meant.
func FuzzTimeouts(f *testing.F) {
	f.Add([]byte("5000"), uint64(1))
	f.Add([]byte("99999999H"), uint64(1)<<63)
	f.Add([]byte("-1"), uint64(99_999_999_001))
	f.Fuzz(func(t *testing.T, b []byte, us uint64) {
		bound.Within(t, codecMemory(len(b)), func() {
			if got, ok := ParseConnectTimeout(b); ok {
				if again, ok := ParseConnectTimeout(AppendConnectTimeout(nil, got)); !ok || again != got {
					t.Fatalf("%q is %d us, then %d", b, got, again)
				}
			}
			if got, ok := ParseGRPCTimeout(b); ok {
				again, ok := ParseGRPCTimeout(AppendGRPCTimeout(nil, got))
				if !ok || again < got || again > got+got/1000+3_600_000_000 && got > 99_999_999 || got <= 99_999_999 && again != got {
					t.Fatalf("%q is %d us, then %d", b, got, again)
				}
			}
			// What is sent is never shorter than what is left, unless it is too long to say.
			if got, ok := ParseConnectTimeout(AppendConnectTimeout(nil, us)); !ok || got < min(us, connectTimeoutMax*1000) {
				t.Fatalf("Connect: %d us are sent as %d", us, got)
			}
			if got, ok := ParseGRPCTimeout(AppendGRPCTimeout(nil, us)); !ok || got < min(us, grpcTimeoutMax*3_600_000_000) {
				t.Fatalf("gRPC: %d us are sent as %d", us, got)
			}
		})
	})
}

// Invariant: any bytes are a query or have a fault, the query stays as it is, and nothing of one is
// left over in the next; parse(append(x)) = x.
func FuzzGet(f *testing.F) {
	for _, s := range []string{
		"connect=v1&base64=1&compression=gzip&encoding=proto&message=__4", "message=%7B%22a%22%3A+1%7D&encoding=json", "message=%&encoding=", "base64=1&message=Zg%3D%3D&encoding=x",
	} {
		f.Add([]byte(s))
	}
	var q GetQuery // one for all: nothing may be left over in it
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, codecMemory(len(b)), func() {
			whole := bytes.Clone(b)
			fault := ParseGet(b, &q)
			if !bytes.Equal(b, whole) {
				t.Fatal("the query was changed")
			}
			var fresh GetQuery
			if again := ParseGet(b, &fresh); again != fault || !bytes.Equal(fresh.Message, q.Message) || !bytes.Equal(fresh.Codec, q.Codec) ||
				!bytes.Equal(fresh.Compression, q.Compression) || fresh.HasVersion != q.HasVersion {
				t.Fatalf("%v with memory of %v", again, fault)
			}
			if fault != GetOK {
				return
			}
			query := AppendGet(nil, string(q.Codec), string(q.Compression), q.Message)
			if again := ParseGet(query, &fresh); again != GetOK || !bytes.Equal(fresh.Message, q.Message) ||
				!bytes.Equal(fresh.Codec, q.Codec) || !bytes.Equal(fresh.Compression, q.Compression) {
				t.Fatalf("written as %s: %v", query, again)
			}
		})
	})
}

// Invariant: any bytes are base64 exactly where the standard library's strict reader says so, with
// the same result; what is refused adds nothing; parse(append(x)) = x.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"Zm9vYg==", "Zm9vYg", "_-8", "+/8=", "Zh", "Zg,Zm8 , ,Zm9v"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, codecMemory(len(b)), func() {
			for _, c := range []struct {
				append  func(dst, src []byte) []byte
				parse   func(dst, src []byte) ([]byte, bool)
				encoder *base64.Encoding
			}{{AppendBase64, AppendDecodeBase64, base64.StdEncoding}, {AppendBase64URL, AppendDecodeBase64URL, base64.URLEncoding}} {
				raw := c.encoder.WithPadding(base64.NoPadding)
				if text := c.append(nil, b); string(text) != raw.EncodeToString(b) {
					t.Fatalf("%q becomes %q", b, text)
				} else if back, ok := c.parse(nil, text); !ok || !bytes.Equal(back, b) {
					t.Fatalf("%q becomes %q and then %q", b, text, back)
				}
				want, err := raw.Strict().DecodeString(string(b))
				if err != nil {
					want, err = c.encoder.Strict().DecodeString(string(b))
				}
				legal := err == nil && bytes.IndexAny(b, "\r\n") < 0
				got, ok := c.parse([]byte("x"), b)
				if ok != legal || ok && string(got) != "x"+string(want) || !ok && string(got) != "x" {
					t.Fatalf("%q: %q, %v, the standard library says %q, %v", b, got, ok, want, err)
				}
			}
			p := newPairs("before", "1")
			if !AppendBinaryValues(&p, []byte("a-bin"), b) && p.Len() != 1 {
				t.Fatal("refused, but something was added")
			}
			if _, ok := PairsOf(p.Len(), p.Bytes()); !ok {
				t.Fatalf("%q", p.Bytes())
			}
		})
	})
}

// Invariant: any bytes are a list of fields, of pairs, or are refused; append(parse(x)) = x.
func FuzzFieldsAndPairs(f *testing.F) {
	f.Add(2, []byte("a\x001\x00b\x002"))
	f.Add(1, []byte("\x01\x00\x00\x00\x01\x00\x00\x00ab"))
	f.Fuzz(func(t *testing.T, n int, b []byte) {
		bound.Within(t, codecMemory(len(b)), func() {
			if fields, ok := FieldsOf(n, b); ok {
				var again Fields
				for name, value := range fields.All {
					again.Add(name, value)
				}
				if !bytes.Equal(again.Bytes(), b) || again.Len() != n {
					t.Fatalf("%q becomes %q", b, again.Bytes())
				}
			}
			if pairs, ok := PairsOf(n, b); ok {
				var again Pairs
				for x, y := range pairs.All {
					again.Add(x, y)
				}
				if !bytes.Equal(again.Bytes(), b) || again.Len() != n {
					t.Fatalf("%q becomes %q", b, again.Bytes())
				}
			}
		})
	})
}

// Invariant: any bytes choose a coding that is offered and asked for, or none.
func FuzzNegotiateCoding(f *testing.F) {
	f.Add([]byte("gzip;q=0.5, br, *;q=0, identity;q=1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, codecMemory(len(b)), func() {
			codings := []string{"gzip", "br"}
			if i := NegotiateCoding(b, codings); i < 0 || i > 2 {
				t.Fatal(i)
			} else if i > 0 && bytes.IndexByte(b, '*') < 0 && !bytes.Contains(bytes.ToLower(b), []byte(codings[i-1])) {
				t.Fatalf("%s was not asked for", codings[i-1])
			}
			if i := CodingIndex(b, codings); i < -1 || i > 2 {
				t.Fatal(i)
			}
		})
	})
}

// Invariant: any bytes inflate exactly as the standard library says, to at most the limit, or are
// refused, and what is refused adds nothing; parse(append(x)) = x, by our reader and by another.
func FuzzGunzip(f *testing.F) {
	for name, src := range samples() {
		if len(src) < 5000 || name == "deep" {
			f.Add(stdGzip(src, 6)[gzipHeadSize:], uint16(5000))
		}
	}
	f.Add([]byte("\x03\x02\x00"), uint16(9))
	var z Gzip
	f.Fuzz(func(t *testing.T, b []byte, limit uint16) {
		bound.Within(t, 4<<20+100*uint64(len(b)), func() {
			// Raw DEFLATE against the standard library, which knows no sums here: most
			// changed bytes would otherwise end at the sum.
			checkInflate(t, b, int(limit))
			out, err := z.Decompress([]byte("x"), append([]byte(gzipHead), b...), int(limit))
			if err != nil && (err != ErrMalformed && err != ErrTooLarge || string(out) != "x") {
				t.Fatalf("%v, %q", err, out)
			}
			if len(out)-1 > int(limit) {
				t.Fatal("over the limit")
			}
			packed := z.Compress(nil, b)
			if back, err := z.Decompress(nil, packed, len(b)); err != nil || !bytes.Equal(back, b) {
				t.Fatal(err)
			}
			if back, err := stdGunzip(packed); err != nil || !bytes.Equal(back, b) {
				t.Fatal(err)
			}
		})
	})
}
