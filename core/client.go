package core

// ClientCall is one RPC in the client role. The zero value is ready for
// Client.Open.
type ClientCall struct {
	call
	client      *Client
	timeout     uint64
	askedGet    bool
	target      []byte
	status      uint32 // of the response
	parsed      Error
	trail       Fields // trailing metadata
	trailBinary Pairs
	unpacking   bool // an EventDecompress waits for its answer
	takeTrailer func(name, value []byte) bool
}

// Argument is an error of the application's: what it asks for makes no sense.
type Argument string

func (e Argument) Error() string { return string(e) }

// Opening is what an application says when it begins a call.
type Opening struct {
	Path          []byte // "/pkg.Service/Method"
	Stream        StreamType
	NoSideEffects bool
	Get           bool   // by an HTTP GET, if the protocol has it and the target does not become too long
	Timeout       uint64 // microseconds, or NoTimeout
	Fields        Fields // leading metadata
	Binary        Pairs
}

// Open begins a call in the client role; the application's messages follow with
// Send and End. The error, if any, is an Argument; then no call is open.
func (cl *Client) Open(c *ClientCall, o *Opening) ([]Event, error) {
	if o.Get && !(o.NoSideEffects && o.Stream == Unary) {
		// A GET may be repeated and cached by anything on its way.
		return nil, Argument("only a unary procedure without side effects can be called by GET")
	}
	c.opened(c, &clientAccepts)
	c.sending = open
	c.peer, c.malformed = "response", Internal
	c.client, c.timeout, c.status = cl, o.Timeout, 0
	c.target = append(append(c.target[:0], cl.cfg.Prefix...), o.Path...)
	c.trail.Reset()
	c.trailBinary.Reset()
	c.unpacking = false
	c.limit = cl.cfg.ReadMax
	c.out, c.compressMin, c.sendMax = cl.offer.packing(int(cl.cfg.SendCoding)), cl.cfg.CompressMin, cl.cfg.SendMax
	c.d = askFor(cl.cfg.Protocol, o.Stream)
	c.askedGet = o.Get && c.d.hasGet()
	switch wrong := checkMetadata(o.Fields, o.Binary, ReservedRequest); {
	case c.d == nil:
		c.failText(Unimplemented, "this version makes unary calls of the Connect protocol only")
	case wrong != "":
		c.failText(Internal, wrong) // ours, rule 5
	case len(o.Path) < 2 || o.Path[0] != '/' || !validTarget(string(o.Path)):
		c.failText(Internal, "a procedure must look like /pkg.Service/Method")
	case o.Timeout == 0:
		c.failText(DeadlineExceeded, deadlineText)
	default:
		c.scratch = addMetadata(&c.lead, "", o.Fields, o.Binary, c.scratch)
	}
	return c.events, nil
}

// Send gives a message: the lengths, and with inline the bytes, as for a
// ServerCall. A GET's must be inline.
func (c *ClientCall) Send(lengths []uint32, data []byte, inline bool) ([]Event, error) {
	if err := c.begin(cmdSend); err != nil {
		return nil, err
	}
	if c.replied || len(lengths) != 1 || c.askedGet && !inline {
		return nil, ErrState
	}
	tooLarge, err := c.takePayloads(lengths, data, inline)
	if err != nil {
		return nil, err
	}
	if tooLarge {
		c.failText(ResourceExhausted, "the message is larger than this client sends")
		return c.events, nil
	}
	c.reply, c.replied = c.payloads[0], true
	return c.events, nil
}

// End says that no more messages follow; the outcome is not read.
func (c *ClientCall) End(*Outcome) ([]Event, error) {
	if err := c.begin(cmdEnd); err != nil {
		return nil, err
	}
	if !c.replied {
		return nil, ErrState
	}
	c.d.ask(c)
	c.sending, c.receiving = ended, awaited
	return c.events, nil
}

// addType adds the content type of a request.
func (c *ClientCall) addType() {
	c.head.Begin(nameContentType)
	c.head.b = c.d.appendType(c.head.b, c.client.cfg.Codec)
}

// finishHead emits c.head with what every request has behind it.
func (c *ClientCall) finishHead(get, end bool) {
	cfg := &c.client.cfg
	if c.timeout != NoTimeout {
		c.head.Begin(fieldNames[c.d.timeout])
		c.head.b = c.d.appendTimeout(c.head.b, c.timeout)
	}
	c.head.AddString(fieldNames[c.d.accept], c.client.offer.accept)
	if _, own := c.lead.Get("user-agent"); !own && cfg.UserAgent != "" {
		c.head.AddString("user-agent", cfg.UserAgent)
	}
	c.head.addAll(c.lead)
	e := c.emit(EventRequestHead)
	e.Target, e.Fields, e.End = c.target, c.head, end
	e.Method = methodPost
	if get {
		e.Method = methodGet
	}
}

var methodPost, methodGet = []byte("POST"), []byte("GET")

