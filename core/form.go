package core

// form is how a protocol writes a response. A server call chooses its form
// when it opens, and from then on every answer goes through it.
type form interface {
	// open adds the protocol's fields to the head of a response that carries
	// messages.
	open(c *Call)
	// end ends the response, in whatever state it is: with success where e is
	// nil, and with the trailing metadata.
	end(c *Call, e *Error, fields Fields, binary Pairs)
	// stream says whether messages are enveloped.
	stream() bool
	// trailers says whether a trailer section ends the response.
	trailers() bool
	// leading says which names leading metadata cannot have.
	leading() section
}

// emitHead emits the head of a response with messages.
func (c *Call) emitHead() *Event {
	c.head.Reset()
	c.form.open(c)
	e := c.finishHead(200)
	e.HasTrailers = c.form.trailers()
	return e
}

// finishHead emits c.head with the leading metadata behind it.
func (c *Call) finishHead(status int) *Event {
	c.head.addAll(c.lead)
	e := c.emit(EventResponseHead)
	e.Status, e.Fields = uint32(status), c.head
	c.headSent = true
	return e
}

// outCoding is the name of the coding to send with.
func (c *Call) outCoding() string {
	if c.out == 0 {
		return ""
	}
	return c.server.codings[c.out-1]
}

// codecName is the name of the call's codec.
func (c *Call) codecName() string { return c.server.cfg.Codecs[c.codec] }

// addContentType adds the content type of a form.
func (c *Call) addContentType(p Protocol, stream bool) {
	c.head.Begin("content-type")
	c.scratch = append(c.scratch[:0], c.codecName()...)
	c.body = AppendContentType(c.body[:0], p, stream, c.scratch)
	c.head.AppendValue(c.body)
}

// connectUnary is the form of the Connect protocol's "Unary-Response".
type connectUnary struct{}

func (connectUnary) stream() bool     { return false }
func (connectUnary) trailers() bool   { return false }
func (connectUnary) leading() section { return unaryResponseField }

func (connectUnary) open(c *Call) {
	c.openUnary()
	c.head.Begin(lengthField)
	c.head.AppendUint(uint64(c.reply.length))
}

const (
	lengthField  = "content-length"
	lengthDigits = 19 // all that surely fit 64 bits
)

// openUnary adds all of the head's fields but the length.
func (c *Call) openUnary() {
	c.addContentType(ProtocolConnect, false)
	if c.reply.compressed {
		c.head.AddString("content-encoding", c.outCoding())
	}
	if c.isGet && len(c.server.codings) > 0 {
		c.head.AddString("vary", "accept-encoding") // RFC 9110 section 12.5.5: it may be cached
	}
}

// preparable says whether all that the core has to say about a plain success
// is known when the call opens: one payload in, one out, neither looked into.
func (c *Call) preparable() bool {
	return c.form == form(connectUnary{}) && !c.isGet && c.coding == 0
}

// prepare says it, and is done. Since opening depends on nothing but the
// configuration and the head, a host may open the same call again, for all that
// is not a plain success.
func (c *Call) prepare() {
	c.head.Reset()
	c.openUnary()
	e := c.emit(EventPrepared)
	e.Limit, e.Status, e.Fields, e.Length = c.limit, 200, c.head, lengthName
	c.done()
}

var lengthName = []byte(lengthField)

func (connectUnary) end(c *Call, e *Error, fields Fields, binary Pairs) {
	if e == nil {
		c.head.Reset()
		connectUnary{}.open(c)
		c.scratch = addMetadata(&c.lead, "trailer-", fields, binary, c.scratch)
		head := c.finishHead(200)
		if c.reply.length == 0 {
			head.End = true
			return
		}
		c.emitPayload(c.reply)
		return
	}
	// Connect "Unary-Response", "Error codes": the code's status and JSON.
	c.body = AppendError(c.body[:0], e)
	c.head.Reset()
	c.head.AddString("content-type", "application/json")
	c.head.Begin("content-length")
	c.head.AppendUint(uint64(len(c.body)))
	if c.unknownCoding && c.server.accept != "" {
		c.head.AddString("accept-encoding", c.server.accept)
	}
	c.scratch = addMetadata(&c.lead, "trailer-", fields, binary, c.scratch)
	c.finishHead(e.Code.HTTPStatus())
	b := c.emit(EventBody)
	b.End, b.Data = true, c.body
}

