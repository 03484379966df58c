package core

import (
	"bytes"
	"encoding/binary"
	"testing"
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
