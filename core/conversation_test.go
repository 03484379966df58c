package core

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/connectcore/connectcore/tests/bound"
	"github.com/connectcore/connectcore/tests/sequences"
)

// A whole call, both roles of it: a client and a server of the core talk to each
// other, in every protocol and kind of call, about what a script of bytes says.
// However the content is cut on its way,
//
//   - each side gets the messages that the other gave, and the client the server's
//     outcome: code, text, details and metadata;
//   - nothing panics, and no command is refused;
//   - a response of envelopes that ends too soon, or whose connection does, is
//     never success.

// script is what a conversation is about.
type script struct{ sequences.Script }

// text is UTF-8.
func (s *script) text(most int) string { return string([]rune(string(s.Bytes(most)))) }

func (s *script) messages(one bool) (m [][]byte) {
	n := 1
	if !one {
		n = s.Below(5)
	}
	for range n {
		m = append(m, bytes.Repeat(s.Bytes(40), 1+s.Below(8)))
	}
	return m
}

// metadata has a text and a binary name; section tells them from others.
func (s *script) metadata(section string) (f Fields, p Pairs) {
	value := s.Bytes(20)
	for i, c := range value {
		value[i] = '!' + c%90
	}
	f.AddString("x-"+section, string(value))
	p.Add([]byte("x-"+section+"-bin"), s.Bytes(20))
	return f, p
}

// side is one role of a call with what its host holds.
type side struct {
	t        *testing.T
	call     Call
	content  []byte // that came
	messages [][]byte
	asked    *Event

	head     Event // of the request or the response that goes out
	fields   Fields
	body     []byte
	trailers Fields

	ready   bool // server: the handler may run
	over    bool
	outcome Event // client: with copies of what it points to
}

func (h *side) take(events []Event, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range events {
		switch e.Kind {
		case EventRequestHead, EventResponseHead:
			e.Target, e.Method = bytes.Clone(e.Target), bytes.Clone(e.Method)
			h.head, h.fields = e, cloneFields(e.Fields)
		case EventBody:
			if e.Count > 0 {
				h.t.Fatal("a payload that was given with its bytes is named")
			}
			h.body = append(h.body, e.Data...)
		case EventTrailers:
			h.trailers = cloneFields(e.Fields)
		case EventMessages:
			src := h.content[e.Base:]
			if e.Inline {
				src = e.Data
			}
			for i := 0; i < len(e.Spans); i += 2 {
				h.messages = append(h.messages, bytes.Clone(src[e.Spans[i]:][:e.Spans[i+1]]))
			}
		case EventReceived:
			if h.ready = true; e.Code != OK {
				h.t.Fatalf("the server received %d %q", e.Code, e.Message)
			}
		case EventMore:
			h.asked = &e
		case EventDone:
			h.over = true
		case EventEnd:
			h.over = true
			e.Message, e.Fields, e.Binary = bytes.Clone(e.Message), cloneFields(e.Fields), clonePairs(e.Binary)
			e.Details = clonePairs(e.Details)
			h.outcome = e
		}
	}
}

func cloneFields(f Fields) (g Fields) { g.addAll(f); return g }
func clonePairs(p Pairs) (q Pairs)    { q.addAll(p); return q }

// feed gives content in pieces, each with all of its bytes, some or none.
func (h *side) feed(s *script, content []byte) {
	for len(content) > 0 && !h.over {
		n := len(content)
		if cut := s.Below(256); cut > 0 {
			n = min(n, cut)
		}
		shown := n * s.Below(3) / 2
		h.content = append(h.content, content[:n]...)
		h.take(h.call.Content(uint32(n), content[:min(n, shown)], false, false))
		h.tell()
		content = content[n:]
	}
}

// tell gives content that was announced and is asked for.
func (h *side) tell() {
	for h.asked != nil && !h.over {
		b := h.content[h.asked.Offset:]
		b = b[:min(len(b), int(h.asked.Want))]
		h.asked = nil
		h.take(h.call.Content(uint32(len(b)), b, false, true))
	}
}

// end ends the content.
func (h *side) end(trailers Fields) {
	if !h.over {
		h.take(h.call.ContentEnd(trailers))
		h.tell()
	}
}

func lengthsOf(m []byte) []uint32 { return []uint32{uint32(len(m))} }

