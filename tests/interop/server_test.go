package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

// speech is a way in which connect-go's client can speak to our server.
type speech struct {
	name    string
	http2   bool
	options []connect.ClientOption
}

func speeches() []speech {
	var all []speech
	for _, v := range versions {
		for protocol, option := range map[string]connect.ClientOption{
			"Connect": nil, "gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb()} {
			for codec, json := range map[string]bool{"proto": false, "JSON": true} {
				for _, coding := range codings {
					s := speech{name: fmt.Sprintf("%s/%s/%s/%s", v.name, protocol, codec, coding), http2: v.http2,
						options: clientCoding(coding)}
					if option != nil {
						s.options = append(s.options, option)
					}
					if json {
						s.options = append(s.options, connect.WithProtoJSON())
					}
					all = append(all, s)
				}
			}
		}
	}
	return all
}

// eachSpeech runs a test against our server in every way.
func eachSpeech(t *testing.T, test func(t *testing.T, client func(path string, more ...connect.ClientOption) *connect.Client[text, text])) {
	t.Helper()
	h := ours(t, hostgo.HandlerOptions{Codings: codings})
	for _, s := range speeches() {
		t.Run(s.name, func(t *testing.T) {
			v := version{s.name, s.http2}
			url, http := v.serve(t, h), v.client(t)
			test(t, func(path string, more ...connect.ClientOption) *connect.Client[text, text] {
				return connect.NewClient[text, text](http, url+path, append(s.options, more...)...)
			})
		})
	}
}

type newClient = func(path string, more ...connect.ClientOption) *connect.Client[text, text]

func request(value string) *connect.Request[text] {
	r := connect.NewRequest(wrapperspb.String(value))
	r.Header().Add("X-Ask", "one")
	r.Header().Add("X-Ask", "two, three")
	r.Header().Add("X-Ask-Bin", connect.EncodeBinaryHeader(binaryValue))
	return r
}

// checkMetadata looks for what the service makes of request's metadata. A
// peer may join values of a name by commas (RFC 9110 section 5.3).
func checkMetadata(t *testing.T, what string, got http.Header, prefix string) {
	t.Helper()
	if joined := strings.Join(got.Values(prefix), ", "); joined != "one, two, three" {
		t.Errorf("%s %s: got %q", what, prefix, joined)
	}
	if value, err := connect.DecodeBinaryHeader(got.Get(prefix + "-Bin")); err != nil || !bytes.Equal(value, binaryValue) {
		t.Errorf("%s %s-Bin: got %v (%v), want %v", what, prefix, value, err, binaryValue)
	}
}

func TestPeerClientUnary(t *testing.T) {
	eachSpeech(t, func(t *testing.T, client newClient) {
		response, err := client(unaryPath).CallUnary(soon(t), request("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Msg.GetValue(); got != "HELLO" {
			t.Errorf("got %q", got)
		}
		checkMetadata(t, "header", response.Header(), "X-Lead")
		checkMetadata(t, "trailer", response.Trailer(), "X-Trail")
	})
}

func TestPeerClientLarge(t *testing.T) {
	eachSpeech(t, func(t *testing.T, client newClient) {
		response, err := client(unaryPath).CallUnary(soon(t), request(askLarge))
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Msg.GetValue(); got != strings.Repeat("l", largeSize) {
			t.Errorf("got %d bytes, want %d", len(got), largeSize)
		}
		sent := strings.Repeat("abcdefgh", largeSize/8)
		if response, err = client(unaryPath).CallUnary(soon(t), request(sent)); err != nil {
			t.Fatal(err)
		}
		if response.Msg.GetValue() != strings.ToUpper(sent) {
			t.Errorf("got %d bytes that differ", len(response.Msg.GetValue()))
		}
	})
}

func TestPeerClientGet(t *testing.T) {
	eachSpeech(t, func(t *testing.T, client newClient) {
		seen := ""
		method := connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
			return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
				response, err := next(ctx, r)
				seen = r.HTTPMethod()
				return response, err
			}
		}))
		safe := client(safePath, connect.WithHTTPGet(), connect.WithIdempotency(connect.IdempotencyNoSideEffects), method)
		response, err := safe.CallUnary(soon(t), request("hello"))
		if err != nil {
			t.Fatal(err)
		}
		want := http.MethodGet
		if strings.Contains(t.Name(), "gRPC") {
			want = http.MethodPost
		}
		if got := response.Msg.GetValue(); got != "HELLO" || seen != want {
			t.Errorf("got %q by %s, want %s", got, seen, want)
		}
	})
}

func TestPeerClientError(t *testing.T) {
	eachSpeech(t, func(t *testing.T, client newClient) {
		_, err := client(unaryPath).CallUnary(soon(t), request(askFail))
		checkFailure(t, err)
	})
}

func checkFailure(t *testing.T, err error) {
	t.Helper()
	var e *connect.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an RPC error", err)
	}
	if e.Code() != connect.CodeFailedPrecondition || e.Message() != "not now: é" {
		t.Errorf("got %v %q", e.Code(), e.Message())
	}
	if len(e.Details()) != 1 {
		t.Fatalf("got %d details, want 1", len(e.Details()))
	}
	value, err := e.Details()[0].Value()
	if number, ok := value.(*wrapperspb.Int64Value); err != nil || !ok || number.GetValue() != 42 {
		t.Errorf("got detail %v (%v), want 42", value, err)
	}
	if got := e.Meta().Get("X-Error"); got != "why" {
		t.Errorf("got metadata %q, want why: %v", got, e.Meta())
	}
}

