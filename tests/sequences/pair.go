package sequences

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/connectcore/connectcore/wasm/abi"
)

// side is what a call says to its peer, and what must agree with what the peer hears.
type side struct {
	peer     *call
	tampered bool // something was done to it that no well-meaning peer and host do
	short    bool // its peer's content was ended before all of it had come

	hasHead        bool
	method, target []byte
	status         uint32
	headCount      int
	headBytes      []byte
	written        []byte // content
	wrote          bool   // all of it
	hasTrailers    bool
	trailerCount   int
	trailerBytes   []byte

	delivered  int  // bytes of the peer's content that came
	headCame   bool // client
	sent, got  [][]byte
	endCame    bool // of the peer's content
	early      bool // client: it was over before all of the response had come
	hasOutcome bool
	ended      bool // by its application

	code         uint32 // of the outcome
	message      []byte
	receivedCode uint32
}

// serve opens a call of the server's for what a client's says.
func (p *player) serve(c *call, flags uint16) error {
	path, query, _ := bytes.Cut(c.target, []byte("?"))
	s := &call{side: side{peer: c}}
	c.peer = s
	p.w.Begin(abi.CmdOpenServer, flags, p.server)
	p.w.Bytes(c.method)
	p.w.Bytes(path)
	p.w.Bytes(query)
	p.w.Counted(c.headCount, c.headBytes)
	p.w.End()
	return p.open(s)
}

// deliver brings a call at most n more bytes of what its peer has written, and the end.
func (p *player) deliver(c *call, n int) error {
	from := c.peer
	if from == nil || c.over || c.endCame || !from.hasHead {
		return nil
	}
	if c.client != nil && !c.headCame {
		c.headCame = true
		if err := p.responseHead(c, from.status, from.headCount, from.headBytes, 0); err != nil || c.over {
			return err
		}
	}
	b := from.written[c.delivered:]
	b = b[:min(n, len(b))]
	c.delivered += len(b)
	if !from.wrote || c.delivered < len(from.written) {
		return p.feed(c, b, false)
	}
	c.endCame = true
	if c.client == nil || from.trailerCount == 0 {
		return p.feed(c, b, true)
	}
	if err := p.feed(c, b, false); err != nil || c.over {
		return err
	}
	return p.contentEnd(c, from.trailerCount, from.trailerBytes)
}

// finish lets every pair that nobody has tampered with end well, and checks that both sides
// agree about what was said.
func (p *player) finish() error {
	for i, c := range p.calls {
		if s := c.peer; c.client == nil || s == nil || c.tampered || s.tampered {
			continue
		}
		if err := p.finishPair(c); err != nil {
			return fmt.Errorf("call %d at its end: %w", i, err)
		}
	}
	for i, c := range p.calls {
		if c.client != nil && c.peer != nil {
			if err := agree(c, c.peer); err != nil {
				return fmt.Errorf("calls %d and its peer: %w", i, err)
			}
		}
	}
	return nil
}

func (p *player) finishPair(c *call) error {
	s := c.peer
	if !c.wrote && !c.over && c.hasHead { // a stream that its application has not ended
		if err := p.end(c, 0, nil, 0); err != nil {
			return err
		}
	}
	if err := p.deliver(s, len(c.written)); err != nil {
		return err
	}
	if !s.over && !s.ended {
		if s.stream&abi.ServerStream == 0 && len(s.sent) == 0 && s.received > 0 {
			if err := p.send(s, [][]byte{[]byte("reply")}, false); err != nil {
				return err
			}
		}
		if err := p.end(s, 0, nil, 0); err != nil {
			return err
		}
	}
	if !s.over {
		return errors.New("the server's call does not end")
	}
	return p.deliver(c, len(s.written))
}

// agree checks what a client's and a server's call say of each other. Whatever happened, no
// side hears what the other did not say, nor in another order; a success is one on both sides.
func agree(c, s *call) error {
	if c.tampered || s.tampered {
		return nil
	}
	if !prefix(s.got, c.sent) {
		return fmt.Errorf("the client sent %q, and the server got %q", c.sent, s.got)
	}
	if !prefix(c.got, s.sent) {
		return fmt.Errorf("the server sent %q, and the client got %q", s.sent, c.got)
	}
	if s.received > 0 && s.receivedCode == 0 {
		switch {
		case s.short && within(c, s.delivered):
			return fmt.Errorf("the server has received all, and the content ended within an envelope, behind %d bytes", s.delivered)
		case !s.short && len(s.got) != len(c.sent):
			return fmt.Errorf("the server has received all: %d messages of %d", len(s.got), len(c.sent))
		}
	}
	if !c.over {
		if s.over {
			return errors.New("the server's call is over, and the client's is not")
		}
		return nil
	}
	switch {
	case c.early || !s.hasOutcome:
		if c.code == 0 {
			return errors.New("the client has success before the server has ended")
		}
	case c.short:
		if c.code == 0 {
			return fmt.Errorf("a part of a response is success: %d bytes of %d", c.delivered, len(s.written))
		}
	case c.code != s.code:
		return fmt.Errorf("the server ended with code %d, and the client hears %d %q", s.code, c.code, c.message)
	case c.code == 0 && len(c.got) != len(s.sent):
		return fmt.Errorf("success, and %d messages of %d", len(c.got), len(s.sent))
	}
	return nil
}

func prefix(some, all [][]byte) bool {
	return len(some) <= len(all) && slices.EqualFunc(some, all[:len(some)], bytes.Equal)
}

// within says whether the first n bytes of what a client's call has written end within an
// envelope: one of those that are not text.
func within(c *call, n int) bool {
	if c.client.text || c.client.connect && c.stream == abi.Unary {
		return false
	}
	b := c.written[:n]
	for len(b) >= 5 {
		size := 5 + int(binary.BigEndian.Uint32(b[1:]))
		if size > len(b) {
			return true
		}
		b = b[size:]
	}
	return len(b) > 0
}
