package core

// ClientCall is one RPC in the client role. The zero value is ready for
// Client.Open.
type ClientCall struct {
	call
	client      *Client
	stream      StreamType
	timeout     uint64
	askedGet    bool
	target      []byte
	status      uint32 // of the response
	tailIn      head   // the section that ends a response
	inTail      bool   // it is being read
	ended       bool   // the outcome has come: it is parsed
	early       bool   // in the head, so it holds only where nothing follows
	tailWaits   bool   // the trailer section has come: it is in c.tail
	parsed      Error
	endStream   EndStream
	trail       Fields // trailing metadata
	trailBinary Pairs
	takeTrailer func(name, value []byte) bool
	again       again
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
	Retry         bool   // say with a failure what another try may do
	Tries         uint32 // of this call that came before
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
	c.client, c.stream, c.timeout, c.status = cl, o.Stream, o.Timeout, 0
	c.target = append(append(c.target[:0], cl.cfg.Prefix...), o.Path...)
	c.trail.Reset()
	c.trailBinary.Reset()
	c.ended, c.early, c.tailWaits = false, false, false
	c.again = again{asked: o.Retry, tries: o.Tries}
	c.parsed.Reset()
	c.limit = cl.cfg.ReadMax
	c.out, c.compressMin, c.sendMax = cl.offer.packing(int(cl.cfg.SendCoding)), cl.cfg.CompressMin, cl.cfg.SendMax
	c.d = askFor(cl.cfg.Protocol, cl.cfg.Text, o.Stream)
	c.askedGet = o.Get && c.d.hasGet()
	switch code, wrong := checkMetadata(&c.leading, o.Fields, o.Binary, ReservedRequest); {
	case code != OK:
		c.failText(code, wrong)
	case len(o.Path) < 2 || o.Path[0] != '/' || !validTarget(string(o.Path)):
		c.failText(Internal, "a procedure must look like /pkg.Service/Method")
	case o.Timeout == 0:
		c.failText(DeadlineExceeded, deadlineText)
	default:
		c.scratch = addMetadata(&c.lead, "", o.Fields, o.Binary, c.scratch)
		if o.Stream.manyRequests() {
			c.emitHead()
		}
	}
	return c.events, nil
}

// Send gives messages: the lengths, and with inline the bytes, as for a
// ServerCall. A call that sends one gives one, followed by End.
func (c *ClientCall) Send(lengths []uint32, data []byte, inline bool) ([]Event, error) {
	if err := c.begin(cmdSend); err != nil {
		return nil, err
	}
	many := c.stream.manyRequests()
	if !many && (c.replied || len(lengths) != 1) || c.askedGet && !inline {
		return nil, ErrState
	}
	tooLarge, err := c.takePayloads(lengths, data, inline)
	switch {
	case err != nil:
		return nil, err
	case tooLarge:
		c.failText(ResourceExhausted, "the message is larger than this client sends")
	case !many:
		c.reply, c.replied = c.payloads[0], true
	case len(c.payloads) > 0:
		c.inText(c.emitEnvelopes(c.payloads))
	}
	return c.events, nil
}

// End says that no more messages follow; the outcome is not read.
func (c *ClientCall) End(*Outcome) ([]Event, error) {
	if err := c.begin(cmdEnd); err != nil {
		return nil, err
	}
	many := c.stream.manyRequests()
	switch {
	case !many && !c.replied:
		return nil, ErrState
	case c.d.ask != nil:
		c.d.ask(c)
	case many:
		c.emit(EventBody).End = true
	default:
		c.emitHead()
		c.one[0] = c.reply
		c.inText(c.emitEnvelopes(c.one[:])).End = true
	}
	c.sending, c.receiving = ended, max(c.receiving, awaited)
	return c.events, nil
}

// beginHead begins c.head. The timeout comes first, as PROTOCOL-HTTP2.md,
// "Requests", has it.
func (c *ClientCall) beginHead() {
	c.head.Reset()
	if c.timeout != NoTimeout {
		c.head.Begin(fieldNames[c.d.timeout])
		c.head.b = c.d.appendTimeout(c.head.b, c.timeout)
	}
}

// emitHead emits the head of a request whose messages are envelopes.
func (c *ClientCall) emitHead() {
	c.beginHead()
	c.addType()
	if c.d.version != fieldNone {
		c.head.AddString(fieldNames[c.d.version], protocolVersion)
	}
	if c.out.index != 0 {
		c.head.AddString(fieldNames[c.d.coding], c.client.offer.name(c.out))
	}
	if c.d.te {
		c.head.AddString("te", "trailers") // PROTOCOL-HTTP2.md, "TE"
	}
	if c.d.text { // PROTOCOL-WEB.md, "Text-encoded (response) streams"
		c.addTypeAs("accept", c.client.cfg.Codec)
	}
	c.finishHead(false, false)
	c.receiving = awaited
}

// addType adds the content type of a request.
func (c *ClientCall) addType() { c.addTypeAs(nameContentType, c.client.cfg.Codec) }

// finishHead emits c.head with what every request has behind it.
func (c *ClientCall) finishHead(get, end bool) {
	cfg := &c.client.cfg
	accept := c.client.offer.accept
	if accept != "" {
		c.head.AddString(fieldNames[c.d.accept], accept)
	}
	if accept == "" || c.d.accept != fieldAcceptEncoding {
		// Keeps HTTP libraries from offering their own for the content.
		c.head.AddString(nameAcceptEncoding, identity)
	}
	if _, own := c.lead.Get("user-agent"); !own && cfg.UserAgent != "" {
		c.head.AddString("user-agent", cfg.UserAgent)
	}
	if c.again.tries > 0 && c.d.tries != "" {
		c.head.addUint(c.d.tries, uint64(c.again.tries))
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