// ResponseHead gives the status and the header section of the final response.
// end: no content follows.
func (c *ClientCall) ResponseHead(status uint32, fields Fields, end bool) ([]Event, error) {
	if err := c.begin(cmdResponseHead); err != nil {
		return nil, err
	}
	c.receiving = open
	c.contentEnded, c.status = end, status
	h := &c.in
	if c.takeTrailer == nil {
		c.takeTrailer = func(name, value []byte) bool { return c.d.trailing != nil && c.d.trailing(c, name, value) }
	}
	if !h.read(fields, ReservedResponse, c.takeTrailer) {
		c.failText(Internal, "the response's head is not HTTP")
		return c.events, nil
	}
	t, known := ParseContentType(h.values[fieldContentType])
	coding := c.client.offer.packing(CodingIndex(h.values[c.d.coding], c.client.offer.names))
	c.needBytes = status != 200 || coding.here()

	e := c.emit(EventResponse)
	e.Hidden, e.Binary, e.ContentInline = h.hidden, h.binary, c.needBytes

	switch {
	case h.tooMuch || c.trail.Len()+c.trailBinary.Len() > MaxMetadataFields ||
		len(c.trail.Bytes())+len(c.trailBinary.Bytes()) > MaxMetadata:
		c.failText(ResourceExhausted, "the response has more metadata than this client accepts")
	default:
		c.d.answered(c, t, known && t.Protocol == c.d.protocol)
	}
	return c.events, nil
}

// addTrailing adds a field to the trailing metadata.
func (c *ClientCall) addTrailing(name, value []byte) {
	if !ReservedTrailer(name) && !(IsBinaryName(name) && AppendBinaryValues(&c.trailBinary, name, value)) {
		c.trail.Add(name, value) // what is not base64 stays text (ours, rule 5)
	}
}

// The receiving half, in this role.

func (c *ClientCall) whole()    { c.d.whole(c) }
func (c *ClientCall) received() {}

func (c *ClientCall) receiveFault(code Code, text []byte) { c.outcome(code, text, Pairs{}) }

func (c *ClientCall) stop(code Code, text []byte) { c.outcome(code, text, Pairs{}) }

// outcome ends the call. An error that came without a text gets one (ours, rule 7).
func (c *ClientCall) outcome(code Code, message []byte, details Pairs) {
	if len(message) == 0 && code != OK {
		message = c.say(code.meaning())
	}
	e := c.emit(EventEnd)
	e.Code, e.Message, e.Details = code, message, details
	e.Fields, e.Binary = c.trail, c.trailBinary
	c.mode = receiveNothing
	c.receiving, c.sending = over, over
}

// unpack goes on in the dialect's unpacked with what the core itself must read,
// once it is decompressed: here, or by the host.
func (c *ClientCall) unpack(content []byte, compressed bool) {
	switch {
	case !compressed || len(content) == 0:
		c.d.unpacked(c, content, 0)
	case c.packed.native():
		c.unpacking = true
		e := c.emit(EventDecompress)
		e.Coding, e.Limit, e.Data = c.packed.index, c.limit, content
	default:
		out, err := c.packed.own.decompress(c.memory(), c.data[:0], content, int(c.limit))
		c.data = out[:0]
		fault := Reason(0)
		if err == ErrTooLarge {
			fault = RejectTooLarge
		} else if err != nil {
			fault = RejectDecompress
		}
		c.d.unpacked(c, out, fault)
	}
}

// Decompressed answers an EventDecompress, as Reject does where the data is bad.
func (c *ClientCall) Decompressed(data []byte) ([]Event, error) {
	if err := c.begin(cmdDecompressed); err != nil {
		return nil, err
	}
	if !c.unpacking {
		return nil, ErrState
	}
	c.unpacking = false
	if uint64(len(data)) > uint64(c.limit) {
		c.d.unpacked(c, nil, RejectTooLarge)
	} else {
		c.d.unpacked(c, data, 0)
	}
	return c.events, nil
}

func (c *ClientCall) failText(code Code, parts ...string) {
	c.outcome(code, c.say(parts...), Pairs{})
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
	if c.unpacking && reason.received() {
		c.unpacking = false
		c.d.unpacked(c, nil, reason)
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
	code, what := Unavailable, "the connection ended before the response did"
	switch reason {
	case GoneRefused:
		what = "the server cannot be reached"
	case GoneReset:
		code, what = codeOfReset(resetCode), "the server reset the stream"
	case GoneBroken:
		code, what = Internal, "the response is not HTTP" // ours, rule 1: never to be tried again
	}
	c.say(what)
	c.outcome(code, c.explain(text), Pairs{})
	return c.events, nil
}

// codeOfReset maps an HTTP/2 error code (RFC 9113 section 7).
func codeOfReset(code uint32) Code {
	switch code {
	case 0x7: // REFUSED_STREAM
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
