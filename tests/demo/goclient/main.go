// Command goclient calls the example service with connect-go's own client and
// prints what came back, one message a line:
//
//	goclient [-grpc | -web] [-h2] [-get] URL greet NAME | many NAME COUNT | group NAME... | chat LINE...
//
// An RPC error is printed as `error: code: message`, and is an answer too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"github.com/connectcore/connectcore/tests/demo/gen/greetv1"
	"github.com/connectcore/connectcore/tests/demo/gen/greetv1/greetv1connect"
)

func main() {
	grpc := flag.Bool("grpc", false, "speak gRPC, and so HTTP/2")
	web := flag.Bool("web", false, "speak gRPC-Web")
	http2 := flag.Bool("h2", false, "speak HTTP/2 without TLS")
	get := flag.Bool("get", false, "use HTTP GET where the procedure allows it")
	flag.Parse()
	if flag.NArg() < 3 {
		flag.Usage()
		os.Exit(2)
	}
	var options []connect.ClientOption
	transport := &http.Transport{}
	if *grpc {
		options = append(options, connect.WithGRPC())
	}
	if *web {
		options = append(options, connect.WithGRPCWeb())
	}
	if *grpc || *http2 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	if *get {
		options = append(options, connect.WithHTTPGet())
	}
	client := greetv1connect.NewGreetServiceClient(&http.Client{Transport: transport}, flag.Arg(0), options...)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := call(ctx, client, flag.Arg(1), flag.Args()[2:]); err != nil {
		var rpc *connect.Error
		if !errors.As(err, &rpc) {
			fmt.Fprintln(os.Stderr, "goclient:", err)
			os.Exit(1)
		}
		fmt.Printf("error: %s: %s\n", rpc.Code(), rpc.Message())
	}
}

func call(ctx context.Context, client greetv1connect.GreetServiceClient, what string, args []string) error {
	switch what {
	case "greet":
		return greet(ctx, client, args[0])
	case "many":
		if len(args) == 2 {
			if count, err := strconv.ParseUint(args[1], 10, 32); err == nil {
				return many(ctx, client, args[0], uint32(count))
			}
		}
	case "group":
		return group(ctx, client, args)
	case "chat":
		return chat(ctx, client, args)
	}
	return fmt.Errorf("not a call: %s %q", what, args)
}

func greet(ctx context.Context, client greetv1connect.GreetServiceClient, name string) error {
	response, err := client.Greet(ctx, connect.NewRequest(&greetv1.GreetRequest{Name: name}))
	if err != nil {
		return err
	}
	fmt.Println(response.Msg.GetGreeting())
	return nil
}

func many(ctx context.Context, client greetv1connect.GreetServiceClient, name string, count uint32) error {
	stream, err := client.GreetMany(ctx, connect.NewRequest(&greetv1.GreetManyRequest{Name: name, Count: count}))
	if err != nil {
		return err
	}
	for stream.Receive() {
		fmt.Println(stream.Msg().GetGreeting())
	}
	return errors.Join(stream.Err(), stream.Close())
}

func group(ctx context.Context, client greetv1connect.GreetServiceClient, names []string) error {
	stream := client.GreetGroup(ctx)
	for _, name := range names {
		if err := stream.Send(&greetv1.GreetGroupRequest{Name: name}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	response, err := stream.CloseAndReceive()
	if err != nil {
		return err
	}
	fmt.Println(response.Msg.GetGreeting())
	return nil
}

// chat sends a line only when the one before was answered, so it needs a
// server that answers while the request is still open.
func chat(ctx context.Context, client greetv1connect.GreetServiceClient, lines []string) error {
	stream := client.Chat(ctx)
	for _, line := range lines {
		if err := stream.Send(&greetv1.ChatRequest{Line: line}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		answer, err := stream.Receive()
		if err != nil {
			return err
		}
		fmt.Println(answer.GetLine())
	}
	if err := stream.CloseRequest(); err != nil {
		return err
	}
	if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last line: %w", err)
	}
	return stream.CloseResponse()
}
