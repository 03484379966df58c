package core

// Payloads that came: taken one by one by the receiving half (receive.go), shown
// together. Where the core looks into them they are gathered in data, decompressed
// if the core does their coding; otherwise a span names a place in the content.

// takePayload adds a payload to what is to be delivered. An empty payload is
// never compressed, whatever its flag says: no coding makes nothing of nothing.
func (c *call) takePayload(start uint64, length uint32, compressed bool) bool {
	compressed = compressed && length > 0
	c.stepMessages++
	if !c.needBytes {
		if start-c.base > 1<<31 {
			c.deliver() // spans count in 32 bits
		}
		if len(c.spans) == c.taken {
			c.base = start
		}
		if compressed {
			length |= lengthBit
		}
		c.spans = append(c.spans, uint32(start-c.base), length)
		return true
	}
	at := len(c.data)
	mark := uint32(0)
	switch {
	case compressed && c.packed.here() && !c.single:
		out, fault := c.unpackOwn(c.data, c.payload)
		if fault != 0 {
			c.receiveBad(fault)
			return false
		}
		c.stepBytes += len(out) - len(c.data)
		c.data = out
		c.payload = scratch(c.payload)
	case c.single:
		c.data, c.payload = c.payload, c.data
	default:
		c.data = append(c.data, c.payload...)
	}
	if compressed && (c.single || c.packed.native()) {
		mark = lengthBit
	}
	c.payload = c.payload[:0]
	c.spans = append(c.spans, uint32(at-c.dataAt), uint32(len(c.data)-at)|mark)
	return true
}

// deliverOne shows the one message of a side that has no stream of them, when nothing
// else is wrong: what it holds counts only then (ours, rule 9). So the core
// decompresses it now, as a host would. It is false where that ends the call.
func (c *call) deliverOne() bool {
	if len(c.spans) == 0 {
		c.receiveFailed(Unimplemented, "the ", c.peer, " has no message, and this procedure takes exactly one")
		return false
	}
	if c.packed.here() && c.spans[1]&lengthBit != 0 {
		out, fault := c.unpackOwn(c.payload[:0], c.data)
		c.payload, c.data = scratch(c.data), out
		if fault != 0 {
			c.receiveBad(fault)
			return false
		}
		c.spans[1] = uint32(len(out))
	}
	c.deliver()
	return true
}

// deliver shows what was taken.
func (c *call) deliver() {
	if len(c.spans) == c.taken {
		return
	}
	e := c.emit(EventMessages)
	e.Base, e.Coding, e.Limit = c.base, c.packed.index, c.limit
	e.Spans = c.spans[c.taken:]
	c.taken = len(c.spans)
	if c.needBytes {
		e.Inline, e.Data = true, c.data[c.dataAt:]
		c.dataAt = len(c.data)
	}
}

// unpackOwn appends what src stands for in a coding that the core does itself, or
// says why it is not accepted.
func (c *call) unpackOwn(dst, src []byte) (out []byte, fault Reason) {
	memory := c.memory()
	out, err := c.packed.own.decompress(memory, dst, src, int(c.limit))
	if err == nil {
		memory.Made += len(out) - len(dst)
		return out, 0
	}
	memory.Made += int(c.limit)
	if err == ErrTooLarge {
		return out, RejectTooLarge
	}
	return out, RejectDecompress
}
