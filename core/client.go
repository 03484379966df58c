package core

// clientCall is what a Call needs in the client role only. Version 1.0 of the
// module's interface makes Connect unary calls.
type clientCall struct {
	timeout     uint64
	askedGet    bool
	procedure   []byte
	target      []byte
	status      uint32 // of a response that is an error
	httpText    []byte
	parsed      Error
	trailing    Fields // "trailer-" fields, without the prefix
	trailingBin Pairs
	trailerBad  bool // a binary value of it is not base64
	takeTrailer func(name, value []byte) bool
}

// Open begins a call in the client role. timeout is in microseconds. The
// application's message follows with Send and End; with get, the call is made
// by an HTTP GET if its target does not become too long.
func (cl *Client) Open(c *Call, procedure []byte, stream StreamType, timeout uint64, fields Fields, binary Pairs, get bool) []Event {
	c.opened(stateAsking)
	c.client = cl
	c.timeout, c.askedGet, c.status = timeout, get, 0
	c.procedure = append(c.procedure[:0], procedure...)
	c.trailing.Reset()
	c.trailingBin.Reset()
	c.out, c.compressMin, c.sendMax = cl.cfg.SendCoding, cl.cfg.CompressMin, cl.cfg.SendMax
	c.outNative = c.out > 0 && cl.cfg.Codings[c.out-1].Native
	switch wrong := checkMetadata(fields, binary, ReservedRequest); {
	case cl.cfg.Protocol != ProtocolConnect || stream != Unary:
		c.clientFailedText(Unimplemented, "this version makes unary calls of the Connect protocol only")
	case wrong != "":
		c.clientFailedText(Internal, wrong) // ours, rule 5
	case len(procedure) < 2 || procedure[0] != '/' || !validTarget(string(procedure)):
		c.clientFailedText(Internal, "a procedure must look like /pkg.Service/Method")
	case timeout == 0:
		c.clientFailedText(DeadlineExceeded, "the deadline has passed")
	default:
		c.scratch = addMetadata(&c.lead, "", fields, binary, c.scratch)
	}
	return c.events
}

func (c *Call) clientSend(lengths []uint32, data []byte, inline bool) ([]Event, error) {
	if c.replied || len(lengths) != 1 || c.askedGet && !inline {
		return nil, ErrState
	}
	tooLarge, err := c.takePayloads(lengths, data, inline)
	if err != nil {
		return nil, err
	}
	if tooLarge {
		c.clientFailedText(ResourceExhausted, "the message is larger than this client sends")
		return c.events, nil
	}
	c.reply, c.replied = c.payloads[0], true
	return c.events, nil
}

// clientEnd writes a "Unary-Request" or a "Unary-Get-Request".
func (c *Call) clientEnd() ([]Event, error) {
	if !c.replied {
		return nil, ErrState
	}
	cfg := &c.client.cfg
	coding := ""
	if c.reply.compressed {
		coding = c.client.codings[c.out-1]
	}
	c.target = append(append(c.target[:0], cfg.Prefix...), c.procedure...)
	get := false
	if c.askedGet {
		n := len(c.target)
		c.target = append(c.target, '?')
		c.target = AppendGet(c.target, cfg.Codec, coding, c.replyData)
		if get = uint64(len(c.target)) <= uint64(cfg.GetMax); !get {
			c.target = c.target[:n]
		}
	}
	c.head.Reset()
	if !get {
		c.body = AppendContentType(c.body[:0], ProtocolConnect, false, append(c.scratch[:0], cfg.Codec...))
		c.head.Begin("content-type")
		c.head.AppendValue(c.body)
		c.head.AddString("connect-protocol-version", "1")
		if coding == "" && c.out != 0 && c.reply.length == 0 && c.compressMin == 0 {
			// Connect "Unary-Request": content of no bytes is not decompressed,
			// whatever the field says; it tells what the client compresses with.
			coding = c.client.codings[c.out-1]
		}
		if coding != "" {
			c.head.AddString("content-encoding", coding)
		}
		c.head.Begin("content-length")
		c.head.AppendUint(uint64(c.reply.length))
	}
	if c.timeout != NoTimeout {
		c.body = AppendConnectTimeout(c.body[:0], c.timeout)
		c.head.Begin("connect-timeout-ms")
		c.head.AppendValue(c.body)
	}
	c.head.AddString("accept-encoding", c.client.accept)
	if _, own := c.lead.Get("user-agent"); !own && cfg.UserAgent != "" {
		c.head.AddString("user-agent", cfg.UserAgent)
	}
	c.head.addAll(c.lead)

	e := c.emit(EventRequestHead)
	e.Target, e.Fields = c.target, c.head
	e.Method = methodPost
	if get {
		e.Method = methodGet
	}
	e.End = get || c.reply.length == 0
	if !e.End {
		c.emitPayload(c.reply)
	}
	c.state = stateWaiting
	return c.events, nil
}

var methodPost, methodGet = []byte("POST"), []byte("GET")

// unaryResponseField says which fields of a Connect unary response are not
// leading metadata: the protocol's and the trailing ones.
func unaryResponseField(name []byte) bool {
	return ReservedResponse(name) || hasTrailerPrefix(name)
}

const trailerPrefix = "trailer-"

func hasTrailerPrefix(name []byte) bool {
	return len(name) >= len(trailerPrefix) && string(name[:len(trailerPrefix)]) == trailerPrefix
}

