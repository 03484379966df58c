package sequences

import (
	"bytes"
	"math"

	"github.com/connectcore/connectcore/wasm/abi"
)

// command reads a command off the script and plays it.
func (p *player) command() error {
	kind := p.script.Below(33)
	switch {
	case len(p.calls) == 0 || kind == 0 && len(p.calls) < mostCalls:
		return p.openClient()
	case kind == 1 && len(p.calls) < mostCalls:
		return p.openServer()
	case kind == 2:
		return p.raw()
	case kind == 3:
		return p.unknown()
	case kind == 32:
		p.again()
		return nil
	}
	// The last call, mostly: others are come back to.
	c := p.calls[len(p.calls)-1]
	if which := p.script.Below(8); which > 3 {
		c = p.calls[which%len(p.calls)]
	}
	switch {
	case kind < 8: // what the other side of it does
		if c.peer != nil {
			c = c.peer
		} else if c.client != nil && c.hasHead && len(p.calls) < mostCalls {
			return p.serveSomehow(c)
		}
		fallthrough
	case kind < 14:
		n := 1 + p.script.Below(16)
		if n > 10 {
			n = 1 << 16
		}
		return p.deliver(c, n)
	case kind < 18:
		return p.sendSome(c)
	case kind < 20:
		return p.endSomehow(c)
	case kind == 20:
		return p.headers(c)
	case kind == 21: // what no peer has said
		c.tampered = true
		return p.content1(c)
	case kind == 22:
		c.tampered = true
		n, b := p.fields("x-tail")
		return p.contentEnd(c, n, b)
	case kind == 23:
		c.tampered = true
		n, b := p.fields("x-head")
		return p.responseHead(c, statuses[p.script.Below(len(statuses))], n, b, uint16(p.script.Below(2)))
	case kind == 24:
		return p.gone(c)
	case kind == 25:
		c.tampered = true
		return p.rejected(c)
	case kind == 26:
		return p.bare(c, abi.CmdDeadline)
	case kind == 27:
		return p.bare(c, abi.CmdCancel)
	case kind == 28:
		return p.close(c)
	case kind == 29:
		c.tampered = true
		p.w.Begin(abi.CmdDecompressed, 0, c.handle)
		p.w.Bytes(p.script.Bytes(40))
		p.w.End()
		return p.step(c)
	case kind == 30: // what was not asked for
		c.tampered = true
		b := p.script.Bytes(10)
		p.content(c, len(b), b, abi.ContentResume)
		return p.step(c)
	}
	if kind == 31 && c.peer != nil {
		c = c.peer
	}
	return p.cutShort(c)
}

// again lets what follows in the script stand there many times: so short a script comes to what is counted.
func (p *player) again() {
	times, b := 1+p.script.Below(256), p.script.Bytes(12)
	times = min(times, p.room/max(len(b), 1))
	p.room -= times * len(b)
	p.script = append(bytes.Repeat(b, times), p.script...)
}

// fields are some that peers send, and one of any text.
func (p *player) fields(name string) (count int, b []byte) {
	add := func(name string, value []byte) {
		if count++; count > 1 {
			b = append(b, 0)
		}
		b = append(append(append(b, name...), 0), value...)
	}
	if n := p.script.Below(len(types) + 1); n > 0 {
		add("content-type", []byte(types[n-1]))
	}
	for _, field := range []struct {
		names  []string
		values []string
	}{
		{[]string{"content-encoding", "connect-content-encoding", "grpc-encoding"}, codings},
		{[]string{"accept-encoding", "connect-accept-encoding", "grpc-accept-encoding"}, accepts},
		{[]string{"connect-timeout-ms", "grpc-timeout"}, timeouts},
		{[]string{"grpc-status", "content-length", "connect-protocol-version"}, []string{"0", "1", "5", "16", "99", "x"}},
	} {
		if n := p.script.Below(2 * (len(field.values) + 1)); n > 0 && n <= len(field.values) {
			add(field.names[p.script.Below(len(field.names))], []byte(field.values[n-1]))
		}
	}
	add(name, bytes.ReplaceAll(p.script.Bytes(20), []byte{0}, nil))
	if p.script.Below(4) == 1 {
		add(name+"-bin", bytes.ReplaceAll(p.script.Bytes(20), []byte{0}, nil))
	}
	return count, b
}

