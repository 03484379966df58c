package interop

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/hostgo"
)

// eachClient runs a test with our client, in every way in which it can speak
// to a server, against connect-go's handlers and against our own.
func eachClient(t *testing.T, test func(t *testing.T, client *hostgo.Client)) {
	t.Helper()
	eachClientWith(t, codings, test)
}

// eachPlainClient is eachClient without codings, for tests that take time.
func eachPlainClient(t *testing.T, test func(t *testing.T, client *hostgo.Client)) {
	t.Helper()
	eachClientWith(t, codings[:1], func(t *testing.T, client *hostgo.Client) {
		t.Parallel()
		test(t, client)
	})
}

func eachClientWith(t *testing.T, codings []string, test func(t *testing.T, client *hostgo.Client)) {
	t.Helper()
	servers := map[string]http.Handler{
		"connect-go": Theirs(),
		"own":        ours(t, hostgo.HandlerOptions{Codings: codings}),
	}
	for server, h := range servers {
		for _, v := range versions {
			url, httpClient := v.serve(t, h), v.client(t)
			for _, options := range tongues(codings) {
				if server == "connect-go" && options.Text {
					continue // it does not know that
				}
				name := fmt.Sprintf("%s/%s/%s/%s", server, v.name, tongueName(options), options.SendCoding)
				t.Run(name, func(t *testing.T) {
					options.HTTPClient = httpClient
					test(t, ownClient(t, url, options))
				})
			}
		}
	}
}

// tongues are all ways in which our client can speak.
func tongues(codings []string) (all []hostgo.ClientOptions) {
	for _, o := range []hostgo.ClientOptions{
		{Protocol: hostgo.ProtocolConnect}, {Protocol: hostgo.ProtocolGRPC}, {Protocol: hostgo.ProtocolGRPCWeb},
		{Protocol: hostgo.ProtocolGRPCWeb, Text: true},
	} {
		for _, o.Codec = range []hostgo.Codec{hostgo.ProtoCodec(), hostgo.JSONCodec(nil)} {
			for _, o.SendCoding = range codings {
				o.Codings, o.CompressMin = codings, -1
				all = append(all, o)
			}
		}
	}
	return all
}

func tongueName(o hostgo.ClientOptions) string {
	name := map[hostgo.Protocol]string{
		hostgo.ProtocolConnect: "Connect", hostgo.ProtocolGRPC: "gRPC", hostgo.ProtocolGRPCWeb: "gRPC-Web"}[o.Protocol]
	if o.Text {
		name += " text"
	}
	return name + "/" + o.Codec.Name()
}

func asking() hostgo.Metadata {
	var m hostgo.Metadata
	m.Add("X-Ask", "one")
	m.Add("X-Ask", "two, three")
	m.AddBinary("X-Ask-Bin", binaryValue)
	return m
}

func checkOwn(t *testing.T, what string, got hostgo.Metadata, prefix string) {
	t.Helper()
	if joined := strings.Join(got.Values(prefix), ", "); joined != "one, two, three" {
		t.Errorf("%s %s: got %q", what, prefix, joined)
	}
	if values, err := got.Binary(prefix + "-bin"); err != nil || len(values) != 1 || !bytes.Equal(values[0], binaryValue) {
		t.Errorf("%s %s-bin: got %v (%v), want %v", what, prefix, values, err, binaryValue)
	}
}

func TestOwnClientUnary(t *testing.T) {
	eachClient(t, func(t *testing.T, client *hostgo.Client) {
		for _, get := range []bool{false, true} {
			path, options := unaryPath, []hostgo.CallOption{hostgo.WithMetadata(asking())}
			if get {
				path, options = safePath, append(options, hostgo.WithGet())
			}
			var header, trailer hostgo.Metadata
			var response text
			options = append(options, hostgo.ReceiveMetadata(&header, &trailer))
			if err := client.Unary(soon(t), path, wrapperspb.String("hello"), &response, options...); err != nil {
				t.Fatal(err)
			}
			if response.GetValue() != "HELLO" {
				t.Errorf("got %q", response.GetValue())
			}
			checkOwn(t, "header", header, "x-lead")
			checkOwn(t, "trailer", trailer, "x-trail")
		}
	})
}

