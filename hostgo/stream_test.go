package hostgo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const (
	streamType = "application/connect+proto"
	bidiPath   = "/test.v1.Test/Bidi"
)

func envelope(b []byte, payload string) []byte {
	b = append(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

// readEnvelope reads one envelope; end says that it is the last one.
func readEnvelope(r io.Reader) (payload string, end bool, err error) {
	var prefix [5]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return "", false, err
	}
	b := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
	_, err = io.ReadFull(r, b)
	return string(b), prefix[0]&2 != 0, err
}

// echoAll sends back what it receives, as it comes.
var echoAll = Procedure{Path: bidiPath, Type: StreamTypeBidi, Serve: func(_ context.Context, call *Call) error {
	for {
		payload, err := call.ReceiveBytes()
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

// Payloads of all sizes, in chunks larger than what crosses with all bytes:
// the module has to ask for more.
func TestManyMessagesInOneChunk(t *testing.T) {
	h := handlerOn(t, load(t, Options{Instances: 1}), echoAll)
	var sent []byte
	var want []string
	for i := range 4000 {
		payload := strings.Repeat("x", i%50) + fmt.Sprint(i)
		if i%1000 == 999 {
			payload = strings.Repeat("y", 70_000+i)
		}
		sent, want = envelope(sent, payload), append(want, payload)
	}
	request := httptest.NewRequest(http.MethodPost, bidiPath, bytes.NewReader(sent))
	request.Header.Set("Content-Type", streamType)
	w := httptest.NewRecorder()
	h.ServeHTTP(duplexRecorder{w}, request)
	for i := range want {
		payload, _, err := readEnvelope(w.Body)
		if err != nil || payload != want[i] {
			t.Fatalf("message %d: got %.40q (%v), want %.40q", i, payload, err, want[i])
		}
	}
	if payload, end, err := readEnvelope(w.Body); !end || payload != "{}" || err != nil {
		t.Errorf("the end: got %q, %v, %v", payload, end, err)
	}
}

// duplexRecorder is a recorder that lets itself be used for full duplex.
type duplexRecorder struct{ *httptest.ResponseRecorder }

func (duplexRecorder) EnableFullDuplex() error { return nil }

// raw opens a connection to a server and sends text.
func raw(t *testing.T, server *httptest.Server, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // may be closed by the test
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func chunk(b []byte) string { return fmt.Sprintf("%x\r\n%s\r\n", len(b), b) }

// Over HTTP/1.1 too, an answer can come before the next question.
func TestFullDuplexHTTP1(t *testing.T) {
	server := httptest.NewServer(handlerOn(t, defaultModule, echoAll))
	t.Cleanup(server.Close)
	conn, reader := raw(t, server, "POST "+bidiPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: "+streamType+
		"\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk(envelope(nil, "one")))
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // a test's own connection
	if !response.Close {
		t.Error("the connection would be used again, although the request may be left unread")
	}
	for _, next := range []string{"two", "three", ""} {
		if payload, _, err := readEnvelope(response.Body); err != nil || payload == "" {
			t.Fatalf("got %q, %v", payload, err)
		}
		text := "0\r\n\r\n"
		if next != "" {
			text = chunk(envelope(nil, next))
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	if payload, end, err := readEnvelope(response.Body); !end || err != nil {
		t.Errorf("the end: got %q, %v, %v", payload, end, err)
	}
}

// What a bidi call left unread of its request is not the next request.
func TestConnectionAfterUnreadRequest(t *testing.T) {
	server := httptest.NewServer(handlerOn(t, defaultModule, echoAll))
	t.Cleanup(server.Close)
	_, reader := raw(t, server, "POST "+bidiPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: "+streamType+
		"\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk([]byte("\xff\x00\x00\x00\x00")))
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // a test's own connection
	if content, err := io.ReadAll(response.Body); err != nil || !bytes.Contains(content, []byte("invalid_argument")) {
		t.Errorf("got %q, %v", content, err)
	}
	if !response.Close {
		t.Error("the connection would be used again")
	}
}

// A peer that stops in the middle of its request gets its answer at the
// deadline.
func TestDeadlineWhileReading(t *testing.T) {
	server := httptest.NewServer(handlerOn(t, defaultModule, echoBytes, echoAll))
	t.Cleanup(server.Close)
	for _, test := range []struct{ name, head string }{
		{"known size", "POST " + echoBytes.Path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\n" +
			"Connect-Timeout-Ms: 100\r\nContent-Length: 100\r\n\r\nabc"},
		{"chunks", "POST " + echoBytes.Path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\n" +
			"Connect-Timeout-Ms: 100\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"},
		{"stream", "POST " + bidiPath + " HTTP/1.1\r\nHost: x\r\nContent-Type: " + streamType +
			"\r\nConnect-Timeout-Ms: 100\r\nTransfer-Encoding: chunked\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, reader := raw(t, server, test.head)
			begin := time.Now()
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || !bytes.Contains(body, []byte("deadline_exceeded")) {
				t.Errorf("got %d %q (%v), want deadline_exceeded", response.StatusCode, body, err)
			}
			if took := time.Since(begin); took < 90*time.Millisecond || took > 5*time.Second {
				t.Errorf("the answer took %v", took)
			}
		})
	}
}

// A peer that does not read does not hold a handler after the deadline.
func TestDeadlineWhileWriting(t *testing.T) {
	ended := make(chan error, 1)
	flood := Procedure{Path: "/test.v1.Test/Flood", Type: StreamTypeServer, Serve: func(_ context.Context, call *Call) error {
		if _, err := call.ReceiveBytes(); err != nil {
			return err
		}
		payload := make([]byte, 1<<20)
		for {
			if err := call.SendBytes(payload); err != nil {
				ended <- err
				return err
			}
		}
	}}
	server := httptest.NewServer(handlerOn(t, defaultModule, flood))
	t.Cleanup(server.Close)
	raw(t, server, "POST "+flood.Path+" HTTP/1.1\r\nHost: x\r\nContent-Type: "+streamType+
		"\r\nConnect-Timeout-Ms: 200\r\nContent-Length: 5\r\n\r\n\x00\x00\x00\x00\x00")
	select {
	case err := <-ended:
		if code := CodeOf(err); code != CodeDeadlineExceeded && code != CodeCanceled {
			t.Errorf("got %v, want that the call has ended", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("the handler still sends")
	}
}

// A peer that goes away while it sends ends receiving, and the context.
func TestPeerGoneWhileReading(t *testing.T) {
	ended := make(chan error, 1)
	var cause error
	wait := Procedure{Path: bidiPath, Type: StreamTypeBidi, Serve: func(ctx context.Context, call *Call) error {
		for {
			if _, err := call.ReceiveBytes(); err != nil {
				<-ctx.Done()
				cause = ctx.Err()
				ended <- err
				return err
			}
		}
	}}
	server := httptest.NewServer(handlerOn(t, defaultModule, wait))
	t.Cleanup(server.Close)
	conn, _ := raw(t, server, "POST "+bidiPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: "+streamType+
		"\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk(envelope(nil, "one")))
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if CodeOf(err) != CodeCanceled || !errors.Is(cause, context.Canceled) {
			t.Errorf("got %v and %v, want canceled", err, cause)
		}
	case <-time.After(10 * time.Second):
		t.Error("the handler still waits")
	}
}

// BenchmarkServerStream sends messages of 52 bytes, each on its own.
func BenchmarkServerStream(b *testing.B) {
	const messages = 1000
	many := Procedure{Path: "/test.v1.Test/Many", Type: StreamTypeServer, Serve: func(_ context.Context, call *Call) error {
		if _, err := call.ReceiveBytes(); err != nil {
			return err
		}
		payload := bytes.Repeat([]byte{1}, 52)
		for range messages {
			if err := call.SendBytes(payload); err != nil {
				return err
			}
		}
		return nil
	}}
	h, err := NewHandler(nil, many)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		request := httptest.NewRequest(http.MethodPost, many.Path, bytes.NewReader(envelope(nil, "")))
		request.Header.Set("Content-Type", streamType)
		w := discarded{header: http.Header{}}
		h.ServeHTTP(&w, request)
		if w.size < messages*57 {
			b.Fatalf("%d bytes", w.size)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
}

func (d *discarded) FlushError() error { return nil }
