package hostgo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const grpcType = "application/grpc+proto"

// grpcServices are procedures whose answers are all that gRPC has: a message,
// an error before and after the first message, many messages, and none.
func grpcServices() []Procedure {
	fail := func(err error) func(context.Context, *Call) error {
		return func(_ context.Context, call *Call) error {
			if _, err := call.ReceiveBytes(); err != nil {
				return err
			}
			if call.procedure.Type == StreamTypeServer {
				if err := call.SendBytes([]byte("one")); err != nil {
					return err
				}
			}
			return err
		}
	}
	return []Procedure{echoBytes, echoAll,
		{Path: "/test.v1.Test/Fail", Serve: fail(NewError(CodeAborted, "no"))},
		{Path: "/test.v1.Test/FailLate", Type: StreamTypeServer, Serve: fail(NewError(CodeAborted, "no"))},
		{Path: "/test.v1.Test/Plain", Serve: fail(errors.New("secret"))},
		{Path: "/test.v1.Test/Many", Type: StreamTypeServer, Serve: fail(nil)},
	}
}

// Over HTTP/1.1 a gRPC status comes in the trailer section of chunked content,
// whatever the answer is: content of a known length has no trailer section.
func TestGRPCTrailersOverHTTP1(t *testing.T) {
	server := httptest.NewServer(handlerOn(t, defaultModule, grpcServices()...))
	t.Cleanup(server.Close)
	for _, test := range []struct{ name, path, fields, content, status, message string }{
		{"unary", echoBytes.Path, "", "abc", "0", ""},
		{"unary, nothing in the message", echoBytes.Path, "", "", "0", ""},
		{"unary error", "/test.v1.Test/Fail", "", "abc", "10", "no"},
		{"unexpected error", "/test.v1.Test/Plain", "", "abc", "2", "the handler failed unexpectedly"},
		{"refused before the handler", echoBytes.Path, "Grpc-Encoding: lzma\r\n", "abc", "12", ""},
		{"stream", "/test.v1.Test/Many", "", "abc", "0", ""},
		{"stream with an error behind", "/test.v1.Test/FailLate", "", "abc", "10", "no"},
		{"both directions", bidiPath, "", "abc", "0", ""},
	} {
		request := "POST " + test.path + " HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: close\r\nContent-Type: " + grpcType +
			"\r\n" + test.fields + "Transfer-Encoding: chunked\r\n\r\n" + chunk(envelope(nil, test.content)) + "0\r\n\r\n"
		t.Run(test.name, func(t *testing.T) {
			_, reader := raw(t, server, request)
			answer, err := io.ReadAll(reader)
			if err != nil {
				t.Fatal(err)
			}
			head, rest, _ := strings.Cut(string(answer), "\r\n\r\n")
			if !strings.HasPrefix(head, "HTTP/1.1 200 ") || !strings.Contains(head, "\r\nTransfer-Encoding: chunked") ||
				strings.Contains(head, "Content-Length") || strings.Contains(head, "Grpc-Status") {
				t.Errorf("got the head %q", head)
			}
			if _, trailer, _ := strings.Cut(rest, "0\r\n"); !strings.Contains(trailer, "Grpc-Status: "+test.status+"\r\n") ||
				!strings.HasSuffix(trailer, "\r\n\r\n") {
				t.Errorf("got the content %q, want the status %s behind it", rest, test.status)
			}
			// And as net/http's client reads it.
			_, reader = raw(t, server, request)
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // a test's own connection
			if _, err := io.ReadAll(response.Body); err != nil {
				t.Error(err)
			}
			if got := response.Trailer.Get("Grpc-Status"); got != test.status {
				t.Errorf("got the trailers %v, want the status %s", response.Trailer, test.status)
			}
			if got := response.Trailer.Get("Grpc-Message"); test.message != "" && got != test.message {
				t.Errorf("got the message %q, want %q", got, test.message)
			}
		})
	}
}

// HTTP/2 could have both; a length says nothing there, and could be taken for
// the end where it is zero.
func TestGRPCTrailersOverHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(handlerOn(t, defaultModule, grpcServices()...))
	server.Config.Protocols = &http.Protocols{}
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	client := http.Client{Transport: &http.Transport{Protocols: server.Config.Protocols}}
	t.Cleanup(client.CloseIdleConnections)
	for path, want := range map[string]string{echoBytes.Path: "0", "/test.v1.Test/Fail": "10", "/test.v1.Test/Many": "0"} {
		response, err := client.Post(server.URL+path, grpcType, bytes.NewReader(envelope(nil, "abc")))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(response.Body)
		if got := response.Trailer.Get("Grpc-Status"); err != nil || got != want || response.Header.Get("Content-Length") != "" {
			t.Errorf("%s: got %v and the trailers %v (%v), want the status %s", path, response.Header, response.Trailer, err, want)
		}
		_ = response.Body.Close() // read to its end
	}
}

// HTTP/1.0 has no chunks, and so no trailers: the call is refused in gRPC's own
// form before its handler runs, and the log says so once. Connect works.
func TestHTTP10(t *testing.T) {
	var log bytes.Buffer
	h, err := NewHandler(&HandlerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}, grpcServices()...)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.Close()
		if got := strings.Count(log.String(), "a version of HTTP that has no trailers"); got != 1 {
			t.Errorf("the log says it %d times, want once: %s", got, log.String())
		}
	})
	for contentType, want := range map[string]string{
		grpcType:            "Grpc-Status: 12\r\n",
		"application/grpc":  "Grpc-Status: 12\r\n",
		"application/proto": "Content-Length: 8\r\n",
	} {
		_, reader := raw(t, server, "POST "+echoBytes.Path+" HTTP/1.0\r\nContent-Type: "+contentType+
			"\r\nContent-Length: 8\r\n\r\n"+string(envelope(nil, "abc")))
		answer, err := io.ReadAll(reader)
		head, _, _ := strings.Cut(string(answer), "\r\n\r\n")
		if err != nil || !strings.HasPrefix(head, "HTTP/1.0 200 ") || !strings.Contains(head+"\r\n", want) ||
			strings.Contains(head, "chunked") {
			t.Errorf("%s: got %q (%v), want %q in the head", contentType, answer, err, want)
		}
	}
}
