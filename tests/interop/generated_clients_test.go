package interop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

// Generated responses: what our client makes of each content with each end and
// each kind of head, and what the peers' do.

// canned is a response.
type canned struct {
	status   int
	fields   map[string]string
	body     []byte
	trailers map[string]string
}

func (c *canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	for name, value := range c.fields {
		w.Header().Set(name, value)
	}
	w.WriteHeader(c.status)
	_, _ = w.Write(c.body)
	_ = http.NewResponseController(w).Flush()
	for name, value := range c.trailers {
		w.Header().Set(http.TrailerPrefix+name, value)
	}
}

// end is how a response ends: what it says of the outcome, in each protocol's form.
type end struct {
	name string
	of   func(f *form, c *canned)
}

// block is trailers in the content of gRPC-Web.
func block(text string) []byte { return enveloped(0x80, []byte(text)) }

func saying(grpcStatus, connectEnd string) func(f *form, c *canned) {
	return func(f *form, c *canned) {
		switch {
		case f.isWeb():
			c.body = append(c.body, block("grpc-status: "+grpcStatus+"\r\ngrpc-message: not now\r\n")...)
		case f.grpc():
			c.trailers = map[string]string{"Grpc-Status": grpcStatus, "Grpc-Message": "not now"}
		case f.envelopes:
			c.body = append(c.body, enveloped(2, []byte(connectEnd))...)
		}
	}
}

func (f *form) isWeb() bool { return strings.HasPrefix(f.contentType, grpcTypes+"-web") }

func ends() []end {
	failure := func(code string) string { return fmt.Sprintf(`{"error":{"code":%q,"message":"not now"}}`, code) }
	return []end{
		{"a good end", saying("0", "{}")},
		{"no end", func(*form, *canned) {}},
		{"an error", saying("9", failure("failed_precondition"))},
		{"an error of no known code", saying("17", failure("nothing"))},
		{"an error without a code", saying("", `{"error":{}}`)},
		{"an end that is malformed", saying("x", `{`)},
		{"an end, and more behind it", func(f *form, c *canned) {
			saying("0", "{}")(f, c)
			c.body = append(c.body, f.message("more")...)
		}},
		{"an end in the head", func(f *form, c *canned) { c.fields["grpc-status"] = "9" }},
	}
}

// heads change the response's head.
func heads() map[string]func(f *form, c *canned) {
	all := map[string]func(f *form, c *canned){
		"the right head": func(*form, *canned) {},
		"another codec": func(f *form, c *canned) {
			c.fields["content-type"] = f.contentType[:strings.LastIndexAny(f.contentType, "/+")+1] + "thrift"
		},
		"text":                       func(_ *form, c *canned) { c.fields["content-type"] = "text/html" },
		"a parameter":                func(f *form, c *canned) { c.fields["content-type"] += "; v=1" },
		"a coding that nobody knows": func(f *form, c *canned) { c.fields[f.coding] = "lzma" },
	}
	for _, status := range []int{204, 307, 400, 401, 404, 429, 500, 503} {
		all[fmt.Sprintf("status %d", status)] = func(_ *form, c *canned) { c.status = status }
	}
	return all
}

// received is what a client has got: messages and a code.
func received(messages []string, code string) answered {
	list := strings.Join(messages, ",")
	code = strings.ReplaceAll(code, " ", "_")
	if strings.HasPrefix(code, "code_") {
		code = "unknown" // connect-go gives numbers that are no codes
	}
	return answered{whole: list + " end:" + code, messages: list, code: code}
}

type caller func(t *testing.T, f *form) answered

func ourCaller(t *testing.T, url string, httpClient *http.Client) caller {
	clients := map[string]*hostgo.Client{}
	return func(t *testing.T, f *form) answered {
		client := clients[f.contentType]
		if client == nil {
			options := hostgo.ClientOptions{HTTPClient: httpClient, ReadMax: readMax, Protocol: hostgo.ProtocolConnect}
			if f.isWeb() {
				options.Protocol = hostgo.ProtocolGRPCWeb
			} else if f.grpc() {
				options.Protocol = hostgo.ProtocolGRPC
			}
			if options.Codec = hostgo.ProtoCodec(); f.json() {
				options.Codec = hostgo.JSONCodec(nil)
			}
			client = ownClient(t, url, options)
			clients[f.contentType] = client
		}
		var all []string
		var err error
		if f.target == unaryPath {
			var m text
			if err = client.Unary(soon(t), unaryPath, wrapperspb.String("x"), &m); err == nil {
				all = []string{m.GetValue()}
			}
		} else {
			var stream *hostgo.Stream
			if stream, err = client.ServerStream(soon(t), serverPath, wrapperspb.String("x")); err == nil {
				all, err = collect(stream)
			}
		}
		if err == nil {
			return received(all, "ok")
		}
		return received(all, hostgo.CodeOf(err).String())
	}
}

func connectGoCaller(url string, httpClient *http.Client) caller {
	return func(t *testing.T, f *form) answered {
		options := []connect.ClientOption{connect.WithReadMaxBytes(readMax)}
		if f.isWeb() {
			options = append(options, connect.WithGRPCWeb())
		} else if f.grpc() {
			options = append(options, connect.WithGRPC())
		}
		if f.json() {
			options = append(options, connect.WithProtoJSON())
		}
		client := connect.NewClient[text, text](httpClient, url+f.target, options...)
		var all []string
		var err error
		if f.target == unaryPath {
			var r *connect.Response[text]
			if r, err = client.CallUnary(soon(t), connect.NewRequest(wrapperspb.String("x"))); err == nil {
				all = []string{r.Msg.GetValue()}
			}
		} else {
			var stream *connect.ServerStreamForClient[text]
			if stream, err = client.CallServerStream(soon(t), connect.NewRequest(wrapperspb.String("x"))); err == nil {
				for stream.Receive() {
					all = append(all, stream.Msg().GetValue())
				}
				err = stream.Err()
				_ = stream.Close()
			}
		}
		if err == nil {
			return received(all, "ok")
		}
		return received(all, connect.CodeOf(err).String())
	}
}

