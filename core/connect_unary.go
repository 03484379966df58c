package core

// Unary calls of the Connect protocol: "Unary-Request", "Unary-Response" and, with
// the request in the query of a GET, "Unary-Get-Request" (protocol.md). The
// message is the content; an error is JSON under an HTTP status of its own;
// trailing metadata are fields of the head, with a prefix.

var connectUnary = dialect{
	protocol: ProtocolConnect, unary: true,
	version: fieldVersion, coding: fieldContentEncoding, accept: fieldAcceptEncoding, timeout: fieldConnectTimeout,
	parseTimeout: ParseConnectTimeout, appendTimeout: AppendConnectTimeout,
	leading: unaryResponseField,
	begin:   beginUnary, end: endUnary, plain: func(c *ServerCall, _ *Event) { headUnary(c) },
	ask: askUnary, answered: unaryAnswered, unpacked: unaryUnpacked, finish: unaryFinish, trailing: unaryTrailing,
}

// connectGet has no fields of its own for the version and the request's coding:
// these stand in the query (get.go).
var connectGet = dialect{
	protocol: ProtocolConnect, get: true, unary: true,
	accept: fieldAcceptEncoding, coding: fieldContentEncoding, timeout: fieldConnectTimeout,
	parseTimeout: ParseConnectTimeout, appendTimeout: AppendConnectTimeout,
	leading: unaryResponseField,
	begin:   beginUnary, end: endUnary,
}

const protocolVersion = "1"

// unaryResponseField says which fields of a response are not leading metadata:
// the protocol's and the trailing ones.
func unaryResponseField(name []byte) bool {
	return ReservedResponse(name) || hasPrefix(name, trailerPrefix)
}

const trailerPrefix = "trailer-"

// Server role.

func beginUnary(c *ServerCall) {
	headUnary(c)
	c.head.addUint(nameContentLength, uint64(c.reply&^lengthBit))
}

// headUnary adds all of the head's fields but the length.
func headUnary(c *ServerCall) {
	c.addType()
	if c.reply&lengthBit != 0 {
		c.head.AddString(nameContentEncoding, c.server.offer.name(c.out))
	}
	if c.d.get && c.server.offer.accept != "" {
		c.head.AddString(nameVary, nameAcceptEncoding) // RFC 9110 section 12.5.5: it may be cached
	}
}

func endUnary(c *ServerCall, e *Error, fields Fields, binary Pairs) {
	c.head.Reset()
	if e == nil {
		beginUnary(c)
	} else {
		// "Error codes": the code's status, and the error as JSON.
		c.body = AppendError(c.body[:0], e)
		c.head.AddString(nameContentType, "application/json")
		c.head.addUint(nameContentLength, uint64(len(c.body)))
		c.addKnownCodings()
	}
	c.scratch = addMetadata(&c.lead, trailerPrefix, fields, binary, c.scratch)
	switch {
	case e != nil:
		c.finishHead(e.Code.HTTPStatus())
		b := c.emit(EventBody)
		b.End, b.Data = true, c.body
	case c.reply&^lengthBit == 0:
		c.finishHead(200).End = true
	default:
		c.finishHead(200)
		c.emitPayload()
	}
}

// receiveQuery takes the message of a "Unary-Get-Request" out of the query, when
// the request has ended without content.
func (c *ServerCall) receiveQuery() {
	if c.announced > 0 {
		c.receiveFailed(InvalidArgument, textGetContent)
		return
	}
	if !c.contentEnded {
		return
	}
	c.mode, c.needBytes = receiveNothing, true
	c.payload = append(c.payload[:0], c.get.Message...)
	if uint64(len(c.payload)) > uint64(c.limit) {
		c.receiveBad(RejectTooLarge)
		return
	}
	c.takePayload(0, uint32(len(c.payload)), c.packed.index != 0)
	c.received()
}

// Client role.

func askUnary(c *ClientCall) {
	cfg := &c.client.cfg
	coding := ""
	if c.reply&lengthBit != 0 {
		coding = c.client.offer.name(c.out)
	}
	get := false
	if c.askedGet {
		n := len(c.target)
		c.target = append(c.target, '?')
		c.target = AppendGet(c.target, cfg.Codec, coding, c.replyData)
		if get = uint64(len(c.target)) <= uint64(cfg.GetMax); !get {
			c.target = c.target[:n]
		}
	}
	c.beginHead()
	if !get {
		c.addType()
		c.head.AddString(fieldNames[c.d.version], protocolVersion)
		if c.reply&^lengthBit == 0 && c.out.index != 0 && c.compressMin == 0 {
			// "Unary-Request": content of no bytes is not decompressed, whatever
			// the field says; it tells what the client compresses with.
			coding = c.client.offer.name(c.out)
		}
		if coding != "" {
			c.head.AddString(nameContentEncoding, coding)
		}
		c.head.addUint(nameContentLength, uint64(c.reply&^lengthBit))
	}
	end := get || c.reply&^lengthBit == 0
	c.finishHead(get, end)
	if !end {
		c.emitPayload()
	}
}

func unaryAnswered(c *ClientCall, t ContentType, ours, offered bool) bool {
	if c.status == 200 {
		if !c.agreed(t, ours, offered) {
			return false
		}
		if n, ok := parseDigits(c.Memory.in.values[fieldContentLength], lengthDigits); ok && n > uint64(c.limit) {
			c.receiveBad(RejectTooLarge)
			return false
		}
		return true
	}
	// "Error codes": where the content is no error, the status says.
	if !ours || t.Stream || !EqualFold(t.Codec, jsonCodec) || !offered {
		c.failStatus()
		return false
	}
	c.mode = receiveWhole
	return true
}

func unaryFinish(c *ClientCall) {
	if c.status != 200 {
		c.unpack(c.payload, c.packed.index != 0)
		return
	}
	c.takeWhole()
	c.conclude()
}

// unaryUnpacked reads an error.
func unaryUnpacked(c *ClientCall, content []byte, fault Reason) {
	switch {
	case fault == RejectTooLarge:
		c.receiveBad(fault)
	case fault != 0 || !ParseError(content, CodeOfHTTPStatus(int(c.status)), &c.parsed):
		c.failStatus()
	default:
		c.outcome(c.parsed.Code, c.parsed.Message, c.parsed.Details)
	}
}

// unaryTrailing collects trailing metadata out of the head ("Unary-Response",
// Trailing-Metadata).
func unaryTrailing(c *ClientCall, name, value []byte) bool {
	if !hasPrefix(name, trailerPrefix) {
		return false
	}
	c.addTrailing(name[len(trailerPrefix):], value)
	return true
}
