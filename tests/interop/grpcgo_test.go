package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

// grpcGo connects grpc-go's client to our server.
func grpcGo(t *testing.T) *grpc.ClientConn {
	t.Helper()
	url := versions[1].serve(t, ours(t, hostgo.HandlerOptions{}))
	conn, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // nothing is left of it
	return conn
}

// eachGRPCGo runs a test with grpc-go's client, plain and compressed.
func eachGRPCGo(t *testing.T, test func(t *testing.T, conn *grpc.ClientConn, options ...grpc.CallOption)) {
	t.Helper()
	conn := grpcGo(t)
	t.Run("identity", func(t *testing.T) { test(t, conn) })
	t.Run("gzip", func(t *testing.T) { test(t, conn, grpc.UseCompressor(gzip.Name)) })
}

func grpcAsking(t *testing.T) context.Context {
	return metadata.AppendToOutgoingContext(soon(t), "x-ask", "one", "x-ask", "two, three", "x-ask-bin", string(binaryValue))
}

func checkGRPC(t *testing.T, what string, got metadata.MD, prefix string) {
	t.Helper()
	if joined := strings.Join(got.Get(prefix), ", "); joined != "one, two, three" {
		t.Errorf("%s %s: got %q", what, prefix, joined)
	}
	if values := got.Get(prefix + "-bin"); len(values) != 1 || values[0] != string(binaryValue) {
		t.Errorf("%s %s-bin: got %q", what, prefix, values)
	}
}

func checkGRPCFailure(t *testing.T, err error) {
	t.Helper()
	s, _ := status.FromError(err)
	if s.Code() != codes.FailedPrecondition || s.Message() != "not now: é" || len(s.Details()) != 1 {
		t.Fatalf("got %v with %d details", err, len(s.Details()))
	}
	if number, ok := s.Details()[0].(*wrapperspb.Int64Value); !ok || number.GetValue() != 42 {
		t.Errorf("got detail %v, want 42", s.Details()[0])
	}
}

func TestGRPCGoClientUnary(t *testing.T) {
	eachGRPCGo(t, func(t *testing.T, conn *grpc.ClientConn, options ...grpc.CallOption) {
		for _, sent := range []string{"", "hello", strings.Repeat("abcdefgh", largeSize/8)} {
			var header, trailer metadata.MD
			var response text
			err := conn.Invoke(grpcAsking(t), unaryPath, wrapperspb.String(sent), &response,
				append(options, grpc.Header(&header), grpc.Trailer(&trailer))...)
			if err != nil || response.GetValue() != strings.ToUpper(sent) {
				t.Fatalf("got %.50q, %v", response.GetValue(), err)
			}
			checkGRPC(t, "header", header, "x-lead")
			checkGRPC(t, "trailer", trailer, "x-trail")
		}
		checkGRPCFailure(t, conn.Invoke(soon(t), unaryPath, wrapperspb.String(askFail), &text{}, options...))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := conn.Invoke(ctx, unaryPath, wrapperspb.String(askSleep), &text{}, options...)
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v, want deadline exceeded", err)
		}
		err = conn.Invoke(soon(t), "/interop.v1.Interop/None", wrapperspb.String("x"), &text{}, options...)
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("an unknown procedure: got %v, want unimplemented", err)
		}
	})
}

// collectGRPC gives all messages that come over a stream of either side, and
// does something with each.
func collectGRPC(stream interface{ RecvMsg(m any) error }, each ...func(string) error) (all []string, err error) {
	for {
		var m text
		if err := stream.RecvMsg(&m); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		all = append(all, m.GetValue())
		for _, do := range each {
			if err := do(m.GetValue()); err != nil {
				return all, err
			}
		}
	}
}

var allStreams = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

