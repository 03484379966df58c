package core

// The response, in the client role.

// ResponseHead gives the status and the header section of the final response.
// end: no content follows.
func (c *ClientCall) ResponseHead(status uint32, fields Fields, end bool) ([]Event, error) {
	if err := c.begin(cmdResponseHead); err != nil {
		return nil, err
	}
	c.receiving = open
	c.contentEnded, c.status = end, status
	h := &c.Memory.in
	if c.takeTrailer == nil {
		c.takeTrailer = func(name, value []byte) bool {
			if c.inTail {
				c.addTrailing(name, value)
			}
			return c.inTail || c.d.trailing != nil && c.d.trailing(c, name, value)
		}
	}
	c.inTail = false
	if !h.read(fields, ReservedResponse, c.takeTrailer) {
		c.failText(Internal, "the response's head is not HTTP")
		return c.events, nil
	}
	c.again.note(c.d, fields)
	t, known := ParseContentType(h.values[fieldContentType])
	ours := known && t.Protocol == c.d.protocol
	// It may be the only section: then what it has is leading and trailing metadata,
	// since nothing says which of both a field was (ours, rule 6).
	tailOnly := c.d.tailOnly(h)
	in := CodingIndex(h.values[c.d.coding], c.client.offer.names)
	c.packed = c.client.offer.packing(in)
	c.needBytes = c.packed.here() || c.d.text || !c.d.envelopes && status != 200

	e := c.emit(EventResponse)
	e.Hidden, e.Binary, e.ContentInline = h.hidden, h.binary, c.needBytes

	switch {
	case h.tooMuch:
		c.failText(ResourceExhausted, tooMuchText)
	case !c.checkTrailing() || tailOnly && !c.readTail(fields):
	default:
		c.early = tailOnly
		if c.d.answered(c, t, ours, in >= 0) {
			c.receive()
		}
	}
	return c.events, nil
}

// told says whether the peer has told an error.
func (c *ClientCall) told() bool { return c.ended && c.parsed.Code != OK }

// agreed checks the content type and the compression of a response with messages,
// and readies the receiving half; false where that ends the call. The arguments are
// those of the dialect's answered.
func (c *ClientCall) agreed(t ContentType, ours, offered bool) bool {
	code, wrong, known := Internal, "", ""
	switch {
	case !ours: // ours, rule 7
		code, wrong = Unknown, "the response's content type is not one of this protocol"
	case t.Stream != c.d.envelopes || t.Text != c.d.text:
		wrong = "the response's content type is of another kind than the request's"
	case !EqualFold(t.Codec, c.client.cfg.Codec):
		wrong = "the response has another codec than the request"
	case !offered:
		// gRPC compression.md, "Test cases": the supported ones are named.
		wrong, known = "the response has a compression that was not offered; this client knows: ", c.client.offer.known()
	default:
		c.mode, c.single = receiveWhole, !c.stream.manyResponses()
		if c.d.envelopes {
			c.mode = receiveEnvelopes
			c.hold, c.endFlag, c.base64 = c.single, c.d.endFlag, c.d.text
		}
		return true
	}
	if c.told() { // an error in the head needs no content
		c.conclude()
	} else {
		c.failText(code, wrong, known)
	}
	return false
}

const tooMuchText = "the response has more metadata than this client accepts"

// checkTrailing checks the size of trailing metadata.
func (c *ClientCall) checkTrailing() bool {
	if weigh(c.trail, c.trailBinary).tooMuch() {
		c.failText(ResourceExhausted, tooMuchText)
		return false
	}
	return true
}

// addTrailing adds a field to the trailing metadata.
func (c *ClientCall) addTrailing(name, value []byte) {
	if !ReservedTrailer(name) && !(IsBinaryName(name) && AppendBinaryValues(&c.trailBinary, name, value)) {
		c.trail.Add(name, value) // what is not base64 stays text (ours, rule 5)
	}
}

// ContentEnd tells that the content ended, with a trailer section. It is read when
// the content is, so that what is wrong with that is found first, however much of
// it was at hand (ours, rule 11).
func (c *ClientCall) ContentEnd(fields Fields) ([]Event, error) {
	if err := c.begin(cmdContent); err != nil {
		return nil, err
	}
	c.contentEnded = true
	if c.tailWaits = c.d.trailers; c.tailWaits {
		c.tail = Fields{list{append(c.tail.b[:0], fields.b...), fields.n}} // whose count is checked when it is read
	}
	c.receive()
	return c.events, nil
}

func (c *ClientCall) trailers() bool { return !c.tailWaits || c.readTail(c.tail) }

// The receiving half, in this role.

func (c *ClientCall) whole() { c.d.finish(c) }

func (c *ClientCall) received() {
	if !c.ended || c.early && c.announced > 0 { // gRPC's "Response-Headers" have no status
		c.failText(Internal, c.d.noEnd) // ours, rule 1
		return
	}
	c.conclude()
}

func (c *ClientCall) marker(payload []byte, compressed bool) { c.unpack(payload, compressed) }

// receiveFault ends the call. An error that the peer has told says more than what
// is wrong with its content.
func (c *ClientCall) receiveFault(code Code, text []byte) {
	if c.told() && !c.early {
		c.outcome(c.parsed.Code, c.parsed.Message, c.parsed.Details)
		return
	}
	c.outcome(code, text, Pairs{})
}

