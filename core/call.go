package core

// Call is one RPC, in either role: a ServerCall or a ClientCall. Server.Open or
// Client.Open begins it; each method tells it what happened and returns the
// events that follow. A command that is not for the call's role or state returns
// ErrState and changes nothing.
//
// Returned events, and all that they point to, hold until the next method, of any
// call with the same Memory. A call is not safe for concurrent use. When it is over it may be opened again;
// its buffers are kept, so that a reused call allocates nothing.
type Call interface {
	ResponseHead(status uint32, fields Fields, end bool) ([]Event, error)
	Content(length uint32, data []byte, end, resume bool) ([]Event, error)
	ContentEnd(fields Fields) ([]Event, error)
	PeerGone(reason Gone, resetCode uint32, text []byte) ([]Event, error)
	Headers(fields Fields, binary Pairs, flush bool) ([]Event, error)
	Send(lengths []uint32, data []byte, inline bool) ([]Event, error)
	End(o *Outcome) ([]Event, error)
	Reject(reason Reason, text []byte) ([]Event, error)
	Deadline() ([]Event, error)
	Cancel() ([]Event, error)
	Decompressed(data []byte) ([]Event, error)
	Over() bool
}

// call is what both roles have: the two halves, the events, and memory.
type call struct {
	// Memory may be shared with other calls. Where there is none, the call makes
	// its own.
	Memory *Memory

	d         *dialect
	role      role
	accepts   *accepts
	receiving half
	sending   half

	events []Event
	receiver
	sender
	text    []byte // of an error that is being made
	failure Error
}

// role is what a ServerCall and a ClientCall do differently over the same halves.
type role interface {
	// whole follows the last byte of content that is not envelopes.
	whole()
	// trailers follows the last byte of envelopes: false where they end the call.
	trailers() bool
	// received follows the last message of envelopes.
	received()
	// marker takes the payload of the end marker.
	marker(payload []byte, compressed bool)
	// receiveFault ends receiving: the content is bad. What came before was taken.
	receiveFault(code Code, text []byte)
	// stop ends the call because of what happened outside of the protocol.
	stop(code Code, text []byte)
}

// opened readies c for a new call.
func (c *call) opened(r role, a *accepts) {
	c.role, c.accepts = r, a
	c.d = nil
	c.receiving, c.sending = idle, idle
	c.events = c.memory().events[:0]
	c.receiver.reset()
	c.sender.reset()
}

// begin starts a command: it checks the state and forgets earlier events.
func (c *call) begin(cmd command) error {
	if c.role == nil || (c.accepts.receiving[c.receiving]|c.accepts.sending[c.sending])&cmd == 0 {
		return ErrState
	}
	c.events = c.memory().events[:0]
	c.receiver.forget()
	c.stepMessages, c.stepBytes = 0, 0
	return nil
}

func (c *call) emit(kind EventKind) *Event {
	if n := len(c.events); n < cap(c.events) {
		c.events = c.events[:n+1]
		c.events[n] = Event{}
	} else {
		c.events = append(c.events, Event{})
		c.Memory.events = c.events
	}
	e := &c.events[len(c.events)-1]
	e.Kind = kind
	return e
}

// Over says whether the call is over, or was never opened. A client's may still
// be told that a message which came is bad.
func (c *call) Over() bool { return c.role == nil || c.receiving == over }

// Headers is a server's command.
func (c *call) Headers(Fields, Pairs, bool) ([]Event, error) { return nil, ErrState }

// ResponseHead is a client's command.
func (c *call) ResponseHead(uint32, Fields, bool) ([]Event, error) { return nil, ErrState }

// Decompressed is a client's command.
func (c *call) Decompressed([]byte) ([]Event, error) { return nil, ErrState }

// Deadline tells that the call's deadline passed.
func (c *call) Deadline() ([]Event, error) {
	if err := c.begin(cmdDeadline); err != nil {
		return nil, err
	}
	c.role.stop(DeadlineExceeded, c.say(deadlineText))
	return c.events, nil
}

const deadlineText = "the deadline has passed"

// Cancel tells that the local application gave up.
func (c *call) Cancel() ([]Event, error) {
	if err := c.begin(cmdCancel); err != nil {
		return nil, err
	}
	c.role.stop(Canceled, c.say("the call was canceled"))
	return c.events, nil
}

// say makes the text of an error out of parts.
func (c *call) say(parts ...string) []byte {
	c.text = c.text[:0]
	for _, part := range parts {
		c.text = append(c.text, part...)
	}
	return c.text
}

// explain adds what the host says to what the core has just said.
func (c *call) explain(text []byte) []byte {
	if len(text) > 0 {
		c.text = append(append(c.text, ": "...), text...)
	}
	return c.text
}

// fail makes an error of the core's own.
func (c *call) fail(code Code, text []byte) *Error {
	c.failure.Code = code
	c.failure.Message = append(c.failure.Message[:0], text...)
	c.failure.Details.Reset()
	return &c.failure
}

func (c *call) memory() *Memory {
	if c.Memory == nil {
		c.Memory = new(Memory)
	}
	return c.Memory
}

// scratch returns b emptied, and without what a large call left behind.
func scratch[T any](b []T) []T {
	const keep = 256 << 10
	if cap(b) > keep {
		return nil
	}
	return b[:0]
}

// Gone says how a peer went away.
type Gone uint32

const (
	GoneClosed  Gone = 1 // the connection ended or broke
	GoneRefused Gone = 2 // no connection, or the stream was refused before any work
	GoneReset   Gone = 3 // the stream was reset, with a code
	GoneBroken  Gone = 4 // what came is not HTTP
	GoneLarge   Gone = 5 // a section of fields is larger than the host takes
)

// goneBegin starts PeerGone in both roles.
func (c *call) goneBegin(reason Gone) error {
	if err := c.begin(cmdPeerGone); err != nil {
		return err
	}
	if reason < GoneClosed || reason > GoneLarge {
		return Misuse("an unknown reason for a peer to be gone")
	}
	return nil
}

// Reason of a Reject: what the host found out about a message.
type Reason uint32

const (
	RejectDecode     Reason = 1 // received: not a message of the codec
	RejectDecompress Reason = 2 // received: does not decompress
	RejectTooLarge   Reason = 3 // received: decompresses to more than the limit
	RejectEncode     Reason = 4 // sent: cannot be encoded
	RejectLost       Reason = 5 // the call's state was lost; this is another call like it
	RejectBusy       Reason = 6 // there is no room for the call
	RejectKind       Reason = 7 // the host does not do calls of this kind
)

const errReason = Misuse("an unknown reason to reject a message")

func (r Reason) valid() bool { return r >= RejectDecode && r <= RejectKind }

// received says whether it is about a message that came.
func (r Reason) received() bool { return r <= RejectTooLarge }

// verdict is what a reason means. Ours, rule 2.
func (c *call) verdict(r Reason) (Code, []byte) {
	switch r {
	case RejectTooLarge:
		// It names the limit alone: how much came before it was found out depends
		// on how the content was cut.
		c.say("a message is larger than the limit of ")
		c.text = append(appendDecimal(c.text, uint64(c.limit)), " bytes"...)
		return ResourceExhausted, c.text
	case RejectEncode:
		return Internal, c.say("the message to send cannot be encoded")
	case RejectLost:
		return Internal, c.say("the call failed inside")
	case RejectBusy:
		return ResourceExhausted, c.say("too many calls are under way")
	case RejectKind:
		return Unimplemented, c.say("calls of this kind are not made here")
	case RejectDecompress:
		return c.malformed, c.say("a message does not decompress")
	}
	return c.malformed, c.say("a message does not decode")
}
