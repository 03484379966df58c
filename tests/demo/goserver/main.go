// Command goserver serves the example service with connect-go's own server on
// a free loopback port, HTTP/1.1 and HTTP/2 without TLS. It prints its URL and
// serves until its standard input ends. With -plain it compresses nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"

	"connectrpc.com/connect"

	"github.com/connectcore/connectcore/tests/demo/gen/greetv1"
	"github.com/connectcore/connectcore/tests/demo/gen/greetv1/greetv1connect"
	"github.com/connectcore/connectcore/tests/serving"
)

type greeter struct{}

func (greeter) Greet(
	_ context.Context, request *connect.Request[greetv1.GreetRequest],
) (*connect.Response[greetv1.GreetResponse], error) {
	name := request.Msg.GetName()
	if name == "" {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("a greeting needs a name"))
	}
	return connect.NewResponse(&greetv1.GreetResponse{Greeting: "Hello from Go, " + name + "!"}), nil
}

func (greeter) GreetMany(
	_ context.Context, request *connect.Request[greetv1.GreetManyRequest], stream *connect.ServerStream[greetv1.GreetManyResponse],
) error {
	for number := range request.Msg.GetCount() {
		greeting := fmt.Sprintf("Hello %d from Go, %s!", number+1, request.Msg.GetName())
		if err := stream.Send(&greetv1.GreetManyResponse{Greeting: greeting}); err != nil {
			return err
		}
	}
	return nil
}

func (greeter) GreetGroup(
	_ context.Context, stream *connect.ClientStream[greetv1.GreetGroupRequest],
) (*connect.Response[greetv1.GreetGroupResponse], error) {
	var names []string
	for stream.Receive() {
		names = append(names, stream.Msg().GetName())
	}
	greeting := "Hello from Go, " + strings.Join(names, " and ") + "!"
	return connect.NewResponse(&greetv1.GreetGroupResponse{Greeting: greeting}), stream.Err()
}

func (greeter) Chat(_ context.Context, stream *connect.BidiStream[greetv1.ChatRequest, greetv1.ChatResponse]) error {
	for {
		request, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&greetv1.ChatResponse{Line: "You said: " + request.GetLine()}); err != nil {
			return err
		}
	}
}

func main() {
	plain := flag.Bool("plain", false, "never compress")
	flag.Parse()
	var options []connect.HandlerOption
	if *plain {
		options = append(options, connect.WithCompressMinBytes(math.MaxInt))
	}
	mux := http.NewServeMux()
	mux.Handle(greetv1connect.NewGreetServiceHandler(greeter{}, options...))
	if err := serving.Serve(mux); err != nil {
		fmt.Fprintln(os.Stderr, "goserver:", err)
		os.Exit(1)
	}
}
