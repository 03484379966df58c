package hostgo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// repeats is how often the tests make each request: the module is asked the first
// times, later the host knows the answer.
const repeats = 10

func optionsHandler(t *testing.T, o *HandlerOptions, procedures ...Procedure) *Handler {
	t.Helper()
	if o.Logger == nil {
		o.Logger = quiet()
	}
	h, err := NewHandler(o, procedures...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// serveAs makes one call in process with a content type and other fields.
func serveAs(h http.Handler, path, contentType, content string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(content))
	r.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	r.ProtoMajor, r.ProtoMinor = 2, 0
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// enveloped is content of one message.
func enveloped(payload string) string {
	return "\x00\x00\x00\x00" + string(byte(len(payload))) + payload
}

func TestProtocols(t *testing.T) {
	types := map[Protocol]string{ProtocolConnect: "application/proto", ProtocolGRPC: "application/grpc", ProtocolGRPCWeb: "application/grpc-web"}
	for served := range types {
		h := optionsHandler(t, &HandlerOptions{Protocols: []Protocol{served}},
			Procedure{Path: echoPath, NoSideEffects: true, Serve: echoBytes.Serve})
		for spoken, contentType := range types {
			content := "hi"
			if spoken != ProtocolConnect {
				content = enveloped(content)
			}
			for range repeats {
				w := serveAs(h, echoPath, contentType, content)
				want := http.StatusUnsupportedMediaType
				if spoken == served {
					want = http.StatusOK
				}
				if w.Code != want {
					t.Fatalf("serving %v, speaking %v: got %d", served, spoken, w.Code)
				}
				if accepts := w.Header().Get("Accept-Post"); want != http.StatusOK && !strings.Contains(accepts+", ", types[served]+", ") {
					t.Errorf("serving %v, speaking %v: accept-post is %q", served, spoken, accepts)
				}
			}
		}
		want := http.StatusMethodNotAllowed
		if served == ProtocolConnect {
			want = http.StatusOK
		}
		if w := get(h, echoPath, "aGk"); w.Code != want {
			t.Errorf("serving %v: a GET got %d", served, w.Code)
		}
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for _, test := range []struct {
		options HandlerOptions
		want    string
	}{
		{HandlerOptions{Protocols: []Protocol{}}, "at least one protocol"},
		{HandlerOptions{Protocols: []Protocol{7}}, "unknown protocol 7"},
		{HandlerOptions{MaxTimeout: -time.Second}, "MaxTimeout of -1s"},
		{HandlerOptions{MaxTimeout: time.Nanosecond}, "MaxTimeout of 1ns"},
	} {
		if _, err := NewHandler(&test.options, echoBytes); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q in it", err, test.want)
		}
	}
}

func TestMaxTimeout(t *testing.T) {
	var left time.Duration
	h := optionsHandler(t, &HandlerOptions{MaxTimeout: time.Hour}, Procedure{Path: echoPath, Serve: func(ctx context.Context, call *Call) error {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return echoBytes.Serve(ctx, call)
	}})
	for asked, most := range map[string]time.Duration{"": time.Hour, "7200000": time.Hour, "600000": 10 * time.Minute} {
		for range repeats {
			left = 0
			if w := serveAs(h, echoPath, "application/proto", "hi", "Connect-Timeout-Ms", asked); asked != "" && w.Code != http.StatusOK {
				t.Fatalf("got %d", w.Code)
			} else if asked == "" {
				post(h, echoPath, "hi")
			}
			if left > most || left < most-5*time.Minute {
				t.Errorf("asked for %q, there are %v left", asked, left)
			}
		}
	}
	h = optionsHandler(t, &HandlerOptions{MaxTimeout: 20 * time.Millisecond}, Procedure{Path: echoPath, Serve: func(ctx context.Context, _ *Call) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	if w := post(h, echoPath, "hi"); w.Code != http.StatusGatewayTimeout {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestRequireVersion(t *testing.T) {
	h := optionsHandler(t, &HandlerOptions{RequireVersion: true}, echoBytes)
	for range repeats {
		if w := post(h, echoBytes.Path, "hi"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "version") {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
		if w := serveAs(h, echoBytes.Path, "application/proto", "hi", "Connect-Protocol-Version", "1"); w.Code != http.StatusOK {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
	}
}

func TestSendMax(t *testing.T) {
	h := optionsHandler(t, &HandlerOptions{SendMax: 10}, echoBytes)
	for range repeats {
		if w := post(h, echoBytes.Path, "0123456789"); w.Code != http.StatusOK || w.Body.Len() != 10 {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
		w := post(h, echoBytes.Path, "01234567890")
		if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "resource_exhausted") {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
	}
}

func TestOnError(t *testing.T) {
	const secret = "row 7"
	missing := errors.New(secret)
	fails := func(context.Context, *Call) error { return fmt.Errorf("look up: %w", missing) }
	panics := func(context.Context, *Call) error { panic(secret) }
	for name, test := range map[string]struct {
		serve  func(context.Context, *Call) error
		hook   func(context.Context, *Call, error) *Error
		code   string
		logged bool
	}{
		"answers": {fails, func(_ context.Context, call *Call, err error) *Error {
			if call.Procedure() != echoPath || !errors.Is(err, missing) || call.RequestMetadata().entries == nil {
				return NewError(CodeInternal, "the hook is told something else")
			}
			return NewError(CodeNotFound, "no such row")
		}, "not_found", false},
		"answers a panic": {panics, func(_ context.Context, _ *Call, err error) *Error {
			if p, ok := errors.AsType[*PanicError](err); ok && p.Value == secret && bytes.Contains(p.Stack, []byte("options_test")) {
				return NewError(CodeAborted, "sorry")
			}
			return nil
		}, "aborted", false},
		"leaves it":       {fails, func(context.Context, *Call, error) *Error { return nil }, "unknown", true},
		"leaves a panic":  {panics, func(context.Context, *Call, error) *Error { return nil }, "unknown", true},
		"panics":          {fails, func(context.Context, *Call, error) *Error { panic("hook") }, "unknown", true},
		"panics likewise": {panics, func(context.Context, *Call, error) *Error { panic("hook") }, "unknown", true},
		"has no code":     {fails, func(context.Context, *Call, error) *Error { return &Error{Message: "a"} }, "unknown", true},
		"is not asked": {func(context.Context, *Call) error { return NewError(CodeAborted, "expected") }, func(context.Context, *Call, error) *Error {
			return NewError(CodeInternal, "asked")
		}, "aborted", false},
		"answers what does not encode": {func(_ context.Context, call *Call) error { return call.Send(7) },
			func(context.Context, *Call, error) *Error { return NewError(CodeDataLoss, "no number") }, "data_loss", false},
		"leaves what does not encode": {func(_ context.Context, call *Call) error { return call.Send(7) },
			func(context.Context, *Call, error) *Error { return nil }, "internal", true},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h := optionsHandler(t, &HandlerOptions{OnError: test.hook, Logger: slog.New(slog.NewTextHandler(&log, nil))},
				Procedure{Path: echoPath, Serve: test.serve})
			for range repeats {
				log.Reset()
				w := serveAs(h, echoPath, "application/proto", "", "X-Mine", "1")
				if !strings.Contains(w.Body.String(), `"`+test.code+`"`) || strings.Contains(w.Body.String(), secret) {
					t.Errorf("the peer got %d %s", w.Code, w.Body)
				}
				if logged := log.Len() > 0; logged != test.logged {
					t.Errorf("the log has %q", log.String())
				}
			}
		})
	}
}

// accessLog collects an access log.
type accessLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *accessLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// told returns the one record that was written, without its time.
func (l *accessLog) told(t *testing.T) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var record map[string]any
	text := strings.TrimSpace(l.b.String())
	l.b.Reset()
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		t.Fatalf("the log has %q: %v", text, err)
	}
	if took, ok := record["milliseconds"].(float64); !ok || took < 0 || took > 60_000 || record["level"] != "INFO" {
		t.Errorf("the record is %v", record)
	}
	if record["peer"] != "192.0.2.1:1234" { // httptest's
		t.Errorf("the peer is %v", record["peer"])
	}
	return fmt.Sprint(record["procedure"], " ", record["protocol"], " ", record["code"], " ", record["http_status"], " ",
		record["received_bytes"], " ", record["sent_bytes"])
}

func TestAccessLog(t *testing.T) {
	var log accessLog
	started := make(chan struct{}, 1)
	h := optionsHandler(t, &HandlerOptions{AccessLog: slog.New(slog.NewJSONHandler(&log, nil)), ReadMax: 20},
		Procedure{Path: echoPath, NoSideEffects: true, Serve: echoBytes.Serve},
		Procedure{Path: "/test.v1.Test/Each", Type: StreamTypeBidi, Serve: func(_ context.Context, call *Call) error {
			for {
				payload, err := call.ReceiveBytes()
				if errors.Is(err, io.EOF) {
					return NewError(CodeAborted, "enough")
				}
				if err != nil {
					return err
				}
				if err := call.SendBytes(payload); err != nil {
					return err
				}
			}
		}},
		Procedure{Path: "/test.v1.Test/Fail", Serve: func(context.Context, *Call) error { return errors.New("secret") }},
		Procedure{Path: "/test.v1.Test/Late", Serve: func(ctx context.Context, _ *Call) error {
			<-ctx.Done()
			return ctx.Err()
		}},
		Procedure{Path: "/test.v1.Test/Wait", Serve: func(ctx context.Context, _ *Call) error {
			started <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}})
	for range repeats {
		post(h, echoPath, "hi")
		if got, want := log.told(t), echoPath+" connect ok 200 2 2"; got != want {
			t.Fatalf("a plain call: got %q, want %q", got, want)
		}
		serveAs(h, echoPath, "application/grpc", enveloped("hi"))
		if got, want := log.told(t), echoPath+" grpc ok 200 7 7"; got != want {
			t.Fatalf("gRPC: got %q, want %q", got, want)
		}
		get(h, echoPath, "aGk")
		if got, want := log.told(t), echoPath+" connect ok 200 0 3"; got != want {
			t.Fatalf("a GET: got %q, want %q", got, want)
		}
		w := serveAs(h, "/test.v1.Test/Each", "application/grpc-web", enveloped("a")+enveloped("b"))
		if got, want := log.told(t), fmt.Sprint("/test.v1.Test/Each grpc_web aborted 200 12 ", w.Body.Len()); got != want {
			t.Fatalf("a stream: got %q, want %q", got, want)
		}
		w = post(h, "/test.v1.Test/Fail", "hi")
		if got, want := log.told(t), fmt.Sprint("/test.v1.Test/Fail connect unknown 500 2 ", w.Body.Len()); got != want {
			t.Fatalf("a failure: got %q, want %q", got, want)
		}
		post(h, "/secret%0Aline", "hi")
		if got, want := log.told(t), "<nil> <nil> unimplemented 404 0 0"; got != want {
			t.Fatalf("an unknown path: got %q, want %q", got, want)
		}
		serveAs(h, echoPath, "application/xml", "hi")
		if got, want := log.told(t), echoPath+" <nil> unknown 415 0 0"; got != want {
			t.Fatalf("an unknown type: got %q, want %q", got, want)
		}
		w = serveAs(h, echoPath, "application/proto", "hi", "Connect-Timeout-Ms", "-1")
		if got, want := log.told(t), fmt.Sprint(echoPath+" connect invalid_argument 400 0 ", w.Body.Len()); got != want {
			t.Fatalf("a bad timeout: got %q, want %q", got, want)
		}
		w = post(h, "/test.v1.Test/Wait", strings.Repeat("x", 21))
		if got, want := log.told(t), fmt.Sprint("/test.v1.Test/Wait connect resource_exhausted 429 21 ", w.Body.Len()); got != want {
			t.Fatalf("a large message: got %q, want %q", got, want)
		}

		// A peer that goes away while the handler of a prepared call runs.
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-started
			cancel()
		}()
		r := httptest.NewRequest(http.MethodPost, "/test.v1.Test/Wait", strings.NewReader("hi")).WithContext(ctx)
		r.Header.Set("Content-Type", "application/proto")
		func() {
			defer func() { _ = recover() }() // http.ErrAbortHandler: the response is broken off
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
		if got, want := log.told(t), "/test.v1.Test/Wait connect canceled <nil> 2 0"; got != want {
			t.Fatalf("a peer that went away: got %q, want %q", got, want)
		}

		w = serveAs(h, "/test.v1.Test/Late", "application/proto", "hi", "Connect-Timeout-Ms", "10")
		got, want := log.told(t), "/test.v1.Test/Late connect deadline_exceeded 504 %d "+fmt.Sprint(w.Body.Len())
		if got != fmt.Sprintf(want, 2) && got != fmt.Sprintf(want, 0) { // it may pass before the content is read
			t.Fatalf("a deadline: got %q, want %q", got, want)
		}
	}
}
