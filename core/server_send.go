package core

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
// response's head is sent now, where the protocol sends it before the end.
func (c *Call) Headers(fields Fields, binary Pairs, flush bool) ([]Event, error) {
	if err := c.begin(cmdHeaders); err != nil {
		return nil, err
	}
	if c.headSent {
		return nil, ErrState
	}
	if c.wrong = checkMetadata(fields, binary, c.form.leading()); c.wrong != "" {
		return c.events, nil
	}
	c.scratch = addMetadata(&c.lead, "", fields, binary, c.scratch)
	if flush && c.proc.Stream.manyResponses() && c.form.stream() {
		c.emitHead()
	}
	return c.events, nil
}

// Send gives messages. In the server role a unary or client-stream call gives
// one, followed by End; other calls any number. lengths: bytes of each
// payload, with bit 31 set where the host compressed it; with inline, data
// holds the payloads, one after the other.
func (c *Call) Send(lengths []uint32, data []byte, inline bool) ([]Event, error) {
	if err := c.begin(cmdSend); err != nil {
		return nil, err
	}
	if c.client != nil {
		return c.clientSend(lengths, data, inline)
	}
	many := c.proc.Stream.manyResponses()
	if !many && (c.replied || len(lengths) != 1) {
		return nil, ErrState
	}
	if c.wrong != "" {
		return c.events, nil // the call fails when it ends
	}
	tooLarge, err := c.takePayloads(lengths, data, inline)
	switch {
	case err != nil:
		return nil, err
	case tooLarge:
		c.answerText(ResourceExhausted, "a message is larger than this server sends")
	case !many:
		c.reply, c.replied = c.payloads[0], true
	case len(c.payloads) > 0:
		if !c.headSent {
			c.emitHead()
		}
		c.emitEnvelopes(c.payloads)
	}
	return c.events, nil
}

// End ends the application's part: in the server role with the call's outcome,
// in the client role after its last message.
func (c *Call) End(o *Outcome) ([]Event, error) {
	if err := c.begin(cmdEnd); err != nil {
		return nil, err
	}
	if c.client != nil {
		return c.clientEnd()
	}
	e := &o.Error
	wrong := c.wrong
	if wrong == "" {
		wrong = checkMetadata(o.Fields, o.Binary, ReservedTrailer)
	}
	fields, binary := o.Fields, o.Binary
	switch {
	case wrong != "":
		// Ours, rule 5: such a field never reaches the wire.
		e = c.failed(Internal, wrong)
		c.lead.Reset()
		fields, binary = Fields{}, Pairs{}
	case o.Unexpected:
		e = c.failed(Unknown, UnexpectedText)
	case e.Code > Unauthenticated:
		e = c.failed(Unknown, "the handler failed with a code that does not exist")
	case e.Code == OK && c.faulted:
		e = &c.fault
	case e.Code == OK && !c.replied && !c.proc.Stream.manyResponses():
		e = c.failed(Internal, "the handler gave no message")
	}
	if e.Code == OK {
		e = nil
	}
	c.form.end(c, e, fields, binary)
	c.done()
	return c.events, nil
}

// failed makes an error of the core's own.
func (c *Call) failed(code Code, text string) *Error {
	c.failure.Code = code
	c.failure.Message = append(c.failure.Message[:0], text...)
	c.failure.Details.Reset()
	return &c.failure
}

// answerText and answer end a server call without, or over the head of, its
// handler.
func (c *Call) answerText(code Code, text string) { c.answerWith(c.failed(code, text)) }

func (c *Call) answer(code Code, text []byte) {
	e := c.failed(code, "")
	e.Message = append(e.Message, text...)
	c.answerWith(e)
}

func (c *Call) answerWith(e *Error) {
	if c.state == stateHandling || c.state == stateOpen {
		c.emit(EventStop).Code = e.Code
	}
	c.form.end(c, e, Fields{}, Pairs{})
	c.mode = receiveNothing
	c.done()
}

