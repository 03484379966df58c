package hostgo

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
		return call.reject(1, errors.New("test"), "")
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
	for i, test := range []struct {
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
		{"compressed", strings.Repeat("x", 40), "Accept-Encoding: gzip\r\n", false, 200, "", "Content-Encoding: gzip\r\n", true},
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
					"Content-Type: application/proto\r\nX-Test-"+strconv.Itoa(i)+": 1\r\n"+test.fields+size)
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

// gRPC's and gRPC-Web's plain calls are prepared, too. All that is not one plain
// message, or does not end well, is answered as if nothing had been prepared.
func TestPreparedEnvelopes(t *testing.T) {
	m := load(t, Options{Instances: 1})
	h, err := NewHandler(&HandlerOptions{Module: m, Logger: quiet(), ReadMax: 100, SendMax: 60, CompressMin: 30,
		Codings: []string{"gzip", "br", "snappy"}}, Procedure{Path: echoPath, Serve: oddHandler})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	steps := countSteps(t, m)
	zipped, bomb := zip(t, "hello"), packed(t, "br", 101)
	var br, snapped bytes.Buffer
	for coding, b := range map[string]*bytes.Buffer{"br": &br, "snappy": &snapped} {
		w := packers[coding](b)
		_, _ = io.WriteString(w, "hello")
		_ = w.Close()
	}
	for i, test := range []struct {
		name    string
		content []byte
		fields  string
		status  string // of gRPC
		payload string
		steps   int64 // at the first time; one less at the third
	}{
		{"plain", envelope(nil, "hello"), "", "0", "hello", 1},
		{"empty", envelope(nil, ""), "", "0", "", 1},
		{"at SendMax", envelope(nil, strings.Repeat("x", 60)), "", "0", strings.Repeat("x", 60), 1},
		{"compressed, for the module", flagged(1, snapped.Bytes()), "Grpc-Encoding: snappy\r\n", "0", "hello", 3},
		{"compressed", flagged(1, zipped), "Grpc-Encoding: gzip\r\n", "0", "hello", 1},
		{"compressed here", flagged(1, br.Bytes()), "Grpc-Encoding: br\r\n", "0", "hello", 1},
		{"could be compressed here", envelope(nil, "hello"), "Grpc-Encoding: br\r\n", "0", "hello", 1},
		{"empty and marked", flagged(1, nil), "Grpc-Encoding: br\r\n", "0", "", 1},
		{"marked only", flagged(1, []byte("hello")), "Grpc-Encoding: br\r\n", "3", "", 2},
		{"too large here", flagged(1, bomb), "Grpc-Encoding: br\r\n", "8", "", 2},
		{"could be compressed", envelope(nil, "hello"), "Grpc-Encoding: gzip\r\nGrpc-Accept-Encoding: gzip\r\n", "0", "hello", 1},
		{"over SendMax", envelope(nil, strings.Repeat("x", 61)), "", "8", "", 2},
		{"over ReadMax", envelope(nil, strings.Repeat("x", 101)), "", "8", "", 2},
		{"no message", nil, "", "12", "", 2},
		{"two messages", envelope(envelope(nil, "hello"), "hello"), "", "12", "", 2},
		{"cut off", envelope(nil, "hello")[:8], "", "3", "", 2},
		{"longer than it says", append(envelope(nil, "hello"), 0), "", "3", "", 2},
		{"unknown flag", append([]byte{4}, envelope(nil, "hello")[1:]...), "", "3", "", 2},
		{"leading metadata", envelope(nil, "header"), "", "0", "header", 2},
		{"error", envelope(nil, "aborted"), "", "10", "", 2},
		{"panic", envelope(nil, "panic"), "", "2", "", 2},
		{"deadline", envelope(nil, "wait"), "Grpc-Timeout: 20m\r\n", "4", "", 2},
	} {
		for _, contentType := range []string{grpcType, "application/grpc-web+proto"} {
			t.Run(test.name+" "+contentType, func(t *testing.T) {
				for round := range int64(3) {
					before := steps.Load()
					_, reader := raw(t, server, "POST "+echoPath+" HTTP/1.1\r\nHost: x\r\nTe: trailers\r\nConnection: close\r\n"+
						"Content-Type: "+contentType+"\r\nX-Test-"+strconv.Itoa(i)+": 1\r\n"+test.fields+
						"Content-Length: "+strconv.Itoa(len(test.content))+"\r\n\r\n"+string(test.content))
					status, payload := grpcAnswer(t, reader)
					if status != test.status || payload != test.payload {
						t.Errorf("round %d: got status %s, %q, want %s, %q", round, status, payload, test.status, test.payload)
					}
					if got, want := steps.Load()-before, test.steps-round/2; got != want {
						t.Errorf("round %d: %d steps, want %d", round, got, want)
					}
				}
			})
		}
	}
	if stats := m.Stats(); stats.Calls != 0 || stats.Trapped != 0 {
		t.Errorf("got %+v, want no call left open and no instance lost", stats)
	}
}

