package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

// collect receives all messages of a stream, and how it ends: nil for well.
func collect(stream *hostgo.Stream) (all []string, err error) {
	for {
		var m text
		if err := stream.Receive(&m); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		all = append(all, m.GetValue())
	}
}

func checkOwnFailure(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*hostgo.Error](err)
	if !ok {
		t.Fatalf("got %v, want an RPC error", err)
	}
	if e.Code != hostgo.CodeFailedPrecondition || e.Message != "not now: é" || len(e.Details) != 1 {
		t.Errorf("got %v with %d details", e, len(e.Details))
	}
}

func TestOwnClientServerStream(t *testing.T) {
	eachClient(t, func(t *testing.T, client *hostgo.Client) {
		stream, err := client.ServerStream(soon(t), serverPath, wrapperspb.String("s"), hostgo.WithMetadata(asking()))
		if err != nil {
			t.Fatal(err)
		}
		checkOwn(t, "header", stream.Header(), "x-lead")
		got, err := collect(stream)
		if err != nil || strings.Join(got, ",") != "s 0,s 1,s 2" {
			t.Errorf("got %q, %v", got, err)
		}
		checkOwn(t, "trailer", stream.Trailer(), "x-trail")
		if stream, err = client.ServerStream(soon(t), serverPath, wrapperspb.String(askFail)); err != nil {
			t.Fatal(err)
		}
		got, err = collect(stream)
		if len(got) != 3 {
			t.Errorf("got %d messages before the error, want 3", len(got))
		}
		checkOwnFailure(t, err)
	})
}

func TestOwnClientClientStream(t *testing.T) {
	eachClient(t, func(t *testing.T, client *hostgo.Client) {
		stream, err := client.ClientStream(soon(t), clientPath, hostgo.WithMetadata(asking()))
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{"a", "", "c"} {
			if err := stream.Send(wrapperspb.String(value)); err != nil {
				t.Fatal(err)
			}
		}
		var response text
		if err := stream.CloseAndReceive(&response); err != nil || response.GetValue() != "A++C" {
			t.Errorf("got %q, %v", response.GetValue(), err)
		}
		checkOwn(t, "header", stream.Header(), "x-lead")
		checkOwn(t, "trailer", stream.Trailer(), "x-trail")
		if err := stream.Send(wrapperspb.String("late")); err == nil {
			t.Error("a message was sent after CloseSend")
		}
	})
}

// fullDuplex says whether the server of a test can answer before the request has
// ended: connect-go's does so over HTTP/2 only, and refuses the call otherwise.
func fullDuplex(t *testing.T) bool {
	return !strings.Contains(t.Name(), "connect-go/HTTP1")
}

func TestOwnClientBidi(t *testing.T) {
	eachClient(t, func(t *testing.T, client *hostgo.Client) {
		if !fullDuplex(t) {
			t.Skip("connect-go refuses bidi calls over HTTP/1.1")
		}
		stream, err := client.BidiStream(soon(t), bidiPath, hostgo.WithMetadata(asking()))
		if err != nil {
			t.Fatal(err)
		}
		converse(t, stream)
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if got, err := collect(stream); len(got) > 0 || err != nil {
			t.Errorf("got %q and %v at the end", got, err)
		}
		checkOwn(t, "header", stream.Header(), "x-lead")
		checkOwn(t, "trailer", stream.Trailer(), "x-trail")
	})
}

// The server ends a call before the client has: what is sent then goes nowhere,
// and receiving says why.
func TestOwnClientStreamEndsEarly(t *testing.T) {
	eachPlainClient(t, func(t *testing.T, client *hostgo.Client) { // a server lingers half a second over HTTP/1.1
		if !fullDuplex(t) {
			t.Skip("connect-go refuses bidi calls over HTTP/1.1")
		}
		stream, err := client.BidiStream(soon(t), bidiPath)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		// What follows is large, so that flow control stops it: net/http's server closes a
		// connection on which thousands of frames come for a stream that has ended.
		for ask := askFail; err == nil; ask = strings.Repeat("x", 16<<10) {
			err = stream.Send(wrapperspb.String(ask))
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("sending: got %v, want EOF", err)
		}
		_, err = collect(stream)
		checkOwnFailure(t, err)
	})
}

