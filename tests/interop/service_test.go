package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
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
// answered with the text in upper case.
const (
	askFail  = "fail"   // an RPC error with a detail and metadata
	askPanic = "panic"  // a panic whose text is secret
	askPlain = "plain"  // an error that is no RPC error, whose text is secret
	askSleep = "sleep"  // wait for the context
	askLarge = "large"  // a response of largeSize bytes
	secret   = "secret" // what must not reach the peer
)

const largeSize = 300_000

var binaryValue = []byte{0, 255, 10, 13, 128}

// ours is the service on this project's handler.
func ours(t *testing.T, options hostgo.HandlerOptions) http.Handler {
	t.Helper()
	options.Module, options.Logger, options.CompressMin = module, slog.New(slog.DiscardHandler), -1
	h, err := hostgo.NewHandler(&options,
		hostgo.Unary(unaryPath, oursUnary),
		hostgo.Unary(safePath, oursUnary, hostgo.NoSideEffects()),
		hostgo.ClientStream(clientPath, func(_ context.Context, call *hostgo.Call, in *hostgo.Receiver[text, *text]) (*text, error) {
			var all []string
			for {
				m, err := in.Receive()
				if errors.Is(err, io.EOF) {
					return wrapperspb.String(strings.Join(all, "+")), nil
				}
				if err != nil {
					return nil, err
				}
				all = append(all, m.GetValue())
			}
		}),
		hostgo.ServerStream(serverPath, func(ctx context.Context, call *hostgo.Call, m *text, out *hostgo.Sender[text, *text]) error {
			oursMetadata(call)
			for i := range 3 {
				if err := out.Send(wrapperspb.String(fmt.Sprintf("%s %d", m.GetValue(), i))); err != nil {
					return err
				}
			}
			_, err := oursAct(ctx, call, m.GetValue())
			return err
		}),
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
	if err != nil {
		t.Fatal(err)
	}
	return h
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
	switch ask {
	case askFail:
		detail, err := hostgo.NewDetail(wrapperspb.Int64(42))
		if err != nil {
			return "", err
		}
		e := hostgo.NewError(hostgo.CodeFailedPrecondition, "not now: é")
		e.Details = append(e.Details, detail)
		e.Metadata.Add("x-error", "why")
		return "", e
	case askPanic:
		panic(secret)
	case askPlain:
		return "", errors.New(secret)
	case askSleep:
		<-ctx.Done()
		return "", ctx.Err()
	case askLarge:
		return strings.Repeat("l", largeSize), nil
	}
	return strings.ToUpper(ask), nil
}

// theirs is the same service on connect-go's handlers.
func theirs(options ...connect.HandlerOption) http.Handler {
	// connect-go does not recover from panics by itself.
	options = append(options, connect.WithRecover(func(context.Context, connect.Spec, http.Header, any) error {
		return connect.NewError(connect.CodeUnknown, errors.New("panic"))
	}))
	mux := http.NewServeMux()
	mux.Handle(unaryPath, connect.NewUnaryHandler(unaryPath, theirsUnary, options...))
	mux.Handle(safePath, connect.NewUnaryHandler(safePath, theirsUnary,
		append(options, connect.WithIdempotency(connect.IdempotencyNoSideEffects))...))
	mux.Handle(serverPath, connect.NewServerStreamHandler(serverPath,
		func(ctx context.Context, r *connect.Request[text], out *connect.ServerStream[text]) error {
			theirsMetadata(r.Header(), out.ResponseHeader(), out.ResponseTrailer())
			for i := range 3 {
				if err := out.Send(wrapperspb.String(fmt.Sprintf("%s %d", r.Msg.GetValue(), i))); err != nil {
					return err
				}
			}
			_, err := theirsAct(ctx, r.Msg.GetValue())
			return err
		}, options...))
	return mux
}

func theirsUnary(ctx context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
	answer, err := theirsAct(ctx, r.Msg.GetValue())
	if err != nil {
		var e *connect.Error
		if errors.As(err, &e) {
			theirsMetadata(r.Header(), e.Meta(), http.Header{})
		}
		return nil, err
	}
	response := connect.NewResponse(wrapperspb.String(answer))
	theirsMetadata(r.Header(), response.Header(), response.Trailer())
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

func theirsAct(ctx context.Context, ask string) (string, error) {
	switch ask {
	case askFail:
		e := connect.NewError(connect.CodeFailedPrecondition, errors.New("not now: é"))
		detail, err := connect.NewErrorDetail(wrapperspb.Int64(42))
		if err != nil {
			return "", err
		}
		e.AddDetail(detail)
		e.Meta().Set("x-error", "why")
		return "", e
	case askPanic:
		panic(secret)
	case askPlain:
		return "", errors.New(secret)
	case askSleep:
		<-ctx.Done()
		return "", ctx.Err()
	case askLarge:
		return strings.Repeat("l", largeSize), nil
	}
	return strings.ToUpper(ask), nil
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
