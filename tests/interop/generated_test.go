package interop

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/connectcore/connectcore/hostgo"
)

// Generated calls: each form of a request with each content and each set of
// fields, to our handler and to the peers'.

// form is a protocol, a codec and a kind of call.
type form struct {
	name        string
	contentType string
	target      string
	envelopes   bool
	timeout     string // the field, and what stands behind its digits
	unit        string
	coding      string // the field
}

func (f *form) grpc() bool { return strings.HasPrefix(f.contentType, grpcTypes) }
func (f *form) json() bool { return strings.HasSuffix(f.contentType, "json") }
func (f *form) one() bool  { return f.target == unaryPath || f.target == serverPath }

func (f *form) payload(value string) []byte {
	if f.json() {
		return fmt.Appendf(nil, "%q", value)
	}
	return encoded(value)
}

// message is one as it goes over the wire, plain.
func (f *form) message(value string) []byte {
	if f.envelopes {
		return enveloped(0, f.payload(value))
	}
	return f.payload(value)
}

func forms() (all []*form) {
	for _, codec := range []string{"proto", "json"} {
		all = append(all, &form{name: "unary", contentType: "application/" + codec, target: unaryPath,
			timeout: "connect-timeout-ms", coding: "content-encoding"})
		for _, p := range []form{
			{name: "stream", contentType: streamTypes, timeout: "connect-timeout-ms", coding: "connect-content-encoding"},
			{name: "gRPC", contentType: grpcTypes + "+", timeout: "grpc-timeout", unit: "m", coding: "grpc-encoding"},
			{name: "gRPC-Web", contentType: grpcTypes + "-web+", timeout: "grpc-timeout", unit: "m", coding: "grpc-encoding"},
		} {
			for _, target := range []string{unaryPath, serverPath, clientPath, bidiPath} {
				if p.name == "stream" && target == unaryPath {
					continue
				}
				p.envelopes, p.target = true, target
				f := p
				f.contentType += codec
				all = append(all, &f)
			}
		}
	}
	for _, f := range all {
		f.name += " " + f.contentType[strings.LastIndexAny(f.contentType, "/+")+1:] + " " + f.target[strings.LastIndex(f.target, "/")+1:]
	}
	return all
}

// content is what a request has.
type content struct {
	name  string
	bytes func(f *form) []byte
}

func contents() []content {
	good := func(f *form) []byte { return f.message("hello") }
	all := []content{
		{"a message", good},
		{"nothing", func(f *form) []byte { return nil }},
		{"an error", func(f *form) []byte { return f.message(askFail) }},
		{"an error without a code", func(f *form) []byte { return f.message(askPlain) }},
		{"two messages", func(f *form) []byte { return append(good(f), good(f)...) }},
		{"an error, then a message", func(f *form) []byte { return append(f.message(askFail), good(f)...) }},
		{"malformed", func(f *form) []byte {
			if f.envelopes {
				return enveloped(0, []byte("\x0a\xff"))
			}
			return []byte("\x0a\xff")
		}},
		{"a message, then a malformed one", func(f *form) []byte { return append(good(f), enveloped(0, []byte("\xff"))...) }},
		{"a message, then half of one", func(f *form) []byte { return append(good(f), good(f)[:6]...) }},
		{"over the limit", func(f *form) []byte { return f.message(strings.Repeat("x", readMax)) }},
		{"one of 4 GiB", func(f *form) []byte { return []byte("\x00\xff\xff\xff\xff") }},
	}
	for _, n := range []int{1, 4, 5, 6} {
		all = append(all, content{fmt.Sprintf("cut off behind %d bytes", n), func(f *form) []byte { return good(f)[:n] }})
	}
	for _, flags := range []byte{1, 2, 4, 0x80, 0x81, 0xff} {
		all = append(all, content{fmt.Sprintf("flags %#x", flags), func(f *form) []byte { return enveloped(flags, f.payload("hello")) }})
	}
	return append(all,
		content{"gzip", func(f *form) []byte { return f.zipped(f.payload("hello")) }},
		content{"gzip over the limit", func(f *form) []byte { return f.zipped(f.payload(strings.Repeat("x", readMax))) }},
		content{"half of gzip", func(f *form) []byte {
			if half := zipped(f.payload("hello"))[:20]; f.envelopes {
				return enveloped(1, half)
			} else {
				return half
			}
		}},
	)
}

