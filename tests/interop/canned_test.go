package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Generated responses: each content with each end, and each kind of head, at each
// moment of the request.

// canned is a response.
type canned struct {
	status   int
	hints    bool // an informational response comes before it
	fields   http.Header
	body     []byte
	trailers [][2]string
	breaks   bool // it is reset where it should end
	// moment is when it comes; opening is a message for the first of the request's.
	moment  moment
	opening []byte
}

// moment is when a response comes, next to the request.
type moment string

const (
	late  moment = "behind the request"
	talk  moment = "in a conversation"           // the request's first message is answered by one, its second by the rest
	first moment = "behind the first message"    // of the request, which has another one
	once  moment = "at once"                     // behind the request's head
	split moment = "at once, its end when asked" // its end is behind the request's
)

// cannedServer gives the response that was put last.
type cannedServer struct{ atomic.Pointer[canned] }

func (s *cannedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := s.Load()
	if r.ProtoMajor == 1 {
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	flush := func(b []byte) {
		_, _ = w.Write(b)
		_ = http.NewResponseController(w).Flush()
	}
	switch c.moment {
	case late:
		_, _ = io.Copy(io.Discard, r.Body)
	case talk, first:
		skipMessage(r.Body)
	}
	for name, values := range c.fields {
		w.Header()[name] = values
	}
	if c.hints {
		w.WriteHeader(http.StatusEarlyHints)
	}
	w.WriteHeader(c.status)
	if c.moment == talk {
		flush(c.opening)
		skipMessage(r.Body)
	}
	flush(c.body)
	if c.moment == split {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	if c.breaks {
		panic(http.ErrAbortHandler)
	}
	for _, trailer := range c.trailers {
		w.Header().Add(http.TrailerPrefix+trailer[0], trailer[1])
	}
}

// skipMessage reads one message of a stream.
func skipMessage(r io.Reader) {
	var prefix [5]byte
	if _, err := io.ReadFull(r, prefix[:]); err == nil {
		_, _ = io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint32(prefix[1:])))
	}
}

// What a response says of the outcome.
const (
	saidText   = "not now: é"
	rawText    = "not%2"           // broken there
	spelled    = "not now: %C3%A9" // in grpc-message
	trailText  = "one"
	leadText   = "two"
	trailBytes = "\x00\xff\x0a"
)

