package hostgo

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &Call{handler: h, w: w, r: r, link: link{config: h.config, s: scratches.Get().(*scratch)}}
	defer c.close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	c.cancel = cancel
	if h.access != nil {
		defer c.logAccess(time.Now())
	}
	c.open()
	if c.drain() != nil || c.isOver() {
		return
	}
	if !c.deadline.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, c.deadline)
		defer cancel()
	}
	var ok bool
	if c.deadline, ok = ctx.Deadline(); ok { // this call's, or one that was set around it
		c.serveUntil(ctx)
		return
	}
	c.serve(ctx)
}

// serveUntil serves a call that has a deadline. The peer gets its answer when
// the deadline passes, also if the handler does not listen to its context; then
// the handler goes on without a peer.
func (c *Call) serveUntil(ctx context.Context) {
	served := make(chan any, 1)
	go func() {
		defer func() { served <- recover() }()
		c.serve(ctx)
	}()
	var panicked any
	select {
	case panicked = <-served:
	case <-ctx.Done():
		if c.abandoned = c.isLate(ctx); !c.abandoned {
			panicked = <-served // the peer is gone: nobody waits for an answer
		}
	}
	if panicked != nil {
		panic(panicked)
	}
	if c.abandoned || c.isLate(ctx) && !c.isOver() {
		c.tooLate()
	}
}

// isLate says whether the call's deadline has passed.
func (c *Call) isLate(ctx context.Context) bool {
	return !c.deadline.IsZero() && errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// tooLate answers a call whose deadline has passed, unless its handler has just
// done so.
func (c *Call) tooLate() {
	now := time.Now()
	c.mu.Lock()
	if c.state != callOver {
		if c.receiveEnd == nil {
			// net/http reads the rest of the content before it answers.
			_ = http.NewResponseController(c.w).SetReadDeadline(now) // without it, the peer's silence ends the wait
		}
		c.broken = context.DeadlineExceeded
		cmd := c.tell()
		cmd.bare(abi.CmdDeadline, c.handle)
		c.run()
	}
	c.mu.Unlock()
	if !c.wmu.TryLock() {
		// The handler is writing, to a peer that may not be reading.
		_ = http.NewResponseController(c.w).SetWriteDeadline(now.Add(lastWrite)) // without it, the connection's own end ends the wait
		c.wmu.Lock()
	}
	defer c.wmu.Unlock()
	_ = c.drainLocked() // nobody is left to tell
}

// lastWrite is how long a write that is under way may take once the deadline
// has passed.
const lastWrite = time.Second

// serve runs the handler once its messages are there, and ends the call.
func (c *Call) serve(ctx context.Context) {
	if c.procedure.Type.oneRequest() {
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
	_ = c.drain() // a peer that is gone misses nothing
}

func (c *Call) waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state != callOver && (c.receiveEnd == nil || c.unread)
}

func (c *Call) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == callOver
}

// finish tells how the handler ended. At the deadline serveUntil does that, in
// its place.
func (c *Call) finish(ctx context.Context, err error, unexpected bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == callOver || c.isLate(ctx):
		return
	case ctx.Err() != nil:
		c.goneLocked(ctx.Err())
		return
	}
	outcome, _ := errors.AsType[*Error](err)
	succeeded := outcome == nil && !unexpected
	if succeeded && c.isPlain() {
		payload, compressed := c.config.pack(c.s.payload, c.packing)
		if len(payload) <= c.verdict.prepared.replyMax {
			c.state = callOver
			c.outcome.known, c.outcome.code, c.outcome.protocol = true, 0, c.protocol
			c.s.out.ops = append(c.s.out.ops, operation{kind: plain, payload: payload, compressed: compressed})
			return
		}
	}
	trailing := &c.trailer
	if outcome != nil && outcome.Metadata.Len() > 0 {
		both := c.trailer.Clone()
		both.entries = append(both.entries, outcome.Metadata.entries...)
		trailing = &both
	}
	cmd := c.tell()
	c.writeHeaders(false)
	if succeeded && c.replied {
		c.send(c.s.payload, c.packing)
	}
	cmd.end(c.handle, outcome, unexpected, trailing)
	c.run()
	c.payload = nil
}

// isPlain says whether the answer of a call that ended well is the prepared one,
// if its message is not too large.
func (c *Call) isPlain() bool {
	return c.state == callPrepared && c.replied && c.header.Len() == 0 && c.trailer.Len() == 0
}

// close ends ServeHTTP: nothing is written afterwards.
func (c *Call) close() {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_ = c.drainLocked() // an abort, at most
	c.mu.Lock()
	defer c.mu.Unlock()
	broken := c.response == responseBroken
	c.response = responseClosed
	c.state = callOver
	c.forget()
	if !c.abandoned && !c.reading && c.broken == nil {
		s := c.s
		c.s = nil
		if c.procedure != nil && !c.procedure.Type.oneRequest() {
			s.in = content{} // somebody may still be looking at a message
		}
		s.recycle()
	}
	if broken {
		panic(http.ErrAbortHandler)
	}
}
