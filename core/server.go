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

	// Unbounded: the host cannot tell where the request's content ends.
	Unbounded bool
}

// ServerCall is one RPC in the server role. The zero value is ready for
// Server.Open.
type ServerCall struct {
	call
	server      *Server
	proc        *Procedure
	canTrailers bool   // the host can send a trailer section
	codec       uint32 // index
	fault       Error  // what receiving failed with, while the handler runs
	faulted     bool
	get         GetQuery
	nameCodings bool // the request's coding is not known: name those that are
}

// Open begins a call with a request's head. end says that no content follows.
func (s *Server) Open(c *ServerCall, h *RequestHead, can Capabilities, end bool) []Event {
	c.opened(c, &serverAccepts)
	c.receiving = open
	c.server, c.canTrailers, c.contentEnded = s, can.Trailers, end
	c.peer, c.malformed = "request", InvalidArgument
	c.fault.Message = c.fault.Message[:0]
	c.faulted, c.nameCodings = false, false
	f := &c.Memory.in
	if !f.read(h.Fields, ReservedRequest, nil) {
		return c.refuse(400, "", "") // RFC 9110 section 5.5: a NUL is invalid
	}

	// Ours, rule 10: exact paths; then RFC 9110 sections 15.5.5, 15.5.6, 15.5.16.
	index, ok := s.routes[string(h.Path)]
	if !ok {
		return c.refuse(404, "", "")
	}
	c.proc = &s.cfg.Procedures[index]
	kind := c.proc.Stream
	allowGet := c.proc.NoSideEffects && kind == Unary && !s.cfg.NotServed[connectGet.protocol]
	var codec []byte
	var fault GetFault
	switch {
	case string(h.Method) == "POST":
		c.d, codec = dialectFor(f.values[fieldContentType], kind)
	case string(h.Method) == "GET" && allowGet:
		c.d = &connectGet
		fault = ParseGet(h.Query, &c.get)
		codec = c.get.Codec
	case allowGet:
		return c.refuse(405, "allow", "GET, POST")
	default:
		return c.refuse(405, "allow", "POST")
	}
	if c.d != nil {
		c.codec, ok = s.codecIndex(codec)
	}
	if c.d == nil || !ok || s.cfg.NotServed[c.d.protocol] {
		return c.refuse(415, "accept-post", s.posts[kind])
	}
	if can.Unbounded && !c.d.get {
		return c.refuse(411, "", "") // ours, rule 12
	}
	if fault != GetOK {
		return c.answer(InvalidArgument, string(fault))
	}
	if !c.agree(f, can) {
		return c.events
	}

	timeout, ok := c.d.timeoutOf(f)
	switch {
	case !ok:
		return c.answer(InvalidArgument, "the timeout is not a number that the protocol allows")
	case f.tooMuch:
		return c.answer(ResourceExhausted, "the request has more metadata than this server accepts")
	case timeout == 0:
		return c.answer(DeadlineExceeded, deadlineText)
	}

	e := c.emit(EventRequest)
	e.Procedure, e.Protocol, e.Codec = index, c.d.protocol, c.codec
	if c.out.native() {
		e.Coding, e.CompressMin = c.out.index, c.compressMin
	}
	e.Timeout, e.Get = min(timeout, s.cfg.TimeoutMax), c.d.get
	e.ContentInline, e.SendInline = c.needBytes, c.out.here() || c.d.text
	e.Hidden, e.Binary = f.hidden, f.binary
	if !c.single {
		c.sending = open
	}

	switch {
	case can.Prepare && c.d.plain != nil && kind == Unary && (c.d.envelopes || !c.packed.here()):
		c.prepare()
	case c.contentEnded:
		c.receive()
	}
	return c.events
}

// refuse answers without a protocol: none is known to be spoken.
func (c *ServerCall) refuse(status int, name, value string) []Event {
	c.head.Reset()
	if name != "" {
		c.head.AddString(name, value)
	}
	c.head.AddString(nameContentLength, "0")
	e := c.emit(EventResponseHead)
	e.Status, e.Fields, e.End = uint32(status), c.head, true
	c.d = nil
	c.done(CodeOfHTTPStatus(status))
	return c.events
}

func (s *Server) codecIndex(name []byte) (uint32, bool) {
	for i, c := range s.cfg.Codecs {
		if EqualFold(name, c) {
			return uint32(i), true
		}
	}
	return 0, false
}

