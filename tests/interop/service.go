// Package interop is one service on this project's Go handler and on
// connect-go's. Its tests run the Go host against connect-go and grpc-go: their
// unmodified clients call our handler, our client calls their servers, and
// connect-go's handlers and ours get the same requests. Clients in other languages call the same service, which
// goserver serves to them.
package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

type text = wrapperspb.StringValue

const (
	unaryPath  = "/interop.v1.Interop/Unary"
	safePath   = "/interop.v1.Interop/Safe"
	clientPath = "/interop.v1.Interop/Client"
	serverPath = "/interop.v1.Interop/Server"
	bidiPath   = "/interop.v1.Interop/Bidi"
)

// What a request asks the service to do, in its text; anything else is
// answered with the text in upper case. A client stream is asked by all its
// texts, joined by "+".
const (
	askFail     = "fail"     // an RPC error with a detail and metadata
	askPanic    = "panic"    // a panic whose text is secret
	askPlain    = "plain"    // an error that is no RPC error, whose text is secret
	askSleep    = "sleep"    // wait for the context
	askBegan    = "began"    // an answer when a call has begun to sleep
	askEnded    = "ended"    // why a call sleeps no more: "canceled" or "deadline"
	askDeadline = "deadline" // the milliseconds that are left, or "none"
	askMethod   = "method"   // the HTTP method
	askLarge    = "large"    // a response of largeSize bytes
	askMany     = "many"     // a server stream of 100 messages
	secret      = "secret"   // what must not reach the peer
)

const largeSize = 300_000

var binaryValue = []byte{0, 255, 10, 13, 128}

// sleepers tells of each call that sleeps, once, to whoever asks.
var sleepers = struct{ began, ended chan string }{make(chan string, 100), make(chan string, 100)}

// act does what is asked, the same way on both servers; failure makes a
// server's own kind of RPC error.
func act(ctx context.Context, httpMethod, ask string, failure func() error) (string, error) {
	switch ask {
	case askFail:
		return "", failure()
	case askPanic:
		panic(secret)
	case askPlain:
		return "", errors.New(secret)
	case askSleep:
		tell(sleepers.began, "began")
		<-ctx.Done()
		why := "canceled"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			why = "deadline"
		}
		tell(sleepers.ended, why)
		return "", ctx.Err()
	case askBegan:
		return hear(ctx, sleepers.began)
	case askEnded:
		return hear(ctx, sleepers.ended)
	case askDeadline:
		deadline, ok := ctx.Deadline()
		if !ok {
			return "none", nil
		}
		return fmt.Sprint(time.Until(deadline).Milliseconds()), nil
	case askMethod:
		return httpMethod, nil
	case askLarge:
		return strings.Repeat("l", largeSize), nil
	}
	return strings.ToUpper(ask), nil
}

// tell never waits: most callers that let a call sleep do not ask about it.
func tell(to chan string, what string) {
	select {
	case to <- what:
	default:
	}
}

