package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Responses that HTTP/2 breaks off: what our client makes of each way, behind each
// part of a response, and what the peers' do.

// broken is how a response breaks off.
type broken struct {
	moment moment // late, or once
	head   []byte // fields that come before, if any
	body   []byte
	off    func(f *http2.Framer, stream uint32) error
	closes bool // the connection
}

// breakingServer answers each request with what was put last.
type breakingServer struct {
	atomic.Pointer[broken]
	url     string
	closing sync.WaitGroup // connections that this side has closed, but not yet the other
}

func serveBroken(t *testing.T) *breakingServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s := &breakingServer{url: "http://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn.(*net.TCPConn))
		}
	}()
	return s
}

// serve serves a connection until the client closes it.
func (s *breakingServer) serve(conn *net.TCPConn) {
	defer conn.Close() //nolint:errcheck // the client has gone
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	if _, err := in.Discard(len(http2.ClientPreface)); err != nil {
		return
	}
	f := http2.NewFramer(out, in)
	err := f.WriteSettings()
	answered := uint32(0)
	for err == nil {
		if err = out.Flush(); err != nil {
			return
		}
		var frame http2.Frame
		if frame, err = f.ReadFrame(); err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				err = f.WritePing(true, frame.Data)
			}
		case *http2.HeadersFrame:
			if b := s.Load(); b.moment == once || frame.StreamEnded() {
				answered = frame.StreamID
				err = s.answer(b, f, out, conn, frame.StreamID)
			}
		case *http2.DataFrame:
			if n := uint32(len(frame.Data())); n > 0 {
				err = f.WriteWindowUpdate(0, n)
			}
			if b := s.Load(); err == nil && frame.StreamEnded() && frame.StreamID > answered {
				answered = frame.StreamID
				err = s.answer(b, f, out, conn, frame.StreamID)
			}
		}
	}
}

func (s *breakingServer) answer(b *broken, f *http2.Framer, out *bufio.Writer, conn *net.TCPConn, stream uint32) error {
	if b.closes {
		s.closing.Add(1)
		defer s.closing.Done()
	}
	if b.head != nil {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.head, EndHeaders: true}); err != nil {
			return err
		}
	}
	if b.body != nil {
		if err := f.WriteData(stream, false, b.body); err != nil {
			return err
		}
	}
	if err := b.off(f, stream); err != nil {
		return err
	}
	if !b.closes {
		return nil
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	// What is not read would become a reset, which takes back what was written.
	_, err := io.Copy(io.Discard, conn)
	return err
}

// packed are fields in HPACK, without its table.
func packed(fields ...[2]string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSizeLimit(0)
	for _, field := range fields {
		_ = e.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // a buffer takes all
	}
	return b.Bytes()
}

// parts are what comes of a response before it breaks off.
func parts(f *form) map[string]broken {
	head := packed([2]string{":status", "200"}, [2]string{"content-type", f.contentType}, [2]string{"x-lead", leadText})
	whole := newCanned(f, late, content{bytes: func(f *form) []byte { return f.message("hello") }}, goodEnd(), rightHead)
	message := f.message("hello")
	all := map[string]broken{
		"nothing":               {},
		"the head":              {head: head},
		"half a message":        {head: head, body: message[:len(message)/2]},
		"a message":             {head: head, body: message},
		"a message and the end": {head: head, body: whole.body},
	}
	if len(whole.body) == len(message) { // its end is no content
		delete(all, "a message and the end")
	}
	return all
}

// breaks are the ways to break off.
func breaks() map[string]broken {
	all := map[string]broken{"the connection closes": {off: func(*http2.Framer, uint32) error { return nil }, closes: true}}
	all["the server goes away"] = broken{closes: true,
		off: func(f *http2.Framer, stream uint32) error { return f.WriteGoAway(stream, http2.ErrCodeNo, nil) }}
	for code := http2.ErrCodeNo; code <= http2.ErrCodeHTTP11Required+1; code++ {
		all[fmt.Sprintf("a reset with %v", code)] = broken{
			off: func(f *http2.Framer, stream uint32) error { return f.WriteRSTStream(stream, code) }}
	}
	return all
}

