package core

// RequestHead is what a server's HTTP side knows when a request begins.
type RequestHead struct {
	Method []byte
	Path   []byte // as it stands in the target, without percent-decoding
	Query  []byte // raw, without "?"
	Fields Fields
}

// Capabilities says what the host's HTTP side can do for a response.
type Capabilities struct {
	Trailers bool // send a trailer section
	Duplex   bool // start the response before the request has ended
	Prepare  bool // answer a plain success by itself (EventPrepared)
}

// Open begins a call with a request's head. end says that no content follows.
func (s *Server) Open(c *Call, h *RequestHead, can Capabilities, end bool) []Event {
	c.opened(stateUnread)
	c.server = s
	c.canTrailers = can.Trailers
	c.ended = end
	f := &c.in
	if !f.read(h.Fields, ReservedRequest, nil) {
		return c.refuse(400, "", "") // RFC 9110 section 5.5: a NUL is invalid
	}

	// Ours, rule 10: exact paths; then RFC 9110 sections 15.5.5, 15.5.6, 15.5.16.
	index, ok := s.routes[string(h.Path)]
	if !ok {
		return c.refuse(404, "", "")
	}
	c.proc = &s.cfg.Procedures[index]
	allowGet := c.proc.NoSideEffects && c.proc.Stream == Unary
	switch {
	case string(h.Method) == "POST":
	case string(h.Method) == "GET" && allowGet:
		c.isGet = true
	case allowGet:
		return c.refuse(405, "allow", "GET, POST")
	default:
		return c.refuse(405, "allow", "POST")
	}

	protocol := ProtocolConnect
	var codec []byte
	if c.isGet {
		c.form = connectUnary{}
		if fault := ParseGet(h.Query, &c.get); fault != GetOK {
			c.answerText(InvalidArgument, fault.String())
			return c.events
		}
		if s.cfg.RequireVersion && !c.get.HasVersion {
			c.answerText(InvalidArgument, "the request has no connect parameter, and this server requires it")
			return c.events
		}
		codec = c.get.Codec
	} else {
		protocol, codec, ok = c.chooseForm(f.values[fieldContentType])
	}
	if ok {
		c.codec, ok = s.codecIndex(codec)
	}
	if !ok {
		return c.refuse(415, "accept-post", s.acceptedTypes(c.proc.Stream != Unary))
	}
	if !c.openProtocol(f, protocol, can) {
		return c.events
	}

	timeout, ok := f.timeout(protocol)
	if !ok {
		c.answerText(InvalidArgument, "the timeout is not a number that the protocol allows")
		return c.events
	}
	switch {
	case f.tooMuch:
		c.answerText(ResourceExhausted, "the request has more metadata than this server accepts")
		return c.events
	case f.malformed:
		c.answerText(InvalidArgument, "a binary metadata value is not base64")
		return c.events
	case timeout == 0:
		c.answerText(DeadlineExceeded, "the deadline has passed")
		return c.events
	}

	e := c.emit(EventRequest)
	e.Procedure, e.Protocol, e.Codec = index, protocol, c.codec
	e.Coding, e.CompressMin = c.out, c.compressMin
	e.Timeout, e.Get = timeout, c.isGet
	e.ContentInline = c.needBytes
	e.Hidden, e.Binary = f.hidden, f.binary
	if !c.single {
		c.state = stateOpen
	}

	switch {
	case can.Prepare && c.preparable():
		c.prepare()
	case c.isGet:
		c.openGet()
	case end:
		c.receive()
	}
	return c.events
}

// chooseForm finds the protocol and the codec that a content type names, and
// the form that answers in; ok is false where this procedure is not called so.
func (c *Call) chooseForm(contentType []byte) (p Protocol, codec []byte, ok bool) {
	t, ok := ParseContentType(contentType)
	stream := c.proc.Stream != Unary
	switch {
	case !ok:
	case t.Protocol == ProtocolGRPC:
		c.form = grpc{}
	case t.Protocol != ProtocolConnect || t.Stream != stream:
		ok = false
	case stream:
		c.form = connectStream{}
	default:
		c.form = connectUnary{}
	}
	return t.Protocol, t.Codec, ok
}

// refuse answers without a protocol: none is known to be spoken.
func (c *Call) refuse(status int, name, value string) []Event {
	c.head.Reset()
	if name != "" {
		c.head.AddString(name, value)
	}
	c.head.AddString("content-length", "0")
	e := c.emit(EventResponseHead)
	e.Status, e.Fields, e.End = uint32(status), c.head, true
	c.done()
	return c.events
}

func (s *Server) acceptedTypes(stream bool) string {
	if stream {
		return s.posts[1]
	}
	return s.posts[0]
}

