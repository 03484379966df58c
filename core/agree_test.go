package core

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// exchange plays a client's call against a server's, both in core: what one side
// writes is what the other reads. Its content is cut into pieces of cut bytes.
type exchange struct {
	t      *testing.T
	server ServerCall
	client ClientCall
	cut    int

	request, response []byte
	sent              [][]byte // payloads of the command under way
	head              *Event
	got               []string // what each application sees
}

// body lays out content as a host does.
func (x *exchange) body(e *Event) []byte {
	var out []byte
	data := e.Data
	for range e.Count {
		out = append(append(out, data[:e.Prefix]...), x.sent[0]...)
		data, x.sent = data[e.Prefix:], x.sent[1:]
	}
	return append(out, data...)
}

func clone(e *Event) *Event {
	c := *e
	c.Fields = Fields{list{bytes.Clone(e.Fields.b), e.Fields.n}}
	c.Method, c.Target = bytes.Clone(e.Method), bytes.Clone(e.Target)
	return &c
}

func (x *exchange) take(who string, content []byte, events []Event, err error) (trailers *Event) {
	x.t.Helper()
	if err != nil {
		x.t.Fatalf("%s: %v", who, err)
	}
	for i := range events {
		switch e := &events[i]; e.Kind {
		case EventRequestHead, EventResponseHead:
			x.head = clone(e)
		case EventBody:
			if b := x.body(e); who == "client" {
				x.request = append(x.request, b...)
			} else {
				x.response = append(x.response, b...)
			}
		case EventTrailers:
			trailers = clone(e)
		case EventMessages:
			from := content[min(int(e.Base), len(content)):]
			if e.Inline {
				from = e.Data
			}
			for j := 0; j < len(e.Spans); j += 2 {
				x.got = append(x.got, fmt.Sprintf("%s: %s", who, from[e.Spans[j]:][:e.Spans[j+1]&^lengthBit]))
			}
		case EventEnd:
			x.got = append(x.got, fmt.Sprintf("outcome %v %q %d details %q %q", e.Code, e.Message, e.Details.Len(), e.Fields.Bytes(), e.Binary.Bytes()))
		case EventReceived:
			x.got = append(x.got, "received")
		case EventMore:
			var more []Event
			rest := content[e.Offset:]
			if who == "client" {
				more, err = x.client.Content(uint32(len(rest)), rest, false, true)
			} else {
				more, err = x.server.Content(uint32(len(rest)), rest, false, true)
			}
			x.take(who, content, more, err)
			return trailers
		}
	}
	return trailers
}

// A client and a server agree, in each protocol, stream type and coding, on what
// was said: messages, metadata, outcome.
func TestClientAndServerAgree(t *testing.T) {
	bin := Pairs{}
	bin.Add([]byte("x-cost-bin"), []byte{0, 1, 255})
	for _, c := range []struct {
		protocol Protocol
		text     bool
	}{{ProtocolConnect, false}, {ProtocolGRPC, false}, {ProtocolGRPCWeb, false}, {ProtocolGRPCWeb, true}} {
		for stream, path := range []string{"/s/Unary", "/s/Client", "/s/Server", "/s/Bidi"} {
			for _, coding := range []uint32{0, 1} {
				for _, code := range []Code{OK, NotFound} {
					for _, cut := range []int{1, 7, 1 << 20} {
						name := fmt.Sprintf("%d text=%v %s coding=%d %v cut=%d", c.protocol, c.text, path, coding, code, cut)
						t.Run(name, func(t *testing.T) { testAgree(t, c.protocol, c.text, StreamType(stream), path, coding, code, cut, bin) })
					}
				}
			}
		}
	}
}

