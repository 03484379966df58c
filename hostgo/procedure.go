package hostgo

import (
	"context"

	"google.golang.org/protobuf/proto"
)

// Message is a pointer to a generated message type T.
type Message[T any] interface {
	*T
	proto.Message
}

// ProcedureOption changes a [Procedure] as it is made.
type ProcedureOption func(*Procedure)

// NoSideEffects says that a procedure changes nothing (idempotency_level
// NO_SIDE_EFFECTS in the .proto file).
func NoSideEffects() ProcedureOption { return func(p *Procedure) { p.NoSideEffects = true } }

func procedure(path string, t StreamType, serve func(context.Context, *Call) error, options []ProcedureOption) Procedure {
	p := Procedure{Path: path, Type: t, Serve: serve}
	for _, option := range options {
		option(&p)
	}
	return p
}

// Unary makes a procedure with one request and one response.
func Unary[Req, Res any, PReq Message[Req], PRes Message[Res]](
	path string, serve func(ctx context.Context, call *Call, request PReq) (PRes, error), options ...ProcedureOption,
) Procedure {
	return procedure(path, StreamTypeUnary, func(ctx context.Context, call *Call) error {
		request := PReq(new(Req))
		if err := call.Receive(request); err != nil {
			return err
		}
		response, err := serve(ctx, call, request)
		if err != nil {
			return err
		}
		return call.Send(response)
	}, options)
}

// ClientStream makes a procedure with many requests and one response.
func ClientStream[Req, Res any, PReq Message[Req], PRes Message[Res]](
	path string, serve func(ctx context.Context, call *Call, requests *Receiver[Req, PReq]) (PRes, error), options ...ProcedureOption,
) Procedure {
	return procedure(path, StreamTypeClient, func(ctx context.Context, call *Call) error {
		response, err := serve(ctx, call, &Receiver[Req, PReq]{call})
		if err != nil {
			return err
		}
		return call.Send(response)
	}, options)
}

// ServerStream makes a procedure with one request and many responses.
func ServerStream[Req, Res any, PReq Message[Req], PRes Message[Res]](
	path string, serve func(ctx context.Context, call *Call, request PReq, responses *Sender[Res, PRes]) error, options ...ProcedureOption,
) Procedure {
	return procedure(path, StreamTypeServer, func(ctx context.Context, call *Call) error {
		request := PReq(new(Req))
		if err := call.Receive(request); err != nil {
			return err
		}
		return serve(ctx, call, request, &Sender[Res, PRes]{call})
	}, options)
}

// BidiStream makes a procedure with many requests and many responses.
func BidiStream[Req, Res any, PReq Message[Req], PRes Message[Res]](
	path string, serve func(ctx context.Context, call *Call, requests *Receiver[Req, PReq], responses *Sender[Res, PRes]) error,
	options ...ProcedureOption,
) Procedure {
	return procedure(path, StreamTypeBidi, func(ctx context.Context, call *Call) error {
		return serve(ctx, call, &Receiver[Req, PReq]{call}, &Sender[Res, PRes]{call})
	}, options)
}

// Receiver receives a call's requests.
type Receiver[T any, P Message[T]] struct{ call *Call }

// Receive waits for the next request. After the last one it returns
// [io.EOF]; the handler may return any other error.
func (r *Receiver[T, P]) Receive() (P, error) {
	message := P(new(T))
	if err := r.call.Receive(message); err != nil {
		return nil, err
	}
	return message, nil
}

// Sender sends a call's responses.
type Sender[T any, P Message[T]] struct{ call *Call }

// Send sends a response. An error means that the call has ended.
func (s *Sender[T, P]) Send(message P) error { return s.call.Send(message) }