func (c *ClientCall) stop(code Code, text []byte) { c.outcome(code, text, Pairs{}) }

// conclude ends a call whose outcome has come, when its content has ended.
func (c *ClientCall) conclude() {
	if c.parsed.Code == OK && c.single && !c.deliverOne() {
		return
	}
	c.outcome(c.parsed.Code, c.parsed.Message, c.parsed.Details)
}

// outcome ends the call, after the messages of a stream that came before (ours,
// rule 9). An error that came without a text gets one (ours, rule 7).
func (c *ClientCall) outcome(code Code, message []byte, details Pairs) {
	if !c.single {
		c.deliver()
	}
	if len(message) == 0 && code != OK {
		message = c.say(code.meaning())
	}
	if c.again.asked && code != OK {
		c.again.tell(c.emit(EventRetry), code)
	}
	e := c.emit(EventEnd)
	e.Code, e.Message, e.Details = code, message, details
	e.Fields, e.Binary = c.trail, c.trailBinary
	c.mode = receiveNothing
	c.receiving, c.sending = over, over
}

func (c *ClientCall) failText(code Code, parts ...string) {
	c.outcome(code, c.say(parts...), Pairs{})
}

// failStatus ends the call with what the HTTP status says.
func (c *ClientCall) failStatus() {
	c.say("the response has the HTTP status ")
	c.text = appendDecimal(c.text, uint64(c.status))
	c.outcome(CodeOfHTTPStatus(int(c.status)), c.text, Pairs{})
}

// unpack goes on in the dialect's unpacked with what the core itself must read,
// once it is decompressed: here, or by the host, while receiving pauses.
func (c *ClientCall) unpack(content []byte, compressed bool) {
	switch {
	case !compressed || len(content) == 0:
		c.d.unpacked(c, content, 0)
	case c.packed.native():
		c.paused = true
		if !c.single {
			c.deliver()
		}
		e := c.emit(EventDecompress)
		e.Coding, e.Limit, e.Data = c.packed.index, c.limit, content
	default:
		out, fault := c.unpackOwn(c.encoded[:0], content)
		c.encoded = out[:0]
		c.d.unpacked(c, out, fault)
	}
}

// Decompressed answers an EventDecompress, as Reject does where the data is bad.
func (c *ClientCall) Decompressed(data []byte) ([]Event, error) {
	if err := c.begin(cmdDecompressed); err != nil {
		return nil, err
	}
	if !c.paused {
		return nil, ErrState
	}
	fault := Reason(0)
	if uint64(len(data)) > uint64(c.limit) {
		fault = RejectTooLarge
	}
	c.unpacked(data, fault)
	return c.events, nil
}

// unpacked goes on after a pause.
func (c *ClientCall) unpacked(data []byte, fault Reason) {
	c.paused = false
	c.d.unpacked(c, data, fault)
	c.receive()
}

// Reject tells what the host found out about a message. text is for the local
// application.
func (c *ClientCall) Reject(reason Reason, text []byte) ([]Event, error) {
	if err := c.begin(cmdReject); err != nil {
		return nil, err
	}
	if !reason.valid() {
		return nil, errReason
	}
	if c.paused && reason.received() {
		c.unpacked(nil, reason)
		return c.events, nil
	}
	code, _ := c.verdict(reason)
	c.outcome(code, c.explain(text), Pairs{})
	return c.events, nil
}

// PeerGone tells that nothing more comes from the peer, although its content did
// not end. resetCode has a meaning with GoneReset; text is for the local
// application. Ours, rule 1: unavailable where the connection failed; gRPC
// PROTOCOL-HTTP2.md, "Errors", which the Connect protocol follows, where the
// stream was reset with a code.
func (c *ClientCall) PeerGone(reason Gone, resetCode uint32, text []byte) ([]Event, error) {
	if err := c.goneBegin(reason); err != nil {
		return nil, err
	}
	switch {
	case c.contentEnded: // all has come, and some of it waits to be read
		return c.events, nil
	case c.ended && !(c.early && (c.parsed.Code == OK || c.announced > 0)): // what says the outcome had come
		c.conclude()
		return c.events, nil
	}
	c.again.unprocessed = c.status == 0 && (reason == GoneRefused || reason == GoneReset && resetCode == refusedStream)
	code, what := Unavailable, "the connection ended before the response did"
	switch reason {
	case GoneRefused:
		what = "the server cannot be reached"
	case GoneReset:
		code, what = codeOfReset(resetCode), "the server reset the stream"
	case GoneBroken:
		code, what = Internal, "the response is not HTTP" // ours, rule 1: never to be tried again
	case GoneLarge:
		code, what = ResourceExhausted, tooMuchText
	}
	c.say(what)
	c.outcome(code, c.explain(text), Pairs{})
	return c.events, nil
}

const refusedStream = 0x7

// codeOfReset maps an HTTP/2 error code (RFC 9113 section 7).
func codeOfReset(code uint32) Code {
	switch code {
	case refusedStream:
		return Unavailable
	case 0x8: // CANCEL
		return Canceled
	case 0xb: // ENHANCE_YOUR_CALM
		return ResourceExhausted
	case 0xc: // INADEQUATE_SECURITY
		return PermissionDenied
	}
	return Internal
}
