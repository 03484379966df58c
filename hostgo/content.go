package hostgo

import "github.com/connectcore/connectcore/wasm/abi"

const (
	leastRead = 4 << 10
	mostAhead = 512 << 10 // most that a peer's own word makes us allocate
)

// content holds the part of the peer's content that messages may still lie
// in, and the messages that were not taken yet. The module sees the bytes that
// it asks for; payloads stay here.
//
//	base         keep                base+len(buf)
//	|  not needed |  held              |  space for the next read
type content struct {
	buf    []byte
	base   uint64
	keep   uint64 // before it, nothing is needed any more; only messages that were taken lie there
	inline bool   // the module wants all bytes, and returns the messages' itself
	expect int64  // bytes still to come, -1 if the peer did not say
	ended  bool   // all of it came

	inlined []byte // payloads that the module returned
	queue   []message
	next    int
}

func (c *content) reset(expect int64) {
	*c = content{buf: c.buf[:0], expect: expect, inlined: c.inlined[:0], queue: c.queue[:0]}
}

// space returns room for the next read. Messages that were taken are
// overwritten, so all must have been.
func (c *content) space() []byte {
	c.inlined = c.inlined[:0]
	if drop := int(c.keep - c.base); drop > 0 {
		c.buf = c.buf[:copy(c.buf, c.buf[drop:])]
		c.base = c.keep
	}
	need := leastRead
	if c.expect > 0 {
		need = int(min(c.expect, mostAhead))
	}
	if free := cap(c.buf) - len(c.buf); free < min(need, leastRead) || len(c.buf) == 0 && free < need {
		grown := make([]byte, len(c.buf), max(2*cap(c.buf), len(c.buf)+need, abi.CarryWhole))
		copy(grown, c.buf)
		c.buf = grown
	}
	return c.buf[len(c.buf):cap(c.buf)]
}

// add keeps n bytes that were read into the space.
func (c *content) add(n int) {
	c.buf = c.buf[:len(c.buf)+n]
	if c.expect > 0 {
		c.expect -= int64(n)
	}
}

// commit writes the command for the last n bytes.
func (c *content) commit(cmd *commands, handle uint32, n int, end bool) {
	data := c.buf[len(c.buf)-n:]
	if !c.inline && n > abi.CarryWhole {
		data = data[:abi.CarryFirst]
	}
	var flags uint16
	if end {
		flags = abi.ContentEnd
	}
	cmd.Begin(abi.CmdContent, flags, handle)
	cmd.U32(uint32(n))
	cmd.Bytes(data)
	cmd.End()
}

// read notes that the module has read all that it was given, but what it asks
// for again.
func (c *content) read(asked more) {
	switch {
	case asked.pending:
		c.keep = max(c.keep, asked.offset)
	case c.inline:
		c.keep = c.base + uint64(len(c.buf))
	}
}

// repeat writes the command for all content that came, of a request that is
// told again.
func (c *content) repeat(cmd *commands) {
	if n := len(c.buf); n > 0 || c.ended && c.expect < 0 {
		c.commit(cmd, 0, n, c.ended)
	}
}

// resume writes the command that answers a "more" event, false if the bytes that
// it asks for are not held, which the interface rules out. As with space, all
// messages must have been taken.
func (c *content) resume(cmd *commands, handle uint32, offset uint64, want uint32) bool {
	end := c.base + uint64(len(c.buf))
	if offset < c.base || offset >= end {
		return false
	}
	c.inlined = c.inlined[:0]
	data := c.buf[offset-c.base:]
	data = data[:min(len(data), max(int(want), abi.CarryWhole))]
	cmd.Begin(abi.CmdContent, abi.ContentResume, handle)
	cmd.U32(uint32(len(data)))
	cmd.Bytes(data)
	cmd.End()
	return true
}

// take queues the messages of an event, false if they do not lie in what is
// held, which the interface rules out.
func (c *content) take(ev *event) bool {
	from, base := c.buf, ev.base-c.base
	if ev.flags&abi.MessagesInline != 0 {
		at := len(c.inlined)
		c.inlined = append(c.inlined, ev.data...)
		from, base = c.inlined[at:], ev.base
	}
	for i := 0; i+1 < len(ev.spans); i += 2 {
		length := ev.spans[i+1] &^ abi.Compressed
		start := base + uint64(ev.spans[i])
		if start > uint64(len(from)) || uint64(length) > uint64(len(from))-start {
			return false
		}
		m := message{payload: from[start : start+uint64(length) : start+uint64(length)]}
		if length != ev.spans[i+1] {
			m.coding, m.limit = ev.coding, ev.limit
		}
		c.queue = append(c.queue, m)
		if ev.flags&abi.MessagesInline == 0 {
			c.keep = max(c.keep, c.base+start+uint64(length))
		}
	}
	return true
}

// pop returns the next message, false if there is none.
func (c *content) pop() (message, bool) {
	if c.next == len(c.queue) {
		return message{}, false
	}
	m := c.queue[c.next]
	if m.payload == nil {
		m.payload = []byte{} // so that nil is no message
	}
	c.queue[c.next] = message{}
	if c.next++; c.next == len(c.queue) {
		c.drop()
	}
	return m, true
}

// drop forgets the messages that were not taken.
func (c *content) drop() { c.queue, c.next = c.queue[:0], 0 }