func TestOwnClientLarge(t *testing.T) {
	eachClient(t, func(t *testing.T, client *hostgo.Client) {
		var response text
		if err := client.Unary(soon(t), unaryPath, wrapperspb.String(askLarge), &response); err != nil {
			t.Fatal(err)
		}
		if response.GetValue() != strings.Repeat("l", largeSize) {
			t.Errorf("got %d bytes, want %d", len(response.GetValue()), largeSize)
		}
		response.Reset()
		sent := strings.Repeat("abcdefgh", largeSize/8)
		// Too long for a target: it goes by POST.
		if err := client.Unary(soon(t), safePath, wrapperspb.String(sent), &response, hostgo.WithGet()); err != nil {
			t.Fatal(err)
		}
		if response.GetValue() != strings.ToUpper(sent) {
			t.Errorf("got %d bytes that differ", len(response.GetValue()))
		}
	})
}

func TestOwnClientError(t *testing.T) {
	eachClient(t, func(t *testing.T, client *hostgo.Client) {
		var header, trailer hostgo.Metadata
		err := client.Unary(soon(t), unaryPath, wrapperspb.String(askFail), &text{}, hostgo.ReceiveMetadata(&header, &trailer))
		e, ok := errors.AsType[*hostgo.Error](err)
		if !ok {
			t.Fatalf("got %v, want an RPC error", err)
		}
		if e.Code != hostgo.CodeFailedPrecondition || e.Message != "not now: é" {
			t.Errorf("got %v %q", e.Code, e.Message)
		}
		if len(e.Details) != 1 {
			t.Fatalf("got %d details, want 1", len(e.Details))
		}
		detail, err := e.Details[0].Message()
		if number, ok := detail.(*wrapperspb.Int64Value); err != nil || !ok || number.GetValue() != 42 {
			t.Errorf("got detail %v (%v), want 42", detail, err)
		}
		// connect-go sends an error's metadata ahead of it, we behind.
		if header.Get("x-error") != "why" && (trailer.Get("x-error") != "why" || e.Metadata.Get("x-error") != "why") {
			t.Errorf("got header %v, trailer %v: want x-error in one", header, trailer)
		}
	})
}

func TestOwnClientTimeout(t *testing.T) {
	eachPlainClient(t, func(t *testing.T, client *hostgo.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 80*time.Millisecond)
		defer cancel()
		err := client.Unary(ctx, unaryPath, wrapperspb.String(askSleep), &text{})
		if hostgo.CodeOf(err) != hostgo.CodeDeadlineExceeded {
			t.Errorf("got %v, want deadline exceeded", err)
		}
		expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		if err := client.Unary(expired, unaryPath, wrapperspb.String("x"), &text{}); hostgo.CodeOf(err) != hostgo.CodeDeadlineExceeded {
			t.Errorf("got %v for a deadline that has passed", err)
		}
	})
}

func TestOwnClientCancel(t *testing.T) {
	eachPlainClient(t, func(t *testing.T, client *hostgo.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(50*time.Millisecond, cancel).Stop()
		err := client.Unary(ctx, unaryPath, wrapperspb.String(askSleep), &text{})
		if hostgo.CodeOf(err) != hostgo.CodeCanceled || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	})
}

func ownClient(t *testing.T, url string, options hostgo.ClientOptions) *hostgo.Client {
	t.Helper()
	options.Module = module
	client, err := hostgo.NewClient(url, &options)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// What servers do that are broken, or that are no RPC servers.
func TestOwnClientBadServers(t *testing.T) {
	bomb := func() []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		for range 64 {
			_, _ = w.Write(make([]byte, 1<<20))
		}
		_ = w.Close()
		return b.Bytes()
	}()
	for _, test := range []struct {
		name string
		h    http.HandlerFunc
		want hostgo.Code
	}{
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, hostgo.CodeUnknown},
		{"gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/proto")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}, hostgo.CodeResourceExhausted},
		{"HTML", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>hello</html>"))
		}, hostgo.CodeUnknown},
		{"no message of the codec", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/proto")
			_, _ = w.Write([]byte("\x0a\xff"))
		}, hostgo.CodeInternal},
		{"content cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/proto")
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("\x0a\x01x"))
			panic(http.ErrAbortHandler)
		}, hostgo.CodeUnavailable},
		{"bad gateway", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
		}, hostgo.CodeUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			elsewhere := false
			mux := http.NewServeMux()
			mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere = true })
			mux.HandleFunc(unaryPath, test.h)
			server := httptest.NewServer(mux)
			defer server.Close()
			err := ownClient(t, server.URL, hostgo.ClientOptions{}).Unary(soon(t), unaryPath, wrapperspb.String("x"), &text{})
			if hostgo.CodeOf(err) != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if elsewhere {
				t.Error("the redirect was followed")
			}
		})
	}
}

func TestOwnClientNoServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	err = ownClient(t, "http://"+address, hostgo.ClientOptions{}).Unary(soon(t), unaryPath, wrapperspb.String("x"), &text{})
	if hostgo.CodeOf(err) != hostgo.CodeUnavailable {
		t.Errorf("got %v, want unavailable", err)
	}
}

// answering is a server that reads a request's head, writes text, and ends.
func answering(t *testing.T, v version, text string) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() //nolint:errcheck // the client has gone
				if readHead(bufio.NewReader(conn), v) != nil {
					return
				}
				_, _ = io.WriteString(conn, text)
				_ = conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, conn) // else what was not read becomes a reset
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// readHead reads until a request's head has come.
func readHead(r *bufio.Reader, v version) error {
	if !v.http2 {
		_, err := http.ReadRequest(r)
		return err
	}
	if _, err := r.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
		return err
	}
	for {
		frame := make([]byte, 9)
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		if _, err := r.Discard(int(frame[0])<<16 | int(frame[1])<<8 | int(frame[2])); err != nil || frame[3] == 1 {
			return err // the type 1 is HEADERS
		}
	}
}

// What is not HTTP is malformed: never a reason to try again. A connection that
// ends is one.
func TestOwnClientWhatIsNotHTTP(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\n"
	// An HTTP/2 server's empty SETTINGS, and what should follow.
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	// A head of a status, a field of 4,000 bytes, and 11,000 times the same from the table.
	fields := "\x88\x40\x01a\x7f\xa1\x1e" + strings.Repeat("b", 4000) + strings.Repeat("\xbe", 11_000)
	fields = string([]byte{0, byte(len(fields) >> 8), byte(len(fields)), 1, 4, 0, 0, 0, 1}) + fields
	for _, test := range []struct {
		name, text string
		http2      bool
		want       hostgo.Code
	}{
		{"nothing", "", false, hostgo.CodeUnavailable},
		{"another protocol", "SSH-2.0-OpenSSH_9.2\r\n", false, hostgo.CodeInternal},
		{"no status", "HTTP/1.1 yes\r\n\r\n", false, hostgo.CodeInternal},
		{"no version", "HTTP/x 200 OK\r\n\r\n", false, hostgo.CodeInternal},
		{"no field", head + "what\r\n\r\n", false, hostgo.CodeInternal},
		{"length that is none", head + "Content-Length: x\r\n\r\n", false, hostgo.CodeInternal},
		{"two lengths", head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", false, hostgo.CodeInternal},
		{"head cut off", head, false, hostgo.CodeUnavailable},
		{"content cut off", head + "Content-Length: 9\r\n\r\n\x0a\x01x", false, hostgo.CodeUnavailable},
		{"chunk cut off", head + "Transfer-Encoding: chunked\r\n\r\n9\r\n\x0a", false, hostgo.CodeUnavailable},
		{"size that is none", head + "Transfer-Encoding: chunked\r\n\r\nx\r\n", false, hostgo.CodeInternal},
		{"chunk without an end", head + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", false, hostgo.CodeInternal},
		{"HTTP/2: nothing", "", true, hostgo.CodeUnavailable},
		{"HTTP/2: cut off", settings, true, hostgo.CodeUnavailable},
		{"HTTP/2: HTTP/1.1", head + "Content-Length: 0\r\n\r\n", true, hostgo.CodeInternal},
		{"HTTP/2: frame that is none", settings + "\x00\x00\x01\x06\x00\x00\x00\x00\x00x", true, hostgo.CodeInternal},
		{"HTTP/2: head that is none", settings + "\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff", true, hostgo.CodeInternal},
		{"HTTP/2: head without a status", settings + "\x00\x00\x05\x01\x05\x00\x00\x00\x01\x00\x01x\x01y", true, hostgo.CodeInternal},
		{"HTTP/2: reset", settings + "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x02", true, hostgo.CodeInternal},
		{"HTTP/2: refused", settings + "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x07", true, hostgo.CodeUnavailable},
		{"more fields than it takes", head + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 11_000), false, hostgo.CodeResourceExhausted},
		{"HTTP/2: more fields than it takes", settings + fields, true, hostgo.CodeResourceExhausted},
		{"HTTP/2: canceled", settings + "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08", true, hostgo.CodeCanceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := version{http2: test.http2}
			client := ownClient(t, answering(t, v, test.text), hostgo.ClientOptions{HTTPClient: v.client(t)})
			err := client.Unary(soon(t), unaryPath, wrapperspb.String("x"), &text{})
			if hostgo.CodeOf(err) != test.want {
				t.Errorf("got %v (%v), want %v", err, errors.Unwrap(err), test.want)
			}
		})
	}
}