func testAgree(t *testing.T, p Protocol, text bool, stream StreamType, path string, coding uint32, code Code, cut int, bin Pairs) {
	s := testServer(t, false)
	cl, err := NewClient(ClientConfig{Protocol: p, Text: text, Codec: "proto", Codings: []Coding{{Name: "gzip"}}, SendCoding: coding})
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{t: t, cut: cut}
	lead := testFields("x-lead", "1")
	events, err := cl.Open(&x.client, &Opening{Path: []byte(path), Stream: stream, Timeout: 5_000_000, Fields: lead, Binary: bin})
	x.take("client", nil, events, err)
	ask := []string{"one"}
	if stream.manyRequests() {
		ask = append(ask, "", strings.Repeat("two", 100))
	}
	inlineAll, _ := cl.Inline()
	for _, m := range ask {
		data := []byte(m)
		x.sent = [][]byte{data}
		if !inlineAll {
			data = nil
		}
		events, err = x.client.Send([]uint32{uint32(len(m))}, data, inlineAll)
		if stream.manyRequests() {
			x.take("client", nil, events, err)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	events, err = x.client.End(nil)
	x.take("client", nil, events, err)

	head := RequestHead{Method: x.head.Method, Path: x.head.Target, Fields: x.head.Fields}
	events = s.Open(&x.server, &head, Capabilities{Trailers: true, Duplex: true}, false)
	inline := false
	for _, e := range events {
		if e.Kind == EventRequest {
			inline = e.SendInline
			if e.Timeout != 5_000_000 || e.Binary.Len() != 1 {
				t.Errorf("timeout %d, %d binary values", e.Timeout, e.Binary.Len())
			}
		}
	}
	x.take("server", x.request, events, nil)
	give := func(content []byte, f func(data []byte, end bool)) {
		for len(content) > 0 {
			n := min(cut, len(content))
			f(content[:n], false)
			content = content[n:]
		}
		f(nil, true)
	}
	give(x.request, func(data []byte, end bool) {
		if !x.server.Over() {
			events, err := x.server.Content(uint32(len(data)), data, end, false)
			x.take("server", x.request, events, err)
		}
	})
	_, err = x.server.Headers(testFields("x-head", "2"), Pairs{}, false)
	if err != nil {
		t.Fatal(err)
	}
	answer := []string{"yes"}
	if stream.manyResponses() {
		answer = append(answer, "", strings.Repeat("no", 90))
	}
	for _, m := range answer {
		data := []byte(m)
		x.sent = [][]byte{data}
		if !inline {
			data = nil
		}
		events, err = x.server.Send([]uint32{uint32(len(m))}, data, inline)
		if stream.manyResponses() {
			x.take("server", nil, events, err)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	var o Outcome
	o.Fields, o.Binary = testFields("x-tail", "3"), bin
	if code != OK {
		o.Code, o.Message = code, []byte("nö body")
		o.Details.Add([]byte("a.B"), []byte{1})
	}
	events, err = x.server.End(&o)
	trailers := x.take("server", nil, events, err)

	x.got = append(x.got, "--")
	events, err = x.client.ResponseHead(x.head.Status, x.head.Fields, false)
	x.take("client", x.response, events, err)
	give(x.response, func(data []byte, end bool) {
		var events []Event
		var err error
		switch {
		case x.client.Over():
			return
		case end && trailers != nil:
			events, err = x.client.ContentEnd(trailers.Fields)
		default:
			events, err = x.client.Content(uint32(len(data)), data, end, false)
		}
		x.take("client", x.response, events, err)
	})

	var want []string
	for _, m := range ask {
		want = append(want, "server: "+m)
	}
	want = append(want, "received", "--")
	if code == OK || stream.manyResponses() {
		for _, m := range answer {
			want = append(want, "client: "+m)
		}
	}
	details, message := 0, ""
	if code != OK {
		details, message = 1, "nö body"
	}
	want = append(want, fmt.Sprintf("outcome %v %q %d details %q %q", code, message, details, testFields("x-tail", "3").Bytes(), bin.Bytes()))
	if got := strings.Join(x.got, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}