func TestPeerClientUnexpected(t *testing.T) {
	eachSpeech(t, func(t *testing.T, client newClient) {
		for _, ask := range []string{askPanic, askPlain} {
			_, err := client(unaryPath).CallUnary(soon(t), request(ask))
			if connect.CodeOf(err) != connect.CodeUnknown || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: got %v, want unknown without what the handler said", ask, err)
			}
		}
	})
}

func TestPeerClientTimeout(t *testing.T) {
	eachSpeech(t, func(t *testing.T, client newClient) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := client(unaryPath).CallUnary(ctx, request(askSleep))
		if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
			t.Errorf("got %v, want deadline exceeded", err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestPeerClientServerStream(t *testing.T) {
	eachSpeech(t, func(t *testing.T, client newClient) {
		stream, err := client(serverPath).CallServerStream(soon(t), request("s"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for stream.Receive() {
			got = append(got, stream.Msg().GetValue())
		}
		if stream.Err() != nil || strings.Join(got, ",") != "s 0,s 1,s 2" {
			t.Errorf("got %q, %v", got, stream.Err())
		}
		checkMetadata(t, "header", stream.ResponseHeader(), "X-Lead")
		checkMetadata(t, "trailer", stream.ResponseTrailer(), "X-Trail")
		if stream, err = client(serverPath).CallServerStream(soon(t), request(askFail)); err != nil {
			t.Fatal(err)
		}
		messages := 0
		for stream.Receive() {
			messages++
		}
		if messages != 3 {
			t.Errorf("got %d messages before the error, want 3", messages)
		}
		checkFailure(t, stream.Err())
	})
}

func TestPeerClientClientStream(t *testing.T) {
	eachSpeech(t, func(t *testing.T, client newClient) {
		stream := client(clientPath).CallClientStream(soon(t))
		for _, value := range []string{"a", "b", "c"} {
			if err := stream.Send(wrapperspb.String(value)); err != nil {
				t.Fatal(err)
			}
		}
		response, err := stream.CloseAndReceive()
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Msg.GetValue(); got != "A+B+C" {
			t.Errorf("got %q", got)
		}
	})
}

func TestPeerClientBidi(t *testing.T) {
	eachSpeech(t, func(t *testing.T, client newClient) {
		if strings.HasPrefix(t.Name(), "TestPeerClientBidi/HTTP1") {
			t.Skip("connect-go makes bidi calls over HTTP/2 only")
		}
		stream := client(bidiPath).CallBidiStream(soon(t))
		for i := range 20 { // one at a time: each answer comes before the next question
			sent := fmt.Sprintf("m%d", i)
			if err := stream.Send(wrapperspb.String(sent)); err != nil {
				t.Fatal(err)
			}
			m, err := stream.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if m.GetValue() != strings.ToUpper(sent) {
				t.Errorf("got %q for %q", m.GetValue(), sent)
			}
		}
		if err := stream.CloseRequest(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v at the end", err)
		}
		stream = client(bidiPath).CallBidiStream(soon(t))
		if err := stream.Send(wrapperspb.String(askFail)); err != nil {
			t.Fatal(err)
		}
		_, err := stream.Receive()
		checkFailure(t, err)
		_ = stream.CloseRequest() // the server has ended the stream
		_ = stream.CloseResponse()
	})
}

// A client that goes away ends its handler's context at once.
func TestPeerClientCancels(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			began, ended := make(chan struct{}), make(chan error, 1)
			h, err := hostgo.NewHandler(&hostgo.HandlerOptions{Module: module},
				hostgo.Unary(unaryPath, func(ctx context.Context, _ *hostgo.Call, _ *text) (*text, error) {
					close(began)
					<-ctx.Done()
					ended <- ctx.Err()
					return nil, ctx.Err()
				}))
			if err != nil {
				t.Fatal(err)
			}
			client := connect.NewClient[text, text](v.client(t), v.serve(t, h)+unaryPath)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-began
				cancel()
			}()
			if _, err := client.CallUnary(ctx, request("x")); connect.CodeOf(err) != connect.CodeCanceled {
				t.Errorf("the client got %v, want canceled", err)
			}
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the handler's context ended with %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the handler's context goes on")
			}
		})
	}
}

// The deadline is enforced on a handler that does not listen.
func TestPeerDeafHandler(t *testing.T) {
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			h, err := hostgo.NewHandler(&hostgo.HandlerOptions{Module: module},
				hostgo.Unary(unaryPath, func(context.Context, *hostgo.Call, *text) (*text, error) {
					<-release
					return wrapperspb.String("late"), nil
				}))
			if err != nil {
				t.Fatal(err)
			}
			body := strings.NewReader(`"x"`)
			r, err := http.NewRequestWithContext(soon(t), http.MethodPost, v.serve(t, h)+unaryPath, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Connect-Timeout-Ms", "100")
			response, err := v.client(t).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // read to its end
			answer, err := io.ReadAll(response.Body)
			if err != nil || !strings.Contains(string(answer), "deadline_exceeded") {
				t.Errorf("got %d %s (%v), want deadline_exceeded", response.StatusCode, answer, err)
			}
		})
	}
}