func grpcGoCaller(t *testing.T, url string) caller {
	conn, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(readMax)), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	call := func(ctx context.Context, f *form) (all []string, err error) {
		if f.target == unaryPath {
			var m text
			if err := conn.Invoke(ctx, unaryPath, wrapperspb.String("x"), &m); err != nil {
				return nil, err
			}
			return []string{m.GetValue()}, nil
		}
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, serverPath)
		if err != nil {
			return nil, err
		}
		if err := stream.SendMsg(wrapperspb.String("x")); err != nil {
			return nil, err
		}
		if err := stream.CloseSend(); err != nil {
			return nil, err
		}
		return collectGRPC(stream)
	}
	return func(t *testing.T, f *form) answered {
		all, err := call(soon(t), f)
		if code := status.Code(err); code != codes.OK {
			return received(all, connect.Code(code).String())
		}
		return received(all, "ok")
	}
}

// listen has both clients get each response.
func listen(t *testing.T, forms []*form, current *canned, mine, theirs caller) (all []generated) {
	t.Helper()
	some := slices.DeleteFunc(contents(), func(c content) bool { return strings.HasPrefix(c.name, "an error") })
	hear := func(f *form, c content, e end, head string) {
		*current = canned{status: 200, fields: map[string]string{"content-type": f.contentType}, body: c.bytes(f)}
		e.of(f, current)
		heads()[head](f, current)
		all = append(all, generated{f, c.name + ", " + e.name, head, mine(t, f), theirs(t, f)})
	}
	for _, f := range forms {
		for _, c := range some {
			// Each end with the right head, and each head with a good end.
			for _, e := range ends() {
				hear(f, c, e, "the right head")
			}
			for head := range heads() {
				hear(f, c, ends()[0], head)
			}
		}
	}
	return all
}

// Differences of our client from both peers'.
var (
	severalMessages = difference{"another number of messages than the one that is wanted",
		"that there is a second one is known before its content is", "gRPC status codes, UNIMPLEMENTED: response cardinality violation",
		func(g *generated) bool {
			return g.form.target == unaryPath && g.form.grpc() && g.ours.code == "unimplemented"
		}}
	severalFaults = difference{"a response with more than one thing wrong",
		"what is found first, or what the server itself says of the call", "none: any of them may be named",
		func(g *generated) bool {
			return g.fields == "the right head" && !strings.HasSuffix(g.content, ", a good end") && !strings.HasPrefix(g.content, "a message, an") &&
				g.ours.code != "ok" && g.theirs.code != "ok"
		}}
)

var connectGoClientDifferences = []difference{
	{"a parameter of the content type", "one that is not known does not change the media type", "RFC 9110, section 8.3.1",
		func(g *generated) bool { return g.fields == "a parameter" && g.theirs.code == "internal" }},
	{"malformed content", "it is the server's fault: invalid_argument would say that it is the caller's", "gRPC status codes, INTERNAL",
		func(g *generated) bool {
			return g.ours.code == "internal" && g.theirs.code == "invalid_argument" && g.ours.messages == g.theirs.messages
		}},
	{"no code in an end marker's error", "an error has one", "Connect protocol, EndStreamResponse, Error end-stream",
		func(g *generated) bool {
			return strings.HasSuffix(g.content, ", an error without a code") && !g.form.grpc() && g.ours.code == "internal"
		}},
	severalMessages,
	severalFaults,
}

var grpcGoClientDifferences = []difference{
	{"an HTTP status that is not 200", "success is not believed then", "gRPC's HTTP statuses",
		func(g *generated) bool { return strings.HasPrefix(g.fields, "status ") && g.ours.code != "ok" }},
	{"another codec", "the content is not what was asked for", "gRPC over HTTP/2, Responses: Content-Type",
		func(g *generated) bool { return g.fields == "another codec" && g.ours.code == "internal" }},
	{"a coding that nobody knows", "messages in it would be malformed", "gRPC compression",
		func(g *generated) bool { return g.fields == "a coding that nobody knows" && g.ours.code == "internal" }},
	severalMessages,
	severalFaults,
}

func TestGeneratedClientsConnectGo(t *testing.T) {
	current := new(canned)
	v := versions[1]
	url, httpClient := v.serve(t, current), v.client(t)
	some := slices.DeleteFunc(forms(), func(f *form) bool { return !f.one() })
	judge(t, connectGoClientDifferences, listen(t, some, current, ourCaller(t, url, httpClient), connectGoCaller(url, httpClient)))
}

func TestGeneratedClientsGRPCGo(t *testing.T) {
	current := new(canned)
	v := versions[1]
	url, httpClient := v.serve(t, current), v.client(t)
	some := slices.DeleteFunc(forms(), func(f *form) bool { return f.contentType != grpcTypes+"+proto" || !f.one() })
	judge(t, grpcGoClientDifferences, listen(t, some, current, ourCaller(t, url, httpClient), grpcGoCaller(t, url)))
}