func (f *form) zipped(b []byte) []byte {
	if b = zipped(b); f.envelopes {
		b = enveloped(1, b)
	}
	return b
}

// fields are names and values; names of the form's own are given by what they mean.
func fields(f *form) map[string][]string {
	all := map[string][]string{"no fields": nil, "identity": {f.coding, "identity"}, "gzip named": {f.coding, "gzip"},
		"a coding that nobody knows": {f.coding, "lzma"}, "an empty coding": {f.coding, ""}}
	for _, value := range []string{"100000", "0", "", "-1", "+1", " 1", "1.5", "1x", "12345678901"} {
		all[fmt.Sprintf("a timeout of %q", value)] = []string{f.timeout, value + f.unit}
	}
	return all
}

// generated is one of the calls, with what we and the peer made of it.
type generated struct {
	form            *form
	content, fields string
	end             string // of a response
	moment          moment // of a response
	ours, theirs    answered
}

func (g *generated) String() string {
	return fmt.Sprintf("%s/%s/%s/%s/%s", g.form.name, g.content, g.end, g.fields, g.moment)
}

// answered is what became of a call, in the parts that are compared.
type answered struct {
	status   string // of HTTP, with what else a refusal says; of servers only
	messages string // with the content type, if a server is asked
	code     string
	text     string
	details  string
	fields   string // metadata
}

// aspects name the parts.
var aspects = []struct {
	name string
	of   func(*answered) string
}{
	{"status", func(a *answered) string { return a.status }},
	{"messages", func(a *answered) string { return a.messages }},
	{"code", func(a *answered) string { return a.code }},
	{"text", func(a *answered) string { return a.text }},
	{"details", func(a *answered) string { return a.details }},
	{"fields", func(a *answered) string { return a.fields }},
}

func (a *answered) String() string {
	return fmt.Sprintf("%s [%s] %s %q <%s> {%s}", a.status, a.messages, a.code, a.text, a.details, a.fields)
}

// answer is an exchange's outcome, in parts, and what else its answer tells.
func answer(t *testing.T, response *http.Response, content []byte) (a answered) {
	t.Helper()
	whole := outcome(t, response, content)
	a.status, a.messages, _ = strings.Cut(whole, " ")
	a.code = "ok"
	for _, mark := range []string{" status:", " end:"} {
		if at := strings.LastIndex(whole, mark); at >= 0 {
			a.messages, a.code = strings.TrimPrefix(whole[:at], a.status), whole[at+len(mark):]
			if number, err := strconv.Atoi(a.code); err == nil && number > 0 {
				a.code = connect.Code(number).String()
			} else if a.code == "0" || a.code == "" {
				a.code = "ok"
			}
			break
		}
	}
	if a.status != "200" {
		a.messages, a.code = "", a.messages
	}
	s := toldBy(t, response, content)
	s.code = a.code
	told := s.answered()
	a.text, a.details, a.fields = told.text, told.details, told.fields
	return a
}

