package hostgo

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// Call is one RPC as its handler sees it. One goroutine may receive while
// another sends; a Call must not be used after its handler has returned.
type Call struct {
	handler *Handler
	w       http.ResponseWriter
	r       *http.Request
	http    *http.ResponseController
	cancel  context.CancelFunc

	// mu guards what follows. It is held for steps, never while reading from
	// or writing to the peer.
	mu sync.Mutex
	link
	s           *scratch
	reply       []byte // what the batch under way sends
	more        event  // a pending "more" event, where kind is set
	begun       bool   // the handler is to run
	received    bool   // no more messages come
	receiveErr  *Error // why, if not because the peer was done
	broken      error  // what ended the call early
	abandoned   bool   // ServeHTTP has answered without the handler
	reading     bool
	wrote       bool // the response has begun
	hasReply    bool // unary reply, sent at the end
	headersSent bool
	procedure   *Procedure
	protocol    uint32
	codec       Codec
	coding      uint32
	compressMin int
	get         bool
	hasTimeout  bool
	deadline    time.Time
	timeout     time.Duration
	header      Metadata
	trailer     Metadata

	// wmu is held while writing to the peer, and taken before mu.
	wmu     sync.Mutex
	aborted bool // the response must not end well
	failed  bool // writing failed
	closed  bool // ServeHTTP returns
}

// open gives the request's head to the module.
func (c *Call) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	start := time.Now()
	c.s.in.reset(c.r.ContentLength)
	c.s.keepHead(c.writeHead())
	c.stepped(c.link.open(c.handler.module.pool, c.handler.config, c.s))
	if c.hasTimeout {
		c.deadline = start.Add(c.timeout)
	}
}

func (c *Call) writeHead() (fields int) {
	var flags uint16
	if c.r.ProtoAtLeast(1, 1) {
		flags |= abi.OpenTrailers
	}
	path := c.r.URL.EscapedPath()
	if p := c.handler.paths[path]; c.r.ProtoMajor > 1 || c.r.ProtoAtLeast(1, 1) && p != nil && p.Type == StreamTypeBidi {
		flags |= abi.OpenDuplex
	}
	if c.s.in.complete() {
		flags |= abi.OpenEnd
	}
	cmd := &c.s.cmd
	cmd.reset()
	cmd.Begin(abi.CmdOpenServer, flags, 0)
	cmd.Bytes([]byte(c.r.Method))
	cmd.Bytes([]byte(path))
	cmd.Bytes([]byte(c.r.URL.RawQuery))
	fields = cmd.httpFields(c.r.Header)
	cmd.End()
	return fields
}

// stepped deals with the events of a step, and with what they ask for. The
// caller holds mu.
func (c *Call) stepped(err error) {
	for {
		if err == nil {
			err = c.apply()
		}
		if err != nil {
			c.fail(err)
			return
		}
		if c.more.kind == 0 || c.over {
			return
		}
		ok := c.s.in.resume(&c.s.cmd, c.handle, c.more.offset, c.more.want)
		c.more = event{}
		if !ok {
			c.fail(errMalformedEvents)
			return
		}
		err = c.step()
	}
}

func (c *Call) step() error { return c.link.step(c.s) }

func (c *Call) apply() error {
	var ev event
	b := batch{rest: c.s.events, spans: c.s.spans}
	for {
		ok, err := b.next(&ev)
		if !ok {
			c.s.spans = b.spans
			return err
		}
		if err := c.event(&ev); err != nil {
			return err
		}
	}
}

func (c *Call) event(ev *event) error {
	if c.handle == 0 {
		c.handle = ev.handle
	}
	switch ev.kind {
	case abi.EvRequest:
		return c.request(ev)
	case abi.EvMessages:
		if !c.s.in.take(ev) {
			return errMalformedEvents
		}
	case abi.EvReceived:
		c.received = true
		if ev.code != 0 {
			c.receiveErr = &Error{Code: Code(ev.code), Message: string(ev.message)}
		}
	case abi.EvResponseHead, abi.EvBody, abi.EvTrailers:
		c.s.out.add(ev, c.reply)
	case abi.EvStop:
		c.broken = &Error{Code: Code(ev.code), Message: "the call has ended"}
		c.cancel()
	case abi.EvMore:
		c.more = *ev
	case abi.EvDone:
		c.end()
	case abi.EvFault:
		return errors.New(string(ev.message))
	}
	return nil
}

func (c *Call) request(ev *event) error {
	if int(ev.procedure) >= len(c.handler.procedures) || int(ev.codec) >= len(c.handler.codecs) {
		return errMalformedEvents
	}
	c.begun = true
	c.procedure = &c.handler.procedures[ev.procedure]
	c.codec = c.handler.codecs[ev.codec]
	c.protocol, c.coding, c.compressMin = ev.protocol, ev.coding, int(ev.compressMin)
	c.get = ev.flags&abi.RequestGet != 0
	c.s.in.inline = ev.flags&abi.ContentInline != 0
	c.s.keepMetadata(ev)
	if ev.timeoutUS <= math.MaxInt64/1000 { // a longer one never passes
		c.hasTimeout, c.timeout = true, time.Duration(ev.timeoutUS)*time.Microsecond
	}
	return nil
}

// fail ends a call that its instance, or this package, failed. If the peer
// has seen nothing, another instance makes the answer, in the peer's protocol.
func (c *Call) fail(err error) {
	c.handler.logger.Error("connectcore: a call failed inside", "path", c.r.URL.Path, "error", err)
	c.forget(c.s)
	c.broken = &Error{Code: CodeInternal, Message: "the call failed inside", cause: err}
	c.begun, c.more = false, event{}
	c.s.out.reset()
	c.cancel()
	if !c.wrote && c.answerInternal() == nil {
		return
	}
	c.abort()
}