// metadata is what an application gives: a text and a binary value.
func (p *player) metadata(name string) {
	value := bytes.Clone(p.script.Bytes(20))
	for i, c := range value {
		value[i] = '!' + c%90
	}
	if p.script.Below(16) == 1 {
		value = append(value, '\r', '\n')
	}
	p.w.Counted(1, append(append([]byte(name), 0), value...))
	p.binary(name+"-bin", bytes.Clone(p.script.Bytes(20)))
}

func (p *player) binary(a string, b []byte) {
	pair := append([]byte{byte(len(a)), 0, 0, 0, byte(len(b)), 0, 0, 0}, a...)
	p.w.Counted(1, append(pair, b...))
}

// open plays the batch that opens a call.
func (p *player) open(c *call) error {
	p.calls = append(p.calls, c)
	p.opening = c
	err := p.step(c)
	p.opening = nil
	if c.handle == 0 {
		c.over, c.tampered = true, true // it was refused
	}
	return err
}

func (p *player) openClient() error {
	config := &p.clients[p.script.Below(len(p.clients))]
	c := &call{client: config, stream: p.script.Below(4), coding: 0}
	if config.coding == 4 {
		c.coding = 4
	}
	attributes := c.stream
	var flags uint16
	c.inline = config.inline
	switch p.script.Below(8) {
	case 1, 2:
		flags, attributes = abi.OpenGet, attributes|abi.NoSideEffects
		c.inline = c.inline || config.getToo
	case 3:
		flags = abi.OpenRetry
	case 4:
		flags = abi.OpenGet
	}
	timeout := uint64(abi.NoTimeout)
	if n := p.script.Below(8); n < 4 {
		timeout = []uint64{1, 1_500, 5_000_000, math.MaxUint64 - 1}[n]
	}
	p.w.Begin(abi.CmdOpenClient, flags, config.handle)
	p.w.U32(uint32(attributes))
	p.w.U32(uint32(p.script.Below(2)))
	p.w.U64(timeout)
	path := paths[c.stream]
	if p.script.Below(32) == 1 {
		path = paths[p.script.Below(len(paths))]
		c.tampered = path != paths[c.stream] // the two would not agree about what is called
	}
	p.w.Bytes([]byte(path))
	p.metadata("x-asked")
	p.w.End()
	if c.stream&abi.ClientStream == 0 { // its one message and its end go along
		c.give(&p.w, [][]byte{p.script.Bytes(40)}, 0)
		p.writeEnd(0, 0, nil, 0)
		c.ended = true
	}
	if err := p.open(c); err != nil || !c.hasHead || p.script.Below(4) == 3 {
		return err
	}
	return p.serveSomehow(c)
}

func (p *player) serveSomehow(c *call) error {
	flags := uint16(abi.OpenTrailers)
	if n := p.script.Below(8); n < 5 {
		flags |= abi.OpenDuplex
	} else if n == 7 {
		flags = 0
	}
	return p.serve(c, flags)
}

func (p *player) openServer() error {
	method := []string{"POST", "POST", "POST", "GET", "PUT"}[p.script.Below(5)]
	p.w.Begin(abi.CmdOpenServer, uint16(p.script.Below(32)), p.server)
	p.w.Bytes([]byte(method))
	p.w.Bytes([]byte(paths[p.script.Below(len(paths))]))
	query := []byte(queries[p.script.Below(len(queries))])
	p.w.Bytes(append(query, p.script.Bytes(20)...))
	count, b := p.fields("x-any")
	p.w.Counted(count, b)
	p.w.End()
	return p.open(&call{side: side{tampered: true}})
}

