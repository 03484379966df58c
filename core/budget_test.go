package core

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/connectcore/connectcore/tests/bound"
)

// stepOf is what one step brought, as a host counts it.
type stepOf struct{ messages, bytes int }

// steps gives a request's content in one chunk, whole, and answers EventMore with
// all that is left, until nothing is asked for. It returns what each step brought.
func steps(t *testing.T, c *ServerCall, content []byte) (out []stepOf) {
	t.Helper()
	events, err := c.Content(uint32(len(content)), content, true, false)
	for {
		if err != nil {
			t.Fatal(err)
		}
		var step stepOf
		next := -1
		for _, e := range events {
			switch e.Kind {
			case EventMessages:
				step.messages += len(e.Spans) / 2
				step.bytes += len(e.Data)
			case EventMore:
				next = int(e.Offset)
			}
		}
		out = append(out, step)
		if next < 0 {
			return out
		}
		rest := content[next:]
		events, err = c.Content(uint32(len(rest)), rest, false, true)
	}
}

// Whatever a peer sends, one step does a bounded amount of work, and nothing is
// lost: rule 13 of our own.
func TestStepIsBounded(t *testing.T) {
	var g Gzip
	mebi := g.Compress(nil, make([]byte, 60<<10))
	bomb := append(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(mebi))), mebi...)
	for _, kind := range []struct {
		what, path, contentType, coding string
		duplex                          bool
		content                         []byte
		messages                        int
	}{
		{"empty messages", "/s/Client", "application/connect+proto", "identity", true, make([]byte, 5*100_000), 100_000},
		{"empty messages, gRPC", "/s/Bidi", "application/grpc", "identity", true, make([]byte, 5*100_000), 100_000},
		{"empty messages without duplex", "/s/Bidi", "application/connect+proto", "identity", false, make([]byte, 5*100_000), 100_000},
		{"messages that inflate", "/s/Client", "application/connect+proto", "gzip", true, bytes.Repeat(bomb, 300), 300},
		{"empty messages under a compression", "/s/Client", "application/grpc", "gzip", true, make([]byte, 5*100_000), 100_000},
	} {
		s := testServer(t, false)
		c := new(ServerCall)
		openFor(t, s, c, kind.path, kind.contentType, kind.coding, kind.duplex)
		total := 0
		all := steps(t, c, kind.content)
		for i, step := range all {
			if step.messages > StepMessages || step.bytes > StepBytes+1<<16 {
				t.Errorf("%s: step %d brings %d messages with %d bytes", kind.what, i, step.messages, step.bytes)
			}
			total += step.messages
		}
		if total != kind.messages || len(all) < 5 {
			t.Errorf("%s: %d messages in %d steps, %d wanted", kind.what, total, len(all), kind.messages)
		}
		if kept := 8*cap(c.spans) + cap(c.data) + cap(c.payload); kept > 4<<20 {
			t.Errorf("%s: %d bytes are kept", kind.what, kept)
		}
		if _, err := c.Cancel(); err != nil {
			t.Fatal(err)
		}
		openFor(t, s, c, "/s/Unary", "application/proto", "identity", true)
		if kept := 4*cap(c.spans) + cap(c.data) + cap(c.payload); kept > 1<<20 {
			t.Errorf("%s: %d bytes are kept for the next call", kind.what, kept)
		}
	}
}

// Fields that come thousands of times are not joined again and again.
func TestManyFieldsCostTheirSize(t *testing.T) {
	var f Fields
	f.AddString("content-type", "application/proto")
	for range 20_000 {
		f.AddString("accept-encoding", "gzip")
		f.AddString("grpc-timeout", "1S")
	}
	s := testServer(t, false)
	c := new(ServerCall)
	s.Open(c, &RequestHead{Method: []byte("POST"), Path: []byte("/s/Unary"), Fields: f}, Capabilities{}, true)
	if n := cap(c.Memory.in.joined); n > 4*MaxMetadata {
		t.Errorf("%d bytes for %d bytes of fields", n, len(f.Bytes()))
	}
}

// Where one name stands for many values, each of which is shown with it, a long name
// does not make much out of little: in every section that a peer sends.
func TestLongNamesAreNotCopiedWithoutEnd(t *testing.T) {
	const values = 10_000
	long := strings.Repeat("x", 30_000) + "-bin"
	list := strings.Repeat("AA,", values)
	marker := `{"metadata":{"` + long[:30_000] + `":["1"` + strings.Repeat(`,"1"`, values) + `]}}`
	texts := `{"metadata":{"` + long + `":["` + list + `"` + strings.Repeat(`,"`+list[:300]+`"`, 100) + `]}}`
	lines := []byte(long + ": " + list + "\r\ngrpc-status: 0\r\n")
	envelope := func(flag byte, b string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(b))), b...)
	}
	for _, c := range []struct {
		what           string
		protocol       Protocol
		stream         StreamType
		kind           string // content type of the response
		head, trailers Fields
		content        []byte
	}{
		{"leading metadata", ProtocolConnect, Unary, "application/proto", testFields(long, list), Fields{}, nil},
		{"trailing metadata in a head", ProtocolConnect, Unary, "application/proto", testFields("trailer-"+long, list), Fields{}, nil},
		{"trailers", ProtocolGRPC, ServerStream, "application/grpc+proto", Fields{}, testFields(long, list, "grpc-status", "0"), nil},
		{"trailers in content", ProtocolGRPCWeb, ServerStream, "application/grpc-web+proto", Fields{}, Fields{}, envelope(0x80, string(lines))},
		{"an end marker", ProtocolConnect, ServerStream, "application/connect+proto", Fields{}, Fields{}, envelope(2, marker)},
		{"binary values in an end marker", ProtocolConnect, ServerStream, "application/connect+proto", Fields{}, Fields{}, envelope(2, texts)},
	} {
		t.Run(c.what, func(t *testing.T) {
			cl, err := NewClient(ClientConfig{Protocol: c.protocol, Codec: "proto"})
			if err != nil {
				t.Fatal(err)
			}
			head := testFields("content-type", c.kind)
			head.addAll(c.head)
			bound.Within(t, 2<<20, func() {
				x := new(ClientCall)
				open := &Opening{Path: []byte("/s/Any"), Stream: c.stream, Timeout: NoTimeout}
				for _, step := range []func() ([]Event, error){
					func() ([]Event, error) { return cl.Open(x, open) },
					func() ([]Event, error) { return x.Send([]uint32{0}, nil, false) },
					func() ([]Event, error) { return x.End(nil) },
					func() ([]Event, error) { return x.ResponseHead(200, head, false) },
					func() ([]Event, error) { return x.Content(uint32(len(c.content)), c.content, false, false) },
					func() ([]Event, error) { return x.ContentEnd(c.trailers) },
				} {
					events, err := step()
					if err != nil {
						t.Fatal(err)
					}
					if n := len(events); x.Over() {
						if end := events[n-1]; end.Code != ResourceExhausted {
							t.Fatalf("it ends with %v %q", end.Code, end.Message)
						}
						return
					}
				}
				t.Fatal("it does not end")
			})
		})
	}
	t.Run("a request", func(t *testing.T) {
		s := testServer(t, false)
		bound.Within(t, 2<<20, func() {
			c := new(ServerCall)
			events := s.Open(c, &RequestHead{
				Method: []byte("POST"), Path: []byte("/s/Unary"), Fields: testFields("content-type", "application/proto", long, list),
			}, Capabilities{}, true)
			if events[0].Kind != EventResponseHead || events[0].Status != 429 {
				t.Fatalf("%v with the status %d", events[0].Kind, events[0].Status)
			}
		})
	})
}
