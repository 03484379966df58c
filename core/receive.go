package core

import "encoding/binary"

// The receiving half. Content is announced by length; only some of its bytes
// may be given. Positions are absolute offsets.
//
//	            pos                announced
//	content ----+------------------+
//	             [chunk.....]            the bytes at hand
//
// pos is the first byte not yet dealt with. Where its bytes are needed and not
// at hand, EventMore asks for them, once, and all waits.

type receiveMode uint8

const (
	receiveNothing   receiveMode = iota // content is ignored
	receiveWhole                        // the content is one payload
	receiveEnvelopes                    // the content is envelopes
	receiveGet                          // there must be none: the message stands in the query
)

const (
	prefixSize = 5 // Connect "Enveloped-Message", gRPC "Length-Prefixed-Message"

	flagCompressed = 0x01
	lengthBit      = 1 << 31

	moreWant = 4096     // enough for many small envelopes
	mostWant = 64 << 10 // where the bytes are needed, or envelopes are many
)

type receiver struct {
	mode         receiveMode
	needBytes    bool   // payloads are looked into: their bytes must be given
	hold         bool   // payloads are delivered only when the content has ended
	single       bool   // exactly one payload is legal
	contentEnded bool   // the content has ended
	byHead       bool   // by what the head says: the host may not know it
	asked        bool   // an EventMore waits for its answer
	peer         string // "request" or "response", for texts
	malformed    Code   // of content that cannot be read: ours, rule 2
	limit        uint32
	packed       packing // of the content, or of compressed envelopes
	pos          uint64
	announced    uint64
	askedAt      uint64
	chunkAt      uint64
	chunk        []byte
	prefix       [prefixSize]byte
	nprefix      int
	left         uint64 // bytes of the current payload not yet dealt with
	inPayload    bool
	length       uint32
	payload      []byte  // bytes of the current payload, where needBytes
	base         uint64  // what spans count from
	endFlag      byte    // of the envelope that is the end marker, 0 for none
	marked       bool    // it has come
	paused       bool    // the host decompresses something that is to be read first
	base64       bool    // the content is base64 (text.go)
	quad         [4]byte // characters of base64 that wait for others
	nquad        int
	notText      bool   // what comes after plain is not base64
	plain        []byte // decoded and not yet dealt with
	plainBuf     []byte
	spans        []uint32 // start, length
	taken        int      // numbers in spans that events have shown
	data         []byte   // payloads of inline spans
	dataAt       int      // bytes of data that events have shown

	stepMessages, stepBytes int // messages and decompressed bytes of this step
}

func (r *receiver) reset() {
	spans, data, payload, plain := scratch(r.spans), scratch(r.data), scratch(r.payload), r.plainBuf[:0]
	*r = receiver{spans: spans, data: data, payload: payload, plainBuf: plain}
}

// forget drops what earlier events have shown.
func (r *receiver) forget() {
	if r.taken > 0 && r.taken == len(r.spans) {
		r.spans, r.data = r.spans[:0], r.data[:0]
		r.taken, r.dataAt = 0, 0
	}
}

// Content tells that length more bytes of content came, data being the first
// of them: all, some or none. With resume, data answers an EventMore and
// length counts data only. end: the content ends with these bytes.
func (c *call) Content(length uint32, data []byte, end, resume bool) ([]Event, error) {
	if err := c.begin(cmdContent); err != nil {
		return nil, err
	}
	switch {
	case resume:
		if !c.asked || len(data) == 0 || c.askedAt+uint64(len(data)) > c.announced {
			return nil, ErrContent
		}
		c.asked, c.chunkAt = false, c.askedAt
	case uint64(len(data)) > uint64(length):
		return nil, ErrContent
	case c.contentEnded && length > 0 && !c.byHead:
		return nil, ErrContent
	case c.contentEnded && length > 0:
		c.role.stop(c.malformed, c.say("the ", c.peer, " has more content than it announced"))
		return c.events, nil
	default:
		c.chunkAt = c.announced
		c.announced += uint64(length)
	}
	if end {
		c.contentEnded, c.byHead = true, false
	}
	c.chunk = data
	c.receive()
	c.chunk = nil
	return c.events, nil
}

// receive deals with as much content as it can.
func (c *call) receive() {
	switch c.mode {
	case receiveWhole:
		c.receiveWhole()
	case receiveEnvelopes:
		c.receiveEnvelopes()
	case receiveGet:
		c.role.whole()
	default:
		c.pos = c.announced
	}
}

// at returns the bytes at hand from pos on; where there are none although they
// were announced, it asks for want of them.
func (c *call) at(want uint64) []byte {
	if c.pos >= c.announced {
		return nil
	}
	if skip := c.pos - c.chunkAt; c.pos >= c.chunkAt && skip < uint64(len(c.chunk)) {
		return c.chunk[skip:]
	}
	c.ask(want)
	return nil
}

// ask asks for the bytes from pos on; there are some.
func (c *call) ask(want uint64) {
	if !c.asked {
		c.asked, c.askedAt = true, c.pos
		e := c.emit(EventMore)
		e.Offset = c.pos
		e.Want = uint32(min(want, c.announced-c.pos, 1<<30))
	}
}

