package hostgo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

func Example() {
	greet := hostgo.Unary("/greet.v1.GreetService/Greet",
		func(_ context.Context, call *hostgo.Call, name *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			if name.GetValue() == "" {
				return nil, hostgo.NewError(hostgo.CodeInvalidArgument, "whom?")
			}
			call.Header().Add("x-greeter", "example")
			return wrapperspb.String("Hello, " + name.GetValue()), nil
		}, hostgo.NoSideEffects())
	handler, err := hostgo.NewHandler(nil, greet)
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	client, err := hostgo.NewClient(server.URL, nil)
	if err != nil {
		panic(err)
	}
	var header hostgo.Metadata
	var greeting wrapperspb.StringValue
	err = client.Unary(context.Background(), "/greet.v1.GreetService/Greet", wrapperspb.String("Ada"), &greeting,
		hostgo.WithGet(), hostgo.ReceiveMetadata(&header, nil))
	fmt.Println(greeting.GetValue(), header.Get("x-greeter"), err)

	err = client.Unary(context.Background(), "/greet.v1.GreetService/Greet", wrapperspb.String(""), &greeting)
	if e, ok := errors.AsType[*hostgo.Error](err); ok {
		fmt.Println(e.Code == hostgo.CodeInvalidArgument, e.Message)
	}

	// Anything that speaks HTTP can call it.
	response, err := http.Post(server.URL+"/greet.v1.GreetService/Greet", "application/json", strings.NewReader(`"Grace"`))
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	fmt.Println(response.StatusCode, string(text), err)
	// Output:
	// Hello, Ada example <nil>
	// true whom?
	// 200 "Hello, Grace" <nil>
}

// A chat: each line is answered before the next is sent. It is called by gRPC over
// HTTP/2 without TLS.
func ExampleBidiStream() {
	type text = wrapperspb.StringValue
	chat := hostgo.BidiStream("/greet.v1.GreetService/Chat",
		func(_ context.Context, _ *hostgo.Call, in *hostgo.Receiver[text, *text], out *hostgo.Sender[text, *text]) error {
			for {
				line, err := in.Receive()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				if err := out.Send(wrapperspb.String("you said " + line.GetValue())); err != nil {
					return err
				}
			}
		})
	handler, err := hostgo.NewHandler(nil, chat)
	if err != nil {
		panic(err)
	}
	server := serveHTTP2(handler)
	defer server.Close()

	client, err := hostgo.NewClient(server.URL, &hostgo.ClientOptions{Protocol: hostgo.ProtocolGRPC})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := client.BidiStream(ctx, "/greet.v1.GreetService/Chat")
	if err != nil {
		panic(err)
	}
	defer stream.Close()
	for _, line := range []string{"hello", "bye"} {
		if err := stream.Send(wrapperspb.String(line)); err != nil {
			break // Receive says why
		}
		var answer text
		if err := stream.Receive(&answer); err != nil {
			panic(err)
		}
		fmt.Println(answer.GetValue())
	}
	if err := stream.CloseSend(); err != nil {
		panic(err)
	}
	fmt.Println(stream.Receive(&text{}))
	// Output:
	// you said hello
	// you said bye
	// EOF
}

// serveHTTP2 serves HTTP/1.1, and HTTP/2 without TLS.
func serveHTTP2(handler http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	return server
}

func ExampleClient_ServerStream() {
	type text = wrapperspb.StringValue
	count := hostgo.ServerStream("/greet.v1.GreetService/GreetMany",
		func(_ context.Context, call *hostgo.Call, name *text, out *hostgo.Sender[text, *text]) error {
			for i := range 3 {
				if err := out.Send(wrapperspb.String(fmt.Sprintf("Hello %d, %s", i, name.GetValue()))); err != nil {
					return err
				}
			}
			call.Trailer().Add("x-count", "3")
			return nil
		})
	handler, err := hostgo.NewHandler(nil, count)
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	client, err := hostgo.NewClient(server.URL, &hostgo.ClientOptions{Protocol: hostgo.ProtocolGRPCWeb})
	if err != nil {
		panic(err)
	}
	stream, err := client.ServerStream(context.Background(), "/greet.v1.GreetService/GreetMany", wrapperspb.String("Ada"))
	if err != nil {
		panic(err)
	}
	defer stream.Close()
	for {
		var greeting text
		if err := stream.Receive(&greeting); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			panic(err)
		}
		fmt.Println(greeting.GetValue())
	}
	trailer := stream.Trailer()
	fmt.Println(trailer.Get("x-count"))
	// Output:
	// Hello 0, Ada
	// Hello 1, Ada
	// Hello 2, Ada
	// 3
}

// A proxy takes calls in any protocol and makes them by gRPC. It knows the
// procedures' paths and stream types, and no message.
func ExampleClient_Stream() {
	backend := serveHTTP2(greeter())
	defer backend.Close()
	client, err := hostgo.NewClient(backend.URL, &hostgo.ClientOptions{Protocol: hostgo.ProtocolGRPC})
	if err != nil {
		panic(err)
	}
	forward := func(ctx context.Context, call *hostgo.Call, t hostgo.StreamType) error {
		stream, err := client.Stream(ctx, t, call.Procedure(), hostgo.WithMetadata(call.RequestMetadata()))
		if err != nil {
			return err
		}
		defer stream.Close()
		go func() { // to the backend
			for {
				payload, err := call.ReceiveBytes()
				if errors.Is(err, io.EOF) {
					_ = stream.CloseSend() // if the call has ended, the other half says so
				}
				if err != nil || stream.SendBytes(payload) != nil {
					return
				}
			}
		}()
		*call.Header() = stream.Header()
		for { // and back
			payload, err := stream.ReceiveBytes()
			if err != nil {
				*call.Trailer() = stream.Trailer()
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := call.SendBytes(payload); err != nil {
				return err
			}
		}
	}
	proxy, err := hostgo.NewHandler(&hostgo.HandlerOptions{Codecs: []hostgo.Codec{hostgo.ProtoCodec()}},
		hostgo.Procedure{Path: "/greet.v1.GreetService/Greet", Type: hostgo.StreamTypeUnary,
			Serve: func(ctx context.Context, call *hostgo.Call) error {
				return forward(ctx, call, hostgo.StreamTypeUnary)
			}})
	if err != nil {
		panic(err)
	}
	front := httptest.NewServer(proxy)
	defer front.Close()

	caller, err := hostgo.NewClient(front.URL, nil)
	if err != nil {
		panic(err)
	}
	var greeting wrapperspb.StringValue
	err = caller.Unary(context.Background(), "/greet.v1.GreetService/Greet", wrapperspb.String("Ada"), &greeting)
	fmt.Println(greeting.GetValue(), err)
	err = caller.Unary(context.Background(), "/greet.v1.GreetService/Greet", wrapperspb.String(""), &greeting)
	fmt.Println(err)
	// Output:
	// Hello, Ada <nil>
	// invalid argument: whom?
}

// greeter serves one procedure.
func greeter() *hostgo.Handler {
	handler, err := hostgo.NewHandler(nil, hostgo.Unary("/greet.v1.GreetService/Greet",
		func(_ context.Context, _ *hostgo.Call, name *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			if name.GetValue() == "" {
				return nil, hostgo.NewError(hostgo.CodeInvalidArgument, "whom?")
			}
			return wrapperspb.String("Hello, " + name.GetValue()), nil
		}))
	if err != nil {
		panic(err)
	}
	return handler
}