// toldBy is what an answer tells beside its messages and code.
func toldBy(t *testing.T, response *http.Response, content []byte) (s seen) {
	grpcFields := func(h http.Header) {
		s.addHTTP(h)
		if text := h.Get("Grpc-Message"); text != "" {
			s.text, _ = url.PathUnescape(text)
		}
		if b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(h.Get("Grpc-Status-Details-Bin"), "=")); err == nil && len(b) > 0 {
			s.details = append(s.details, fmt.Sprintf("%x", b))
		}
	}
	connectError := func(e connectFailure) {
		s.text = e.Message
		for _, detail := range e.Details {
			s.details = append(s.details, detail.Type+":"+strings.TrimRight(detail.Value, "="))
		}
	}
	grpcFields(response.Header)
	grpcFields(response.Trailer)
	for name, values := range response.Header {
		if trailer, ok := strings.CutPrefix(name, "Trailer-"); ok {
			s.addHTTP(http.Header{trailer: values})
		}
	}
	var failure connectFailure
	if response.StatusCode != http.StatusOK && json.Unmarshal(content, &failure) == nil {
		connectError(failure)
	}
	contentType := response.Header.Get("Content-Type")
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(contentType, streamTypes) && !strings.HasPrefix(contentType, grpcTypes) {
		return s
	}
	for len(content) >= 5 {
		size := min(uint64(binary.BigEndian.Uint32(content[1:])), uint64(len(content)-5))
		flags, payload := content[0], content[5:5+size]
		if content = content[5+size:]; flags&1 != 0 {
			payload = unzipped(t, payload)
		}
		var end struct {
			Error    connectFailure
			Metadata http.Header
		}
		if flags&0x80 != 0 {
			lines, _ := textproto.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\r\n")))).ReadMIMEHeader()
			grpcFields(http.Header(lines))
		} else if flags&2 != 0 && json.Unmarshal(payload, &end) == nil {
			connectError(end.Error)
			s.addHTTP(end.Metadata)
		}
	}
	return s
}

// connectFailure is an error as Connect's JSON has it.
type connectFailure struct {
	Message string
	Details []struct{ Type, Value string }
}

// difference is a kind of answer in which ours is meant to be another one, in these
// aspects.
type difference struct {
	what, reason, paragraph string
	in                      string
	is                      func(g *generated) bool
}

var malformedContent = difference{"malformed content", "it is the client's fault, and known to be: internal would say that it is the server's",
	"gRPC status codes, INVALID_ARGUMENT", "code",
	func(g *generated) bool {
		return g.ours.code == "invalid_argument" && g.theirs.code == "internal" && g.ours.messages == g.theirs.messages
	}}

var notOneMessage = difference{"another number of messages than the one that is wanted",
	"that there is a second one is known before its content is", "gRPC status codes, UNIMPLEMENTED: request cardinality violation", "code",
	func(g *generated) bool {
		return g.form.one() && (g.content == "nothing" || g.content == "two messages" || strings.Contains(g.content, ", then ")) &&
			g.ours.code == "unimplemented"
	}}

var serverDifferences = []difference{
	{"a timeout with a sign, or none", "a timeout is digits: a sign is none, and there has to be one",
		"Connect protocol, Timeout-Milliseconds; gRPC over HTTP/2, TimeoutValue", "status messages code text details fields",
		func(g *generated) bool {
			return (g.fields == `a timeout of "+1"` || g.fields == `a timeout of ""`) && g.ours.code == "invalid_argument"
		}},
	{"a timeout of 0", "the deadline has passed before anything of the content is looked at",
		"gRPC over HTTP/2, Timeout: a server may end the call once it has passed", "status messages code text details fields",
		func(g *generated) bool { return g.fields == `a timeout of "0"` && g.ours.code == "deadline_exceeded" }},
	malformedContent,
	notOneMessage,
	{"trailers in the content of a request", "only the content of a gRPC-Web response has them; there they are no end",
		"gRPC-Web, HTTP wire protocols: message framing", "messages code text fields",
		func(g *generated) bool {
			return g.form.grpc() && strings.HasPrefix(g.content, "flags 0x8") && g.ours.code == "invalid_argument"
		}},
	{"an answer to compressed content", "the request accepts identity only; that it was compressed itself says nothing else",
		"RFC 9110, section 12.5.3", "messages",
		func(g *generated) bool {
			return !g.form.envelopes && g.fields == "gzip named" && g.ours.code == "ok" && g.theirs.code == "ok"
		}},
	{"metadata of a handler that fails unexpectedly", "what it had set goes out; connect-go's has no response to set it in, and no error of its own",
		"none: the interfaces differ", "fields",
		func(g *generated) bool { return g.content == "an error without a code" && g.ours.has(&g.theirs) }},
	{"two faults in one head", "a content-length over the limit is found first",
		"none: either may be named", "status code",
		func(g *generated) bool {
			return g.content == "over the limit" && g.ours.code == "resource_exhausted" && g.theirs.code == "invalid_argument"
		}},
}