// spent says whether this step has done its share (ours, rule 13).
func (c *call) spent() bool { return c.stepMessages >= StepMessages || c.stepBytes >= StepBytes }

func (c *call) receiveWhole() {
	if c.announced > uint64(c.limit) {
		c.receiveBad(RejectTooLarge)
		return
	}
	c.left = c.announced - c.pos
	if !c.payloadBytes() || !c.contentEnded {
		return
	}
	c.mode = receiveNothing
	c.role.whole()
}

// takeWhole takes the content as one payload.
func (c *call) takeWhole() { c.takePayload(0, uint32(c.announced), c.packed.index != 0) }

// receiveEnvelopes reads prefixes and skips, or collects, payloads.
func (c *call) receiveEnvelopes() {
	if c.hold && !c.single && !c.contentEnded {
		// Nothing is read before the end, so that nothing but the host's bytes is held.
		if c.announced > MaxHalfDuplex {
			c.receiveFailed(ResourceExhausted, "more content than is held for a call that answers only after its end")
		}
		return
	}
	for c.mode == receiveEnvelopes && !c.asked && !c.paused {
		if c.inPayload {
			if c.left > 0 && !c.payloadBytes() {
				break
			}
			c.inPayload = false
			if c.prefix[0]&c.endFlag != 0 {
				c.marked = true
				c.role.marker(c.payload, c.prefix[0]&flagCompressed != 0)
			} else if !c.takePayload(c.pos-uint64(c.length), c.length, c.prefix[0]&flagCompressed != 0) {
				return
			}
			continue
		}
		if c.spent() && c.pos < c.announced {
			c.ask(mostWant)
			break
		}
		want := uint64(moreWant)
		if c.needBytes {
			want = mostWant
		}
		b := c.next(want)
		if b == nil {
			break
		}
		n := copy(c.prefix[c.nprefix:], b)
		c.nprefix += n
		c.use(n)
		if c.nprefix < prefixSize {
			continue
		}
		c.nprefix = 0
		if !c.openEnvelope(c.prefix[0], binary.BigEndian.Uint32(c.prefix[1:])) {
			return
		}
	}
	switch {
	case c.mode != receiveEnvelopes || c.paused:
	case c.contentEnded && !c.asked:
		c.mode = receiveNothing
		switch {
		case !c.role.trailers():
		case c.inPayload || c.nprefix > 0 || c.nquad > 0:
			c.receiveFailed(c.malformed, "the content ends within an envelope")
		default:
			c.role.received()
		}
	case !c.single:
		c.deliver()
	}
}

// payloadBytes deals with what is at hand of the current payload, and says whether
// that is all of it.
func (c *call) payloadBytes() bool {
	for c.left > 0 {
		n := min(c.left, c.announced-c.pos)
		if c.needBytes || c.prefix[0]&c.endFlag != 0 {
			b := c.next(c.left)
			n = min(c.left, uint64(len(b)))
			c.collect(b[:n])
			c.use(int(n))
		} else {
			c.pos += n
		}
		if n == 0 {
			return false
		}
		c.left -= n
	}
	return true
}

// collect adds bytes to the current payload.
func (r *receiver) collect(b []byte) {
	const least = 512
	most := uint64(r.limit) // nobody knows how much content comes
	if r.mode == receiveEnvelopes {
		most = uint64(len(r.payload)) + r.left
	}
	if need := len(r.payload) + len(b); need > cap(r.payload) {
		// Twice what came, since what is announced may never come.
		room := min(uint64(max(2*need, least)), most)
		r.payload = append(make([]byte, 0, room), r.payload...)
	}
	r.payload = append(r.payload, b...)
}

// openEnvelope checks a prefix before any byte of the payload is waited for.
func (c *call) openEnvelope(flags byte, length uint32) bool {
	ends := flags&c.endFlag != 0
	switch {
	case flags&^(flagCompressed|c.endFlag) != 0:
		c.receiveFailed(c.malformed, "an envelope has flags that this protocol does not know")
	case c.marked:
		c.receiveFailed(c.malformed, "the content goes on after its end marker")
	case flags&flagCompressed != 0 && c.packed.index == 0:
		// gRPC compression.md: "Compressed-Flag bit … set without grpc-encoding" is internal.
		c.receiveFailed(Internal, "a message is compressed, but the ", c.peer, " names no compression")
	case c.single && len(c.spans) > 0 && !ends:
		// gRPC statuscodes.md: "cardinality violation", of both roles.
		c.receiveFailed(Unimplemented, "the ", c.peer, " has more than one message, and this procedure takes exactly one")
	case length > c.limit:
		c.receiveBad(RejectTooLarge)
	default:
		c.inPayload, c.left, c.length = true, uint64(length), length
		c.payload = c.payload[:0]
		return true
	}
	return false
}

// receiveBad fails the call for what is wrong with something that came.
func (c *call) receiveBad(fault Reason) {
	c.mode = receiveNothing
	c.role.receiveFault(c.verdict(fault))
}

func (c *call) receiveFailed(code Code, parts ...string) {
	c.mode = receiveNothing
	c.role.receiveFault(code, c.say(parts...))
}

// ContentEnd tells that the content ended, with a trailer section, in which
// servers find nothing.
func (c *call) ContentEnd(Fields) ([]Event, error) { return c.Content(0, nil, true, false) }
