package core

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/connectcore/connectcore/tests/bound"
)

func testServer(t testing.TB, native bool) *Server {
	s, err := NewServer(ServerConfig{
		ReadMax: 1 << 16,
		Codecs:  []string{"proto", "json"},
		Codings: []Coding{{Name: "gzip", Native: native}},
		Procedures: []Procedure{
			{Path: "/s/Unary", NoSideEffects: true},
			{Path: "/s/Client", Stream: ClientStream},
			{Path: "/s/Server", Stream: ServerStream},
			{Path: "/s/Bidi", Stream: BidiStream},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testFields(pairs ...string) (f Fields) {
	for i := 0; i < len(pairs); i += 2 {
		f.AddString(pairs[i], pairs[i+1])
	}
	return f
}

// receiverHost plays the host's part of receiving: it holds the content,
// answers EventMore and resolves spans. log is the meaning of what came.
type receiverHost struct {
	c       *ServerCall
	content []byte // all that was announced
	log     []string
	closed  bool
}

func (h *receiverHost) take(events []Event) (more *Event) {
	for i := range events {
		switch e := &events[i]; e.Kind {
		case EventRequest:
			h.log = append(h.log, fmt.Sprintf("request %d", e.Procedure))
		case EventMessages:
			src := h.content[e.Base:]
			if e.Inline {
				src = e.Data
			}
			for j := 0; j < len(e.Spans); j += 2 {
				n := e.Spans[j+1]
				h.log = append(h.log, fmt.Sprintf("message %t %x", n&lengthBit != 0, src[e.Spans[j]:][:n&^lengthBit]))
			}
		case EventReceived:
			h.log = append(h.log, fmt.Sprintf("received %d %s", e.Code, e.Message))
		case EventMore:
			copied := *e
			more = &copied
		case EventDone:
			h.closed = true
			h.log = append(h.log, "done")
		default:
			h.log = append(h.log, fmt.Sprintf("event %d %d %q %q", e.Kind, e.Status, e.Fields.Bytes(), e.Data))
		}
	}
	return more
}

// feed gives a chunk, of which only the first shown bytes are at hand at once.
func (h *receiverHost) feed(t *testing.T, chunk []byte, shown int, end bool) {
	if h.closed {
		return
	}
	h.content = append(h.content, chunk...)
	events, err := h.c.Content(uint32(len(chunk)), chunk[:min(shown, len(chunk))], end, false)
	for {
		if err != nil {
			t.Fatalf("content: %v", err)
		}
		more := h.take(events)
		if more == nil {
			return
		}
		if more.Offset >= uint64(len(h.content)) || more.Want == 0 {
			t.Fatalf("asked for %d bytes from %d on, of %d", more.Want, more.Offset, len(h.content))
		}
		b := h.content[more.Offset:]
		b = b[:min(len(b), int(more.Want))]
		events, err = h.c.Content(uint32(len(b)), b, false, true)
	}
}

func openFor(t *testing.T, s *Server, c *ServerCall, path, contentType, coding string, duplex bool) *receiverHost {
	h := &receiverHost{c: c}
	f := testFields("content-type", contentType, "content-encoding", coding, "connect-content-encoding", coding, "grpc-encoding", coding)
	h.take(s.Open(c, &RequestHead{Method: []byte("POST"), Path: []byte(path), Fields: f}, Capabilities{Trailers: true, Duplex: duplex}, false))
	return h
}

// checkSplits asserts rule 11: any split of the same content, shown or only
// announced, means the same.
func checkSplits(t *testing.T, content []byte, path, contentType, coding string, native bool, seed uint64) {
	s := testServer(t, native)
	c := new(ServerCall)
	h := openFor(t, s, c, path, contentType, coding, seed&1 == 0)
	h.feed(t, content, len(content), true)
	whole := strings.Join(h.log, "\n")
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range 6 {
		h := openFor(t, s, c, path, contentType, coding, seed&1 == 0)
		rest := content
		for len(rest) > 0 && !h.closed {
			n := 1
			if round > 0 {
				n = 1 + random.IntN(len(rest))
			}
			shown := n
			if round > 2 {
				shown = random.IntN(n + 1)
			}
			h.feed(t, rest[:n], shown, n == len(rest) && round%2 == 0)
			rest = rest[n:]
		}
		if round%2 == 1 || len(content) == 0 {
			h.feed(t, nil, 0, true)
		}
		if got := strings.Join(h.log, "\n"); got != whole {
			t.Fatalf("%s %s round %d:\n%s\nwhole:\n%s", path, contentType, round, got, whole)
		}
	}
}

// Invariant: content of any bytes, for a server's call of any protocol and stream type, means the same
// however it is split, and whether its bytes are carried or only announced; and never a panic.
func FuzzSplits(f *testing.F) {
	var g Gzip
	packed := g.Compress(nil, bytes.Repeat([]byte("a"), 1000))
	f.Add([]byte("\x00\x00\x00\x00\x02hi\x00\x00\x00\x00\x00"), uint8(2), uint64(1))
	f.Add([]byte("\x00\x00\x00\x00\x02hi\x04\x00\x00\x00\x00"), uint8(7), uint64(2))
	f.Add([]byte("\x00\xff\x00\x00\x02hi"), uint8(5), uint64(3))
	f.Add(append([]byte{1, 0, 0, 0, byte(len(packed))}, packed...), uint8(0x17), uint64(4))
	f.Add(packed, uint8(0x10), uint64(5))
	f.Fuzz(func(t *testing.T, content []byte, how uint8, seed uint64) {
		bound.Within(t, 8<<20+4000*uint64(len(content)), func() {
			path := []string{"/s/Unary", "/s/Client", "/s/Server", "/s/Bidi"}[how&3]
			contentType := "application/proto"
			switch {
			case how&4 != 0:
				contentType = "application/grpc"
			case how&3 != 0:
				contentType = "application/connect+proto"
			}
			coding := "identity"
			if how&0x10 != 0 {
				coding = "gzip"
			}
			checkSplits(t, content, path, contentType, coding, how&0x20 != 0, seed)
		})
	})
}

// Every command in every state is an event or ErrState, never a panic, and a
// call that is done takes nothing more.
func TestEveryCommandInEveryState(t *testing.T) {
	commands := map[string]func(c Call) ([]Event, error){
		"content":      func(c Call) ([]Event, error) { return c.Content(1, []byte{0}, false, false) },
		"content end":  func(c Call) ([]Event, error) { return c.Content(0, nil, true, false) },
		"resume":       func(c Call) ([]Event, error) { return c.Content(1, []byte{0}, false, true) },
		"trailers":     func(c Call) ([]Event, error) { return c.ContentEnd(testFields("a", "b")) },
		"gone":         func(c Call) ([]Event, error) { return c.PeerGone(GoneReset, 8, []byte("x")) },
		"headers":      func(c Call) ([]Event, error) { return c.Headers(testFields("a", "b"), Pairs{}, true) },
		"send":         func(c Call) ([]Event, error) { return c.Send([]uint32{3}, nil, false) },
		"send inline":  func(c Call) ([]Event, error) { return c.Send([]uint32{3}, []byte("abc"), true) },
		"end":          func(c Call) ([]Event, error) { return c.End(&Outcome{}) },
		"end in error": func(c Call) ([]Event, error) { return c.End(&Outcome{Error: Error{Code: NotFound}}) },
		"reject":       func(c Call) ([]Event, error) { return c.Reject(RejectDecode, nil) },
		"decompressed": func(c Call) ([]Event, error) { return c.Decompressed([]byte("{}")) },
		"lost":         func(c Call) ([]Event, error) { return c.Reject(RejectLost, nil) },
		"reject sent":  func(c Call) ([]Event, error) { return c.Reject(RejectEncode, nil) },
		"deadline":     func(c Call) ([]Event, error) { return c.Deadline() },
		"cancel":       func(c Call) ([]Event, error) { return c.Cancel() },
		"response head": func(c Call) ([]Event, error) {
			return c.ResponseHead(200, testFields("content-type", "application/proto"), false)
		},
	}
	s := testServer(t, true)
	cl, err := NewClient(ClientConfig{Protocol: ProtocolConnect, Codec: "proto"})
	if err != nil {
		t.Fatal(err)
	}
	opens := map[string]func() Call{
		"unary": func() Call {
			return openFor(t, s, new(ServerCall), "/s/Unary", "application/proto", "identity", true).c
		},
		"bidi": func() Call {
			return openFor(t, s, new(ServerCall), "/s/Bidi", "application/connect+proto", "identity", true).c
		},
		"grpc": func() Call { return openFor(t, s, new(ServerCall), "/s/Bidi", "application/grpc", "identity", true).c },
		"client": func() Call {
			c := new(ClientCall)
			_, _ = cl.Open(c, &Opening{Path: []byte("/s/Unary"), Timeout: NoTimeout})
			return c
		},
	}
	for openName, open := range opens {
		for n1, first := range commands {
			for n2, second := range commands {
				for n3, third := range commands {
					c := open()
					ended := false
					for _, command := range []func(c Call) ([]Event, error){first, second, third} {
						was := !c.Over()
						events, err := command(c)
						verdict := !was && len(events) == 1 && events[0].Kind == EventEnd && openName == "client"
						if !was && err != ErrState && !verdict {
							t.Fatalf("%s, %s, %s, %s: a call that is over takes a command", openName, n1, n2, n3)
						}
						for _, e := range events {
							if ended && !verdict {
								t.Fatalf("%s, %s, %s, %s: an event after done", openName, n1, n2, n3)
							}
							ended = ended || e.Kind == EventDone || e.Kind == EventEnd
						}
						if ended != c.Over() {
							t.Fatalf("%s, %s, %s, %s: done and open disagree", openName, n1, n2, n3)
						}
					}
				}
			}
		}
	}
}

// A call of any kind, reused, allocates nothing.
func TestReusedCallAllocatesNothing(t *testing.T) {
	s := testServer(t, true)
	c := new(ServerCall)
	lengths := []uint32{7}
	chunk := []byte("\x00\x00\x00\x00\x02hi")
	var o Outcome
	for _, kind := range []struct{ path, contentType string }{
		{"/s/Unary", "application/proto"}, {"/s/Bidi", "application/connect+proto"},
		{"/s/Unary", "application/grpc"}, {"/s/Bidi", "application/grpc"},
	} {
		f := testFields("content-type", kind.contentType, "x-a", "b", "x-b-bin", "AAA", "te", "trailers", "accept-encoding", "gzip;q=0.5")
		head := RequestHead{Method: []byte("POST"), Path: []byte(kind.path), Fields: f}
		content := chunk
		if kind.contentType == "application/proto" {
			content = chunk[5:]
		}
		n := testing.AllocsPerRun(100, func() {
			s.Open(c, &head, Capabilities{Trailers: true, Duplex: true}, false)
			_, err1 := c.Content(uint32(len(content)), content, true, false)
			_, err2 := c.Send(lengths, nil, false)
			_, err3 := c.End(&o)
			if err1 != nil || err2 != nil || err3 != nil || !c.Over() {
				t.Fatal(err1, err2, err3)
			}
		})
		if n != 0 {
			t.Errorf("%s %s: %v allocations a call", kind.path, kind.contentType, n)
		}
	}
}

func BenchmarkUnary(b *testing.B) {
	s := testServer(b, true)
	c := new(ServerCall)
	lengths := []uint32{52}
	content := make([]byte, 52)
	var o Outcome
	head := RequestHead{Method: []byte("POST"), Path: []byte("/s/Unary"), Fields: testFields(
		"host", "127.0.0.1:8080", "user-agent", "bench", "accept", "*/*", "accept-encoding", "gzip",
		"content-type", "application/proto", "content-length", "52", "connect-protocol-version", "1")}
	b.ReportAllocs()
	for b.Loop() {
		s.Open(c, &head, Capabilities{Trailers: true, Duplex: true}, false)
		_, _ = c.Content(52, content, true, false)
		_, _ = c.Send(lengths, nil, false)
		_, _ = c.End(&o)
	}
}

// PROTOCOL-HTTP2.md, "Requests": the timeout comes first, and what defines the call
// before the application's metadata. Tapes do not look at the order.
func TestRequestHeadOrder(t *testing.T) {
	cl, err := NewClient(ClientConfig{Protocol: ProtocolGRPC, Codec: "proto", Codings: []Coding{{Name: "gzip"}}, UserAgent: "grpc-test/1.0"})
	if err != nil {
		t.Fatal(err)
	}
	var c ClientCall
	events, err := cl.Open(&c, &Opening{Path: []byte("/s/Bidi"), Stream: BidiStream, Timeout: 1_000_000, Fields: testFields("x-mine", "1")})
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	fields := events[0].Fields
	var names []string
	for name := range fields.All {
		names = append(names, string(name))
	}
	if got := strings.Join(names, " "); got != "grpc-timeout content-type te grpc-accept-encoding accept-encoding user-agent x-mine" {
		t.Error(got)
	}
}