func (s *Server) codecIndex(name []byte) (uint32, bool) {
	for i, c := range s.cfg.Codecs {
		if EqualFold(name, c) {
			return uint32(i), true
		}
	}
	return 0, false
}

// openProtocol reads the protocol's own fields and readies both halves. Where
// it answers the call it returns false.
func (c *Call) openProtocol(f *head, protocol Protocol, can Capabilities) bool {
	s := c.server
	coding, accept := f.values[fieldContentEncoding], f.values[fieldAcceptEncoding]
	switch {
	case protocol == ProtocolGRPC:
		coding, accept = f.values[fieldGRPCEncoding], f.values[fieldGRPCAccept]
	case c.form.stream():
		coding, accept = f.values[fieldStreamEncoding], f.values[fieldStreamAccept]
	case c.isGet:
		coding = c.get.Compression
	}
	if protocol == ProtocolGRPC && !can.Trailers {
		// Ours: without trailers a call could only end in an error, so it
		// does before the handler runs.
		c.answerText(Unimplemented, "this server cannot send trailers, and gRPC needs them: use the Connect protocol")
		return false
	}
	if protocol == ProtocolConnect && !c.isGet {
		// Connect "Unary-Request": Connect-Protocol-Version is "1".
		if f.has(fieldVersion) && string(f.values[fieldVersion]) != "1" {
			c.answerText(InvalidArgument, "the protocol version must be 1")
			return false
		}
		if !f.has(fieldVersion) && s.cfg.RequireVersion {
			c.answerText(InvalidArgument, "the request has no protocol version, and this server requires it")
			return false
		}
	}
	in := CodingIndex(coding, s.codings)
	if in < 0 {
		// Connect "Unary-Request", gRPC compression.md: unimplemented, and the
		// known codings are named.
		c.unknownCoding = true
		c.text = append(append(c.text[:0], "the compression is unknown; this server knows: "...), s.accept...)
		if s.accept == "" {
			c.text = append(c.text, "none"...)
		}
		c.answer(Unimplemented, c.text)
		return false
	}
	c.coding, c.limit = uint32(in), s.cfg.ReadMax
	c.native = in > 0 && s.cfg.Codings[in-1].Native
	c.needBytes = in > 0 && !c.native

	// Connect "Unary-Request", gRPC PROTOCOL-HTTP2.md: with no list, the
	// request's own coding is taken to be accepted.
	out := in
	if len(accept) > 0 {
		out = NegotiateCoding(accept, s.codings)
	}
	c.out, c.compressMin, c.sendMax = uint32(out), s.cfg.CompressMin, s.cfg.SendMax
	c.outNative = out > 0 && s.cfg.Codings[out-1].Native

	if c.form.stream() {
		c.mode = receiveEnvelopes
		c.single = !c.proc.Stream.manyRequests()
		// Without duplex a bidi call is answered when the request has ended.
		c.hold = c.single || c.proc.Stream == BidiStream && !can.Duplex
		return true
	}
	c.mode, c.single, c.hold = receiveWhole, true, true
	if f.has(fieldContentLength) && !c.isGet {
		if n, ok := parseDigits(f.values[fieldContentLength], lengthDigits); ok && n > uint64(c.limit) {
			c.receiveTooLarge(n)
			return false
		}
	}
	return true
}

// timeout reads the protocol's timeout, in microseconds.
func (f *head) timeout(p Protocol) (us uint64, ok bool) {
	switch {
	case p == ProtocolConnect && f.has(fieldConnectTimeout):
		return ParseConnectTimeout(f.values[fieldConnectTimeout])
	case p == ProtocolGRPC && f.has(fieldGRPCTimeout):
		return ParseGRPCTimeout(f.values[fieldGRPCTimeout])
	}
	return NoTimeout, true
}

// openGet takes the message of a "Unary-Get-Request" out of the query.
func (c *Call) openGet() {
	c.mode, c.needBytes = receiveNothing, true
	c.payload = append(c.payload[:0], c.get.Message...)
	switch {
	case uint64(len(c.payload)) > uint64(c.limit):
		c.receiveTooLarge(uint64(len(c.payload)))
		return
	case c.native && len(c.payload) > 0:
		e := c.emit(EventMessages)
		c.data = append(c.data[:0], c.payload...)
		c.spans = append(c.spans[:0], 0, uint32(len(c.data))|lengthBit)
		c.taken = len(c.spans)
		e.Coding, e.Limit, e.Inline = c.coding, c.limit, true
		e.Spans, e.Data = c.spans, c.data
	default:
		if !c.takePayload(0, uint32(len(c.payload)), c.coding != 0) {
			return
		}
		c.deliver()
	}
	c.receivedAll()
}