// ResponseHead gives the status and the header section of the final response.
// end: no content follows.
func (c *Call) ResponseHead(status uint32, fields Fields, end bool) ([]Event, error) {
	if err := c.begin(cmdResponseHead); err != nil {
		return nil, err
	}
	c.state = stateReading
	c.ended = end
	h := &c.in
	c.trailerBad = false
	if !h.read(fields, ReservedResponse, c.trailer()) {
		c.clientFailedText(Internal, "the response's head is not HTTP")
		return c.events, nil
	}
	cfg := &c.client.cfg
	in := CodingIndex(h.values[fieldContentEncoding], c.client.codings)
	t, known := ParseContentType(h.values[fieldContentType])
	known = known && t.Protocol == ProtocolConnect && !t.Stream
	c.limit = cfg.ReadMax
	if in > 0 {
		c.coding, c.native = uint32(in), cfg.Codings[in-1].Native
	}
	c.needBytes = status != 200 || in > 0 && !c.native

	e := c.emit(EventResponse)
	e.Hidden, e.Binary, e.ContentInline = h.hidden, h.binary, c.needBytes

	switch {
	case h.tooMuch || c.trailing.Len()+c.trailingBin.Len() > MaxMetadataFields ||
		len(c.trailing.Bytes())+len(c.trailingBin.Bytes()) > MaxMetadata:
		c.clientFailedText(ResourceExhausted, "the response has more metadata than this client accepts")
	case c.trailerBad || h.malformed:
		c.clientFailedText(Internal, "a binary metadata value of the response is not base64")
	case status != 200:
		// Connect "Error codes": where the content is no error, the status says.
		c.status = status
		c.httpText = appendDecimal(append(c.httpText[:0], "the response has the HTTP status "...), uint64(status))
		if !known || !EqualFold(t.Codec, "json") || in < 0 || in > 0 && c.client.codings[in-1] != "gzip" {
			c.clientFailed(CodeOfHTTPStatus(int(status)), c.httpText)
			break
		}
		c.mode = receiveWhole
		c.receive()
	case !known:
		c.clientFailedText(Unknown, "the response's content type is not one of this protocol")
	case !EqualFold(t.Codec, cfg.Codec):
		c.clientFailedText(Internal, "the response has another codec than the request")
	case in < 0:
		c.clientFailedText(Internal, "the response has a compression that was not offered")
	default:
		c.mode = receiveWhole
		if n, ok := parseDigits(h.values[fieldContentLength], lengthDigits); ok && n > uint64(c.limit) {
			c.receiveTooLarge(n)
			break
		}
		c.receive()
	}
	return c.events, nil
}

// trailer returns what collects trailing metadata out of the head (Connect
// "Unary-Response", Trailing-Metadata).
func (c *Call) trailer() func(name, value []byte) bool {
	if c.takeTrailer == nil {
		c.takeTrailer = func(name, value []byte) bool {
			if !hasTrailerPrefix(name) {
				return false
			}
			name = name[len(trailerPrefix):]
			switch {
			case ReservedTrailer(name):
			case IsBinaryName(name):
				if !AppendBinaryValues(&c.trailingBin, name, value) {
					c.trailerBad = true
				}
			default:
				c.trailing.Add(name, value)
			}
			return true
		}
	}
	return c.takeTrailer
}

// clientContent follows the last byte of the response.
func (c *Call) clientContent() {
	if c.status != 0 {
		body := c.payload
		if c.coding != 0 && len(body) > 0 {
			out, err := c.gz().Decompress(c.data[:0], body, int(c.limit))
			if err != nil {
				c.clientFailed(CodeOfHTTPStatus(int(c.status)), c.httpText)
				return
			}
			c.data, body = out, out
		}
		if !ParseError(body, CodeOfHTTPStatus(int(c.status)), &c.parsed) {
			c.clientFailed(CodeOfHTTPStatus(int(c.status)), c.httpText)
			return
		}
		c.clientOutcome(c.parsed.Code, c.parsed.Message, c.parsed.Details)
		return
	}
	if !c.takePayload(0, uint32(c.announced), c.coding != 0) {
		return
	}
	c.deliver()
	c.clientOutcome(OK, nil, Pairs{})
}

// clientOutcome ends the call.
func (c *Call) clientOutcome(code Code, message []byte, details Pairs) {
	e := c.emit(EventEnd)
	e.Code, e.Message, e.Details = code, message, details
	e.Fields, e.Binary = c.trailing, c.trailingBin
	c.done()
}

func (c *Call) clientFailedText(code Code, text string) {
	c.text = append(c.text[:0], text...)
	c.clientFailed(code, c.text)
}

func (c *Call) clientFailed(code Code, text []byte) { c.clientOutcome(code, text, Pairs{}) }

// Verdict says what a client call ends with when its host finds out something
// about its message after EventDone.
func (cl *Client) Verdict(reason Reason) (Code, string, error) {
	if !reason.valid() {
		return OK, "", errReason
	}
	code, what := reason.verdict(true)
	return code, what, nil
}

// clientPeerGone gives a broken exchange its code. Ours, rule 1: unavailable
// where the connection failed; gRPC PROTOCOL-HTTP2.md, "Errors", which the
// Connect protocol follows, where the stream was reset with a code.
func (c *Call) clientPeerGone(reason Gone, resetCode uint32, text []byte) {
	code, what := Unavailable, "the connection ended before the response did"
	switch reason {
	case GoneRefused:
		what = "the server cannot be reached"
	case GoneReset:
		code, what = codeOfReset(resetCode), "the server reset the stream"
	}
	c.clientFailed(code, c.explain(what, text))
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
