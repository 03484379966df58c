package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/connectcore/connectcore/hostgo"
	"github.com/connectcore/connectcore/tests/demo/gen/greetv1"
	"github.com/connectcore/connectcore/tests/demo/gen/greetv1/greetv1connect"
)

func calls(ctx context.Context, client *hostgo.Client, what string, args []string) error {
	switch what {
	case "greet":
		var response greetv1.GreetResponse
		err := client.Unary(ctx, greetv1connect.GreetServiceGreetProcedure, &greetv1.GreetRequest{Name: args[0]}, &response)
		if err == nil {
			fmt.Println(response.GetGreeting())
		}
		return err
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

func many(ctx context.Context, client *hostgo.Client, name string, count uint32) error {
	stream, err := client.ServerStream(ctx, greetv1connect.GreetServiceGreetManyProcedure,
		&greetv1.GreetManyRequest{Name: name, Count: count})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		var response greetv1.GreetManyResponse
		if err := stream.Receive(&response); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		fmt.Println(response.GetGreeting())
	}
}

func group(ctx context.Context, client *hostgo.Client, names []string) error {
	stream, err := client.ClientStream(ctx, greetv1connect.GreetServiceGreetGroupProcedure)
	if err != nil {
		return err
	}
	defer stream.Close()
	for _, name := range names {
		if stream.Send(&greetv1.GreetGroupRequest{Name: name}) != nil {
			break // the response says why
		}
	}
	var response greetv1.GreetGroupResponse
	if err := stream.CloseAndReceive(&response); err != nil {
		return err
	}
	fmt.Println(response.GetGreeting())
	return nil
}

// chat sends a line only when the one before was answered, so it needs a server
// that answers while the request is still open.
func chat(ctx context.Context, client *hostgo.Client, lines []string) error {
	stream, err := client.BidiStream(ctx, greetv1connect.GreetServiceChatProcedure)
	if err != nil {
		return err
	}
	defer stream.Close()
	for _, line := range lines {
		if stream.Send(&greetv1.ChatRequest{Line: line}) != nil {
			break // receiving says why
		}
		var answer greetv1.ChatResponse
		if err := stream.Receive(&answer); err != nil {
			return err
		}
		fmt.Println(answer.GetLine())
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if err := stream.Receive(&greetv1.ChatResponse{}); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last line: %w", err)
	}
	return nil
}
