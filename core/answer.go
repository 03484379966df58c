package core

import "unicode/utf8"

// Answering a call in the server role: what the application does, and what ends
// a call without it.

// UnexpectedText is all that a peer learns of a failure that is no RPC error.
// Ours, rule 8: what it says goes to the host's log.
const UnexpectedText = "the handler failed unexpectedly"

// Outcome is how an application ends a call: Code OK or an error, and the
// trailing metadata.
type Outcome struct {
	Error
	Fields     Fields
	Binary     Pairs
	Unexpected bool // server: the handler failed in a way that the peer must not see
}

// Headers gives leading metadata, before the first message. With flush the
// response's head is sent now, where the protocol sends it before the end. What
// cannot be sent ends the call.
func (c *ServerCall) Headers(fields Fields, binary Pairs, flush bool) ([]Event, error) {
	if err := c.begin(cmdHeaders); err != nil {
		return nil, err
	}
	if c.headSent {
		return nil, ErrState
	}
	if code, wrong := checkMetadata(&c.leading, fields, binary, c.d.leading); code != OK {
		return c.answer(code, wrong), nil
	}
	c.scratch = addMetadata(&c.lead, "", fields, binary, c.scratch)
	if flush && c.proc.Stream.manyResponses() {
		c.emitHead()
	}
	return c.events, nil
}

// Send gives messages. A unary or client-stream call gives one, followed by End;
// other calls any number. lengths: bytes of each payload, with bit 31 set where
// the host compressed it; with inline, data holds the payloads, one after the
// other.
func (c *ServerCall) Send(lengths []uint32, data []byte, inline bool) ([]Event, error) {
	if err := c.begin(cmdSend); err != nil {
		return nil, err
	}
	many := c.proc.Stream.manyResponses()
	if !many && (c.replied || len(lengths) != 1) {
		return nil, ErrState
	}
	tooLarge, err := c.takePayloads(lengths, data, inline)
	switch {
	case err != nil:
		return nil, err
	case tooLarge:
		if many {
			c.unsent = c.payloads
		}
		c.answer(ResourceExhausted, "a message is larger than this server sends")
	case !many:
		c.reply, c.replied = c.payloads[0], true
	case len(c.payloads) > 0:
		if !c.headSent {
			c.emitHead()
		}
		c.inText(c.emitEnvelopes(c.payloads))
	}
	return c.events, nil
}

// End ends the application's part with the call's outcome.
func (c *ServerCall) End(o *Outcome) ([]Event, error) {
	if err := c.begin(cmdEnd); err != nil {
		return nil, err
	}
	e := &o.Error
	fields, binary := o.Fields, o.Binary
	refused, wrong := checkMetadata(new(weight), fields, binary, ReservedTrailer)
	switch {
	case refused != OK:
		e = c.fail(refused, c.say(wrong))
		fields, binary = Fields{}, Pairs{}
	case o.Unexpected:
		e = c.fail(Unknown, c.say(UnexpectedText))
	case e.Code > Unauthenticated:
		e = c.fail(Unknown, c.say("the handler failed with a code that does not exist"))
	case e.Code == OK && c.faulted:
		e = &c.fault
	case e.Code == OK && !c.replied && !c.proc.Stream.manyResponses():
		e = c.fail(Internal, c.say("the handler gave no message"))
	}
	code := e.Code
	if code == OK {
		e = nil
	}
	c.d.end(c, e, fields, binary)
	c.done(code)
	return c.events, nil
}

// Reject tells what the host found out about a message. text is what the codec
// says of one that does not decode: of JSON the peer is told (ours, rule 2).
func (c *ServerCall) Reject(reason Reason, text []byte) ([]Event, error) {
	if err := c.begin(cmdReject); err != nil {
		return nil, err
	}
	if !reason.valid() {
		return nil, errReason
	}
	if c.sending == idle && reason < RejectLost {
		return nil, ErrState // no message has been shown yet
	}
	code, what := c.verdict(reason)
	if reason == RejectDecode && c.server.cfg.Codecs[c.codec] == jsonCodec {
		what = c.explain(shown(text))
	}
	if !c.single && reason.received() {
		c.tell(code, what)
	} else {
		c.answerWith(c.fail(code, what), 0)
	}
	return c.events, nil
}

