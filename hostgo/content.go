package hostgo

import "github.com/connectcore/connectcore/wasm/abi"

const (
	carryAll   = 16 << 10 // chunks up to this size cross with all their bytes
	carryFirst = 4 << 10  // of larger ones, the first bytes do
	leastRead  = 4 << 10
	mostAhead  = 512 << 10 // most that a peer's own word makes us allocate
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
	keep   uint64 // before it, nothing is needed any more
	inline bool   // the module wants all bytes, and gives the messages' itself
	expect int64  // bytes still to come, -1 where the peer did not say

	inlined []byte // payloads that the module gave
	queue   [][]byte
	next    int
}

func (c *content) reset(expect int64) {
	*c = content{buf: c.buf[:0], expect: expect, inlined: c.inlined[:0], queue: c.queue[:0]}
}

// space gives room for the next read. The messages' bytes given before are
// overwritten: all must have been taken.
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
		grown := make([]byte, len(c.buf), max(2*cap(c.buf), len(c.buf)+need, carryAll))
		copy(grown, c.buf)
		c.buf = grown
	}
	return c.buf[len(c.buf):cap(c.buf)]
}

// commit writes the command for n bytes that were read into the space.
func (c *content) commit(cmd *commands, handle uint32, n int, end bool) {
	start := len(c.buf)
	c.buf = c.buf[:start+n]
	if c.expect > 0 {
		c.expect -= int64(n)
	}
	data := c.buf[start:]
	if !c.inline && len(data) > carryAll {
		data = data[:carryFirst]
	}
	var flags uint16
	if end {
		flags = abi.ContentEnd
	}
	cmd.Begin(abi.CmdContent, flags, handle)
	cmd.U32(uint32(n))
	cmd.Bytes(data)
	cmd.End()
	if c.inline {
		c.keep = c.base + uint64(len(c.buf))
	}
}

// complete says that all bytes that the peer announced were read.
func (c *content) complete() bool { return c.expect == 0 }

// resume writes the command that answers a "more" event; false if the bytes
// that it asks for are not held, which the interface rules out.
func (c *content) resume(cmd *commands, handle uint32, offset uint64, want uint32) bool {
	end := c.base + uint64(len(c.buf))
	if offset < c.base || offset >= end {
		return false
	}
	data := c.buf[offset-c.base:]
	data = data[:min(len(data), max(int(want), carryAll))]
	cmd.Begin(abi.CmdContent, abi.ContentResume, handle)
	cmd.U32(uint32(len(data)))
	cmd.Bytes(data)
	cmd.End()
	return true
}

// take queues the messages of an event; false if they do not lie in what is
// held, which the interface rules out.
func (c *content) take(ev *event) bool {
	from, base := c.buf, ev.base-c.base
	if ev.flags&abi.MessagesInline != 0 {
		at := len(c.inlined)
		c.inlined = append(c.inlined, ev.data...)
		from, base = c.inlined[at:], ev.base
	}
	for i := 0; i+1 < len(ev.spans); i += 2 {
		length := ev.spans[i+1]
		start := base + uint64(ev.spans[i])
		if length&abi.Compressed != 0 || start+uint64(length) > uint64(len(from)) {
			return false // no coding is declared native here
		}
		c.queue = append(c.queue, from[start:start+uint64(length):start+uint64(length)])
		if ev.flags&abi.MessagesInline == 0 {
			c.keep = max(c.keep, c.base+start+uint64(length))
		}
	}
	return true
}

// pop gives the next message.
func (c *content) pop() ([]byte, bool) {
	if c.next == len(c.queue) {
		return nil, false
	}
	payload := c.queue[c.next]
	c.queue[c.next] = nil
	if c.next++; c.next == len(c.queue) {
		c.queue, c.next = c.queue[:0], 0
	}
	return payload, true
}

func (c *content) pending() bool { return c.next < len(c.queue) }
