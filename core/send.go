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
	text        []byte
	scratch     []byte
	out         uint32 // coding to send with, 0 for none
	outNative   bool
	compressMin uint32
	sendMax     uint32
	headSent    bool
	replied     bool // the one message of this side was given
	reply       payloadOut
	replyData   []byte
	one         [1]payloadOut
	payloads    []payloadOut
	failure     Error
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
	s.body, s.replyData, s.scratch = scratch(s.body), scratch(s.replyData), scratch(s.scratch)
	s.out, s.outNative, s.compressMin, s.sendMax = 0, false, 0, 0
	s.headSent, s.replied, s.wrong = false, false, ""
	s.reply = payloadOut{}
}

// takePayloads checks what the application sends: lengths, and with inline the
// payloads' bytes in data, one after the other. Compressed payloads stand in
// s.replyData afterwards, in order.
func (c *Call) takePayloads(lengths []uint32, data []byte, inline bool) (tooLarge bool, err error) {
	c.payloads = c.payloads[:0]
	c.replyData = c.replyData[:0]
	var total uint64
	for _, n := range lengths {
		total += uint64(n &^ lengthBit)
	}
	if inline && total != uint64(len(data)) || !inline && len(data) > 0 {
		return false, ErrPayload
	}
	for _, n := range lengths {
		p := payloadOut{length: n &^ lengthBit, compressed: n&lengthBit != 0, inline: inline}
		if p.compressed && !c.outNative {
			return false, ErrPayload
		}
		if inline {
			at := len(c.replyData)
			payload := data[:p.length]
			data = data[p.length:]
			if c.out != 0 && !c.outNative && p.length > 0 && p.length >= c.compressMin {
				c.replyData = c.gz().Compress(c.replyData, payload)
				p.compressed = true
			} else {
				c.replyData = append(c.replyData, payload...)
			}
			p.length = uint32(len(c.replyData) - at)
		} else if c.out != 0 && !c.outNative && p.length > 0 && p.length >= c.compressMin {
			return false, ErrPayload // the core was to compress this, and cannot see it
		}
		if c.sendMax > 0 && p.length > c.sendMax {
			return true, nil
		}
		c.payloads = append(c.payloads, p)
	}
	return false, nil
}

// emitEnvelopes emits payloads with their prefixes (Connect
// "Enveloped-Message", gRPC "Length-Prefixed-Message").
func (c *Call) emitEnvelopes(payloads []payloadOut) *Event {
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

// emitPayload emits a payload that is the whole content.
func (c *Call) emitPayload(p payloadOut) {
	e := c.emit(EventBody)
	e.End = true
	if p.inline {
		e.Data = c.replyData
	} else {
		e.Count = 1
	}
}

// BrokenFields stands for fields whose count does not fit their bytes: one of
// them holds a NUL. What is done about it depends on where they stand.
var BrokenFields = Fields{n: -1}

// RawFields takes fields without checking their count. It is for heads, whose
// readers check it on the way.
func RawFields(count int, b []byte) Fields { return Fields{b: b, n: count} }

// section says which fields a section's metadata may not be.
type section func(name []byte) bool

// checkMetadata finds out whether the application's metadata can be sent. It
// returns what is wrong, or nothing: a field that cannot be written must not
// reach the wire, since it would end this field and begin another.
func checkMetadata(fields Fields, binary Pairs, reserved section) string {
	if fields.n < 0 {
		return "a metadata name or value has a NUL"
	}
	pos := 0
	for range fields.Len() {
		var name, value []byte
		name, value, pos = fields.Next(pos)
		if !ValidFieldName(name) {
			return "a metadata name is not a lower-case HTTP token"
		}
		if !ValidFieldValue(value) {
			return "a metadata value has characters that an HTTP field cannot hold"
		}
		if reserved(name) {
			return "a metadata name belongs to the protocol"
		}
		if IsBinaryName(name) && !validBase64(value) {
			return "a metadata name ends in -bin, and its text value is not base64"
		}
	}
	pos = 0
	for range binary.Len() {
		var name []byte
		name, _, pos = binary.Next(pos)
		if !ValidFieldName(name) || !IsBinaryName(name) {
			return "a binary metadata name is not a lower-case HTTP token that ends in -bin"
		}
		if reserved(name) {
			return "a metadata name belongs to the protocol"
		}
	}
	return ""
}

// validBase64 says whether a peer would decode the value of a -bin field.
func validBase64(value []byte) bool {
	var p Pairs
	return AppendBinaryValues(&p, nil, value)
}

// addMetadata adds metadata as HTTP fields, each name after a prefix.
func addMetadata(dst *Fields, prefix string, fields Fields, binary Pairs, scratch []byte) []byte {
	pos := 0
	for range fields.Len() {
		var name, value []byte
		name, value, pos = fields.Next(pos)
		if prefix == "" {
			dst.Add(name, value)
			continue
		}
		scratch = append(append(scratch[:0], prefix...), name...)
		dst.Add(scratch, value)
	}
	pos = 0
	for range binary.Len() {
		var name, value []byte
		name, value, pos = binary.Next(pos)
		scratch = append(append(scratch[:0], prefix...), name...)
		n := len(scratch)
		scratch = AppendBase64(scratch, value)
		dst.Add(scratch[:n], scratch[n:])
	}
	return scratch
}