// Reason of a Reject: what the host found out about a message.
type Reason uint32

const (
	RejectDecode     Reason = 1 // received: not a message of the codec
	RejectDecompress Reason = 2 // received: does not decompress
	RejectTooLarge   Reason = 3 // received: decompresses to more than the limit
	RejectEncode     Reason = 4 // sent: cannot be encoded
)

const errReason = Misuse("an unknown reason to reject a message")

func (r Reason) valid() bool { return r >= RejectDecode && r <= RejectEncode }

// verdict is what a reason means. Ours, rule 2: content that a server cannot
// read is invalid_argument, never a server's fault; content that a client
// cannot read is internal.
func (r Reason) verdict(client bool) (Code, string) {
	switch {
	case r == RejectTooLarge:
		return ResourceExhausted, "a message is over the limit when decompressed"
	case r == RejectEncode:
		return Internal, "the message to send cannot be encoded"
	case r == RejectDecompress && client:
		return Internal, "a message does not decompress"
	case r == RejectDecompress:
		return InvalidArgument, "a message does not decompress"
	case client:
		return Internal, "a message does not decode"
	}
	return InvalidArgument, "a message does not decode"
}

// Reject tells what the host found out about a message. text is for the local
// application, and so has a meaning in the client role only.
func (c *Call) Reject(reason Reason, text []byte) ([]Event, error) {
	if err := c.begin(cmdReject); err != nil {
		return nil, err
	}
	if !reason.valid() {
		return nil, errReason
	}
	code, what := reason.verdict(c.client != nil)
	switch {
	case c.client != nil:
		c.clientFailed(code, c.explain(what, text))
	case c.state == stateOpen && reason != RejectEncode:
		c.text = append(c.text[:0], what...)
		c.emitFault(code, c.text)
	default:
		c.answerText(code, what)
	}
	return c.events, nil
}

// explain joins what the core says and what the host says.
func (c *Call) explain(what string, text []byte) []byte {
	c.text = append(c.text[:0], what...)
	if len(text) > 0 {
		c.text = append(append(c.text, ": "...), text...)
	}
	return c.text
}

// Deadline tells that the call's deadline passed.
func (c *Call) Deadline() ([]Event, error) {
	if err := c.begin(cmdDeadline); err != nil {
		return nil, err
	}
	const text = "the deadline has passed"
	if c.client != nil {
		c.clientFailedText(DeadlineExceeded, text)
	} else {
		c.answerText(DeadlineExceeded, text)
	}
	return c.events, nil
}

// Cancel tells that the local application gave up.
func (c *Call) Cancel() ([]Event, error) {
	if err := c.begin(cmdCancel); err != nil {
		return nil, err
	}
	const text = "the call was canceled"
	if c.client != nil {
		c.clientFailedText(Canceled, text)
	} else {
		c.answerText(Canceled, text)
	}
	return c.events, nil
}

// Gone says how a peer went away.
type Gone uint32

const (
	GoneClosed  Gone = 1 // the connection ended or broke
	GoneRefused Gone = 2 // no connection, or the stream was refused before any work
	GoneReset   Gone = 3 // the stream was reset, with a code
)

// PeerGone tells that nothing more comes from the peer, although its content
// did not end. resetCode has a meaning with GoneReset; text is for the local
// application.
func (c *Call) PeerGone(reason Gone, resetCode uint32, text []byte) ([]Event, error) {
	if err := c.begin(cmdPeerGone); err != nil {
		return nil, err
	}
	if reason < GoneClosed || reason > GoneReset {
		return nil, Misuse("an unknown reason for a peer to be gone")
	}
	if c.client != nil {
		c.clientPeerGone(reason, resetCode, text)
		return c.events, nil
	}
	if c.state == stateHandling || c.state == stateOpen {
		c.emit(EventStop).Code = Canceled
	}
	c.mode = receiveNothing
	c.done()
	return c.events, nil
}
