package hostgo

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/connectcore/connectcore/wasm/abi"
)

// The HTTP exchange of a [Stream]. mu is held in these methods, unless they say
// otherwise.

// newRequest makes the HTTP request that the module asks for, without its content.
// The call ends if its procedure does not look like part of a URL.
func (s *Stream) newRequest(ev *event) {
	u, err := url.ParseRequestURI(string(ev.data))
	if err != nil {
		s.over, s.broken = true, fmt.Errorf("connectcore: procedure %q: %w", s.procedure, err)
		return
	}
	u.Scheme, u.Host = s.client.base.Scheme, s.client.base.Host
	s.request = (&http.Request{Method: string(ev.message), URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}}).WithContext(s.ctx)
	setFields(s.request.Header, ev.fields, "")
	if s.pipe != nil {
		s.request.Body, s.request.ContentLength = s.pipeEnd, -1
	}
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
	s.cause, s.s.in.ended = noEnd(err), true
	if ended := s.ended(); ended != nil {
		s.writeEnded(ended)
		return
	}
	reason, code := goneFor(err, s.response)
	s.s.cmd.peerGone(s.handle, reason, code, withoutURL(err).Error())
}
