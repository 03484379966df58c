package hostgo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// callState says how far a server's call is. It is guarded by Call.mu.
//
//	opening --> open ---------------------> over
//	   |  \---> prepared -----------------> over (it ends plainly, or its peer is gone)
//	   |            \------> replayed ----> over (all else)
//	   \----------------------------------> over (the module answers without a handler)
//
// If an instance fails before the peer has seen something of the answer, the call
// is replayed, too: another instance makes the answer.
type callState uint8

const (
	callOpening  callState = iota // the head is given to the module
	callOpen                      // an instance knows the call
	callPrepared                  // none does, and none needs to if the call ends plainly
	callReplayed                  // the batch opens the call again and tells all that happened, its end too
	callOver                      // nothing is left to tell; some of the answer may still have to be written
)

// Call is one RPC as its handler sees it. One goroutine may receive while another
// sends. When the handler has returned, both fail: one that then waits for a
// message gets an error.
type Call struct {
	handler *Handler
	w       http.ResponseWriter
	r       *http.Request
	cancel  context.CancelFunc

	// Set when the module has read the head.
	facts
	verdict   *verdict
	deadline  time.Time // zero for none
	procedure *Procedure
	codec     Codec
	duplex    bool // the response can start before the request has ended

	// mu guards what follows. It is held for steps, never while reading from
	// or writing to the peer.
	mu sync.Mutex
	link
	state      callState
	receiveEnd error     // why no more messages come: io.EOF or an *Error; nil while they may
	unread     bool      // content may come of a request that the module took for whole
	reading    bool      // from the peer
	replied    bool      // the response of a procedure that has one is in the scratch
	leading    bool      // the leading metadata was told
	abandoned  bool      // ServeHTTP does not wait for the handler
	broken     error     // what went wrong on this side; then the *Error that the module made of it
	notBefore  time.Time // the answer to a call that was stopped is not written before
	header     Metadata
	trailer    Metadata
	outcome    outcome

	// wmu is held while writing to the peer, and taken before mu. response
	// changes with both held, so that either is enough to read it.
	wmu      sync.Mutex
	response responseState
}

// open gives the request's head to the module.
func (c *Call) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	start := time.Now()
	c.duplex = c.isDuplex()
	c.s.in.reset(c.r.ContentLength)
	key := &c.s.headKey
	key.read(c.r.Header, byte(c.openFlags()), c.r.Method, c.r.URL.EscapedPath(), c.r.URL.RawQuery)
	if v := c.handler.heads.find(key, c.r.Header); v != nil {
		c.requested(v)
		c.state = callPrepared
	} else {
		c.writeHead(abi.OpenPrepare)
		if c.run(); c.state == callPrepared {
			c.handler.heads.saw(key, c.r.Header, c.verdict)
		}
	}
	c.unread = c.receiveEnd != nil && c.r.ContentLength < 0
	if c.verdict != nil && c.timeout >= 0 {
		c.deadline = start.Add(c.timeout)
	}
}

// isDuplex says whether the response can start before the request has ended. Over
// HTTP/1.1 net/http has to be asked, and does less well afterwards, so that is
// done for the procedures that need it.
func (c *Call) isDuplex() bool {
	p := c.handler.paths[c.r.URL.EscapedPath()]
	return c.r.ProtoMajor > 1 || c.r.ProtoAtLeast(1, 1) && p != nil && p.Type == StreamTypeBidi &&
		http.NewResponseController(c.w).EnableFullDuplex() == nil
}

// openFlags tells what this side can do, and what it knows of the request.
func (c *Call) openFlags() (flags uint16) {
	if c.r.ProtoAtLeast(1, 1) {
		flags |= abi.OpenTrailers
	}
	if c.duplex {
		flags |= abi.OpenDuplex
	}
	if c.r.ContentLength == 0 {
		flags |= abi.OpenEnd
	}
	return flags
}

// writeHead writes the command that opens the call.
func (c *Call) writeHead(flags uint16) {
	cmd := &c.s.cmd
	cmd.reset()
	cmd.Begin(abi.CmdOpenServer, c.openFlags()|flags, 0)
	cmd.str(c.r.Method)
	cmd.str(c.r.URL.EscapedPath())
	cmd.str(c.r.URL.RawQuery)
	cmd.namedFields(c.r.Header, c.s.headKey.names)
	cmd.End()
}

// requested notes what the module says to the head.
func (c *Call) requested(v *verdict) {
	c.verdict, c.facts = v, v.facts
	c.procedure, c.codec = &c.handler.procedures[v.facts.procedure], c.handler.codecs[v.facts.codec]
	c.s.in.inline = v.contentInline
}

// run gives the batch to the module and does what it says. The caller holds mu.
func (c *Call) run() { c.settle(c.link.run(c)) }

// settle follows a step, err being what it failed with.
func (c *Call) settle(err error) {
	for err == nil && c.state == callReplayed && c.more.pending {
		err = c.resume(c)
	}
	if err == nil && c.state == callReplayed {
		err = errEndless
	}
	if err != nil {
		c.lost(err)
	}
}