func TestOwnClientStreamCancel(t *testing.T) {
	eachPlainClient(t, func(t *testing.T, client *hostgo.Client) {
		for name, ending := range map[string]struct {
			options func(context.Context) (context.Context, context.CancelFunc)
			code    hostgo.Code
			is      error
		}{
			"cancel": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(50*time.Millisecond, cancel)
				return ctx, cancel
			}, hostgo.CodeCanceled, context.Canceled},
			"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 50*time.Millisecond)
			}, hostgo.CodeDeadlineExceeded, nil},
		} {
			ctx, cancel := ending.options(t.Context())
			stream, err := client.ServerStream(ctx, serverPath, wrapperspb.String(askSleep))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = collect(stream); hostgo.CodeOf(err) != ending.code || ending.is != nil && !errors.Is(err, ending.is) {
				t.Errorf("%s: got %v", name, err)
			}
			cancel()
			if !fullDuplex(t) {
				continue
			}
			ctx, cancel = ending.options(t.Context())
			if stream, err = client.BidiStream(ctx, bidiPath); err != nil {
				t.Fatal(err)
			}
			if _, err = collect(stream); hostgo.CodeOf(err) != ending.code {
				t.Errorf("%s: a bidi call got %v", name, err)
			}
			if err := stream.Send(wrapperspb.String("x")); err == nil {
				t.Errorf("%s: a message was sent", name)
			}
			cancel()
		}
	})
}

// A stream that is left, closed or with its context ended, leaves nothing behind.
func TestOwnClientStreamIsLeft(t *testing.T) {
	own, err := hostgo.Load(t.Context(), &hostgo.Options{Instances: 1, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close(context.Background()) //nolint:errcheck // what it counted is what matters
	for _, v := range versions {
		client, err := hostgo.NewClient(v.serve(t, ours(t, hostgo.HandlerOptions{})), &hostgo.ClientOptions{
			HTTPClient: v.client(t), Module: own})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := client.BidiStream(ctx, bidiPath)
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				if err := stream.Send(wrapperspb.String("x")); err != nil {
					t.Fatal(err)
				}
			}
			if i%3 == 0 {
				stream.Close()
				if err := stream.Receive(&text{}); hostgo.CodeOf(err) != hostgo.CodeCanceled {
					t.Errorf("got %v, want canceled", err)
				}
			}
			cancel()
		}
		for end := time.Now().Add(10 * time.Second); own.Stats().Calls > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d calls are left", own.Stats().Calls)
			}
		}
	}
	if stats := own.Stats(); stats.Trapped > 0 {
		t.Errorf("got %+v, want that no instance failed", stats)
	}
}

// What makes no sense is an error at once, without a code: no server was asked.
func TestOwnClientArguments(t *testing.T) {
	client := ownClient(t, "http://127.0.0.1:1", hostgo.ClientOptions{})
	if _, err := client.ServerStream(soon(t), serverPath, wrapperspb.String("x"), hostgo.WithGet()); err == nil ||
		!strings.Contains(err.Error(), "GET") {
		t.Errorf("a stream by GET: got %v", err)
	}
	stream, err := client.Stream(soon(t), hostgo.StreamTypeUnary, unaryPath)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if err := stream.CloseSend(); err == nil || !strings.Contains(err.Error(), "before Send") {
		t.Errorf("closing before sending: got %v", err)
	}
	if err := stream.Send(wrapperspb.String("one")); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(wrapperspb.String("two")); err == nil || !strings.Contains(err.Error(), "one request") {
		t.Errorf("a second request: got %v", err)
	}
	for _, path := range []string{"no path", "/a.B/%zz"} {
		if err := client.Unary(soon(t), path, wrapperspb.String("x"), &text{}); err == nil {
			t.Errorf("a procedure %q was called", path)
		}
		if stream, err := client.BidiStream(soon(t), path); err == nil {
			if err = stream.Receive(&text{}); err == nil {
				t.Errorf("a stream of %q was called", path)
			}
		}
	}
}

// converse asks one question at a time: each answer comes before the next.
func converse(t *testing.T, stream *hostgo.Stream) {
	t.Helper()
	for i := range 20 {
		sent := fmt.Sprintf("m%d", i)
		if err := stream.Send(wrapperspb.String(sent)); err != nil {
			t.Fatal(err)
		}
		var m text
		if err := stream.Receive(&m); err != nil || m.GetValue() != strings.ToUpper(sent) {
			t.Fatalf("got %q for %q (%v)", m.GetValue(), sent, err)
		}
	}
}