// give writes the record that sends messages. Its payloads wait for the content that names
// them, if they do not go along; wrong: they are given in the other way than was asked for.
func (c *call) give(w *abi.Writer, messages [][]byte, handle uint32) (held int) {
	var lengths []uint32
	var data []byte
	held = len(c.waiting)
	for _, m := range messages {
		payload, length := m, uint32(len(m))
		if c.coding != 0 && len(m) >= 10 {
			payload = packed(m)
			length = uint32(len(payload)) | abi.Compressed
		}
		lengths = append(lengths, length)
		if c.inline {
			data = append(data, payload...)
		} else {
			c.waiting = append(c.waiting, payload)
		}
		c.sent = append(c.sent, m)
	}
	var flags uint16
	if c.inline {
		flags = abi.SendInline
	}
	w.Begin(abi.CmdSend, flags, handle)
	w.Words(lengths)
	w.Bytes(data)
	w.End()
	return held
}

func (p *player) send(c *call, messages [][]byte, wrong bool) error {
	if c.over {
		return nil
	}
	sent, inline := len(c.sent), c.inline
	c.inline = inline != wrong
	held := c.give(&p.w, messages, c.handle)
	c.inline = inline
	err := p.step(c)
	if p.fault != 0 {
		c.sent, c.waiting = c.sent[:sent], c.waiting[:held]
	}
	return err
}

func (p *player) sendSome(c *call) error {
	var messages [][]byte
	for range 1 + p.script.Below(3) {
		messages = append(messages, bytes.Repeat(p.script.Bytes(40), 1+p.script.Below(4)))
	}
	if c.client == nil && c.stream&abi.ServerStream == 0 || c.client != nil && c.stream&abi.ClientStream == 0 {
		messages = messages[:1]
	}
	return p.send(c, messages, p.script.Below(16) == 1)
}

func (p *player) writeEnd(handle, code uint32, message []byte, flags uint16) {
	p.w.Begin(abi.CmdEnd, flags, handle)
	p.w.U32(code)
	p.w.Bytes(message)
	if code == 0 {
		p.w.Counted(0, nil)
	} else {
		p.binary("test.Detail", p.script.Bytes(20))
	}
	p.metadata("x-trailed")
	p.w.End()
}

func (p *player) end(c *call, code uint32, message []byte, flags uint16) error {
	if c.over {
		return nil
	}
	p.writeEnd(c.handle, code, message, flags)
	err := p.step(c)
	c.ended = c.ended || p.fault == 0
	return err
}

func (p *player) endSomehow(c *call) error {
	code := uint32(0)
	if p.script.Below(2) == 1 {
		code = uint32(p.script.Below(20))
	}
	return p.end(c, code, p.script.Bytes(20), uint16(p.script.Below(16)/15))
}

func (p *player) headers(c *call) error {
	if c.over {
		return nil
	}
	p.w.Begin(abi.CmdHeaders, uint16(p.script.Below(2)), c.handle)
	p.metadata("x-led")
	p.w.End()
	return p.step(c)
}

// content1 is content of any bytes: as they are, in envelopes, or compressed.
func (p *player) content1(c *call) error {
	b := bytes.Clone(p.script.Bytes(200))
	switch p.script.Below(4) {
	case 1:
		b = append([]byte{byte(p.script.Below(256)), 0, 0, 0, byte(len(b))}, b...)
	case 2:
		b = bytes.Repeat(append([]byte{byte(p.script.Below(4)), 0, 0, 0, byte(len(b))}, b...), 1+p.script.Below(16))
	}
	return p.feed(c, b, p.script.Below(4) == 1)
}