func TestGRPCGoClientStreams(t *testing.T) {
	eachGRPCGo(t, func(t *testing.T, conn *grpc.ClientConn, options ...grpc.CallOption) {
		open := func(ctx context.Context, path string, sent ...string) grpc.ClientStream {
			t.Helper()
			stream, err := conn.NewStream(ctx, allStreams, path, options...)
			if err != nil {
				t.Fatal(err)
			}
			for _, value := range sent {
				if err := stream.SendMsg(wrapperspb.String(value)); err != nil {
					t.Fatal(err)
				}
			}
			return stream
		}
		closed := func(stream grpc.ClientStream) ([]string, error) {
			if err := stream.CloseSend(); err != nil {
				return nil, err
			}
			return collectGRPC(stream)
		}
		stream := open(grpcAsking(t), serverPath, "s")
		if got, err := closed(stream); err != nil || strings.Join(got, ",") != "s 0,s 1,s 2" {
			t.Errorf("server stream: got %q, %v", got, err)
		}
		header, err := stream.Header()
		if err != nil {
			t.Error(err)
		}
		checkGRPC(t, "header", header, "x-lead")
		checkGRPC(t, "trailer", stream.Trailer(), "x-trail")
		if got, err := closed(open(soon(t), clientPath, "a", "", "c")); err != nil || strings.Join(got, ",") != "A++C" {
			t.Errorf("client stream: got %q, %v", got, err)
		}
		got, err := closed(open(soon(t), serverPath, askFail))
		if len(got) != 3 {
			t.Errorf("got %d messages before the error, want 3", len(got))
		}
		checkGRPCFailure(t, err)
		stream = open(soon(t), bidiPath)
		for i := range 20 {
			sent := fmt.Sprintf("m%d", i)
			if err := stream.SendMsg(wrapperspb.String(sent)); err != nil {
				t.Fatal(err)
			}
			var m text
			if err := stream.RecvMsg(&m); err != nil || m.GetValue() != strings.ToUpper(sent) {
				t.Fatalf("got %q for %q (%v)", m.GetValue(), sent, err)
			}
		}
		if got, err := closed(stream); err != nil || len(got) > 0 {
			t.Errorf("bidi stream: got %q, %v at its end", got, err)
		}
	})
}

// grpcGoServer serves the service by grpc-go, and returns our client for it.
func grpcGoServer(t *testing.T, options hostgo.ClientOptions) *hostgo.Client {
	t.Helper()
	options.Protocol = hostgo.ProtocolGRPC
	return ownClient(t, grpcGoURL(t, TheirsGRPC()), options)
}

// grpcGoURL is where a server of grpc-go's serves until the test ends.
func grpcGoURL(t *testing.T, server *grpc.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// grpcGoService is the service as generated code registers it.
func grpcGoService() *grpc.Server {
	type stream = grpc.ServerStream
	answer := func(ctx context.Context, ask string, err error) (any, error) {
		if err == nil {
			err = actGRPC(ctx, ask)
		}
		return wrapperspb.String(strings.ToUpper(ask)), err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(readMax))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "interop.v1.Interop",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, ctx context.Context, receive func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var m text
			if err := receive(&m); err != nil {
				return nil, err
			}
			return answer(ctx, m.GetValue(), metadataGRPC(ctx))
		}}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Server", ServerStreams: true, Handler: func(_ any, s stream) error {
				var m text
				if err := s.RecvMsg(&m); err != nil {
					return err
				}
				if err := metadataGRPC(s.Context()); err != nil {
					return err
				}
				for i := range 3 {
					if err := s.SendMsg(wrapperspb.String(fmt.Sprintf("%s %d", m.GetValue(), i))); err != nil {
						return err
					}
				}
				return actGRPC(s.Context(), m.GetValue())
			}},
			{StreamName: "Client", ClientStreams: true, Handler: func(_ any, s stream) error {
				all, err := collectGRPC(s)
				if err != nil {
					return err
				}
				reply, err := answer(s.Context(), strings.Join(all, "+"), metadataGRPC(s.Context()))
				if err != nil {
					return err
				}
				return s.SendMsg(reply)
			}},
			{StreamName: "Bidi", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s stream) error {
				if err := metadataGRPC(s.Context()); err != nil {
					return err
				}
				_, err := collectGRPC(s, func(ask string) error {
					reply, err := answer(s.Context(), ask, nil)
					if err != nil {
						return err
					}
					return s.SendMsg(reply)
				})
				return err
			}},
		},
	}, struct{}{})
	return server
}

