package hostgo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

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

func ExampleBidiStream() {
	chat := hostgo.BidiStream("/greet.v1.GreetService/Chat",
		func(_ context.Context, _ *hostgo.Call, in *hostgo.Receiver[wrapperspb.StringValue, *wrapperspb.StringValue],
			out *hostgo.Sender[wrapperspb.StringValue, *wrapperspb.StringValue]) error {
			for {
				message, err := in.Receive()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				if err := out.Send(wrapperspb.String("you said " + message.GetValue())); err != nil {
					return err
				}
			}
		})
	handler, err := hostgo.NewHandler(nil, chat)
	if err != nil {
		panic(err)
	}
	// HTTP/2 without TLS, which gRPC's clients use.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: handler, Protocols: &protocols}
	fmt.Println(server.Protocols)
	// Output: {HTTP1,UnencryptedHTTP2}
}
