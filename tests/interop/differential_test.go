package interop

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

// readMax is the limit of both servers.
const readMax = 1000

// exchange is one request and, where the two servers are meant to answer
// differently, what ours answers and why.
type exchange struct {
	name    string
	method  string // POST where empty
	target  string // the unary procedure where empty
	header  map[string]string
	opening []byte // a message that is answered before the body is sent, if any
	body    []byte
	differs string // our outcome
	reason  string
}

// ask makes the request and reads the whole of the answer.
func (e *exchange) ask(t *testing.T, client *http.Client, url string) (response *http.Response, content []byte) {
	t.Helper()
	method, target := e.method, e.target
	if method == "" {
		method = http.MethodPost
	}
	if target == "" {
		target = unaryPath
	}
	var body io.Reader = bytes.NewReader(e.body)
	pipeEnd, pipe := io.Pipe()
	if e.opening != nil {
		body = io.MultiReader(bytes.NewReader(e.opening), pipeEnd)
	}
	r, err := http.NewRequestWithContext(soon(t), method, url+target, body)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range e.header {
		r.Header[http.CanonicalHeaderKey(name)] = []string{value}
	}
	if response, err = client.Do(r); err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	var first bytes.Buffer
	if e.opening != nil {
		skipMessage(io.TeeReader(response.Body, &first))
		go func() {
			_, _ = pipe.Write(e.body) // the server may have answered, and take no more
			_ = pipe.Close()
		}()
	}
	if content, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response, append(first.Bytes(), content...)
}

// outcome is what of an answer is compared: the status, the code of an error, the
// content type, the fields that a refusal needs, and the content of a success.
func outcome(t *testing.T, response *http.Response, content []byte) string {
	t.Helper()
	result := fmt.Sprint(response.StatusCode)
	var failure struct{ Code string }
	switch {
	case response.StatusCode == http.StatusOK && strings.HasPrefix(response.Header.Get("Content-Type"), streamTypes):
		result += " " + response.Header.Get("Content-Type") + envelopes(t, content)
	case response.StatusCode == http.StatusOK && strings.HasPrefix(response.Header.Get("Content-Type"), grpcTypes):
		result += " " + response.Header.Get("Content-Type") + envelopes(t, content)
		if status := response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status"); status != "" {
			result += " status:" + status
		}
	case response.StatusCode == http.StatusOK:
		result += fmt.Sprintf(" %s %x", response.Header.Get("Content-Type"), content)
	case response.Header.Get("Content-Type") == "application/json" && json.Unmarshal(content, &failure) == nil:
		result += " " + failure.Code
	}
	if allow := response.Header.Get("Allow"); allow != "" {
		result += " allow"
	}
	if post := response.Header.Get("Accept-Post"); post != "" {
		result += " accept-post"
	}
	return result
}

const (
	streamTypes = "application/connect+"
	grpcTypes   = "application/grpc"
)

// envelopes describes the messages of a stream, compressed or not, and the code
// of its end.
func envelopes(t *testing.T, content []byte) (result string) {
	t.Helper()
	for len(content) >= 5 {
		flags, size := content[0], binary.BigEndian.Uint32(content[1:])
		if uint64(size) > uint64(len(content)-5) {
			break
		}
		payload := content[5 : 5+size]
		content = content[5+size:]
		if flags&1 != 0 {
			payload = unzipped(t, payload)
		}
		if flags&0x80 != 0 {
			_, status, _ := strings.Cut(strings.ToLower(string(payload)), "grpc-status: ")
			status, _, _ = strings.Cut(status, "\r\n")
			result += " status:" + status
			continue
		}
		if flags&2 == 0 {
			result += fmt.Sprintf(" %x", payload)
			continue
		}
		var end struct{ Error struct{ Code string } }
		if err := json.Unmarshal(payload, &end); err != nil {
			t.Errorf("the end of the stream is no JSON: %q", payload)
		}
		result += " end:" + end.Error.Code
	}
	if len(content) > 0 {
		result += fmt.Sprintf(" and %d bytes", len(content))
	}
	return result
}

func unzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// enveloped is one message of a stream.
func enveloped(flags byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(payload))), payload...)
}

