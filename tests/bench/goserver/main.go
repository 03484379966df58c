// Command goserver serves the benchmark's service with connect-go. Its message
// has one string, as StringValue has, so that no code has to be generated.
package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/tests/serving"
)

type text = wrapperspb.StringValue

const (
	path   = "/bench.v1.EchoService/"
	stream = 10_000
)

func unary(_ context.Context, request *connect.Request[text]) (*connect.Response[text], error) {
	return connect.NewResponse(request.Msg), nil
}

func serverStream(_ context.Context, request *connect.Request[text], responses *connect.ServerStream[text]) error {
	for range stream {
		if err := responses.Send(wrapperspb.String(request.Msg.GetValue())); err != nil {
			return err
		}
	}
	return nil
}

func clientStream(_ context.Context, requests *connect.ClientStream[text]) (*connect.Response[text], error) {
	last := ""
	for requests.Receive() {
		last = requests.Msg().GetValue()
	}
	return connect.NewResponse(wrapperspb.String(last)), requests.Err()
}

func main() {
	plain := connect.WithCompressMinBytes(math.MaxInt)
	mux := http.NewServeMux()
	mux.Handle(path+"Unary", connect.NewUnaryHandler(path+"Unary", unary, plain))
	mux.Handle(path+"ServerStream", connect.NewServerStreamHandler(path+"ServerStream", serverStream, plain))
	mux.Handle(path+"ClientStream", connect.NewClientStreamHandler(path+"ClientStream", clientStream, plain))
	if err := serving.Serve(mux); err != nil {
		fmt.Fprintln(os.Stderr, "goserver:", err)
		os.Exit(1)
	}
}
