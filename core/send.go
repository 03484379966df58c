package core

import (
	"encoding/binary"
	"slices"
)

// The sending half. Payloads cross as lengths: the host keeps the bytes and
// puts them where EventBody says. Only a payload that the core compresses, or
// that becomes part of a GET's target, is given with its bytes.

type sender struct {
	lead        Fields // leading metadata as HTTP fields
	leading     weight // of that
	head        Fields
	tail        Fields
	body        []byte
	encoded     []byte // in base64
	scratch     []byte
	out         packing // what to send with
	compressMin uint32
	sendMax     uint32
	headSent    bool
	replied     bool   // the one message of this side was given
	reply       uint32 // that message, as one of payloads
	replyData   []byte // the payloads of the command, where they came with their bytes
	inline      bool   // they did
	one         [1]uint32
	payloads    []uint32 // lengths, with bit 31 set where a payload is compressed
	unsent      []uint32 // those of payloads that go with the end
	sizes       []uint32 // what payloads are, where the core compresses
}

func (s *sender) reset() {
	s.lead.Reset()
	s.head.Reset()
	s.tail.Reset()
	s.encoded, s.sizes = scratch(s.encoded), scratch(s.sizes)
	s.body, s.replyData, s.scratch = scratch(s.body), scratch(s.replyData), scratch(s.scratch)
	s.out, s.compressMin, s.sendMax = packing{}, 0, 0
	s.headSent, s.replied, s.leading = false, false, weight{}
	s.reply, s.inline, s.unsent = 0, false, nil
}

// takePayloads checks what the application sends: lengths, which it keeps a view
// of, and with inline the payloads' bytes in data, one after the other. Of those
// with one that is too large it keeps what is in front of that.
func (c *call) takePayloads(lengths []uint32, data []byte, inline bool) (tooLarge bool, err error) {
	c.payloads, c.inline = lengths, inline
	c.replyData = c.replyData[:0]
	if !inline && (len(data) > 0 || c.d.text) {
		return false, ErrPayload
	}
	native, own := c.out.native(), c.out.here() && !inline
	for _, n := range lengths {
		// Where the core was to compress a payload, it must see it.
		if n&lengthBit != 0 && !native || own && c.compresses(n) {
			return false, ErrPayload
		}
	}
	if inline && !c.takeInline(data) {
		return false, ErrPayload
	}
	for i, n := range c.payloads {
		if n&^lengthBit > c.sendMax && c.sendMax > 0 {
			c.payloads = c.payloads[:i]
			return true, nil
		}
	}
	return false, nil
}

// takeInline takes payloads with their bytes, and compresses those that are to be.
func (c *call) takeInline(data []byte) bool {
	c.sizes = c.sizes[:0]
	for _, n := range c.payloads {
		size := n &^ lengthBit
		if uint64(size) > uint64(len(data)) {
			return false
		}
		if at := len(c.replyData); c.compresses(size) {
			c.replyData = c.out.own.compress(c.memory(), c.replyData, data[:size])
			n = uint32(len(c.replyData)-at) | lengthBit
		} else {
			c.replyData = append(c.replyData, data[:size]...)
		}
		data = data[size:]
		c.sizes = append(c.sizes, n)
	}
	c.payloads = c.sizes
	return len(data) == 0
}

// compresses says whether the core compresses a payload of that length.
func (s *sender) compresses(length uint32) bool {
	return s.out.here() && length > 0 && length >= s.compressMin
}

// emitEnvelopes emits payloads with their prefixes (Connect
// "Enveloped-Message", gRPC "Length-Prefixed-Message").
func (c *call) emitEnvelopes(payloads []uint32) *Event {
	e := c.emit(EventBody)
	if c.inline {
		c.body = c.body[:0]
		data := c.replyData
		for _, n := range payloads {
			size := n &^ lengthBit
			c.body = appendPrefix(c.body, n)
			c.body = append(c.body, data[:size]...)
			data = data[size:]
		}
	} else {
		e.Count, e.Prefix = uint32(len(payloads)), prefixSize
		c.body = slices.Grow(c.body[:0], len(payloads)*prefixSize)
		for _, n := range payloads {
			c.body = appendPrefix(c.body, n)
		}
	}
	e.Data = c.body
	return e
}

// appendPrefix appends what stands before a payload: flags, of which compressed
// is the lowest, and the length.
func appendPrefix(b []byte, n uint32) []byte {
	return append(b, byte(n>>31), byte(n>>24)&^(lengthBit>>24), byte(n>>16), byte(n>>8), byte(n))
}

// addTypeAs adds the dialect's content type for a codec, as a field of that name.
func (c *call) addTypeAs(name, codec string) {
	c.head.Begin(name)
	c.head.b = c.d.appendType(c.head.b, codec)
}

// emitPayload emits the reply as a payload that is the whole content.
func (c *call) emitPayload() {
	e := c.emit(EventBody)
	e.End = true
	if c.inline {
		e.Data = c.replyData
	} else {
		e.Count = 1
	}
}

// putPrefixLength writes the length of an envelope into its prefix.
func putPrefixLength(envelope []byte) {
	binary.BigEndian.PutUint32(envelope[1:], uint32(len(envelope)-prefixSize))
}
