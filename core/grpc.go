package core

import "bytes"

// gRPC over HTTP/2 (PROTOCOL-HTTP2.md), all kinds of procedures. Messages are
// envelopes; the outcome and the trailing metadata are the trailer section of the
// response, or its only section ("Trailers-Only").

var grpc = dialect{
	protocol: ProtocolGRPC, base: "grpc", bare: true, unary: true, stream: true, envelopes: true, trailers: true,
	coding: fieldGRPCEncoding, accept: fieldGRPCAccept, timeout: fieldGRPCTimeout,
	parseTimeout: ParseGRPCTimeout, appendTimeout: AppendGRPCTimeout,
	leading: ReservedResponse, te: true, tries: "grpc-previous-rpc-attempts", pushback: "grpc-retry-pushback-ms",
	begin: beginEnvelopes, end: endGRPC, plain: plainGRPC,
	answered: grpcAnswered, noEnd: "the response ends without a status",
}

// Server role.

func endGRPC(c *ServerCall, e *Error, fields Fields, binary Pairs) {
	if !c.canTrailers {
		// "Trailers-Only": the status stands in the one and only section, which
		// must end the HTTP/2 stream. Hosts that send trailers need not be able
		// to do that (ASGI cannot), so for them there are always two sections.
		c.head.Reset()
		c.d.begin(c)
		c.scratch = addStatus(&c.head, e, c.scratch)
		c.scratch = addMetadata(&c.lead, "", fields, binary, c.scratch)
		h := c.finishHead(200)
		h.End, h.LacksTrailers = true, true
		return
	}
	if !c.headSent {
		c.emitHead()
	}
	if left := c.left(e); len(left) > 0 {
		c.emitEnvelopes(left)
	}
	c.emit(EventTrailers).Fields = c.addTail(e, fields, binary)
}

func plainGRPC(c *ServerCall, e *Event) {
	beginEnvelopes(c)
	e.Trailers = c.addTail(nil, Fields{}, Pairs{})
}

// addTail makes the section that ends a response.
func (c *ServerCall) addTail(e *Error, fields Fields, binary Pairs) Fields {
	c.tail.Reset()
	c.scratch = addStatus(&c.tail, e, c.scratch)
	c.scratch = addMetadata(&c.tail, "", fields, binary, c.scratch)
	return c.tail
}

// addStatus adds Status, Status-Message and Status-Details; nil is success.
func addStatus(dst *Fields, e *Error, scratch []byte) []byte {
	if e == nil {
		dst.AddString(nameStatus, "0")
		return scratch
	}
	dst.addUint(nameStatus, uint64(e.Code))
	if len(e.Message) > 0 {
		scratch = AppendGRPCMessage(scratch[:0], e.Message)
		dst.Add([]byte(nameMessage), scratch)
	}
	if e.Details.Len() > 0 {
		scratch = AppendStatus(scratch[:0], e)
		dst.Begin(nameDetails)
		dst.AppendBase64(scratch)
	}
	return scratch
}

// Client role.

func grpcAnswered(c *ClientCall, t ContentType, ours, offered bool) bool {
	switch {
	case c.status == 200:
		return c.agreed(t, ours, offered)
	case c.told(): // http-grpc-status-mapping.md: "If grpc-status was provided, it must be used"
		c.conclude()
	default: // a status of success is not believed: ours, rule 6
		c.failStatus()
	}
	return false
}

// readTail reads a section that ends a response; false where that ends the call.
func (c *ClientCall) readTail(fields Fields) bool {
	h := &c.tailIn
	c.inTail = true
	if c.early { // the head is not the only section
		c.trail.Reset()
		c.trailBinary.Reset()
	}
	if !h.read(fields, ReservedTrailer, c.takeTrailer) {
		c.failText(Internal, "the response's trailers are not HTTP")
		return false
	}
	if h.tooMuch {
		c.failText(ResourceExhausted, tooMuchText)
		return false
	}
	c.again.note(c.d, fields)
	if !h.has(fieldStatus) {
		return true
	}
	code, contradicts := parseStatusCode(h.values[fieldStatus])
	if contradicts {
		c.failText(Internal, "the response has two statuses that contradict each other") // ours, rule 6
		return false
	}
	c.ended, c.early = true, false
	c.parsed.Reset()
	if code != OK {
		if details, ok := AppendDecodeBase64(c.scratch[:0], h.values[fieldDetails]); ok {
			c.scratch = details
			ParseStatus(details, &c.parsed) // where it is malformed there are no details
		}
		c.parsed.Code = code
		c.parsed.Message = AppendDecodeGRPCMessage(c.parsed.Message[:0], h.values[fieldMessage])
	}
	return c.checkTrailing()
}

// parseStatusCode reads "Status". What is no code is unknown, never success
// (ours, rule 6).
func parseStatusCode(v []byte) (code Code, contradicts bool) {
	first, rest, more := bytes.Cut(v, []byte(", "))
	for more {
		var other []byte
		if other, rest, more = bytes.Cut(rest, []byte(", ")); !bytes.Equal(first, other) {
			return Unknown, true
		}
	}
	n, ok := parseDigits(first, 2)
	if !ok || len(first) > 1 && first[0] == '0' || !Code(n).Valid() {
		return Unknown, false
	}
	return Code(n), false
}