func unpadded(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// statusOf is an error as a google.rpc.Status.
func statusOf(err error) string {
	b, err := proto.Marshal(status.Convert(err).Proto())
	if err != nil {
		panic(err)
	}
	return unpadded(b)
}

// end is how a response ends: what it says of the outcome, in each protocol's form.
type end struct {
	name string
	of   func(f *form, c *canned)
	rare bool // only some contents come with it
}

// block is trailers in the content of gRPC-Web.
func block(text string) []byte { return enveloped(0x80, []byte(text)) }

// ending is the last envelope of a response that has one.
func ending(f *form, text string) []byte {
	if f.isWeb() {
		return block(text)
	}
	return enveloped(2, []byte(text))
}

// fields of a status, and lines of gRPC-Web's block.
type statusFields [][2]string

func (s statusFields) String() string {
	var b strings.Builder
	for _, field := range s {
		fmt.Fprintf(&b, "%s: %s\r\n", field[0], field[1])
	}
	return b.String()
}

func (s statusFields) with(name, value string) statusFields {
	return append(slices.Clip(s), [2]string{name, value})
}

// saying ends a response with the fields of gRPC, or with Connect's error, if there
// is one, and metadata.
func saying(fields statusFields, failure string) func(f *form, c *canned) {
	return func(f *form, c *canned) {
		switch {
		case f.isWeb():
			c.body = append(c.body, block(fields.String())...)
		case f.grpc():
			c.trailers = append(c.trailers, fields...)
		case f.envelopes:
			marker := "{" + connectMetadata + "}"
			if failure != "" {
				marker = `{"error":` + failure + "," + marker[1:]
			}
			c.body = append(c.body, enveloped(2, []byte(marker))...)
		case failure != "":
			c.status, c.body = http.StatusBadRequest, []byte(failure)
			c.fields.Set("content-type", "application/json")
		}
		if !f.envelopes {
			c.fields.Set("trailer-x-trail", trailText)
			c.fields.Set("trailer-x-trail-bin", unpadded([]byte(trailBytes)))
		}
	}
}

// sayingInLast ends a response of gRPC-Web or of a Connect stream with an envelope of
// these bytes; others end with these fields.
func sayingInLast(web, connect []byte, fields statusFields) func(f *form, c *canned) {
	return func(f *form, c *canned) {
		switch {
		case f.isWeb():
			c.body = append(c.body, web...)
		case f.grpc():
			c.trailers = append(c.trailers, fields...)
		default:
			c.body = append(c.body, connect...)
		}
	}
}

func (f *form) isWeb() bool { return strings.HasPrefix(f.contentType, grpcTypes+"-web") }

const connectMetadata = `"metadata":{"x-trail":["one"],"x-trail-bin":["AP8K"]}`

var (
	wellGRPC = statusFields{{"grpc-status", "0"}}.trailed()
	failGRPC = statusFields{{"grpc-status", "9"}, {"grpc-message", spelled}}.trailed()
)

// trailed adds trailing metadata.
func (s statusFields) trailed() statusFields {
	return s.with("x-trail", trailText).with("x-trail-bin", unpadded([]byte(trailBytes)))
}

// failure is an error of Connect's, with more members than these.
func failure(code, more string) string {
	return fmt.Sprintf(`{"code":%q,"message":%q%s}`, code, saidText, more)
}

// failureEnd is the end marker for it.
func failureEnd(code string) string {
	return `{"error":` + failure(code, "") + "," + connectMetadata + "}"
}

func goodEnd() end {
	return end{name: "a good end", of: saying(wellGRPC, "")}
}

// shortEnds are those that each content has at each moment.
func shortEnds() []end {
	detail := fmt.Sprintf(`,"details":[{"type":"google.protobuf.Int64Value","value":%q}]`, unpadded([]byte("\x08\x2a")))
	return []end{
		goodEnd(),
		{name: "no end", of: func(*form, *canned) {}},
		{name: "an error", of: saying(failGRPC, failure("failed_precondition", ""))},
		{name: "an error with details",
			of: saying(failGRPC.with("grpc-status-details-bin", statusOf(failureGRPC())), failure("failed_precondition", detail))},
		{name: "a reset", of: func(_ *form, c *canned) { c.breaks = true }},
	}
}

func ends() []end {
	both := func(web, connect string, fields statusFields) func(f *form, c *canned) {
		return sayingInLast(block(web), enveloped(2, []byte(connect)), fields)
	}
	said := func(value string) statusFields {
		return statusFields{{"grpc-status", value}, {"grpc-message", spelled}}
	}
	all := append(shortEnds(), []end{
		{name: "an error of no known code", of: saying(said("17"), failure("nothing", ""))},
		{name: "an error without a code", of: saying(said(""), "{}")},
		{name: "an end that is malformed", of: saying(said("x"), `{`)},
		{name: "an end, and more behind it", of: func(f *form, c *canned) {
			goodEnd().of(f, c)
			c.body = append(c.body, f.message("more")...)
		}},
		{name: "an error, and more behind it", of: func(f *form, c *canned) {
			saying(failGRPC, failure("failed_precondition", ""))(f, c)
			if f.envelopes {
				c.body = append(c.body, f.message("more")...)
			}
		}},
		{name: "an end in the head", of: func(f *form, c *canned) {
			for _, field := range failGRPC {
				c.fields.Set(field[0], field[1])
			}
		}},
		{name: "two ends", rare: true, of: both(failGRPC.String()+wellGRPC.String(), failureEnd("failed_precondition")+"{}",
			append(slices.Clip(failGRPC), wellGRPC...))},
		{name: "two envelopes that are ends", of: func(f *form, c *canned) {
			goodEnd().of(f, c)
			if f.envelopes {
				saying(failGRPC, failure("failed_precondition", ""))(f, c)
			}
		}},
		{name: "half an end", rare: true, of: sayingInLast(block(wellGRPC.String())[:9], enveloped(2, []byte("{}"))[:6], nil)},
		{name: "half an end's prefix", rare: true, of: sayingInLast(block("")[:3], enveloped(2, nil)[:3], nil)},
		{name: "an end of nothing", of: both("", "", nil)},
		{name: "an end that is compressed", of: sayingInLast(enveloped(0x81, zipped([]byte(failGRPC.String()))),
			enveloped(3, zipped([]byte(failureEnd("failed_precondition")))), failGRPC)},
		{name: "an end of 4 GiB", rare: true, of: sayingInLast([]byte("\x80\xff\xff\xff\xff"), []byte("\x02\xff\xff\xff\xff"), wellGRPC)},
		{name: "a long end", rare: true, of: both(failGRPC.String()+"x-long: "+strings.Repeat("x", readMax)+"\r\n",
			`{"metadata":{"x-long":["`+strings.Repeat("x", readMax)+`"]}}`, failGRPC.with("x-long", strings.Repeat("x", readMax)))},
		{name: "an end of another flag", rare: true, of: sayingInLast(enveloped(0x82, []byte(wellGRPC.String())), enveloped(6, []byte("{}")),
			statusFields{{"x-trail", "one"}})},
		{name: "the end of the other protocol", rare: true, of: sayingInLast(enveloped(2, []byte("{}")), block(wellGRPC.String()), nil)},
		{name: "details that are no base64", rare: true, of: saying(failGRPC.with("grpc-status-details-bin", "!"),
			failure("failed_precondition", `,"details":[{"type":"google.protobuf.Int64Value","value":"!"}]`))},
		{name: "details that are no message", rare: true, of: saying(failGRPC.with("grpc-status-details-bin", unpadded([]byte("\x0a\xff"))),
			failure("failed_precondition", `,"details":{"a":1}`))},
		{name: "details of another code", rare: true, of: saying(failGRPC.with("grpc-status-details-bin", statusOf(status.Error(codes.NotFound, "another"))),
			failure("failed_precondition", `,"details":[1,null]`))},
		{name: "success with details", rare: true, of: saying(wellGRPC.with("grpc-status-details-bin", statusOf(failureGRPC())), "null")},
		{name: "a text with broken escapes", rare: true, of: saying(statusFields{{"grpc-status", "9"}, {"grpc-message", rawText}},
			`{"code":"failed_precondition","message":1}`)},
		{name: "an error without a text", rare: true, of: saying(statusFields{{"grpc-status", "9"}}, `{"code":"failed_precondition"}`)},
		{name: "metadata of a wrong kind", rare: true, of: both("grpc-status: 0\r\nx-trail\r\n", `{"metadata":{"x-trail":"one"}}`, statusFields{{"grpc-status", "0"}, {"x-trail-bin", "!"}})},
		{name: "metadata of several values", rare: true, of: both(wellGRPC.with("x-trail", "two, three").String(),
			`{"metadata":{"x-trail":["one","two, three"],"x-trail-bin":["AP8K"]}}`, wellGRPC.with("x-trail", "two, three"))},
		{name: "metadata in capitals", rare: true, of: both("Grpc-Status: 0\r\nX-Trail: one\r\n", `{"metadata":{"X-Trail":["one"]}}`, wellGRPC)},
		{name: "fields of the protocol's in the metadata", rare: true, of: both("grpc-status: 0\r\ncontent-type: x\r\n",
			`{"metadata":{"content-type":["x"],"grpc-status":["9"]}}`, wellGRPC)},
		{name: "lines without a space", rare: true, of: both("grpc-status:0\r\nx-trail:one", "\n{ }\n", wellGRPC)},
		{name: "lines that end with LF", rare: true, of: both("grpc-status: 9\nx-trail: one\n", "[]", failGRPC)},
		{name: "lines without an end", rare: true, of: both("grpc-status: 9", "null", failGRPC)},
		{name: "a word", rare: true, of: both("well", `"well"`, statusFields{{"x-trail", "one"}})},
		{name: "more than one value", rare: true, of: both("grpc-status: 0\r\ngrpc-status: 0\r\n", "{}{}",
			statusFields{{"grpc-status", "0"}, {"grpc-status", "0"}})},
		{name: "success and an error", rare: true, of: both("grpc-status: 0\r\ngrpc-status: 9\r\n", `{"error":{"code":"aborted"},"error":{"code":"canceled"}}`,
			statusFields{{"grpc-status", "0"}, {"grpc-status", "9"}})},
		{name: "what is no UTF-8", rare: true, of: both("grpc-status: 9\r\ngrpc-message: \xff\r\n", "{\"error\":{\"code\":\"aborted\",\"message\":\"\xff\"}}",
			statusFields{{"grpc-status", "9"}, {"grpc-message", "%FF"}})},
	}...)
	for _, value := range []string{"09", "+9", "-1", " 9", "9.0", "4294967305", "0x9"} {
		all = append(all, end{name: fmt.Sprintf("a status of %q", value), rare: true, of: saying(said(value), failure(strings.ToUpper(value), ""))})
	}
	for number, code := range codeNames {
		all = append(all, end{name: code, rare: true, of: saying(said(fmt.Sprint(number+1)), failure(code, ""))})
	}
	return all
}

var codeNames = []string{"canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
	"resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable", "data_loss",
	"unauthenticated"}

const rightHead = "the right head"

// heads change the response's head.
func heads() map[string]func(f *form, c *canned) {
	field := func(name func(f *form) string, value func(f *form) string) func(f *form, c *canned) {
		return func(f *form, c *canned) { c.fields.Set(name(f), value(f)) }
	}
	contentType := func(*form) string { return "content-type" }
	coding := func(f *form) string { return f.coding }
	is := func(value string) func(*form) string { return func(*form) string { return value } }
	codec := func(f *form) string { return f.contentType[strings.LastIndexAny(f.contentType, "/+")+1:] }
	all := map[string]func(f *form, c *canned){
		rightHead:       func(*form, *canned) {},
		"another codec": field(contentType, func(f *form) string { return strings.TrimSuffix(f.contentType, codec(f)) + "thrift" }),
		"the codec of the other kind": field(contentType, func(f *form) string {
			return strings.TrimSuffix(f.contentType, codec(f)) + map[string]string{"proto": "json", "json": "proto"}[codec(f)]
		}),
		"text":                       field(contentType, is("text/html")),
		"no content type":            func(_ *form, c *canned) { c.fields["Content-Type"] = nil },
		"a parameter":                func(f *form, c *canned) { c.fields.Set("content-type", f.contentType+"; v=1") },
		"a type in capitals":         field(contentType, func(f *form) string { return strings.ToUpper(f.contentType) }),
		"a type without a codec":     field(contentType, func(f *form) string { return strings.TrimRight(strings.TrimSuffix(f.contentType, codec(f)), "+/") }),
		"a type that goes on":        field(contentType, func(f *form) string { return f.contentType + "x" }),
		"a coding that nobody knows": field(coding, is("lzma")),
		"a coding of no name":        field(coding, is("")),
		"gzip named":                 field(coding, is("gzip")),
		"identity named":             field(coding, is("identity")),
		"hints before it":            func(_ *form, c *canned) { c.hints = true },
	}
	for _, other := range []string{"application/", streamTypes, grpcTypes + "+", grpcTypes + "-web+"} {
		all["the type of "+strings.TrimRight(other, "+/")] = field(contentType, func(f *form) string { return other + codec(f) })
	}
	for _, status := range []int{201, 204, 206, 307, 400, 401, 403, 404, 408, 409, 413, 415, 429, 431, 500, 501, 502, 503, 504} {
		all[fmt.Sprintf("status %d", status)] = func(_ *form, c *canned) { c.status = status }
	}
	return all
}

// newCanned is a response of a form.
func newCanned(f *form, m moment, c content, e end, head string) *canned {
	r := &canned{status: http.StatusOK, body: bytes.Clone(c.bytes(f)), moment: m, opening: f.message("opening"), fields: http.Header{}}
	r.fields.Set("content-type", f.contentType)
	r.fields.Set("x-lead", leadText)
	r.fields.Set("x-lead-bin", unpadded([]byte(trailBytes)))
	e.of(f, r)
	heads()[head](f, r)
	return r
}

// serveCanned serves what is put.
func serveCanned(t *testing.T, v version) (server *cannedServer, url string) {
	server = new(cannedServer)
	return server, v.serve(t, server)
}