// connectStream is the form of the Connect protocol's "Streaming-Response".
type connectStream struct{}

func (connectStream) stream() bool     { return true }
func (connectStream) trailers() bool   { return false }
func (connectStream) leading() section { return ReservedResponse }

func (connectStream) open(c *Call) {
	c.addContentType(ProtocolConnect, true)
	if c.out != 0 {
		c.head.AddString("connect-content-encoding", c.outCoding())
	}
	if c.unknownCoding && c.server.accept != "" {
		c.head.AddString("connect-accept-encoding", c.server.accept)
	}
}

func (connectStream) end(c *Call, e *Error, fields Fields, binary Pairs) {
	if !c.headSent {
		c.emitHead()
	}
	var b *Event
	if e == nil && c.replied && !c.proc.Stream.manyResponses() {
		c.one[0] = c.reply
		b = c.emitEnvelopes(c.one[:])
	} else {
		b = c.emit(EventBody)
		c.body = c.body[:0]
	}
	// Connect "EndStreamResponse": bit 1 of the flags, JSON.
	at := len(c.body)
	c.body = append(c.body, 0x02, 0, 0, 0, 0)
	c.body = AppendEndStream(c.body, e, fields, binary)
	n := uint32(len(c.body) - at - prefixSize)
	c.body[at+1], c.body[at+2], c.body[at+3], c.body[at+4] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	b.Data, b.End = c.body, true
}

// grpc is the form of gRPC over HTTP/2: "Response" of PROTOCOL-HTTP2.md.
type grpc struct{}

func (grpc) stream() bool     { return true }
func (grpc) trailers() bool   { return true }
func (grpc) leading() section { return ReservedResponse }

func (grpc) open(c *Call) {
	c.addContentType(ProtocolGRPC, true)
	if c.out != 0 {
		c.head.AddString("grpc-encoding", c.outCoding())
	}
	if c.unknownCoding && c.server.accept != "" {
		c.head.AddString("grpc-accept-encoding", c.server.accept)
	}
}

func (grpc) end(c *Call, e *Error, fields Fields, binary Pairs) {
	if !c.canTrailers {
		// "Trailers-Only": the status stands in the one and only section, which
		// must end the HTTP/2 stream. Hosts that send trailers need not be able
		// to do that (ASGI cannot), so for them there are always two sections.
		c.head.Reset()
		grpc{}.open(c)
		c.addStatus(&c.head, e)
		c.scratch = addMetadata(&c.lead, "", fields, binary, c.scratch)
		c.finishHead(200).End = true
		return
	}
	if !c.headSent {
		c.emitHead()
	}
	if e == nil && c.replied && !c.proc.Stream.manyResponses() {
		c.one[0] = c.reply
		c.emitEnvelopes(c.one[:])
	}
	c.tail.Reset()
	c.addStatus(&c.tail, e)
	c.scratch = addMetadata(&c.tail, "", fields, binary, c.scratch)
	c.emit(EventTrailers).Fields = c.tail
}

// addStatus adds Status, Status-Message and Status-Details.
func (c *Call) addStatus(dst *Fields, e *Error) {
	if e == nil {
		dst.AddString("grpc-status", "0")
		return
	}
	dst.Begin("grpc-status")
	dst.AppendUint(uint64(e.Code))
	if len(e.Message) > 0 {
		c.scratch = AppendGRPCMessage(c.scratch[:0], e.Message)
		dst.Begin("grpc-message")
		dst.AppendValue(c.scratch)
	}
	if e.Details.Len() > 0 {
		c.scratch = AppendStatus(c.scratch[:0], e)
		dst.Begin("grpc-status-details-bin")
		dst.AppendBase64(c.scratch)
	}
}
