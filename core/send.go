package core

import "encoding/binary"

// The sending half. Payloads cross as lengths: the host keeps the bytes and
// puts them where EventBody says. Only a payload that the core compresses, or
// that becomes part of a GET's target, is given with its bytes.

type sender struct {
	lead        Fields // leading metadata as HTTP fields
	head        Fields
	tail        Fields
	body        []byte
	encoded     []byte // in base64
	scratch     []byte
	out         packing // what to send with
	compressMin uint32
	sendMax     uint32
	headSent    bool
	replied     bool // the one message of this side was given
	reply       payloadOut
	replyData   []byte
	one         [1]payloadOut
	payloads    []payloadOut
	wrong       string // what is wrong with the metadata that the application gave
}

// payloadOut is a payload on its way out.
type payloadOut struct {
	length     uint32
	compressed bool
	inline     bool
}

func (s *sender) reset() {
	s.lead.Reset()
	s.head.Reset()
	s.tail.Reset()
	s.encoded = scratch(s.encoded)
	s.body, s.replyData, s.scratch = scratch(s.body), scratch(s.replyData), scratch(s.scratch)
	s.out, s.compressMin, s.sendMax = packing{}, 0, 0
	s.headSent, s.replied, s.wrong = false, false, ""
	s.reply = payloadOut{}
}

// takePayloads checks what the application sends: lengths, and with inline the
// payloads' bytes in data, one after the other. Compressed payloads stand in
// s.replyData afterwards, in order.
func (c *call) takePayloads(lengths []uint32, data []byte, inline bool) (tooLarge bool, err error) {
	c.payloads = c.payloads[:0]
	c.replyData = c.replyData[:0]
	var total uint64
	for _, n := range lengths {
		total += uint64(n &^ lengthBit)
	}
	if inline && total != uint64(len(data)) || !inline && (len(data) > 0 || c.d.text) {
		return false, ErrPayload
	}
	for _, n := range lengths {
		p := payloadOut{length: n &^ lengthBit, compressed: n&lengthBit != 0, inline: inline}
		if p.compressed && !c.out.native() {
			return false, ErrPayload
		}
		if inline {
			at := len(c.replyData)
			payload := data[:p.length]
			data = data[p.length:]
			if c.compresses(p.length) {
				c.replyData = c.out.own.compress(c.memory(), c.replyData, payload)
				p.compressed = true
			} else {
				c.replyData = append(c.replyData, payload...)
			}
			p.length = uint32(len(c.replyData) - at)
		} else if c.compresses(p.length) {
			return false, ErrPayload // the core was to compress this, and cannot see it
		}
		if c.sendMax > 0 && p.length > c.sendMax {
			return true, nil
		}
		c.payloads = append(c.payloads, p)
	}
	return false, nil
}

// compresses says whether the core compresses a payload of that length.
func (s *sender) compresses(length uint32) bool {
	return s.out.here() && length > 0 && length >= s.compressMin
}

// emitEnvelopes emits payloads with their prefixes (Connect
// "Enveloped-Message", gRPC "Length-Prefixed-Message").
func (c *call) emitEnvelopes(payloads []payloadOut) *Event {
	e := c.emit(EventBody)
	data := c.replyData
	c.body = c.body[:0]
	for _, p := range payloads {
		flags := byte(0)
		if p.compressed {
			flags = flagCompressed
		}
		c.body = append(c.body, flags)
		c.body = binary.BigEndian.AppendUint32(c.body, p.length)
		if p.inline {
			c.body = append(c.body, data[:p.length]...)
			data = data[p.length:]
		} else {
			e.Count++
		}
	}
	if e.Count > 0 {
		e.Prefix = prefixSize
	}
	e.Data = c.body
	return e
}

// emitReply emits the one message of a side that has no stream of them.
func (c *call) emitReply() *Event {
	c.one[0] = c.reply
	return c.emitEnvelopes(c.one[:])
}

// addTypeAs adds the dialect's content type for a codec, as a field of that name.
func (c *call) addTypeAs(name, codec string) {
	c.head.Begin(name)
	c.head.b = c.d.appendType(c.head.b, codec)
}

// emitPayload emits a payload that is the whole content.
func (c *call) emitPayload(p payloadOut) {
	e := c.emit(EventBody)
	e.End = true
	if p.inline {
		e.Data = c.replyData
	} else {
		e.Count = 1
	}
}

// putPrefixLength writes the length of an envelope into its prefix.
func putPrefixLength(envelope []byte) {
	binary.BigEndian.PutUint32(envelope[1:], uint32(len(envelope)-prefixSize))
}
