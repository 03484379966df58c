package hostgo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// countedStep counts the steps of an instance.
type countedStep struct {
	api.Function
	n *atomic.Int64
}

func (f countedStep) CallWithStack(ctx context.Context, stack []uint64) error {
	f.n.Add(1)
	return f.Function.CallWithStack(ctx, stack)
}

// countSteps returns a counter of the steps of a module with one instance.
func countSteps(t *testing.T, m *Module) *atomic.Int64 {
	t.Helper()
	n := new(atomic.Int64)
	for _, in := range m.pool.living() {
		in.step = countedStep{in.step, n}
	}
	return n
}

// oddHandler does what the request's text asks for, or sends it back.
func oddHandler(ctx context.Context, call *Call) error {
	payload, err := call.ReceiveBytes()
	if err != nil {
		return err
	}
	switch string(payload) {
	case "header":
		call.Header().Add("x-lead", "1")
	case "trailer":
		call.Trailer().Add("x-trail", "1")
	case "send header":
		if err := call.SendHeader(); err != nil {
			return err
		}
	case "aborted":
		return NewError(CodeAborted, "no")
	case "plain error":
		return errors.New("secret")
	case "no code":
		return &Error{Message: "secret"}
	case "panic":
		panic("secret")
	case "no reply":
		return nil
	case "wait":
		<-ctx.Done()
		return ctx.Err()
	case "does not decode":
		return call.reject(1, errors.New("test"))
	case "does not encode":
		return call.Send("no message at all")
	}
	return call.SendBytes(payload)
}

// A plain call takes one step, and none if its head came before. All others are
// answered as if no answer had been prepared, each time anew.
func TestPreparedCalls(t *testing.T) {
	m := load(t, Options{Instances: 1})
	h, err := NewHandler(&HandlerOptions{Module: m, Logger: quiet(), ReadMax: 100, SendMax: 60, CompressMin: 30},
		Procedure{Path: echoPath, Serve: oddHandler})
	if err != nil {
		t.Fatal(err)
	}
	steps := countSteps(t, m)
	for _, test := range []struct {
		name, payload string
		fields        string
		chunked       bool
		status        int
		answer        string // in the content
		head          string // in the head
		plain         bool
	}{
		{"plain", "hello", "", false, 200, "hello", "Content-Length: 5\r\n", true},
		{"plain in chunks", "hello", "", true, 200, "hello", "Content-Length: 5\r\n", true},
		{"plain and in time", "hello", "Connect-Timeout-Ms: 60000\r\n", false, 200, "hello", "", true},
		{"empty", "", "", false, 200, "", "Content-Length: 0\r\n", true},
		{"empty, in chunks", "", "", true, 200, "", "Content-Length: 0\r\n", true},
		{"too small to compress", "hello", "Accept-Encoding: gzip\r\n", false, 200, "hello", "", true},
		{"at SendMax", strings.Repeat("x", 60), "", false, 200, "xxx", "", true},
		{"sends its head early", "send header", "", false, 200, "send header", "", true},
		{"compressed", strings.Repeat("x", 40), "Accept-Encoding: gzip\r\n", false, 200, "", "Content-Encoding: gzip\r\n", false},
		{"over SendMax", strings.Repeat("x", 61), "", false, 429, "resource_exhausted", "", false},
		{"over ReadMax in chunks", strings.Repeat("x", 101), "", true, 429, "is larger than the limit of 100 bytes", "", false},
		{"leading metadata", "header", "", false, 200, "header", "X-Lead: 1\r\n", false},
		{"trailing metadata", "trailer", "", false, 200, "trailer", "Trailer-X-Trail: 1\r\n", false},
		{"error", "aborted", "", false, 409, `{"code":"aborted","message":"no"}`, "", false},
		{"plain error", "plain error", "", false, 500, `"unknown"`, "", false},
		{"error without a code", "no code", "", false, 500, `"unknown"`, "", false},
		{"panic", "panic", "", false, 500, `"unknown"`, "", false},
		{"no reply", "no reply", "", false, 500, `"internal"`, "", false},
		{"not decoded", "does not decode", "", false, 400, `"invalid_argument"`, "", false},
		{"not encoded", "does not encode", "", false, 500, `"internal"`, "", false},
		{"deadline", "wait", "Connect-Timeout-Ms: 20\r\n", false, 504, `"deadline_exceeded"`, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(h)
			t.Cleanup(server.Close)
			size := "Content-Length: " + strconv.Itoa(len(test.payload)) + "\r\n\r\n" + test.payload
			if test.chunked {
				size = "Transfer-Encoding: chunked\r\n\r\n"
				if test.payload != "" {
					size += chunk([]byte(test.payload))
				}
				size += "0\r\n\r\n"
			}
			for round := range 3 {
				before := steps.Load()
				_, reader := raw(t, server, "POST "+echoPath+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+
					"Content-Type: application/proto\r\nX-Test: "+test.name+"\r\n"+test.fields+size)
				answer, err := io.ReadAll(reader)
				if err != nil {
					t.Fatal(err)
				}
				head, content, _ := strings.Cut(string(answer), "\r\n\r\n")
				if !strings.HasPrefix(head, "HTTP/1.1 "+strconv.Itoa(test.status)+" ") || !strings.Contains(content, test.answer) ||
					!strings.Contains(head+"\r\n", test.head) || strings.Contains(content, "secret") {
					t.Errorf("round %d: got %q, want %d and %q", round, answer, test.status, test.answer)
				}
				want := int64(2) // one for the head, one for all
				if test.plain {
					want--
				}
				if round == 2 {
					want-- // the head came before
				}
				if got := steps.Load() - before; got != want {
					t.Errorf("round %d: %d steps, want %d", round, got, want)
				}
			}
		})
	}
	if stats := m.Stats(); stats.Calls != 0 || stats.Trapped != 0 {
		t.Errorf("got %+v, want no call left open and no instance lost", stats)
	}
}

