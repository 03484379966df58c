package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/connectcore/connectcore/hostgo"
	"github.com/connectcore/connectcore/tests/conformance/gosuite"
)

// service answers as the comments of the suite's service.proto ask.
type service struct{ suite *gosuite.Suite }

func procedures(suite *gosuite.Suite) []hostgo.Procedure {
	s := service{suite}
	const base = "/" + gosuite.Service + "/"
	return []hostgo.Procedure{
		{Path: base + "Unary", Type: hostgo.StreamTypeUnary, Serve: s.unary("UnaryRequest", "UnaryResponse")},
		{Path: base + "IdempotentUnary", Type: hostgo.StreamTypeUnary, NoSideEffects: true,
			Serve: s.unary("IdempotentUnaryRequest", "IdempotentUnaryResponse")},
		{Path: base + "Unimplemented", Type: hostgo.StreamTypeUnary, Serve: unimplemented},
		{Path: base + "ClientStream", Type: hostgo.StreamTypeClient, Serve: s.clientStream},
		{Path: base + "ServerStream", Type: hostgo.StreamTypeServer, Serve: s.serverStream},
		{Path: base + "BidiStream", Type: hostgo.StreamTypeBidi, Serve: s.bidiStream},
	}
}

func unimplemented(context.Context, *hostgo.Call) error {
	return hostgo.NewError(hostgo.CodeUnimplemented, "this procedure is not implemented, on purpose")
}

func (s service) unary(requestName, responseName string) func(context.Context, *hostgo.Call) error {
	return func(ctx context.Context, call *hostgo.Call) error {
		request := s.suite.New(requestName)
		if err := call.Receive(request.Proto()); err != nil {
			return err
		}
		return s.answer(ctx, call, request.Message("response_definition"), []gosuite.Message{request}, responseName)
	}
}

func (s service) clientStream(ctx context.Context, call *hostgo.Call) error {
	requests, err := s.receiveAll(call, "ClientStreamRequest", nil)
	if err != nil {
		return err
	}
	definition := s.suite.New("UnaryResponseDefinition")
	if len(requests) > 0 {
		definition = requests[0].Message("response_definition")
	}
	return s.answer(ctx, call, definition, requests, "ClientStreamResponse")
}

// answer gives the single response, or the error, that a definition asks for.
func (s service) answer(
	ctx context.Context, call *hostgo.Call, definition gosuite.Message, requests []gosuite.Message, responseName string,
) error {
	if err := addMetadata(call, definition); err != nil {
		return err
	}
	info := s.suite.New("ConformancePayload.RequestInfo")
	if err := s.fill(info, call, requests, true); err != nil {
		return err
	}
	if err := sleep(ctx, definition); err != nil {
		return err
	}
	if definition.Has("error") {
		return s.fail(definition.Message("error"), info)
	}
	response := s.suite.New(responseName)
	payload := response.Mutable("payload")
	payload.Set("data", definition.Bytes("response_data"))
	payload.SetMessage("request_info", info)
	return call.Send(response.Proto())
}

func (s service) serverStream(ctx context.Context, call *hostgo.Call) error {
	request := s.suite.New("ServerStreamRequest")
	if err := call.Receive(request.Proto()); err != nil {
		return err
	}
	st := &stream{service: s, call: call, response: "ServerStreamResponse", definition: request.Message("response_definition"),
		requests: []gosuite.Message{request}}
	if err := st.begin(); err != nil {
		return err
	}
	return st.finish(ctx)
}

func (s service) bidiStream(ctx context.Context, call *hostgo.Call) error {
	first := s.suite.New("BidiStreamRequest")
	if err := call.Receive(first.Proto()); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return err
	}
	st := &stream{service: s, call: call, response: "BidiStreamResponse", definition: first.Message("response_definition"),
		requests: []gosuite.Message{first}}
	if !first.Bool("full_duplex") {
		requests, err := s.receiveAll(call, "BidiStreamRequest", st.requests)
		if err != nil {
			return err
		}
		st.requests = requests
		if err := st.begin(); err != nil {
			return err
		}
		return st.finish(ctx)
	}
	if err := st.begin(); err != nil {
		return err
	}
	st.fullDuplex = true
	for st.sent < len(st.definition.BytesList("response_data")) {
		if err := st.next(ctx); err != nil {
			return err
		}
		request := s.suite.New("BidiStreamRequest")
		if err := call.Receive(request.Proto()); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		st.requests = append(st.requests, request)
	}
	return st.finish(ctx)
}

