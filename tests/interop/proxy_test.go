package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

// forwarding makes a procedure that makes each call by a client, and knows no
// message.
func forwarding(client *hostgo.Client, path string, t hostgo.StreamType) hostgo.Procedure {
	return hostgo.Procedure{Path: path, Type: t, Serve: func(ctx context.Context, call *hostgo.Call) error {
		stream, err := client.Stream(ctx, t, path, hostgo.WithMetadata(call.RequestMetadata()))
		if err != nil {
			return err
		}
		defer stream.Close()
		go func() {
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
		for {
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
	}}
}

// A proxy of our handler and our client in front of connect-go's handlers: calls of
// every stream type look as without it.
func TestProxy(t *testing.T) {
	v := versions[1]
	backend := ownClient(t, v.serve(t, Theirs()), hostgo.ClientOptions{Protocol: hostgo.ProtocolGRPC, HTTPClient: v.client(t)})
	h, err := hostgo.NewHandler(&hostgo.HandlerOptions{Module: module, Logger: slog.New(slog.DiscardHandler),
		Codecs: []hostgo.Codec{hostgo.ProtoCodec()}},
		forwarding(backend, unaryPath, hostgo.StreamTypeUnary), forwarding(backend, serverPath, hostgo.StreamTypeServer),
		forwarding(backend, clientPath, hostgo.StreamTypeClient), forwarding(backend, bidiPath, hostgo.StreamTypeBidi))
	if err != nil {
		t.Fatal(err)
	}
	url := v.serve(t, h)
	for _, protocol := range []hostgo.Protocol{hostgo.ProtocolConnect, hostgo.ProtocolGRPC, hostgo.ProtocolGRPCWeb} {
		t.Run(fmt.Sprint(protocol), func(t *testing.T) {
			client := ownClient(t, url, hostgo.ClientOptions{Protocol: protocol, HTTPClient: v.client(t)})
			var response text
			var header, trailer hostgo.Metadata
			err := client.Unary(soon(t), unaryPath, wrapperspb.String("hello"), &response,
				hostgo.WithMetadata(asking()), hostgo.ReceiveMetadata(&header, &trailer))
			if err != nil || response.GetValue() != "HELLO" {
				t.Errorf("unary: got %q, %v", response.GetValue(), err)
			}
			checkOwn(t, "header", header, "x-lead")
			checkOwn(t, "trailer", trailer, "x-trail")
			checkOwnFailure(t, client.Unary(soon(t), unaryPath, wrapperspb.String(askFail), &response))
			stream, err := client.ServerStream(soon(t), serverPath, wrapperspb.String("s"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := collect(stream); err != nil || strings.Join(got, ",") != "s 0,s 1,s 2" {
				t.Errorf("server stream: got %q, %v", got, err)
			}
			if stream, err = client.ClientStream(soon(t), clientPath); err != nil {
				t.Fatal(err)
			}
			for _, value := range []string{"a", "b"} {
				if err := stream.Send(wrapperspb.String(value)); err != nil {
					t.Fatal(err)
				}
			}
			response.Reset()
			if err := stream.CloseAndReceive(&response); err != nil || response.GetValue() != "A+B" {
				t.Errorf("client stream: got %q, %v", response.GetValue(), err)
			}
			for _, last := range []string{"", askFail} { // the backend ends while the proxy waits for the client
				if stream, err = client.BidiStream(soon(t), bidiPath); err != nil {
					t.Fatal(err)
				}
				for i := range 10 {
					if err := stream.Send(wrapperspb.String(fmt.Sprintf("m%d", i))); err != nil {
						t.Fatal(err)
					}
					response.Reset()
					if err := stream.Receive(&response); err != nil || response.GetValue() != fmt.Sprintf("M%d", i) {
						t.Fatalf("bidi stream: got %q, %v", response.GetValue(), err)
					}
				}
				if last == "" {
					err = stream.CloseSend()
				} else {
					err = stream.Send(wrapperspb.String(last))
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := collect(stream); last == "" && err != nil {
					t.Errorf("bidi stream: got %v at its end", err)
				} else if last != "" {
					checkOwnFailure(t, err)
				}
			}
			ctx, cancel := context.WithCancel(soon(t))
			if stream, err = client.BidiStream(ctx, bidiPath); err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(wrapperspb.String(askSleep)); err != nil {
				t.Fatal(err)
			}
			cancel()
			if _, err := collect(stream); hostgo.CodeOf(err) != hostgo.CodeCanceled {
				t.Errorf("got %v, want canceled", err)
			}
		})
	}
}