func (c *Call) answerInternal() error {
	c.writeHead()
	c.s.cmd.end(0, &Error{Code: CodeInternal, Message: "the call failed inside"}, false, &noMetadata)
	if err := c.link.open(c.handler.module.pool, c.handler.config, c.s); err != nil {
		return err
	}
	c.handle = 0
	defer c.forget(c.s)
	var ev event
	for b := (batch{rest: c.s.events}); ; {
		ok, err := b.next(&ev)
		if !ok {
			return err
		}
		switch ev.kind {
		case abi.EvResponseHead, abi.EvBody, abi.EvTrailers, abi.EvDone, abi.EvFault:
			if err := c.event(&ev); err != nil {
				return err
			}
		case abi.EvRequest:
			c.handle = ev.handle
		}
	}
}

// serve runs the handler once its messages are there, and ends the call.
func (c *Call) serve(ctx context.Context) {
	if c.procedure.Type == StreamTypeUnary || c.procedure.Type == StreamTypeServer {
		for c.waiting() {
			c.read()
		}
		if c.isOver() {
			_ = c.drain() // the answer of a call without a handler; a peer that is gone misses nothing
			return
		}
	}
	err, unexpected := c.invoke(ctx)
	c.finish(ctx, err, unexpected)
}

func (c *Call) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.over && !c.received
}

func (c *Call) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

func (c *Call) invoke(ctx context.Context) (err error, unexpected bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // net/http's way to cut the connection
			c.gone(http.ErrAbortHandler)
			panic(p)
		default:
			unexpected = true
			c.handler.logger.ErrorContext(ctx, "connectcore: a handler panicked",
				"procedure", c.procedure.Path, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return c.procedure.Serve(ctx, c), false
}

// finish gives the module how the handler ended, and writes what it answers.
func (c *Call) finish(ctx context.Context, err error, unexpected bool) {
	outcome, known := c.outcome(ctx, err)
	if !known {
		unexpected = true
		c.handler.logger.ErrorContext(ctx, "connectcore: a handler failed unexpectedly",
			"procedure", c.procedure.Path, "error", err)
	}
	if outcome != nil && outcome.Code == CodeDeadlineExceeded && c.hasTimeout {
		c.yield()
	}
	if cause := c.r.Context().Err(); cause != nil {
		c.gone(cause)
		return
	}
	c.mu.Lock()
	if !c.over {
		trailing := &c.trailer
		if outcome != nil && outcome.Metadata.Len() > 0 {
			both := c.trailer.Clone()
			both.entries = append(both.entries, outcome.Metadata.entries...)
			trailing = &both
		}
		c.writeHeaders(false)
		if c.hasReply && outcome == nil && !unexpected {
			c.reply = c.s.payload
			c.s.cmd.send(c.handle, c.reply, c.compresses(c.reply))
		}
		c.s.cmd.end(c.handle, outcome, unexpected, trailing)
		c.stepped(c.step())
		c.reply = nil
	}
	c.mu.Unlock()
	_ = c.drain() // a peer that is gone misses nothing
}

// outcome turns what a handler returned into what the peer is told. It gives
// false for an error that the peer must not see.
func (c *Call) outcome(ctx context.Context, err error) (*Error, bool) {
	if err == nil {
		return nil, true
	}
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Code == 0 {
			e = &Error{Code: CodeUnknown, Message: e.Message, Details: e.Details, Metadata: e.Metadata}
		}
		return e, true
	}
	if ended := ctx.Err(); ended != nil && errors.Is(err, ended) {
		return ofContext(ended), true
	}
	return nil, false
}

// gone tells the module that the peer is no more. What was to be written is
// dropped, and the response must not look as if it ended well.
func (c *Call) gone(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goneLocked(cause)
}

func (c *Call) goneLocked(cause error) {
	c.cancel()
	if c.over {
		return
	}
	c.broken = &Error{Code: CodeCanceled, Message: "the peer went away", cause: cause}
	c.s.cmd.peerGone(c.handle, abi.GoneClosed, 0, cause.Error())
	c.stepped(c.step())
	c.abort()
}

// abort makes the response end as a broken one. The caller holds mu.
func (c *Call) abort() {
	c.s.out.reset()
	c.s.out.ops = append(c.s.out.ops, operation{kind: abort})
}

// read reads once from the request's content and gives it to the module.
func (c *Call) read() {
	c.mu.Lock()
	if c.abandoned {
		c.mu.Unlock()
		return
	}
	space := c.s.in.space()
	c.reading = true
	c.mu.Unlock()

	n, err := 0, io.EOF
	if !c.s.in.complete() {
		n, err = c.r.Body.Read(space)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	if c.over {
		return
	}
	s := c.s
	end := err == io.EOF || int64(n) == s.in.expect
	if n > 0 || end {
		s.in.commit(&s.cmd, c.handle, n, end)
		c.stepped(c.step())
	}
	if err != nil && !end {
		c.goneLocked(err)
	}
}

// close ends ServeHTTP: nothing is written afterwards.
func (c *Call) close() {
	c.wmu.Lock()
	_ = c.drainLocked() // an abort, at most
	c.closed = true
	aborted := c.aborted || c.failed
	c.wmu.Unlock()
	c.mu.Lock()
	c.forget(c.s)
	if !c.abandoned && !c.reading {
		s := c.s
		c.s = nil
		s.recycle()
	}
	c.mu.Unlock()
	if aborted {
		panic(http.ErrAbortHandler)
	}
}