// breakOff has both clients get each response, but for resets with these codes.
func breakOff(t *testing.T, forms []*form, s *breakingServer, mine, theirs caller, but ...http2.ErrCode) (all []generated) {
	t.Helper()
	for _, f := range forms {
		for part, before := range parts(f) {
			for name, b := range breaks() {
				skip := generated{end: name}
				if f.one() && before.head == nil && skip.reset(http2.ErrCodeRefusedStream, http2.ErrCodeProtocol) {
					continue // net/http waits and tries again on its own
				}
				if skip.reset(but...) {
					continue
				}
				for _, m := range []moment{late, once} {
					b.moment, b.head, b.body = m, before.head, before.body
					s.Store(&b)
					hear := func(by caller) answered {
						a := by(t, f, m)
						s.closing.Wait() // the next call needs another connection
						return a
					}
					all = append(all, generated{form: f, content: part, end: name, moment: m, ours: hear(mine), theirs: hear(theirs)})
				}
			}
		}
	}
	return all
}

func (g *generated) reset(codes ...http2.ErrCode) bool {
	return slices.ContainsFunc(codes, func(c http2.ErrCode) bool { return g.end == "a reset with "+c.String() })
}

var (
	noCounterpart = difference{"a reset whose code has no counterpart", "the peer broke the protocol; unavailable would have it tried again",
		"ours, rule 1; gRPC over HTTP/2, Errors", "code",
		func(g *generated) bool {
			return g.reset(http2.ErrCodeStreamClosed, http2.ErrCodeHTTP11Required, http2.ErrCodeHTTP11Required+1) && g.codes("internal", "unknown unavailable")
		}}
	connectGoBreaks = []difference{
		noCounterpart,
		{"what breaks off behind the end in the content", "the server has said how the call ended", "ours, rule 1; Connect protocol, Streaming-Response", allOf,
			func(g *generated) bool { return g.content == "a message and the end" && g.ours.code == "ok" }},
		{"a reset that the transport would try again", "its code says what it is", "gRPC over HTTP/2, Errors: PROTOCOL_ERROR", "code",
			func(g *generated) bool { return g.reset(http2.ErrCodeProtocol) && g.codes("internal", "unavailable") }},
		{"a connection that closes", "another try may do", "ours, rule 1; gRPC status codes, UNAVAILABLE", "code",
			func(g *generated) bool {
				return g.ends("the connection closes", "the server goes away") && g.codes("unavailable", "internal unknown")
			}},
		fieldsBefore,
	}
	grpcGoBreaks = []difference{
		noCounterpart,
		{"a fault of flow control", "the peer broke the protocol", "gRPC over HTTP/2, Errors: FLOW_CONTROL_ERROR", "code",
			func(g *generated) bool {
				return g.reset(http2.ErrCodeFlowControl) && g.codes("internal", "resource_exhausted")
			}},
	}
)

func protoForms() []*form {
	return slices.DeleteFunc(forms(), func(f *form) bool { return f.json() })
}

func TestBrokenOffConnectGo(t *testing.T) {
	s := serveBroken(t)
	httpClient := versions[1].client(t)
	judge(t, connectGoBreaks, breakOff(t, protoForms(), s, ourCaller(t, s.url, httpClient), connectGoCaller(s.url, httpClient)))
}

func TestBrokenOffGRPCGo(t *testing.T) {
	s := serveBroken(t)
	some := slices.DeleteFunc(protoForms(), func(f *form) bool { return !strings.HasPrefix(f.contentType, grpcTypes+"+") })
	// It tries again what was refused, even behind the head, while it still sends: what comes of that varies.
	judge(t, grpcGoBreaks, breakOff(t, some, s, ourCaller(t, s.url, versions[1].client(t)), grpcGoCaller(t, s.url), http2.ErrCodeRefusedStream))
}