func hear(ctx context.Context, from chan string) (string, error) {
	select {
	case what := <-from:
		return what, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Ours is the service on this project's handler.
func Ours(options *hostgo.HandlerOptions) (http.Handler, error) {
	return hostgo.NewHandler(options,
		hostgo.Unary(unaryPath, oursUnary),
		hostgo.Unary(safePath, oursUnary, hostgo.NoSideEffects()),
		hostgo.ClientStream(clientPath, func(ctx context.Context, call *hostgo.Call, in *hostgo.Receiver[text, *text]) (*text, error) {
			var all []string
			for {
				m, err := in.Receive()
				if errors.Is(err, io.EOF) {
					return oursUnary(ctx, call, wrapperspb.String(strings.Join(all, "+")))
				}
				if err != nil {
					return nil, err
				}
				all = append(all, m.GetValue())
			}
		}),
		hostgo.ServerStream(serverPath, oursServer),
		hostgo.BidiStream(bidiPath, func(ctx context.Context, call *hostgo.Call, in *hostgo.Receiver[text, *text], out *hostgo.Sender[text, *text]) error {
			oursMetadata(call)
			for {
				m, err := in.Receive()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				answer, err := oursAct(ctx, call, m.GetValue())
				if err != nil {
					return err
				}
				if err := out.Send(wrapperspb.String(answer)); err != nil {
					return err
				}
			}
		}),
	)
}

func oursServer(ctx context.Context, call *hostgo.Call, m *text, out *hostgo.Sender[text, *text]) error {
	oursMetadata(call)
	for i := range answers(m) {
		if err := out.Send(wrapperspb.String(fmt.Sprintf("%s %d", m.GetValue(), i))); err != nil {
			return err
		}
	}
	_, err := oursAct(ctx, call, m.GetValue())
	return err
}

// answers is how many messages the server stream has.
func answers(m *text) int {
	if m.GetValue() == askMany {
		return 100
	}
	return 3
}

func oursUnary(ctx context.Context, call *hostgo.Call, m *text) (*text, error) {
	oursMetadata(call)
	answer, err := oursAct(ctx, call, m.GetValue())
	if err != nil {
		return nil, err
	}
	return wrapperspb.String(answer), nil
}

// oursMetadata answers the peer's metadata with metadata of both kinds.
func oursMetadata(call *hostgo.Call) {
	request := call.RequestMetadata()
	for _, value := range request.Values("x-ask") {
		call.Header().Add("x-lead", value)
		call.Trailer().Add("x-trail", value)
	}
	values, err := request.Binary("x-ask-bin")
	if err != nil {
		panic(err)
	}
	for _, value := range values {
		call.Header().AddBinary("x-lead-bin", value)
		call.Trailer().AddBinary("x-trail-bin", value)
	}
}

func oursAct(ctx context.Context, call *hostgo.Call, ask string) (string, error) {
	return act(ctx, call.Request().Method, ask, func() error {
		detail, err := hostgo.NewDetail(wrapperspb.Int64(42))
		if err != nil {
			return err
		}
		e := hostgo.NewError(hostgo.CodeFailedPrecondition, "not now: é")
		e.Details = append(e.Details, detail)
		e.Metadata.Add("x-error", "why")
		return e
	})
}

// Theirs is the same service on connect-go's handlers.
func Theirs(options ...connect.HandlerOption) http.Handler {
	// connect-go does not recover from panics by itself.
	options = append(options, connect.WithRecover(func(context.Context, connect.Spec, http.Header, any) error {
		return connect.NewError(connect.CodeUnknown, errors.New("panic"))
	}))
	options = append(options, serverCodings()...)
	mux := http.NewServeMux()
	mux.Handle(unaryPath, connect.NewUnaryHandler(unaryPath, theirsUnary, options...))
	mux.Handle(safePath, connect.NewUnaryHandler(safePath, theirsUnary,
		append(options, connect.WithIdempotency(connect.IdempotencyNoSideEffects))...))
	mux.Handle(clientPath, connect.NewClientStreamHandler(clientPath,
		func(ctx context.Context, in *connect.ClientStream[text]) (*connect.Response[text], error) {
			var all []string
			for in.Receive() {
				all = append(all, in.Msg().GetValue())
			}
			if in.Err() != nil {
				return nil, in.Err()
			}
			return theirsAnswer(ctx, http.MethodPost, in.RequestHeader(), strings.Join(all, "+"))
		}, options...))
	mux.Handle(serverPath, connect.NewServerStreamHandler(serverPath,
		func(ctx context.Context, r *connect.Request[text], out *connect.ServerStream[text]) error {
			theirsMetadata(r.Header(), out.ResponseHeader(), out.ResponseTrailer())
			for i := range answers(r.Msg) {
				if err := out.Send(wrapperspb.String(fmt.Sprintf("%s %d", r.Msg.GetValue(), i))); err != nil {
					return err
				}
			}
			_, err := theirsAct(ctx, r.HTTPMethod(), r.Msg.GetValue())
			return err
		}, options...))
	mux.Handle(bidiPath, connect.NewBidiStreamHandler(bidiPath,
		func(ctx context.Context, stream *connect.BidiStream[text, text]) error {
			theirsMetadata(stream.RequestHeader(), stream.ResponseHeader(), stream.ResponseTrailer())
			for {
				m, err := stream.Receive()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				answer, err := theirsAct(ctx, http.MethodPost, m.GetValue())
				if err != nil {
					return err
				}
				if err := stream.Send(wrapperspb.String(answer)); err != nil {
					return err
				}
			}
		}, options...))
	return mux
}

func theirsUnary(ctx context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
	return theirsAnswer(ctx, r.HTTPMethod(), r.Header(), r.Msg.GetValue())
}

func theirsAnswer(ctx context.Context, httpMethod string, header http.Header, ask string) (*connect.Response[text], error) {
	answer, err := theirsAct(ctx, httpMethod, ask)
	if err != nil {
		var e *connect.Error
		if errors.As(err, &e) {
			theirsMetadata(header, e.Meta(), e.Meta())
		}
		return nil, err
	}
	response := connect.NewResponse(wrapperspb.String(answer))
	theirsMetadata(header, response.Header(), response.Trailer())
	return response, nil
}

func theirsMetadata(request, header, trailer http.Header) {
	for from, to := range map[string]string{"X-Ask": "", "X-Ask-Bin": "-Bin"} {
		for _, value := range request[from] {
			header.Add("X-Lead"+to, value)
			trailer.Add("X-Trail"+to, value)
		}
	}
}

func theirsAct(ctx context.Context, httpMethod, ask string) (string, error) {
	return act(ctx, httpMethod, ask, func() error {
		e := connect.NewError(connect.CodeFailedPrecondition, errors.New("not now: é"))
		detail, err := connect.NewErrorDetail(wrapperspb.Int64(42))
		if err != nil {
			return err
		}
		e.AddDetail(detail)
		e.Meta().Set("x-error", "why")
		return e
	})
}