// actGRPC is what the registered service is asked to do beside answering.
func actGRPC(ctx context.Context, ask string) error {
	_, err := act(ctx, "", ask, func() error {
		if err := grpc.SetTrailer(ctx, metadata.Pairs("x-error", "why")); err != nil {
			return err
		}
		return failureGRPC()
	})
	return err
}

// eachGRPCServer runs a test with our client against grpc-go's server.
func eachGRPCServer(t *testing.T, test func(t *testing.T, client *hostgo.Client)) {
	t.Helper()
	for _, coding := range []string{"identity", "gzip"} {
		t.Run(coding, func(t *testing.T) {
			test(t, grpcGoServer(t, hostgo.ClientOptions{Codings: []string{coding}, SendCoding: coding, CompressMin: -1}))
		})
	}
}

func TestGRPCGoServerUnary(t *testing.T) {
	eachGRPCServer(t, func(t *testing.T, client *hostgo.Client) {
		for _, sent := range []string{"", "hello", strings.Repeat("abcdefgh", largeSize/8)} {
			var header, trailer hostgo.Metadata
			var response text
			err := client.Unary(soon(t), unaryPath, wrapperspb.String(sent), &response,
				hostgo.WithMetadata(asking()), hostgo.ReceiveMetadata(&header, &trailer))
			if err != nil || response.GetValue() != strings.ToUpper(sent) {
				t.Fatalf("got %.50q, %v", response.GetValue(), err)
			}
			checkOwn(t, "header", header, "x-lead")
			checkOwn(t, "trailer", trailer, "x-trail")
		}
		checkOwnFailure(t, client.Unary(soon(t), unaryPath, wrapperspb.String(askFail), &text{}))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := client.Unary(ctx, unaryPath, wrapperspb.String(askSleep), &text{})
		if hostgo.CodeOf(err) != hostgo.CodeDeadlineExceeded {
			t.Errorf("got %v, want deadline exceeded", err)
		}
	})
}

func TestGRPCGoServerStreams(t *testing.T) {
	eachGRPCServer(t, func(t *testing.T, client *hostgo.Client) {
		stream, err := client.ServerStream(soon(t), serverPath, wrapperspb.String("s"), hostgo.WithMetadata(asking()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := collect(stream); err != nil || strings.Join(got, ",") != "s 0,s 1,s 2" {
			t.Errorf("server stream: got %q, %v", got, err)
		}
		checkOwn(t, "header", stream.Header(), "x-lead")
		checkOwn(t, "trailer", stream.Trailer(), "x-trail")
		if stream, err = client.ServerStream(soon(t), serverPath, wrapperspb.String(askFail)); err != nil {
			t.Fatal(err)
		}
		got, err := collect(stream)
		if len(got) != 3 {
			t.Errorf("got %d messages before the error, want 3", len(got))
		}
		checkOwnFailure(t, err)
		if stream, err = client.ClientStream(soon(t), clientPath); err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{"a", "", "c"} {
			if err := stream.Send(wrapperspb.String(value)); err != nil {
				t.Fatal(err)
			}
		}
		var response text
		if err := stream.CloseAndReceive(&response); err != nil || response.GetValue() != "A++C" {
			t.Errorf("client stream: got %q, %v", response.GetValue(), err)
		}
		if stream, err = client.BidiStream(soon(t), bidiPath); err != nil {
			t.Fatal(err)
		}
		converse(t, stream)
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if got, err := collect(stream); err != nil || len(got) > 0 {
			t.Errorf("bidi stream: got %q, %v at its end", got, err)
		}
	})
}