// stream sends the responses that a StreamResponseDefinition asks for.
type stream struct {
	service
	call       *hostgo.Call
	response   string
	definition gosuite.Message
	requests   []gosuite.Message // not yet echoed
	sent       int
	fullDuplex bool
}

func (st *stream) begin() error {
	if err := addMetadata(st.call, st.definition); err != nil {
		return err
	}
	if len(st.definition.BytesList("response_data")) == 0 {
		return nil
	}
	return st.call.SendHeader()
}

// next sends the next response.
func (st *stream) next(ctx context.Context) error {
	response := st.suite.New(st.response)
	payload := response.Mutable("payload")
	payload.Set("data", st.definition.BytesList("response_data")[st.sent])
	if st.sent == 0 || st.fullDuplex {
		if err := st.fill(payload.Mutable("request_info"), st.call, st.requests, st.sent == 0); err != nil {
			return err
		}
	}
	if err := sleep(ctx, st.definition); err != nil {
		return err
	}
	st.sent++
	st.requests = nil
	return st.call.Send(response.Proto())
}

// finish sends all responses that are left, and gives the error asked for.
func (st *stream) finish(ctx context.Context) error {
	for st.sent < len(st.definition.BytesList("response_data")) {
		if err := st.next(ctx); err != nil {
			return err
		}
	}
	if !st.definition.Has("error") {
		return nil
	}
	if st.sent > 0 {
		return st.fail(st.definition.Message("error"), gosuite.Message{})
	}
	info := st.suite.New("ConformancePayload.RequestInfo")
	if err := st.fill(info, st.call, st.requests, true); err != nil {
		return err
	}
	return st.fail(st.definition.Message("error"), info)
}

// fail makes an RPC error of the suite's Error, with the information on the
// request, where there is some, as a last detail.
func (s service) fail(definition, info gosuite.Message) error {
	e := hostgo.NewError(hostgo.Code(definition.Enum("code")), definition.String("message"))
	e.Details = s.suite.Details(definition)
	if info != (gosuite.Message{}) {
		detail, err := hostgo.NewDetail(info.Proto())
		if err != nil {
			return err
		}
		e.Details = append(e.Details, detail)
	}
	return e
}

func (s service) receiveAll(call *hostgo.Call, name string, requests []gosuite.Message) ([]gosuite.Message, error) {
	for {
		request := s.suite.New(name)
		err := call.Receive(request.Proto())
		if errors.Is(err, io.EOF) {
			return requests, nil
		}
		if err != nil {
			return nil, err
		}
		requests = append(requests, request)
	}
}

// fill fills a RequestInfo with the requests and, if head is true, with what
// came before them.
func (s service) fill(info gosuite.Message, call *hostgo.Call, requests []gosuite.Message, head bool) error {
	for _, request := range requests {
		packed, err := s.suite.Pack(request)
		if err != nil {
			return err
		}
		info.AppendMessage("requests", packed)
	}
	if !head {
		return nil
	}
	metadata := call.RequestMetadata()
	gosuite.AddFrom(info, "request_headers", &metadata)
	if timeout, ok := call.Timeout(); ok {
		info.Set("timeout_ms", timeout.Milliseconds())
	}
	if call.IsGet() {
		query := info.Mutable("connect_get_info")
		for name, values := range call.Request().URL.Query() {
			parameter := query.Append("query_params")
			parameter.Set("name", name)
			for _, value := range values {
				parameter.AppendString("value", value)
			}
		}
	}
	return nil
}

func addMetadata(call *hostgo.Call, definition gosuite.Message) error {
	if err := gosuite.AddTo(call.Header(), definition.List("response_headers")); err != nil {
		return err
	}
	return gosuite.AddTo(call.Trailer(), definition.List("response_trailers"))
}

// sleep waits as long as the definition asks for.
func sleep(ctx context.Context, definition gosuite.Message) error {
	delay := time.Duration(definition.Uint("response_delay_ms")) * time.Millisecond
	if delay == 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