// shown is what a peer may read of a codec's words about what it sent: at most
// 200 bytes of their first line, as far as it is UTF-8 without controls.
func shown(text []byte) []byte {
	for n := 0; n < len(text); {
		r, size := utf8.DecodeRune(text[n:])
		if r < ' ' || r == 0x7f || r == utf8.RuneError && size == 1 || n+size > 200 {
			return text[:n]
		}
		n += size
	}
	return text
}

// PeerGone tells that nobody waits for the response any more.
func (c *ServerCall) PeerGone(reason Gone, _ uint32, _ []byte) ([]Event, error) {
	if err := c.goneBegin(reason); err != nil {
		return nil, err
	}
	c.interrupt(c.fail(Canceled, c.say("the peer is gone")), 0)
	c.done(Canceled)
	return c.events, nil
}

func (c *ServerCall) stop(code Code, text []byte) {
	grace := uint32(0)
	if code == DeadlineExceeded {
		grace = DeadlineGrace
	}
	c.answerWith(c.fail(code, text), grace)
}

// interrupt tells a handler that runs that its call ends without it.
func (c *ServerCall) interrupt(e *Error, grace uint32) {
	if c.sending == open {
		stop := c.emit(EventStop)
		stop.Code, stop.Message, stop.Grace = e.Code, e.Message, grace
	}
}

// done ends the call, with the code that its peer is told.
func (c *ServerCall) done(code Code) {
	if c.server.cfg.Outcomes {
		e := c.emit(EventOutcome)
		if e.Code = code; c.d != nil {
			e.Protocol = c.d.protocol
		}
	}
	c.close()
}

func (c *ServerCall) close() {
	c.emit(EventDone)
	c.mode = receiveNothing
	c.receiving, c.sending = over, over
}

// answer ends the call with an error of the core's own, whether or not its
// handler runs.
func (c *ServerCall) answer(code Code, parts ...string) []Event {
	c.answerWith(c.fail(code, c.say(parts...)), 0)
	return c.events
}

func (c *ServerCall) answerWith(e *Error, grace uint32) {
	c.interrupt(e, grace)
	c.d.end(c, e, Fields{}, Pairs{})
	c.done(e.Code)
}

// What the protocols' own functions are made of.

// emitHead emits the head of a response with messages.
func (c *ServerCall) emitHead() *Event {
	c.head.Reset()
	c.d.begin(c)
	e := c.finishHead(200)
	e.HasTrailers = c.d.trailers
	return e
}

// finishHead emits c.head with the leading metadata behind it.
func (c *ServerCall) finishHead(status int) *Event {
	c.head.addAll(c.lead)
	e := c.emit(EventResponseHead)
	e.Status, e.Fields = uint32(status), c.head
	c.headSent = true
	return e
}

// inText writes content as the dialect's text, where it has one.
func (c *call) inText(e *Event) *Event {
	if c.d.text {
		c.encodeText(e)
	}
	return e
}

// beginEnd begins the envelope that ends a response; the caller appends what it
// holds to c.body and calls closeEnd.
func (c *ServerCall) beginEnd(e *Error) (b *Event, at int) {
	if !c.headSent {
		c.emitHead()
	}
	b = c.emitEnvelopes(c.left(e))
	at = len(c.body)
	c.body = append(c.body, c.d.endFlag, 0, 0, 0, 0)
	return b, at
}

func (c *ServerCall) closeEnd(b *Event, at int) {
	putPrefixLength(c.body[at:])
	b.Data, b.End = c.body, true
	c.inText(b)
}

// left returns the messages that a response still has to show at its end.
func (c *ServerCall) left(e *Error) []uint32 {
	if e == nil && c.replied {
		c.one[0] = c.reply
		return c.one[:]
	}
	return c.unsent
}

// addType adds the content type of a response with messages.
func (c *ServerCall) addType() { c.addTypeAs(nameContentType, c.server.cfg.Codecs[c.codec]) }

// beginEnvelopes adds what the head of every response with envelopes has.
func beginEnvelopes(c *ServerCall) {
	c.addType()
	if c.out.index != 0 {
		c.head.AddString(fieldNames[c.d.coding], c.server.offer.name(c.out))
	}
	c.addKnownCodings()
}

// addKnownCodings names the codings that are known, where the request's is not.
func (c *ServerCall) addKnownCodings() {
	if c.nameCodings {
		c.head.AddString(fieldNames[c.d.accept], c.server.offer.accept)
	}
}
