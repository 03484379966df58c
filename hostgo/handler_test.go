package hostgo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

const echoPath = "/test.v1.Test/Echo"

func echo(_ context.Context, _ *Call, request *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return wrapperspb.String("echo " + request.GetValue()), nil
}

// echoBytes gives back payloads as they are.
var echoBytes = Procedure{Path: "/test.v1.Test/EchoBytes", Type: StreamTypeUnary,
	Serve: func(_ context.Context, call *Call) error {
		payload, err := call.ReceiveBytes()
		if err != nil {
			return err
		}
		return call.SendBytes(payload)
	}}

func TestUnary(t *testing.T) {
	h, err := NewHandler(nil, Unary(echoPath, echo, NoSideEffects()))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	client, err := NewClient(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var response wrapperspb.StringValue
	for _, options := range [][]CallOption{nil, {WithGet()}} {
		response.Reset()
		if err := client.Unary(ctx, echoPath, wrapperspb.String("one"), &response, options...); err != nil {
			t.Fatal(err)
		}
		if got, want := response.GetValue(), "echo one"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Of JSON that does not decode the peer reads the codec's words; of protobuf only
// the log has them. A handler that asks for something else than a message fails.
func TestWordsOfCodecs(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h, err := NewHandler(&HandlerOptions{Logger: logger}, Unary(echoPath, echo),
		Procedure{Path: "/test.v1.Test/Wrong", Serve: func(_ context.Context, call *Call) error { return call.Receive(new(int)) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path, contentType, payload string
		status                     int
		want, logged               string
	}{
		{echoPath, "application/json", "7", 400, `"a message does not decode: proto:`, "line 1:1"},
		{echoPath, "application/proto", "\xff", 400, `"a message does not decode"`, "cannot parse"},
		{"/test.v1.Test/Wrong", "application/json", "7", 500, `"unknown"`, "*int is not a Protobuf message"},
	} {
		log.Reset()
		request := httptest.NewRequest(http.MethodPost, test.path, strings.NewReader(test.payload))
		request.Header.Set("Content-Type", test.contentType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request)
		if got := w.Body.String(); w.Code != test.status || !strings.Contains(got, test.want) {
			t.Errorf("%s %q: got %d %s, want %s", test.path, test.payload, w.Code, got, test.want)
		}
		if !strings.Contains(log.String(), test.logged) {
			t.Errorf("%s %q: the log says %q, want %q", test.path, test.payload, log.String(), test.logged)
		}
	}
}

func TestNewHandlerRefuses(t *testing.T) {
	serve := echoBytes.Serve
	for _, test := range []struct {
		name       string
		options    HandlerOptions
		procedures []Procedure
		want       string
	}{
		{"no slash", HandlerOptions{}, []Procedure{{Path: "a.B/C", Serve: serve}}, "starts with a slash"},
		{"twice", HandlerOptions{}, []Procedure{echoBytes, echoBytes}, "given twice"},
		{"no function", HandlerOptions{}, []Procedure{{Path: "/a.B/C"}}, "no Serve"},
		{"unknown type", HandlerOptions{}, []Procedure{{Path: "/a.B/C", Type: 4, Serve: serve}}, "unknown stream type 4"},
		{"negative limit", HandlerOptions{ReadMax: -1}, nil, "-1 bytes is out of range"},
		{"foreign coding", HandlerOptions{Codings: []string{"lzma"}}, []Procedure{echoBytes}, "the module refuses the configuration"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := NewHandler(&test.options, test.procedures...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestNewClientRefuses(t *testing.T) {
	for _, test := range []struct {
		url     string
		options ClientOptions
		want    string
	}{
		{"ftp://host", ClientOptions{}, "want http:// or https://"},
		{"host:80", ClientOptions{}, "want http:// or https://"},
		{"http://host?x=1", ClientOptions{}, "only a scheme, a host and a path"},
		{"http://user:password@host", ClientOptions{}, "only a scheme, a host and a path"},
		{"http://host", ClientOptions{SendCoding: "lzma"}, `SendCoding "lzma" is not among Codings`},
		{"http://host", ClientOptions{GetMax: -1}, "out of range"},
	} {
		_, err := NewClient(test.url, &test.options)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q in it", test.url, err, test.want)
			continue
		}
		if strings.Contains(err.Error(), "password") {
			t.Errorf("%s: the error tells the password: %v", test.url, err)
		}
	}
}

// What a handler says in failing goes to the log, never to the peer.
func TestUnexpected(t *testing.T) {
	const secret = "the password is 1234"
	for name, serve := range map[string]func(context.Context, *Call) error{
		"error": func(context.Context, *Call) error { return errors.New(secret) },
		"panic": func(context.Context, *Call) error { panic(secret) },
		"error of another context": func(context.Context, *Call) error {
			return fmt.Errorf("%s: %w", secret, context.DeadlineExceeded)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h, err := NewHandler(&HandlerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))},
				Procedure{Path: echoPath, Serve: serve})
			if err != nil {
				t.Fatal(err)
			}
			w := post(h, echoPath, "")
			if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"unknown"`) ||
				strings.Contains(w.Body.String(), "1234") {
				t.Errorf("the peer got %d %s", w.Code, w.Body)
			}
			if !strings.Contains(log.String(), secret) || !strings.Contains(log.String(), echoPath) {
				t.Errorf("the log has %q", log.String())
			}
		})
	}
}

// http.ErrAbortHandler cuts the response off, as everywhere in net/http.
func TestAbortHandler(t *testing.T) {
	h := handlerOn(t, defaultModule, Procedure{Path: echoPath, Serve: func(context.Context, *Call) error { panic(http.ErrAbortHandler) }})
	before := defaultModule.Stats()
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the panic did not reach net/http")
			}
		}()
		post(h, echoPath, "")
	}()
	if after := defaultModule.Stats(); after.Calls != before.Calls || after.Trapped != before.Trapped {
		t.Errorf("%+v became %+v", before, after)
	}
}

// Metadata that is not legal never reaches the wire.
func TestIllegalMetadata(t *testing.T) {
	for name, add := range map[string]func(*Call){
		"line feed": func(c *Call) { c.Header().Add("x-bad", "a\nset-cookie: b") },
		"NUL":       func(c *Call) { c.Header().Add("x-bad", "a\x00set-cookie\x00b") },
		"trailer":   func(c *Call) { c.Trailer().Add("x-bad", "a\r\nb") },
		"name":      func(c *Call) { c.Header().Add("x bad", "a") },
	} {
		t.Run(name, func(t *testing.T) {
			h := handlerOn(t, defaultModule, Procedure{Path: echoPath, Serve: func(_ context.Context, call *Call) error {
				if _, err := call.ReceiveBytes(); err != nil {
					return err
				}
				add(call)
				return call.SendBytes(nil)
			}})
			w := post(h, echoPath, "")
			if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"internal"`) {
				t.Errorf("got %d %s, want internal", w.Code, w.Body)
			}
			if w.Header().Get("Set-Cookie") != "" || w.Header().Get("X-Bad") != "" {
				t.Errorf("got header %v", w.Header())
			}
		})
	}
}

// A handler sends what its procedure's type allows.
func TestOneResponseOnly(t *testing.T) {
	var second error
	h := handlerOn(t, defaultModule, Procedure{Path: echoPath, Serve: func(_ context.Context, call *Call) error {
		if _, err := call.ReceiveBytes(); err != nil {
			return err
		}
		if _, err := call.ReceiveBytes(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("after the request came %w", err)
		}
		if err := call.SendBytes([]byte("one")); err != nil {
			return err
		}
		second = call.SendBytes([]byte("two"))
		return nil
	}}, Procedure{Path: "/test.v1.Test/Mute", Serve: func(context.Context, *Call) error { return nil }})
	if w := post(h, echoPath, ""); w.Code != http.StatusOK || w.Body.String() != "one" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	if !errors.Is(second, errReplied) {
		t.Errorf("the second response gave %v, want that there is one only", second)
	}
	if w := post(h, "/test.v1.Test/Mute", ""); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"internal"`) {
		t.Errorf("without a response: got %d %s, want internal", w.Code, w.Body)
	}
}

// A message that cannot be encoded is the handler's failure; one that does not
// decode is the peer's.
func TestCodecFailures(t *testing.T) {
	h := handlerOn(t, defaultModule, Unary(echoPath, func(_ context.Context, _ *Call, m *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
		return wrapperspb.String("\xff" + m.GetValue()), nil // not UTF-8
	}))
	if w := post(h, echoPath, "\x0a\x01x"); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"internal"`) {
		t.Errorf("encoding: got %d %s, want internal", w.Code, w.Body)
	}
	if w := post(h, echoPath, "\x0a\xff"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"invalid_argument"`) {
		t.Errorf("decoding: got %d %s, want invalid_argument", w.Code, w.Body)
	}
}

func TestMetadata(t *testing.T) {
	var m Metadata
	m.Add("X-One", "1")
	m.Add("x-two", "2")
	m.Add("x-one", "3")
	m.AddBinary("X-One-Bin", []byte{0, 255})
	if got := m.Get("X-ONE"); got != "1" {
		t.Errorf("Get: %q", got)
	}
	if got := strings.Join(m.Values("x-one"), ","); got != "1,3" {
		t.Errorf("Values: %q", got)
	}
	if got, err := m.Binary("x-one-BIN"); err != nil || len(got) != 1 || !bytes.Equal(got[0], []byte{0, 255}) {
		t.Errorf("Binary: %v", got)
	}
	copied := m.Clone()
	m.Set("x-One", "4")
	m.Delete("X-TWO")
	if got := strings.Join(m.Values("x-one"), ","); got != "4" || m.Get("x-two") != "" || m.Len() != 2 {
		t.Errorf("after Set and Delete: %q, %d values", got, m.Len())
	}
	if copied.Len() != 4 || copied.Get("x-two") != "2" {
		t.Errorf("the copy changed: %v", copied)
	}
	var names []string
	for name := range copied.All() {
		names = append(names, name)
	}
	if got := strings.Join(names, ","); got != "x-one,x-two,x-one" {
		t.Errorf("All: %q", got)
	}
}

func TestError(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("around: %w", Errorf(CodeNotFound, "no row: %w", cause))
	if CodeOf(err) != CodeNotFound || !errors.Is(err, cause) || !strings.Contains(err.Error(), "not found: no row: cause") {
		t.Errorf("got %v", err)
	}
	if CodeOf(nil) != 0 || CodeOf(cause) != CodeUnknown {
		t.Errorf("got %v and %v", CodeOf(nil), CodeOf(cause))
	}
	if got := Code(99).String(); got != "code 99" {
		t.Errorf("got %q", got)
	}
}

// A GET that turns out to have content is refused; it may have said so, or not.
func TestGetWithContent(t *testing.T) {
	echo := echoBytes
	echo.NoSideEffects = true
	h := handlerOn(t, defaultModule, echo)
	for _, test := range []struct {
		content string
		length  int64
		status  int
	}{{"", 0, 200}, {"", -1, 200}, {"more", 4, 400}, {"more", -1, 400}} {
		request := httptest.NewRequest(http.MethodGet, echo.Path+"?connect=v1&encoding=proto&message=x", strings.NewReader(test.content))
		request.ContentLength = test.length
		if test.length > 0 {
			request.Header.Set("Content-Length", "4")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request)
		if w.Code != test.status || test.status == 200 && w.Body.String() != "x" {
			t.Errorf("%q, length %d: got %d %s, want %d", test.content, test.length, w.Code, w.Body, test.status)
		}
	}
}

// A value of bytes that is not base64 fails no call.
func TestBinaryThatDoesNotDecode(t *testing.T) {
	var text []string
	var err error
	h := handlerOn(t, defaultModule, Procedure{Path: echoPath, Serve: func(_ context.Context, call *Call) error {
		m := call.RequestMetadata()
		text = m.Values("x-one-bin")
		_, err = m.Binary("x-one-bin")
		return call.SendBytes(nil)
	}})
	request := httptest.NewRequest(http.MethodPost, echoPath, http.NoBody)
	request.Header.Set("Content-Type", "application/proto")
	request.Header.Set("X-One-Bin", "no base64")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	if w.Code != http.StatusOK || len(text) != 1 || text[0] != "no base64" {
		t.Errorf("got %d and %q", w.Code, text)
	}
	if err == nil || !strings.Contains(err.Error(), "x-one-bin") {
		t.Errorf("reading it as bytes: got %v", err)
	}
}