func encoded(value string) []byte {
	b, err := proto.Marshal(wrapperspb.String(value))
	if err != nil {
		panic(err)
	}
	return b
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func headers(pairs ...string) map[string]string {
	m := map[string]string{"content-type": "application/proto", "connect-protocol-version": "1", "accept-encoding": "identity"}
	for i := 0; i < len(pairs); i += 2 {
		if m[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(m, pairs[i])
		}
	}
	return m
}

func get(query string) exchange {
	return exchange{name: "GET " + query, method: http.MethodGet, target: safePath + "?" + query,
		header: map[string]string{"accept-encoding": "identity"}}
}

func (e exchange) but(ours, reason string) exchange {
	e.differs, e.reason = ours, reason
	return e
}

// grpcExchanges are unary calls of gRPC, or of gRPC-Web.
func grpcExchanges(contentType string) []exchange {
	good := encoded("hello")
	call := func(name string, body []byte, pairs ...string) exchange {
		h := headers(append([]string{"content-type", contentType, "te", "trailers", "connect-protocol-version", ""}, pairs...)...)
		return exchange{name: contentType + ": " + name, header: h, body: body}
	}
	const malformed = "a request that is malformed is the client's fault, and not ours: invalid_argument"
	return []exchange{
		call("good", enveloped(0, good)),
		call("no codec", enveloped(0, good), "content-type", strings.TrimSuffix(contentType, "+proto")).but(
			"200 "+contentType+" 0a0548454c4c4f status:0",
			"gRPC over HTTP/2, Content-Type: without a codec it is proto, which the answer names"),
		call("JSON", enveloped(0, []byte(`"hello"`)), "content-type", strings.TrimSuffix(contentType, "proto")+"json"),
		call("unknown codec", enveloped(0, good), "content-type", strings.TrimSuffix(contentType, "proto")+"thrift"),
		call("empty", enveloped(0, nil)),
		call("gzip", enveloped(1, zipped(good)), "grpc-encoding", "gzip"),
		call("gzip both ways", enveloped(1, zipped(good)), "grpc-encoding", "gzip", "grpc-accept-encoding", "gzip"),
		call("gzip not used", enveloped(0, good), "grpc-encoding", "gzip"),
		call("broken gzip", enveloped(1, good), "grpc-encoding", "gzip"),
		call("compressed without a compression", enveloped(1, zipped(good))),
		call("unknown compression", enveloped(0, good), "grpc-encoding", "lzma"),
		call("nothing", nil),
		call("cut off", enveloped(0, good)[:8]).but("200 "+contentType+" status:3", malformed),
		call("prefix cut off", enveloped(0, good)[:3]).but("200 "+contentType+" status:3", malformed),
		call("two messages", append(enveloped(0, good), enveloped(0, good)...)),
		call("malformed proto", enveloped(0, []byte("\x0a\xff"))),
		call("at the limit", enveloped(0, encoded(strings.Repeat("x", readMax-3)))),
		call("over the limit", enveloped(0, encoded(strings.Repeat("x", readMax)))),
		call("length of 4 GiB", []byte("\x00\xff\xff\xff\xff")),
		call("over the limit when decompressed", enveloped(1, zipped(encoded(strings.Repeat("x", readMax)))), "grpc-encoding", "gzip"),
		call("timeout", enveloped(0, good), "grpc-timeout", "10S"),
		call("timeout without a unit", enveloped(0, good), "grpc-timeout", "10"),
		call("timeout of another unit", enveloped(0, good), "grpc-timeout", "10s"),
		call("negative timeout", enveloped(0, good), "grpc-timeout", "-1S"),
		call("zero timeout", enveloped(0, good), "grpc-timeout", "0S"),
		call("timeout of 9 digits", enveloped(0, good), "grpc-timeout", "123456789S"),
		call("RPC error", enveloped(0, encoded(askFail))),
		call("plain error", enveloped(0, encoded(askPlain))),
	}
}

func exchanges() []exchange {
	good := encoded("hello")
	post := func(name string, body []byte, pairs ...string) exchange {
		return exchange{name: name, header: headers(pairs...), body: body}
	}
	stream := func(name string, body []byte, pairs ...string) exchange {
		return exchange{name: "stream: " + name, target: serverPath, body: body,
			header: headers(append([]string{"content-type", streamTypes + "proto"}, pairs...)...)}
	}
	return []exchange{
		post("proto", good),
		post("JSON", []byte(`"hello"`), "content-type", "application/json"),
		post("JSON with a charset", []byte(`"hello"`), "content-type", "application/json; charset=utf-8").but(
			"200 application/json 2248454c4c4f22",
			"RFC 8259 section 11: application/json has no charset parameter, so the answer names none"),
		post("JSON in capitals", []byte(`"hello"`), "content-type", "Application/JSON"),
		post("JSON in Latin-1", []byte(`"hello"`), "content-type", "application/json; charset=latin1"),
		post("proto with a parameter", good, "content-type", "application/proto; v=1").but(
			"200 application/proto 0a0548454c4c4f",
			"RFC 9110 section 8.3.1: a parameter that is not known does not change the media type"),
		post("no content type", good, "content-type", ""),
		post("text", good, "content-type", "text/plain"),
		post("stream's type", good, "content-type", "application/connect+proto"),
		post("unknown codec", good, "content-type", "application/xml"),
		{name: "PUT", method: http.MethodPut, header: headers(), body: good},
		{name: "DELETE", method: http.MethodDelete, header: headers()},
		{name: "GET with side effects", method: http.MethodGet, target: unaryPath + "?connect=v1&encoding=json&message=%22x%22", header: headers()},
		{name: "unknown path", target: "/interop.v1.Interop/None", header: headers(), body: good},
		{name: "slash behind", target: unaryPath + "/", header: headers(), body: good},
		post("no version", good, "connect-protocol-version", ""),
		post("version 2", good, "connect-protocol-version", "2"),
		post("timeout", good, "connect-timeout-ms", "10000"),
		post("timeout of 10 digits", good, "connect-timeout-ms", "9999999999"),
		post("timeout of 11 digits", good, "connect-timeout-ms", "10000000000"),
		post("negative timeout", good, "connect-timeout-ms", "-1"),
		post("timeout with a plus", good, "connect-timeout-ms", "+5").but(
			"400 invalid_argument",
			"Connect Timeout-Milliseconds: an integer of at most 10 digits; a sign is none"),
		post("timeout with a unit", good, "connect-timeout-ms", "5s"),
		post("zero timeout", good, "connect-timeout-ms", "0"),
		post("gzip", zipped(good), "content-encoding", "gzip").but(
			"200 application/proto 0a0548454c4c4f",
			"RFC 9110 section 12.5.3: the request accepts identity only; that it was compressed itself says nothing else"),
		post("identity named", good, "content-encoding", "identity"),
		post("broken gzip", good, "content-encoding", "gzip"),
		post("gzip cut off", zipped(good)[:20], "content-encoding", "gzip"),
		post("gzip of nothing", nil, "content-encoding", "gzip").but(
			"200 application/proto ",
			"RFC 9110 section 12.5.3, as above"),
		post("unknown compression", good, "content-encoding", "lzma"),
		post("malformed proto", []byte("\x0a\xff")),
		post("malformed JSON", []byte(`"hello`), "content-type", "application/json"),
		post("JSON and more", []byte(`"hello" "again"`), "content-type", "application/json"),
		post("JSON of nothing", nil, "content-type", "application/json"),
		post("JSON of another type", []byte(`{"a": 1}`), "content-type", "application/json"),
		post("text that is not UTF-8", []byte("\x0a\x02\xff\xfe")),
		post("nothing", nil),
		post("at the limit", encoded(strings.Repeat("x", readMax-3))),
		post("over the limit", encoded(strings.Repeat("x", readMax))),
		post("over the limit when decompressed", zipped(encoded(strings.Repeat("x", readMax))), "content-encoding", "gzip"),
		post("RPC error", encoded(askFail)),
		post("plain error", encoded(askPlain)),
		post("byte 0xFF in a field", good, "x-latin", "caf\xe9"),
		get("connect=v1&encoding=json&message=%22hello%22"),
		get("connect=v1&encoding=proto&base64=1&message=CgVoZWxsbw"),
		get("connect=v1&encoding=proto&base64=1&message=CgVoZWxsbw=="),
		get("connect=v1&encoding=proto&base64=1&message=%2B%2B%2F%2F").but(
			"400 invalid_argument",
			"Connect Unary-Get-Request: base64 is the URL-safe alphabet; malformed content is the client's fault"),
		get("connect=v1&encoding=proto&base64=1&message=C!").but(
			"400 invalid_argument",
			"malformed content is the client's fault, and known to be"),
		get("connect=v1&encoding=proto&base64=0&message=%0A%05hello"),
		get("encoding=json&message=%22hello%22"),
		get("connect=v2&encoding=json&message=%22hello%22"),
		get("connect=v1&message=%22hello%22"),
		get("connect=v1&encoding=xml&message=%22hello%22"),
		get("connect=v1&encoding=json"),
		get("connect=v1&encoding=json&message=%22%ff%22"),
		get("connect=v1&encoding=json&message=%2"),
		get("connect=v1&encoding=json&message=%22hello%22&compression=lzma"),
		get("connect=v1&encoding=json&message=%22hello%22&compression=identity"),
		get("connect=v1&encoding=json&message=%22" + strings.Repeat("x", readMax) + "%22"),
		stream("one message", enveloped(0, good)),
		stream("JSON", enveloped(0, []byte(`"hello"`)), "content-type", streamTypes+"json"),
		stream("RPC error", enveloped(0, encoded(askFail))),
		stream("plain error", enveloped(0, encoded(askPlain))),
		stream("no message", nil),
		stream("two messages", append(enveloped(0, good), enveloped(0, good)...)),
		stream("prefix cut off", enveloped(0, good)[:3]).but(
			"200 application/connect+proto end:invalid_argument",
			"malformed content is the client's fault, and known to be"),
		stream("message cut off", enveloped(0, good)[:8]).but(
			"200 application/connect+proto end:invalid_argument",
			"malformed content is the client's fault, and known to be"),
		stream("unknown flag", enveloped(8, good)).but(
			"200 application/connect+proto end:invalid_argument",
			"malformed content is the client's fault, and known to be"),
		stream("end marker from a client", append(enveloped(0, good), enveloped(2, []byte("{}"))...)).but(
			"200 application/connect+proto end:invalid_argument",
			"Connect Streaming-Request: only a response has an end marker"),
		stream("compressed without a compression", enveloped(1, zipped(good))),
		stream("gzip", enveloped(1, zipped(good)), "connect-content-encoding", "gzip"),
		stream("gzip not used", enveloped(0, good), "connect-content-encoding", "gzip"),
		stream("broken gzip", enveloped(1, good), "connect-content-encoding", "gzip"),
		stream("unknown compression", enveloped(0, good), "connect-content-encoding", "lzma"),
		stream("malformed proto", enveloped(0, []byte("\x0a\xff"))),
		stream("at the limit", enveloped(0, encoded(strings.Repeat("x", readMax-3)))),
		stream("over the limit", enveloped(0, encoded(strings.Repeat("x", readMax)))),
		stream("length of 4 GiB", []byte("\x00\xff\xff\xff\xff")),
		stream("over the limit when decompressed", enveloped(1, zipped(encoded(strings.Repeat("x", readMax)))), "connect-content-encoding", "gzip"),
		stream("negative timeout", enveloped(0, good), "connect-timeout-ms", "-1"),
		stream("zero timeout", enveloped(0, good), "connect-timeout-ms", "0").but(
			"200 application/connect+proto end:deadline_exceeded",
			"a deadline that has passed ends the call before the handler runs, whatever that would look at"),
		stream("version 2", enveloped(0, good), "connect-protocol-version", "2"),
		stream("unary's type", good, "content-type", "application/proto"),
	}
}

// Both servers answer the same, but for the differences that are listed.
func TestDifferential(t *testing.T) {
	v := versions[0]
	client := v.client(t)
	oursURL := v.serve(t, ours(t, hostgo.HandlerOptions{ReadMax: readMax}))
	theirsURL := v.serve(t, Theirs(connect.WithReadMaxBytes(readMax)))
	all := append(exchanges(), grpcExchanges("application/grpc+proto")...)
	for _, e := range append(all, grpcExchanges("application/grpc-web+proto")...) {
		t.Run(e.name, func(t *testing.T) {
			of := func(url string) string {
				response, content := e.ask(t, client, url)
				return outcome(t, response, content)
			}
			mine, other := of(oursURL), of(theirsURL)
			switch {
			case e.differs == "" && mine != other:
				t.Errorf("we answer %s, connect-go answers %s", mine, other)
			case e.differs != "" && mine != e.differs:
				t.Errorf("we answer %s, want %s (connect-go: %s)", mine, e.differs, other)
			case e.differs != "" && mine == other:
				t.Errorf("both answer %s: the difference is gone (%s)", mine, e.reason)
			}
		})
	}
}