// judge fails where the two differ in an aspect otherwise than they are meant to,
// and where a difference is gone.
func judge(t *testing.T, differences []difference, all []generated) {
	t.Helper()
	seen := make([]int, len(differences))
	for i := range all {
		g := &all[i]
		for _, aspect := range aspects {
			if aspect.of(&g.ours) == aspect.of(&g.theirs) {
				continue
			}
			at := slices.IndexFunc(differences, func(d difference) bool { return strings.Contains(d.in, aspect.name) && d.is(g) })
			if at < 0 {
				t.Errorf("%s: another %s: we have %s, they have %s", g, aspect.name, &g.ours, &g.theirs)
				continue
			}
			seen[at]++
		}
	}
	for i, d := range differences {
		t.Logf("%d of %d calls: %s: %s (%s; %s)", seen[i], len(all), d.in, d.what, d.reason, d.paragraph)
		if seen[i] == 0 {
			t.Errorf("a difference is gone: %s", d.what)
		}
	}
}

// ask makes all calls of these forms to our handler and to the peer's. Those with
// many messages both ways are made in a conversation, too.
func ask(t *testing.T, forms []*form, theirsURL string) (all []generated) {
	t.Helper()
	v := versions[1]
	client := v.client(t)
	oursURL := v.serve(t, ours(t, hostgo.HandlerOptions{ReadMax: readMax}))
	askAt := func(f *form, c content, m moment, name string, pairs []string) {
		e := exchange{target: f.target, body: c.bytes(f), header: map[string]string{"content-type": f.contentType,
			"accept-encoding": "identity", "x-ask": leadText, "x-ask-bin": unpadded([]byte(trailBytes))}}
		if f.grpc() {
			e.header["te"] = "trailers"
		}
		for i := 0; i < len(pairs); i += 2 {
			e.header[pairs[i]] = pairs[i+1]
		}
		if m == talk {
			e.opening = f.message("opening")
		}
		g := generated{form: f, content: c.name, fields: name, moment: m}
		response, content := e.ask(t, client, oursURL)
		g.ours = answer(t, response, content)
		response, content = e.ask(t, client, theirsURL)
		g.theirs = answer(t, response, content)
		all = append(all, g)
	}
	for _, f := range forms {
		for _, c := range contents() {
			for name, pairs := range fields(f) {
				askAt(f, c, late, name, pairs)
				if f.target == bidiPath && !f.json() {
					askAt(f, c, talk, name, pairs)
				}
			}
		}
	}
	return all
}

func TestGeneratedServersConnectGo(t *testing.T) {
	url := versions[1].serve(t, Theirs(connect.WithReadMaxBytes(readMax)))
	judge(t, serverDifferences, ask(t, forms(), url))
}

// grpcGoDifferences are those from grpc-go, which is asked in gRPC with proto only.
var grpcGoDifferences = []difference{
	{"a malformed timeout", "the answer is one of gRPC: a client makes no more of an HTTP status than internal",
		"gRPC over HTTP/2, Responses: Response-Headers, Trailers-Only", "status messages code text details fields",
		func(g *generated) bool {
			return strings.HasPrefix(g.fields, "a timeout") && g.ours.code == "invalid_argument" && g.theirs.status == "400"
		}},
	malformedContent,
	notOneMessage,
}

func TestGeneratedServersGRPCGo(t *testing.T) {
	mine := slices.DeleteFunc(forms(), func(f *form) bool { return f.contentType != grpcTypes+"+proto" })
	judge(t, grpcGoDifferences, ask(t, mine, grpcGoURL(t, grpcGoService())))
}