func converse(t *testing.T, s script) {
	stream := StreamType(s.Below(4))
	protocol := ProtocolConnect + Protocol(s.Below(3))
	get := stream == Unary && s.Below(4) == 1
	server := testServer(t, false)
	cfg := ClientConfig{Protocol: protocol, Text: protocol == ProtocolGRPCWeb && s.Below(2) == 1, Codec: "proto",
		Codings: []Coding{{Name: "gzip"}}, SendCoding: uint32(s.Below(2))}
	client, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}

	// The request.
	asks := &side{t: t}
	cc := new(ClientCall)
	asks.call = cc
	opening := Opening{Path: []byte(server.cfg.Procedures[stream].Path), Stream: stream, NoSideEffects: stream == Unary,
		Get: get, Timeout: NoTimeout}
	opening.Fields, opening.Binary = s.metadata("asked")
	requests := s.messages(!stream.manyRequests())
	asks.take(client.Open(cc, &opening))
	for _, m := range requests {
		asks.take(cc.Send(lengthsOf(m), m, true))
	}
	asks.take(cc.End(nil))

	// What the server does with it.
	answers := &side{t: t}
	sc := new(ServerCall)
	answers.call = sc
	path, query, _ := bytes.Cut(asks.head.Target, []byte("?"))
	answers.take(server.Open(sc, &RequestHead{Method: asks.head.Method, Path: path, Query: query, Fields: asks.fields},
		Capabilities{Trailers: true, Duplex: s.Below(2) == 1}, false), nil)
	answers.feed(&s, asks.body)
	if !answers.ready {
		answers.end(Fields{})
	}
	if !answers.ready {
		t.Fatalf("the server does not begin: %d", answers.head.Status)
	}
	replies, o := s.messages(!stream.manyResponses()), Outcome{}
	if s.Below(3) == 1 {
		o.Code = Code(1 + s.Below(16))
		o.Message = []byte(s.text(30))
		o.Details.Add([]byte("test.Detail"), s.Bytes(20))
		if !stream.manyResponses() {
			replies = nil
		}
	}
	leading, leadingBinary := s.metadata("led")
	o.Fields, o.Binary = s.metadata("trailed")
	answers.take(sc.Headers(leading, leadingBinary, false))
	for _, m := range replies {
		answers.take(sc.Send(lengthsOf(m), m, true))
	}
	answers.take(sc.End(&o))

	// What the client makes of that.
	short := s
	asks.take(cc.ResponseHead(answers.head.Status, answers.fields, false))
	asks.feed(&s, answers.body)
	asks.end(answers.trailers)
	if !sameMessages(answers.messages, requests) || !sameMessages(asks.messages, replies) {
		t.Fatalf("asked %x, heard %x; answered %x, heard %x", requests, answers.messages, replies, asks.messages)
	}
	got := &asks.outcome
	if got.Code != o.Code || len(o.Message) > 0 && !bytes.Equal(got.Message, o.Message) {
		t.Fatalf("ended with %d %q, heard %d %q", o.Code, o.Message, got.Code, got.Message)
	}
	for what, pair := range map[string][2]string{
		"details":         {fmt.Sprintf("%x", o.Details.Bytes()), fmt.Sprintf("%x", got.Details.Bytes())},
		"trailing":        {string(o.Fields.Bytes()), string(got.Fields.Bytes())},
		"trailing binary": {fmt.Sprintf("%x", o.Binary.Bytes()), fmt.Sprintf("%x", got.Binary.Bytes())},
	} {
		if pair[0] != pair[1] {
			t.Fatalf("%s %q, heard %q", what, pair[0], pair[1])
		}
	}

	// The same response, but its end.
	if cc.d.envelopes {
		tooShort(t, client, &opening, requests, answers, short)
	}
}

func tooShort(t *testing.T, client *Client, opening *Opening, requests [][]byte, answers *side, s script) {
	h, c := &side{t: t}, new(ClientCall)
	h.call = c
	h.take(client.Open(c, opening))
	for _, m := range requests {
		h.take(c.Send(lengthsOf(m), m, true))
	}
	h.take(c.End(nil))
	kept := answers.body
	if len(kept) > 0 && !answers.head.HasTrailers { // else the trailers are what is missing
		kept = kept[:(s.Below(256)<<8|s.Below(256))%len(kept)]
	}
	if len(bytes.TrimRight(answers.body[len(kept):], "=")) == 0 && !answers.head.HasTrailers {
		return // base64 whose padding is left out, as it may be
	}
	gone := s.Below(2) == 1
	h.take(c.ResponseHead(answers.head.Status, answers.fields, false))
	h.feed(&s, kept)
	if gone && !h.over {
		h.take(c.PeerGone(GoneClosed, 0, nil))
	}
	h.end(Fields{})
	if !h.over || h.outcome.Code == OK {
		t.Fatalf("%d of %d bytes are success, gone %t", len(kept), len(answers.body), gone)
	}
}

func sameMessages(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// Invariant: a client and a server of the same call agree about it, in every protocol and stream type,
// whatever they say to each other and however it is cut on its way; and a response of envelopes that
// ends too soon is never success (the top of this file says it in full).
func FuzzConversation(f *testing.F) {
	for kind := range byte(4) {
		for protocol := range byte(3) {
			f.Add([]byte{kind, protocol, 1, 1, 5, 'a', 'b', 'c', 'd', 'e', 3, 1, 2, 3, 3, 4, 'p', 'i', 'n', 'g', 2, 9, 8, 7, 6, 5, 4, 3, 2, 1})
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		bound.Within(t, 8<<20+4000*uint64(len(b)), func() { converse(t, script{bytes.Clone(b)}) })
	})
}
