package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/connectcore/connectcore/hostgo"
	"github.com/connectcore/connectcore/tests/demo/gen/greetv1"
	"github.com/connectcore/connectcore/tests/demo/gen/greetv1/greetv1connect"
	"github.com/connectcore/connectcore/tests/serving"
)

func serve() error {
	module, err := load(context.Background())
	if err != nil {
		return err
	}
	handler, err := hostgo.NewHandler(&hostgo.HandlerOptions{Module: module},
		hostgo.Unary(greetv1connect.GreetServiceGreetProcedure, greet, hostgo.NoSideEffects()),
		hostgo.ServerStream(greetv1connect.GreetServiceGreetManyProcedure, greetMany),
		hostgo.ClientStream(greetv1connect.GreetServiceGreetGroupProcedure, greetGroup),
		hostgo.BidiStream(greetv1connect.GreetServiceChatProcedure, answer))
	if err != nil {
		return err
	}
	return serving.Serve(handler)
}

func greet(_ context.Context, _ *hostgo.Call, request *greetv1.GreetRequest) (*greetv1.GreetResponse, error) {
	if request.GetName() == "" {
		return nil, hostgo.NewError(hostgo.CodeInvalidArgument, "a greeting needs a name")
	}
	return &greetv1.GreetResponse{Greeting: "Hello from Go, " + request.GetName() + "!"}, nil
}

func greetMany(_ context.Context, _ *hostgo.Call, request *greetv1.GreetManyRequest,
	responses *hostgo.Sender[greetv1.GreetManyResponse, *greetv1.GreetManyResponse]) error {
	for number := range request.GetCount() {
		greeting := fmt.Sprintf("Hello %d from Go, %s!", number+1, request.GetName())
		if err := responses.Send(&greetv1.GreetManyResponse{Greeting: greeting}); err != nil {
			return err
		}
	}
	return nil
}

func greetGroup(_ context.Context, _ *hostgo.Call,
	requests *hostgo.Receiver[greetv1.GreetGroupRequest, *greetv1.GreetGroupRequest]) (*greetv1.GreetGroupResponse, error) {
	var names []string
	for {
		request, err := requests.Receive()
		if errors.Is(err, io.EOF) {
			return &greetv1.GreetGroupResponse{Greeting: "Hello from Go, " + strings.Join(names, " and ") + "!"}, nil
		}
		if err != nil {
			return nil, err
		}
		names = append(names, request.GetName())
	}
}

func answer(_ context.Context, _ *hostgo.Call, lines *hostgo.Receiver[greetv1.ChatRequest, *greetv1.ChatRequest],
	answers *hostgo.Sender[greetv1.ChatResponse, *greetv1.ChatResponse]) error {
	for {
		request, err := lines.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := answers.Send(&greetv1.ChatResponse{Line: "You said: " + request.GetLine()}); err != nil {
			return err
		}
	}
}