// event implements role.
func (c *Call) event(ev *event) error {
	switch ev.kind {
	case abi.EvResponseHead, abi.EvBody, abi.EvTrailers:
		c.s.out.add(ev, c.payload)
	case abi.EvStop:
		c.broken = &Error{Code: Code(ev.code), Message: string(ev.message), cause: c.broken}
		c.notBefore = time.Now().Add(time.Duration(ev.graceUS) * time.Microsecond)
		c.cancel()
	case abi.EvOutcome:
		if int(ev.code) >= len(abi.Codes) {
			return errMalformedEvents
		}
		c.outcome.known, c.outcome.code, c.outcome.protocol = true, ev.code, Protocol(ev.protocol)
	case abi.EvDone:
		if c.state != callPrepared {
			c.state = callOver
		}
	}
	if c.state == callReplayed {
		return nil // all else is known
	}
	switch ev.kind {
	case abi.EvRequest:
		if int(ev.procedure) >= len(c.handler.procedures) || int(ev.codec) >= len(c.handler.codecs) {
			return errMalformedEvents
		}
		c.s.verdict.keepRequest(ev)
		c.requested(&c.s.verdict)
		c.state = callOpen
	case abi.EvPrepared:
		if ev.prefix > mostPrefix {
			return errMalformedEvents
		}
		c.s.verdict.keepPrepared(ev)
		c.state = callPrepared
	case abi.EvMessages:
		if !c.s.in.take(ev) {
			return errMalformedEvents
		}
	case abi.EvReceived:
		c.receiveEnd = io.EOF
		if ev.code != 0 {
			c.receiveEnd = &Error{Code: Code(ev.code), Message: string(ev.message), cause: c.broken}
		}
	}
	return nil
}

// tell returns the batch, to be filled with what the module is told next. A call
// that is prepared is opened again in it, with the content that came: what the
// caller adds must end the call.
func (c *Call) tell() *commands {
	if c.state == callPrepared {
		c.state = callReplayed
		c.writeHead(0)
		c.s.in.repeat(&c.s.cmd)
	}
	return &c.s.cmd
}

// lost ends a call that its instance, or this package, failed. If the peer has
// seen nothing, another instance makes the answer, in the peer's protocol. The
// caller holds mu.
func (c *Call) lost(err error) {
	err = noEnd(err)
	c.handler.logger.Error("connectcore: a call failed inside", "path", c.r.URL.Path, "error", err)
	c.forget()
	c.broken = fmt.Errorf("connectcore: the call failed inside: %w", err)
	c.s.out.reset()
	c.cancel()
	if c.response == responseNone {
		c.state = callReplayed
		c.writeHead(0)
		c.s.cmd.reject(0, abi.RejectLost, "")
		if c.link.run(c) == nil && c.state == callOver {
			return
		}
		c.forget()
	}
	c.state = callOver
	c.abort()
}

// gone tells the module that the peer is no more. What was to be written is
// dropped, and the response must not look as if it ended well.
func (c *Call) gone(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goneLocked(cause)
}

// goneLocked is gone if the caller holds mu.
func (c *Call) goneLocked(cause error) {
	cause = noEnd(cause)
	c.cancel()
	switch {
	case c.state == callOver:
		return
	case c.state == callPrepared && c.handler.access == nil: // no instance needs to know
		c.broken, c.state = fmt.Errorf("connectcore: the peer went away: %w", cause), callOver
	default:
		c.broken = cause
		c.tell().peerGone(c.handle, abi.GoneClosed, 0, cause.Error())
		c.run()
	}
	c.abort()
}

// abort makes the response end as a broken one. The caller holds mu.
func (c *Call) abort() {
	c.s.out.reset()
	c.s.out.ops = append(c.s.out.ops, operation{kind: abort})
}

// ended is the error of a call that is over. The caller holds mu.
func (c *Call) ended() error {
	if c.broken != nil {
		return c.broken
	}
	return errOver
}

var errOver = errors.New("connectcore: the call is over")

// read gives the module more of the request's content: what it asked for, or
// what comes next from the peer.
func (c *Call) read() {
	c.mu.Lock()
	if c.state == callOver || c.more.pending {
		defer c.mu.Unlock()
		if c.more.pending {
			c.settle(c.resume(c))
		}
		return
	}
	space := c.s.in.space()
	c.reading = true
	c.mu.Unlock()

	n, err := 0, io.EOF
	if c.s.in.expect != 0 {
		n, err = c.r.Body.Read(space)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	if c.state == callOver {
		return
	}
	c.s.in.add(n)
	c.outcome.received += int64(n)
	end := err == io.EOF || c.s.in.expect == 0
	if n > 0 || end {
		c.came(n, end)
	}
	if err != nil && !end {
		c.goneLocked(err)
	}
}

// came deals with the last n bytes of the content, end if they end it.
func (c *Call) came(n int, end bool) {
	in := &c.s.in
	in.ended = end
	if c.unread {
		if c.unread = false; n == 0 {
			return
		}
	}
	if c.state != callPrepared {
		in.commit(&c.s.cmd, c.handle, n, end)
		c.run()
		return
	}
	p := &c.verdict.prepared
	m, one := p.message(in.buf)
	switch {
	case end && one:
		in.queue = append(in.queue, m)
		c.receiveEnd = io.EOF
	case end || len(in.buf) > p.prefix+p.readMax:
		c.state = callOpening // once more, and the module sees the content
		c.writeHead(0)
		in.repeat(&c.s.cmd)
		c.run()
	}
}
