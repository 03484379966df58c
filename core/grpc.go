package core

// gRPC over HTTP/2 (PROTOCOL-HTTP2.md), all kinds of procedures. Messages are
// envelopes; the outcome and the trailing metadata are the trailer section of the
// response, or its only section ("Trailers-Only").

var grpc = dialect{
	protocol: ProtocolGRPC, base: "grpc", bare: true, unary: true, stream: true, envelopes: true, trailers: true,
	coding: fieldGRPCEncoding, accept: fieldGRPCAccept, timeout: fieldGRPCTimeout,
	parseTimeout: ParseGRPCTimeout, appendTimeout: AppendGRPCTimeout,
	leading: ReservedResponse,
	begin:   beginGRPC, end: endGRPC,
}

const (
	nameStatus        = "grpc-status"
	nameMessage       = "grpc-message"
	nameStatusDetails = "grpc-status-details-bin"
)

func beginGRPC(c *ServerCall) {
	c.addType()
	c.addCodings()
}

func endGRPC(c *ServerCall, e *Error, fields Fields, binary Pairs) {
	if !c.canTrailers {
		// "Trailers-Only": the status stands in the one and only section, which
		// must end the HTTP/2 stream. Hosts that send trailers need not be able
		// to do that (ASGI cannot), so for them there are always two sections.
		c.head.Reset()
		beginGRPC(c)
		c.scratch = addStatus(&c.head, e, c.scratch)
		c.scratch = addMetadata(&c.lead, "", fields, binary, c.scratch)
		c.finishHead(200).End = true
		return
	}
	if !c.headSent {
		c.emitHead()
	}
	if c.repliesOnce(e) {
		c.emitReply()
	}
	c.tail.Reset()
	c.scratch = addStatus(&c.tail, e, c.scratch)
	c.scratch = addMetadata(&c.tail, "", fields, binary, c.scratch)
	c.emit(EventTrailers).Fields = c.tail
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
		dst.Begin(nameStatusDetails)
		dst.AppendBase64(scratch)
	}
	return scratch
}
