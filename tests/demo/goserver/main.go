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
	"net"
	"net/http"
	"os"

	"connectrpc.com/connect"

	"github.com/connectcore/connectcore/tests/demo/gen/greetv1"
	"github.com/connectcore/connectcore/tests/demo/gen/greetv1/greetv1connect"
)

type greeter struct {
	greetv1connect.UnimplementedGreetServiceHandler
}

func (greeter) Greet(
	_ context.Context, request *connect.Request[greetv1.GreetRequest],
) (*connect.Response[greetv1.GreetResponse], error) {
	name := request.Msg.GetName()
	if name == "" {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("a greeting needs a name"))
	}
	return connect.NewResponse(&greetv1.GreetResponse{Greeting: "Hello from Go, " + name + "!"}), nil
}

func main() {
	plain := flag.Bool("plain", false, "never compress")
	flag.Parse()
	var options []connect.HandlerOption
	if *plain {
		options = append(options, connect.WithCompressMinBytes(math.MaxInt))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "goserver:", err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.Handle(greetv1connect.NewGreetServiceHandler(greeter{}, options...))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: mux, Protocols: protocols}
	fmt.Printf("http://%s\n", listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, "goserver:", err)
		os.Exit(1)
	}
}
