package hostgo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// What a [Stream] tells the module, and what it hears. mu is held in these methods,
// unless they say otherwise.

// open tells the module what is to be called, and with one request what is asked.
// What keeps the call from being made is told, too: the module says what that comes
// to.
func (s *Stream) open() {
	if s.over {
		return
	}
	s.writeOpen()
	if err := s.ctx.Err(); err != nil {
		s.cause = err
		s.writeEnded(err)
	} else if s.streamType.oneRequest() {
		s.send(s.payload, s.packing())
		s.s.cmd.bareEnd(0)
	}
	s.run()
}

// writeOpen writes the command that opens the call.
func (s *Stream) writeOpen() {
	var flags uint16
	attributes, timeout := uint32(s.streamType), abi.NoTimeout
	if s.options.get {
		flags, attributes = abi.OpenGet, attributes|abi.NoSideEffects
	}
	if deadline, ok := s.ctx.Deadline(); ok {
		timeout = uint64(max(0, time.Until(deadline).Microseconds()))
	}
	cmd := &s.s.cmd
	cmd.reset()
	cmd.Begin(abi.CmdOpenClient, flags, 0)
	cmd.U32(attributes)
	cmd.U32(0) // tries before this one: Go's client makes none
	cmd.U64(timeout)
	cmd.str(s.procedure)
	cmd.metadata(&s.options.metadata)
	cmd.End()
}

// packing says how messages are sent.
func (s *Stream) packing() packing {
	flags := s.config.flags
	return packing{s.client.coding, s.client.min,
		flags&abi.ConfiguredSendInline != 0 || s.options.get && flags&abi.ConfiguredGetInline != 0}
}

// writeEnded writes the command that tells how a context ended.
func (s *Stream) writeEnded(ended error) {
	if errors.Is(ended, context.DeadlineExceeded) {
		s.s.cmd.bare(abi.CmdDeadline, s.handle)
	} else {
		s.s.cmd.bare(abi.CmdCancel, s.handle)
	}
}

// run gives the batch to the module and does what it says.
func (s *Stream) run() { s.settle(s.link.run(s)) }

// unpack decompresses what the module has to read itself, and tells it.
func (s *Stream) unpack() error {
	m := s.unread
	s.unread = message{}
	content, reason, err := s.config.unpack(&m)
	switch {
	case err == nil:
		s.s.cmd.Begin(abi.CmdDecompressed, 0, s.handle)
		s.s.cmd.Bytes(content)
		s.s.cmd.End()
	case reason != 0:
		s.s.cmd.reject(s.handle, reason, err.Error())
	default:
		return err
	}
	return s.link.run(s)
}

// settle follows a step, err being what it failed with.
func (s *Stream) settle(err error) {
	if s.conclude(err); s.over && !s.started && !s.unmade {
		s.unmade = true
		close(s.answered)
	}
}

// conclude is what settle does with the error. If the call's instance failed,
// another one says what that comes to.
func (s *Stream) conclude(err error) {
	for err == nil && s.unread.coding != 0 {
		err = s.unpack()
	}
	if err == nil && !s.over && s.s.in.ended && !s.more.pending {
		err = errEndless
	}
	if err == nil {
		return
	}
	if refused, ok := errors.AsType[*fault](err); ok && refused.kind == abi.FaultArgument {
		s.over, s.broken = true, refused
		return
	}
	err = noEnd(err)
	s.cause = err
	s.forget()
	s.writeOpen()
	s.s.cmd.reject(0, abi.RejectLost, "")
	if s.link.run(s) != nil || !s.over {
		s.over, s.broken = true, fmt.Errorf("connectcore: the call failed inside: %w", err)
	}
}

// event implements role.
func (s *Stream) event(ev *event) error {
	switch ev.kind {
	case abi.EvRequestHead:
		if s.request == nil { // once, whatever becomes of the instance
			s.newRequest(ev)
		}
	case abi.EvBody:
		s.addContent(ev)
	case abi.EvResponse:
		if s.response == nil {
			return errMalformedEvents
		}
		s.s.in.inline = ev.flags&abi.ContentInline != 0
		s.header = leadingMetadata(s.response.Header, ev.hidden, ev.binary)
	case abi.EvMessages:
		if !s.s.in.take(ev) {
			return errMalformedEvents
		}
	case abi.EvDecompress:
		s.unread = message{bytes.Clone(ev.data), ev.coding, ev.limit}
	case abi.EvEnd:
		if !s.over { // the metadata of an outcome that is replaced stays
			s.trailer = trailingMetadata(ev.fields, ev.binary)
		}
		s.over = true
		if ev.code != 0 {
			s.failure = &Error{Code: Code(ev.code), Message: string(ev.message), Details: detailsOf(ev.details),
				Metadata: s.trailer, cause: s.cause}
		}
	}
	return nil
}

// reject tells the module about a message that cannot be read or written, and
// returns the outcome that follows. mu is not held.
func (s *Stream) reject(reason uint32, cause error) error {
	cause = noEnd(cause)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over && s.in == nil { // the context has ended, and nothing is told any more
		if s.outcome() == io.EOF {
			s.broken = cause
		}
		s.s.in.drop()
		return s.outcome()
	}
	if s.in == nil { // one request that was not made
		s.writeOpen()
	}
	s.cause = cause
	s.s.cmd.reject(s.handle, reason, cause.Error())
	s.run()
	s.s.in.drop()
	return s.outcome()
}

// outcome returns how the call ended.
func (s *Stream) outcome() error {
	switch {
	case s.broken != nil:
		return s.broken
	case s.failure != nil:
		return s.failure
	}
	return io.EOF
}

// expired follows the end of the context. mu is not held.
func (s *Stream) expired() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.released {
		s.giveUp()
		s.forget()
	}
}

// giveUp ends a call whose context has ended. It is also asked for where something
// is to be done, since the context may just have ended, and what is done then must
// not come first.
func (s *Stream) giveUp() {
	if err := s.ctx.Err(); err != nil && !s.unary && !s.released {
		s.end(err)
	}
}

// ended returns how the context ended, or is about to: a server that keeps the same
// deadline may be the first to notice it.
func (s *Stream) ended() error {
	if deadline, ok := s.ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return s.ctx.Err()
}

// end ends a call for a reason of the application's, unless it has ended.
func (s *Stream) end(up error) {
	if s.pipe != nil {
		_ = s.pipe.CloseWithError(up) // it has no error of its own
	}
	if s.over {
		return
	}
	s.cause = up
	s.s.in.drop()
	if s.in == nil { // one request that was not made
		s.writeOpen()
	}
	s.writeEnded(up)
	s.run()
}

// release frees what the call holds. The outcome is known, and mu not held.
func (s *Stream) release() {
	s.mu.Lock()
	done, started := s.released, s.started
	s.released = true
	s.mu.Unlock()
	if done {
		return
	}
	if s.cancel != nil {
		s.unwatch()
		s.cancel()
	}
	if s.pipe != nil {
		_ = s.pipe.CloseWithError(errOver) // it has no error of its own
	}
	if started {
		<-s.answered
	}
	if s.response != nil {
		_ = s.response.Body.Close() // its outcome is known
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	if s.options.header != nil {
		*s.options.header = s.header
	}
	if s.options.trailer != nil {
		*s.options.trailer = s.trailer
	}
	if !s.reading {
		used := s.s
		s.s = nil
		used.recycle()
	}
}