// What is kept of heads has bounds.
func TestKeptHeads(t *testing.T) {
	h := handlerOn(t, load(t, Options{Instances: 1}), echoBytes)
	call := func(id string) {
		request := httptest.NewRequest(http.MethodPost, echoBytes.Path, strings.NewReader("x"))
		request.Header.Set("Content-Type", "application/proto")
		request.Header.Set("X-Id", id)
		h.ServeHTTP(httptest.NewRecorder(), request)
	}
	kept := func() (n int) {
		for i := range h.heads.kept {
			if k := h.heads.kept[i].Load(); k != nil {
				n++
				if len(k.head) > mostHead {
					t.Errorf("a head of %d bytes is kept", len(k.head))
				}
			}
		}
		return n
	}
	for i := range 50 {
		call(strconv.Itoa(i))
	}
	if n := kept(); n != 0 {
		t.Errorf("%d heads are kept that came once", n)
	}
	for range 3 {
		call(strings.Repeat("x", mostHead))
		for i := range 50 {
			call(strconv.Itoa(i))
		}
	}
	if n := kept(); n < 30 || n > 50 { // some share a place
		t.Errorf("%d heads are kept, want most of the 50 that came again", n)
	}
}

// A peer that goes away while it sends, or while its handler runs, is not taken
// for one that has sent all.
func TestPreparedPeerGone(t *testing.T) {
	began, ended := make(chan struct{}, 1), make(chan error, 1)
	m := load(t, Options{Instances: 1})
	server := httptest.NewServer(handlerOn(t, m, Procedure{Path: echoPath, Serve: func(ctx context.Context, call *Call) error {
		began <- struct{}{}
		<-ctx.Done()
		err := call.SendBytes(nil)
		ended <- errors.Join(err, ctx.Err())
		return err
	}}))
	t.Cleanup(server.Close)
	head := "POST " + echoPath + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\nContent-Length: 3\r\n\r\n"
	conn, _ := raw(t, server, head+"ab")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	conn, _ = raw(t, server, head+"abc")
	<-began
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the handler still waits")
	}
	select {
	case <-began:
		t.Error("the handler ran for a request that was cut off")
	default:
	}
}

// The deadline that a middleware sets is the call's, too.
func TestDeadlineFromAround(t *testing.T) {
	h := handlerOn(t, defaultModule, Procedure{Path: echoPath, Serve: oddHandler})
	for _, timeout := range []string{"", "60000"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		request := httptest.NewRequestWithContext(ctx, http.MethodPost, echoPath, bytes.NewReader([]byte("wait")))
		request.Header.Set("Content-Type", "application/proto")
		if timeout != "" {
			request.Header.Set("Connect-Timeout-Ms", timeout)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request)
		cancel()
		if w.Code != http.StatusGatewayTimeout || !strings.Contains(w.Body.String(), `"deadline_exceeded"`) {
			t.Errorf("timeout %q: got %d %s", timeout, w.Code, w.Body)
		}
	}
}