// agree reads what the protocol's own fields say about the content and readies
// both halves. Where it answers the call it returns false.
func (c *ServerCall) agree(f *head, can Capabilities) bool {
	s, d := c.server, c.d
	if d.trailers && !can.Trailers {
		// Ours, rule 12: without trailers a call could only end in an error, so it
		// does before the handler runs.
		c.answer(Unimplemented, "this server cannot send trailers, and gRPC needs them: use the Connect protocol")
		return false
	}
	// Connect "Unary-Request": Connect-Protocol-Version is "1".
	switch named := f.has(d.version); {
	case named && string(f.values[d.version]) != protocolVersion:
		c.answer(InvalidArgument, "the protocol version must be 1")
		return false
	case s.cfg.RequireVersion && (d.get && !c.get.HasVersion || d.version != fieldNone && !named):
		c.answer(InvalidArgument, "the request does not name the protocol's version, and this server requires it")
		return false
	}
	// A head that announces no content is complete, whatever the server tells.
	length, known := parseDigits(f.values[fieldContentLength], lengthDigits)
	if !c.contentEnded && (known && length == 0 || d.get && !f.has(fieldTransferEncoding)) {
		c.contentEnded, c.byHead = true, true
	}
	coding := f.values[d.coding]
	if d.get {
		coding = c.get.Compression
	}
	in := CodingIndex(coding, s.offer.names)
	if in < 0 {
		// Connect "Unary-Request", gRPC compression.md: unimplemented, and the
		// known codings are named.
		c.nameCodings = s.offer.accept != ""
		c.answer(Unimplemented, "the compression is unknown; this server knows: ", s.offer.known())
		return false
	}
	c.packed, c.limit = s.offer.packing(in), s.cfg.ReadMax
	c.needBytes, c.base64 = c.packed.here() || d.text, d.text

	// Connect "Unary-Request", gRPC PROTOCOL-HTTP2.md: with no list, the
	// request's own coding is taken to be accepted.
	out := in
	if accept := f.values[d.accept]; len(accept) > 0 {
		out = NegotiateCoding(accept, s.offer.names)
	}
	c.out, c.compressMin, c.sendMax = s.offer.packing(out), s.cfg.CompressMin, s.cfg.SendMax

	if d.envelopes {
		c.mode = receiveEnvelopes
		c.single = !c.proc.Stream.manyRequests()
		// Without duplex a bidi call is answered when the request has ended.
		c.hold = c.single || c.proc.Stream == BidiStream && !can.Duplex
		return true
	}
	c.mode, c.single, c.hold = receiveWhole, true, true
	switch {
	case d.get && length > 0:
		c.answer(InvalidArgument, textGetContent)
		return false
	case d.get:
		c.mode = receiveGet
		c.leading.add(weight{1, len(nameVary) + len(nameAcceptEncoding)}) // at its peer it counts, too
	case length > uint64(c.limit):
		c.receiveBad(RejectTooLarge)
		return false
	}
	return true
}

const textGetContent = "the request is a GET, and so it must not have content"

const lengthDigits = 19 // all that surely fit 64 bits

// timeoutOf reads the protocol's timeout, in microseconds.
func (d *dialect) timeoutOf(f *head) (us uint64, ok bool) {
	if !f.has(d.timeout) {
		return NoTimeout, true
	}
	return d.parseTimeout(f.values[d.timeout])
}

// prepare says how a plain success is answered, and closes the call. Opening
// depends on nothing but the configuration and the head, so a host may open the
// same call again for everything that is not a plain success.
func (c *ServerCall) prepare() {
	c.head.Reset()
	e := c.emit(EventPrepared)
	e.HasTrailers = c.d.trailers
	if c.d.envelopes {
		e.Prefix, e.Mark = prefixSize, flagCompressed
	} else {
		e.Length = lengthName
	}
	if c.packed.native() {
		e.Coding = c.packed.index
	}
	c.d.plain(c, e)
	e.Limit, e.Status, e.Fields = c.limit, 200, c.head
	e.Matters, e.HeadMax = c.Memory.in.matters, MaxMetadata
	e.ReplyMax = MaxReadMax
	if c.sendMax > 0 {
		e.ReplyMax = min(e.ReplyMax, c.sendMax)
	}
	switch {
	case c.out.here():
		e.ReplyMax = min(e.ReplyMax, max(c.compressMin, 1)-1)
	case c.out.native() && !c.d.envelopes: // where there are envelopes, the head names the coding in any case
		c.lead.AddString(fieldNames[c.d.coding], c.server.offer.name(c.out))
		e.Packed = c.lead
	}
	c.close()
}

var lengthName = []byte(nameContentLength)

// The receiving half, in this role.

func (c *ServerCall) whole() {
	if c.d.get {
		c.receiveQuery()
		return
	}
	c.takeWhole()
	c.received()
}

func (c *ServerCall) received() {
	if !c.single {
		c.deliver()
	} else if !c.deliverOne() {
		return
	}
	c.emit(EventReceived)
	c.receiving = ended
	if c.sending == idle {
		c.sending = open
	}
}

func (c *ServerCall) trailers() bool { return true }

// marker has no meaning in this role: no protocol ends a request so.
func (c *ServerCall) marker([]byte, bool) {}

// receiveFault tells a handler that waits for messages; where none has begun,
// the call is answered. What came before is delivered first (ours, rule 9).
func (c *ServerCall) receiveFault(code Code, text []byte) {
	if c.sending == idle {
		c.answerWith(c.fail(code, text), 0)
		return
	}
	c.deliver()
	c.tell(code, text)
}

// tell tells a running handler that receiving failed, and remembers it: a call
// that received malformed data does not end well.
func (c *ServerCall) tell(code Code, text []byte) {
	c.mode, c.receiving = receiveNothing, ended
	c.faulted = true
	c.fault.Code = code
	c.fault.Message = append(c.fault.Message[:0], text...)
	e := c.emit(EventReceived)
	e.Code, e.Message = code, c.fault.Message
}
