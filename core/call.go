package core

// Call is one RPC, in either role. Server.Open or Client.Open begins it; each
// other method tells it what happened and returns the events that follow.
// Returned events, and all that they point to, hold until the next method. A
// Call is not safe for concurrent use. After EventDone it may be opened again;
// its buffers are kept, so that a reused Call allocates nothing.
type Call struct {
	// Gzip is the memory that (de)compression works in, about 1 MiB once used.
	// Calls that are never in a method at the same time may share one; where
	// there is none, the call makes its own when it needs it.
	Gzip *Gzip

	server *Server
	client *Client
	state  state

	events []Event
	in     head
	receiver
	sender

	// Server role.
	proc        *Procedure
	canTrailers bool // the host can send a trailer section
	form        form
	codec       uint32
	fault       Error // what receiving failed with, while the handler runs
	faulted     bool
	isGet       bool
	get         GetQuery

	unknownCoding bool // the request's coding is not known: name those that are

	// Client role.
	clientCall
}

// opened readies c for a new call.
func (c *Call) opened(s state) {
	c.server, c.client, c.state = nil, nil, s
	c.events = c.events[:0]
	c.receiver.reset()
	c.sender.reset()
	c.fault.Message = c.fault.Message[:0]
	c.faulted, c.isGet, c.unknownCoding = false, false, false
}

// begin starts a command: it checks the state and forgets earlier events.
func (c *Call) begin(cmd command) error {
	if accepts[c.state]&cmd == 0 {
		return ErrState
	}
	c.events = c.events[:0]
	if c.taken > 0 && c.taken == len(c.spans) {
		c.spans, c.data = c.spans[:0], c.data[:0]
		c.taken, c.dataAt = 0, 0
	}
	return nil
}

func (c *Call) emit(kind EventKind) *Event {
	n := len(c.events)
	if n < cap(c.events) {
		c.events = c.events[:n+1]
		c.events[n] = Event{}
	} else {
		c.events = append(c.events, Event{})
	}
	e := &c.events[n]
	e.Kind = kind
	return e
}

func (c *Call) done() {
	c.emit(EventDone)
	c.state = stateClosed
}

// Open says whether the call is under way.
func (c *Call) Open() bool { return c.state != stateClosed }

// scratch returns b emptied, and without what a large call left behind.
func scratch(b []byte) []byte {
	const keep = 256 << 10
	if cap(b) > keep {
		return nil
	}
	return b[:0]
}

func (c *Call) gz() *Gzip {
	if c.Gzip == nil {
		c.Gzip = new(Gzip)
	}
	return c.Gzip
}

// addAll adds all fields of g.
func (f *Fields) addAll(g Fields) {
	if g.n == 0 {
		return
	}
	if f.n > 0 {
		f.b = append(f.b, 0)
	}
	f.b = append(f.b, g.b...)
	f.n += g.n
}