func (p *player) contentEnd(c *call, count int, b []byte) error {
	if c.over {
		return nil
	}
	p.w.Begin(abi.CmdContentEnd, 0, c.handle)
	p.w.Counted(count, b)
	p.w.End()
	return p.step(c)
}

func (p *player) responseHead(c *call, status uint32, count int, b []byte, flags uint16) error {
	if c.over {
		return nil
	}
	p.w.Begin(abi.CmdResponseHead, flags, c.handle)
	p.w.U32(status)
	p.w.Counted(count, b)
	p.w.End()
	return p.step(c)
}

func (p *player) gone(c *call) error {
	if c.over {
		return nil
	}
	p.w.Begin(abi.CmdPeerGone, 0, c.handle)
	p.w.U32(uint32(p.script.Below(7)))
	p.w.U32(uint32(p.script.Below(16)))
	p.w.Bytes(p.script.Bytes(10))
	p.w.End()
	return p.leave(c)
}

// bare plays a command that has nothing but its name, by which a call ends.
func (p *player) bare(c *call, kind abi.Kind) error {
	if c.over {
		return nil
	}
	p.w.Begin(kind, 0, c.handle)
	p.w.End()
	return p.leave(c)
}

// leave plays a command by which a call ends without its peer. Where all of a response has
// come, nothing can be said of what the client makes of that.
func (p *player) leave(c *call) error {
	err := p.step(c)
	if p.fault == 0 {
		c.early = c.client != nil && c.misses()
		c.tampered = c.tampered || !c.early
	}
	return err
}

// misses says whether a part of what its peer says has not come to a call.
func (c *call) misses() bool {
	s := c.peer
	if s == nil || !s.wrote || s.trailerCount > 0 && !c.endCame {
		return true
	}
	rest := s.written[c.delivered:]
	if c.asks().text { // base64, whose padding may be left out
		rest = bytes.TrimRight(rest, "=")
	}
	return len(rest) > 0
}

func (p *player) rejected(c *call) error {
	p.reject = true
	p.w.Begin(abi.CmdReject, 0, c.handle)
	p.w.U32(uint32(p.script.Below(9)))
	p.w.Bytes(p.script.Bytes(40))
	p.w.End()
	err := p.step(c)
	p.reject = false
	return err
}

func (p *player) close(c *call) error {
	p.w.Begin(abi.CmdClose, 0, c.handle)
	p.w.End()
	err := p.step(c)
	c.over, c.tampered = true, true
	return err
}

// cutShort ends content before all of it has come.
func (p *player) cutShort(c *call) error {
	if c.peer == nil || c.over || c.endCame || c.client != nil && !c.headCame {
		return nil
	}
	c.short = c.misses()
	c.endCame = true
	if of := max(c.stream, c.peer.stream); c.asks().connect && of == abi.Unary { // HTTP alone says how long a message is
		c.tampered = true
	}
	return p.contentEnd(c, 0, nil)
}

// asks is the configuration of the client's side.
func (c *call) asks() *client {
	if c.client == nil {
		return c.peer.client
	}
	return c.client
}

// unknown is a command for a call that is over, or never was.
func (p *player) unknown() error {
	c := p.calls[p.script.Below(len(p.calls))]
	handle := c.handle ^ uint32(p.script.Below(256))<<(8*p.script.Below(4))
	if live := p.byID[handle]; live != nil && (!live.over || live.client != nil) {
		return nil
	}
	p.w.Begin(abi.CmdCancel, 0, handle)
	p.w.End()
	return p.step(nil)
}

// raw is a record of any kind and any bytes, for no call.
func (p *player) raw() error {
	kind := abi.Kind(p.script.Below(20))
	body := p.script.Bytes(100)
	p.w.B = append(p.w.B, byte(kind), 0, byte(p.script.Below(4)), 0, byte(abi.HeaderSize+len(body)), 0, 0, 0, 0xff, 0xff, 0xff, 0x3f)
	p.w.B = append(p.w.B, body...)
	return p.step(nil)
}