// The module gives a message that cannot be read or written its code and text;
// the codec's own error is behind them.
func TestOwnClientCodecFailures(t *testing.T) {
	eachClient(t, func(t *testing.T, client *hostgo.Client) {
		err := client.Unary(soon(t), unaryPath, wrapperspb.String("\xff"), &text{})
		if hostgo.CodeOf(err) != hostgo.CodeInternal || !strings.Contains(err.Error(), "the message to send cannot be encoded: ") ||
			errors.Unwrap(err) == nil {
			t.Errorf("encoding: got %v", err)
		}
		var header, trailer hostgo.Metadata
		err = client.Unary(soon(t), unaryPath, wrapperspb.String("x"), nil,
			hostgo.WithMetadata(asking()), hostgo.ReceiveMetadata(&header, &trailer))
		if hostgo.CodeOf(err) != hostgo.CodeInternal || !strings.Contains(err.Error(), "a message does not decode: ") ||
			errors.Unwrap(err) == nil {
			t.Errorf("decoding: got %v", err)
		}
		checkOwn(t, "header", header, "x-lead")
		checkOwn(t, "trailer", trailer, "x-trail")
	})
}

// A context that has ended makes no request.
func TestOwnClientContextHasEnded(t *testing.T) {
	called := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer server.Close()
	client := ownClient(t, server.URL, hostgo.ClientOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := client.Unary(ctx, unaryPath, wrapperspb.String("x"), &text{})
	if hostgo.CodeOf(err) != hostgo.CodeCanceled || !errors.Is(err, context.Canceled) || called {
		t.Errorf("got %v (called: %v), want canceled", err, called)
	}
}

// net/http's transport decompresses by itself unless the request says what it
// accepts: it must always say so.
func TestOwnClientAlwaysSaysWhatItAccepts(t *testing.T) {
	for name, codings := range map[string][]string{"gzip": nil, "identity": {}} {
		var seen []string
		h := Theirs()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = slices.Clone(r.Header.Values("Accept-Encoding"))
			h.ServeHTTP(w, r)
		}))
		// A transport as it comes, that would decompress.
		client := ownClient(t, server.URL, hostgo.ClientOptions{HTTPClient: &http.Client{Transport: &http.Transport{}}, Codings: codings})
		var response text
		if err := client.Unary(soon(t), unaryPath, wrapperspb.String(askLarge), &response); err != nil {
			t.Error(err)
		}
		server.Close()
		if len(seen) != 1 || seen[0] != name {
			t.Errorf("got %q, want %q", seen, name)
		}
	}
}

func TestOwnClientLimits(t *testing.T) {
	server := httptest.NewServer(Theirs())
	defer server.Close()
	for _, test := range []struct {
		name    string
		options hostgo.ClientOptions
		ask     string
		want    hostgo.Code
	}{
		{"response over ReadMax", hostgo.ClientOptions{ReadMax: largeSize - 1, Codings: []string{}}, askLarge, hostgo.CodeResourceExhausted},
		{"compressed response over ReadMax", hostgo.ClientOptions{ReadMax: largeSize - 1}, askLarge, hostgo.CodeResourceExhausted},
		{"response within ReadMax", hostgo.ClientOptions{ReadMax: largeSize + 10}, askLarge, 0},
		{"request over SendMax", hostgo.ClientOptions{SendMax: 10}, strings.Repeat("x", 11), hostgo.CodeResourceExhausted},
		{"request within SendMax", hostgo.ClientOptions{SendMax: 10}, "x", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := ownClient(t, server.URL, test.options).Unary(soon(t), unaryPath, wrapperspb.String(test.ask), &text{})
			if hostgo.CodeOf(err) != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestOwnClientPrefix(t *testing.T) {
	server := httptest.NewServer(http.StripPrefix("/api/v1", Theirs(connect.WithCompressMinBytes(1000))))
	defer server.Close()
	var response text
	if err := ownClient(t, server.URL+"/api/v1/", hostgo.ClientOptions{}).Unary(soon(t), unaryPath, wrapperspb.String("x"), &response); err != nil {
		t.Fatal(err)
	}
	if response.GetValue() != "X" {
		t.Errorf("got %q", response.GetValue())
	}
}