func zip(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// grpcAnswer reads a response of gRPC or gRPC-Web: its status, from the trailers
// or the last envelope, and the payloads.
func grpcAnswer(t *testing.T, reader *bufio.Reader) (status, payload string) {
	t.Helper()
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for len(content) >= 5 {
		n := binary.BigEndian.Uint32(content[1:])
		part := string(content[5 : 5+n])
		if content[0] == 0x80 {
			_, part, _ = strings.Cut(part, "grpc-status: ")
			status, _, _ = strings.Cut(part, "\r\n")
		} else {
			payload += part
		}
		content = content[5+n:]
	}
	return status + response.Trailer.Get("Grpc-Status"), payload
}

// A head that differs in values only that do not matter has the same answer.
func TestHeadsThatAreAlike(t *testing.T) {
	m := load(t, Options{Instances: 1})
	h := handlerOn(t, m, Procedure{Path: echoPath, Serve: func(_ context.Context, call *Call) error {
		metadata := call.RequestMetadata()
		timeout, _ := call.Timeout()
		values, err := metadata.Binary("x-a-bin")
		return errors.Join(err, call.SendBytes(fmt.Appendf(nil, "%s %q %v", metadata.Get("traceparent"), values, timeout)))
	}})
	steps := countSteps(t, m)
	call := func(trace, bin, timeout string) (answer string, n int64) {
		request := httptest.NewRequest(http.MethodPost, echoPath, strings.NewReader("x"))
		request.Header.Set("Content-Type", "application/proto")
		request.Header.Set("Traceparent", trace)
		request.Header.Set("X-A-Bin", bin)
		request.Header.Set("Connect-Timeout-Ms", timeout)
		before, w := steps.Load(), httptest.NewRecorder()
		h.ServeHTTP(w, request)
		return w.Body.String(), steps.Load() - before
	}
	call("0", "AQ", "1000")
	call("1", "AQ", "1000")
	for i, test := range []struct {
		trace, bin, timeout, want string
		steps                     int64
	}{
		{"2", "AQ", "1000", `2 ["\x01"] 1s`, 0},
		{"another", "AQ", "1000", `another ["\x01"] 1s`, 0},
		{"3", "Ag", "1000", `3 ["\x02"] 1s`, 1},
		{"4", "AQ", "2000", `4 ["\x01"] 2s`, 1},
		{"5", "AQ", "1000", `5 ["\x01"] 1s`, 0},
		{"6", "AQ", "2000", `6 ["\x01"] 2s`, 1},
		{"7", "AQ", "2000", `7 ["\x01"] 2s`, 0},
	} {
		if got, n := call(test.trace, test.bin, test.timeout); got != test.want || n != test.steps {
			t.Errorf("%d: got %s in %d steps, want %s in %d", i, got, n, test.want, test.steps)
		}
	}
	// What is too long is no plain call.
	if got, n := call(strings.Repeat("x", 70_000), "AQ", "1000"); !strings.Contains(got, "resource_exhausted") || n != 1 {
		t.Errorf("got %.100s in %d steps, want resource_exhausted", got, n)
	}
}

// What is kept of heads has bounds.
func TestKeptHeads(t *testing.T) {
	h := handlerOn(t, load(t, Options{Instances: 1}), echoBytes)
	call := func(name string) {
		request := httptest.NewRequest(http.MethodPost, echoBytes.Path, strings.NewReader("x"))
		request.Header.Set("Content-Type", "application/proto")
		request.Header.Set("X-"+name, "1")
		h.ServeHTTP(httptest.NewRecorder(), request)
	}
	kept := func() (n int) {
		for i := range h.heads.kept {
			if k := h.heads.kept[i].Load(); k != nil {
				n++
				if len(k.key) > mostHead {
					t.Errorf("a head of %d bytes is kept", len(k.key))
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
