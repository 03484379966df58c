package hostgo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// How a [Stream] is made: what the module wants, and what it is told. Whose
// methods are here hold mu unless they say otherwise.

// open tells the module what is to be called, and with one request what is asked.
// What keeps the call from being made is told, too: the module says what that comes
// to.
func (s *Stream) open() {
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
	if s.conclude(err); s.over && !s.started && !s.stillborn {
		s.stillborn = true
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
	s.cause = err
	s.forget()
	s.writeOpen()
	s.s.cmd.reject(0, abi.RejectLost, "")
	if s.link.run(s) != nil || !s.over {
		s.over, s.broken = true, fmt.Errorf("connectcore: the call failed inside: %w", err)
	}
}

// event implements role.
func (s *Stream) event(ev *event) (err error) {
	switch ev.kind {
	case abi.EvRequestHead:
		s.request, err = s.newRequest(ev)
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
	return err
}

// newRequest makes the HTTP request that the module asks for, without its content.
func (s *Stream) newRequest(ev *event) (*http.Request, error) {
	u, err := url.ParseRequestURI(string(ev.data))
	if err != nil {
		return nil, errMalformedEvents
	}
	u.Scheme, u.Host = s.client.base.Scheme, s.client.base.Host
	request := (&http.Request{Method: string(ev.message), URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}}).WithContext(s.ctx)
	setFields(request.Header, ev.fields, "")
	if s.pipe != nil {
		request.Body, request.ContentLength = s.pipeEnd, -1
	}
	return request, nil
}

// addContent adds what the module wants written.
func (s *Stream) addContent(ev *event) {
	if s.pipe == nil && ev.count == 1 && len(ev.data) == 0 {
		s.content = s.payload // as it is, and net/http may read it after the call
		return
	}
	data := ev.data
	for range ev.count {
		s.content = append(append(s.content, data[:ev.prefix]...), s.payload...)
		data = data[ev.prefix:]
	}
	s.content = append(s.content, data...)
}

// start makes the HTTP request. It does not wait for the response unless the call
// is unary. mu is held, but not meanwhile.
func (s *Stream) start() {
	if s.over {
		return
	}
	if s.request == nil {
		s.settle(errMalformedEvents)
		return
	}
	s.started = true
	if s.pipe == nil && len(s.content) > 0 {
		s.request.ContentLength = int64(len(s.content))
		s.request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(s.content)), nil }
		s.request.Body, _ = s.request.GetBody()
	}
	if !s.unary {
		go s.exchange()
		return
	}
	s.mu.Unlock()
	s.exchange()
	s.mu.Lock()
}

// exchange makes the HTTP request and tells the module of the response's head, or
// of what came in its place. mu is not held.
func (s *Stream) exchange() {
	defer close(s.answered)
	response, err := s.client.http.Do(s.request)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.response = response
	switch {
	case s.over:
		return
	case err != nil:
		s.writeGone(err)
	default:
		cmd := &s.s.cmd
		cmd.Begin(abi.CmdResponseHead, 0, s.handle)
		cmd.U32(uint32(response.StatusCode))
		cmd.httpFields(response.Header)
		cmd.End()
		s.s.in.reset(response.ContentLength)
		if s.unary {
			return // a response that is small is told in one batch
		}
	}
	s.run()
}

// read gives the module more of the response's content: what it asked for, or
// what comes next. mu is not held.
func (s *Stream) read() {
	s.mu.Lock()
	s.giveUp()
	if s.over || s.more.pending {
		defer s.mu.Unlock()
		if !s.over {
			s.settle(s.resume(s))
		}
		return
	}
	space := s.s.in.space()
	s.reading = true
	s.mu.Unlock()

	n, err := s.response.Body.Read(space)
	for s.unary && err == nil && n < min(len(space), abi.CarryWhole) {
		var next int
		next, err = s.response.Body.Read(space[n:])
		n += next
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
	if s.over {
		return
	}
	s.came(n, err)
	if len(s.s.cmd.B) > 0 {
		s.run()
	}
}

// came tells of n more bytes of content, and how it ended if err is not nil.
func (s *Stream) came(n int, err error) {
	in, cmd := &s.s.in, &s.s.cmd
	in.add(n)
	in.ended = err != nil
	trailers := err == io.EOF && len(s.response.Trailer) > 0
	end := err == io.EOF && !trailers
	if n > 0 || end {
		in.commit(cmd, s.handle, n, end)
	}
	switch {
	case trailers:
		cmd.Begin(abi.CmdContentEnd, 0, s.handle)
		cmd.httpFields(s.response.Trailer)
		cmd.End()
	case err != nil && !end:
		s.writeGone(err)
	}
}

// writeGone tells why no response, or no more of it, comes.
func (s *Stream) writeGone(err error) {
	s.cause, s.s.in.ended = err, true
	if ended := s.ended(); ended != nil {
		s.writeEnded(ended)
		return
	}
	reason, code := goneFor(err, s.response)
	s.s.cmd.peerGone(s.handle, reason, code, withoutURL(err).Error())
}

// reject tells the module about a message that cannot be read or written, and
// returns the outcome that follows. mu is not held.
func (s *Stream) reject(reason uint32, cause error) error {
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
