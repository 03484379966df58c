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

// clientCall is one call of a [Client], from its request to its outcome:
//
//	run: open --> exchange: request --> head --> read... --> outcome
//
// The module can give the outcome at every arrow; then the rest is skipped. A
// message that does not decode replaces an outcome that was good.
type clientCall struct {
	client *Client
	link

	procedure string
	options   callOptions
	timeout   uint64 // in microseconds
	message   []byte // the response's; a view into the scratch
	ended     bool   // the outcome is known
	failure   *Error // the outcome, if it is not success
	cause     error  // what this side found out, behind what the module makes of it
	header    Metadata
	trailer   Metadata
	response  *http.Response
}

// run makes the call. An error means that it could not be made; how a call that
// could ended is in c.failure.
func (c *clientCall) run(ctx context.Context, request, response any) error {
	if err := c.open(ctx, request); err != nil {
		return err
	}
	if !c.ended {
		if err := c.exchange(ctx); err != nil {
			return err
		}
	}
	if c.failure == nil {
		if err := c.client.codec.Unmarshal(c.message, response); err != nil {
			return c.reject(abi.RejectDecode, err)
		}
	}
	return nil
}

// open tells the module what is to be called. What keeps the call from being
// made is told, too: the module says what that comes to.
func (c *clientCall) open(ctx context.Context, request any) error {
	c.timeout = abi.NoTimeout
	if deadline, ok := ctx.Deadline(); ok {
		c.timeout = uint64(max(0, time.Until(deadline).Microseconds()))
	}
	c.writeOpen()
	cmd := &c.s.cmd
	inline := c.client.config.flags&abi.ConfiguredSendInline != 0 ||
		c.options.get && c.client.config.flags&abi.ConfiguredGetInline != 0
	var err error
	if c.cause = ctx.Err(); c.cause != nil {
		c.writeEnded(c.cause)
	} else if c.payload, err = c.client.codec.Append(nil, request); err != nil {
		c.cause = err
		cmd.reject(0, abi.RejectEncode, err.Error())
	} else {
		cmd.send(0, c.payload, inline)
		cmd.bareEnd(0)
	}
	return c.settle(c.link.run(c))
}

// writeOpen writes the command that opens the call.
func (c *clientCall) writeOpen() {
	var flags uint16
	attributes := uint32(abi.Unary)
	if c.options.get {
		flags, attributes = abi.OpenGet, abi.Unary|abi.NoSideEffects
	}
	cmd := &c.s.cmd
	cmd.reset()
	cmd.Begin(abi.CmdOpenClient, flags, 0)
	cmd.U32(attributes)
	cmd.U64(c.timeout)
	cmd.str(c.procedure)
	cmd.metadata(c.options.metadata)
	cmd.End()
}

// writeEnded writes the command that tells how a context ended.
func (c *clientCall) writeEnded(ended error) {
	if errors.Is(ended, context.DeadlineExceeded) {
		c.s.cmd.bare(abi.CmdDeadline, c.handle)
	} else {
		c.s.cmd.bare(abi.CmdCancel, c.handle)
	}
}

// exchange makes the HTTP request and reads its response.
func (c *clientCall) exchange(ctx context.Context) error {
	request, err := c.request(ctx)
	if err != nil {
		return err
	}
	c.response, err = c.client.http.Do(request)
	if err != nil {
		err = c.broken(ctx, err)
	} else {
		err = c.head()
	}
	for err == nil && !c.ended {
		err = c.read(ctx)
	}
	return err
}

// settle follows a step, err being what it failed with. If that was the call's
// instance, another one says what that comes to.
func (c *clientCall) settle(err error) error {
	if refused, ok := err.(*fault); ok && refused.kind == abi.FaultArgument { //nolint:errorlint // as play returned it
		return refused
	}
	if err == nil && !c.ended && c.s.in.ended && !c.more.pending {
		err = errEndless
	}
	if err == nil {
		return nil
	}
	c.cause = err
	c.forget()
	c.writeOpen()
	c.s.cmd.reject(0, abi.RejectLost, "")
	if c.link.run(c) == nil && c.ended {
		return nil
	}
	return fmt.Errorf("connectcore: the call failed inside: %w", err)
}

// event implements role.
func (c *clientCall) event(ev *event) error {
	switch ev.kind {
	case abi.EvRequestHead:
		c.s.out.reset()
		c.s.out.add(ev, nil)
		// method NUL target
		c.s.head = append(append(append(c.s.head[:0], ev.message...), 0), ev.data...)
	case abi.EvBody:
		c.s.out.add(ev, c.payload)
	case abi.EvResponse:
		c.s.in.inline = ev.flags&abi.ContentInline != 0
		c.header = metadataOf(counted{c.s.fields, c.s.head}, ev.hidden, ev.binary)
	case abi.EvMessages:
		if !c.s.in.take(ev) {
			return errMalformedEvents
		}
		c.message, _ = c.s.in.pop()
	case abi.EvEnd:
		if !c.ended { // the metadata of an outcome that is replaced stays
			c.trailer = metadataOf(ev.fields, nil, ev.binary)
		}
		c.ended = true
		if ev.code != 0 {
			c.failure = &Error{Code: Code(ev.code), Message: string(ev.message), Details: detailsOf(ev.details),
				Metadata: c.trailer, cause: c.cause}
		}
	}
	return nil
}

// reject tells the module about the message, which its outcome came with.
func (c *clientCall) reject(reason uint32, cause error) error {
	c.cause = cause
	c.s.cmd.reject(c.handle, reason, cause.Error())
	return c.settle(c.link.run(c))
}

// request makes the HTTP request that the module asked for.
func (c *clientCall) request(ctx context.Context) (*http.Request, error) {
	out := &c.s.out
	if len(out.ops) == 0 || out.ops[0].kind != abi.EvRequestHead {
		return nil, errMalformedEvents
	}
	method, target, _ := bytes.Cut(c.s.head, []byte{0})
	u, err := url.ParseRequestURI(string(target))
	if err != nil {
		return nil, fmt.Errorf("connectcore: the procedure's path: %w", err)
	}
	u.Scheme, u.Host = c.client.base.Scheme, c.client.base.Host
	request := (&http.Request{Method: string(method), URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}}).WithContext(ctx)
	head := &out.ops[0]
	setFields(request.Header, counted{head.fields, out.bytes[head.from:head.to]}, "")
	if request.Header.Get(acceptCoding) == "" {
		// If a request has none, net/http adds its own, and decompresses
		// without a limit.
		request.Header.Set(acceptCoding, abi.Identity)
	}
	if content := c.content(out.ops[1:]); len(content) > 0 || head.flags&abi.HTTPEnd == 0 {
		request.ContentLength = int64(len(content))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
		request.Body, _ = request.GetBody()
	}
	return request, nil
}

// acceptCoding is the field by which net/http decides whether to decompress.
const acceptCoding = "Accept-Encoding"

// content returns the request's content. It is not in the scratch: net/http may
// read it after the response came.
func (c *clientCall) content(ops []operation) []byte {
	if len(ops) == 1 && ops[0].count == 1 && ops[0].from == ops[0].to {
		return c.payload
	}
	var content []byte
	for i := range ops {
		op := &ops[i]
		data := c.s.out.bytes[op.from:op.to]
		for range op.count {
			content = append(append(content, data[:op.prefix]...), op.payload...)
			data = data[op.prefix:]
		}
		content = append(content, data...)
	}
	return content
}

func (c *clientCall) head() error {
	cmd := &c.s.cmd
	cmd.Begin(abi.CmdResponseHead, 0, c.handle)
	cmd.U32(uint32(c.response.StatusCode))
	fields := cmd.httpFields(c.response.Header)
	cmd.End()
	c.s.keepHead(fields)
	c.s.in.reset(c.response.ContentLength)
	return c.settle(c.link.run(c))
}

// read gives the module more of the response's content: what it asked for, or
// what comes next.
func (c *clientCall) read(ctx context.Context) error {
	if c.more.pending {
		return c.settle(c.resume(c))
	}
	s := c.s
	n, err := c.response.Body.Read(s.in.space())
	s.in.add(n)
	trailers := err == io.EOF && len(c.response.Trailer) > 0
	end := err == io.EOF && !trailers
	if n > 0 || end {
		s.in.commit(&s.cmd, c.handle, n, end)
	}
	s.in.ended = end || trailers
	switch {
	case trailers:
		s.cmd.Begin(abi.CmdContentEnd, 0, c.handle)
		s.cmd.httpFields(c.response.Trailer)
		s.cmd.End()
	case err != nil && !end:
		return c.broken(ctx, err)
	case n == 0 && !end:
		return nil
	}
	return c.settle(c.link.run(c))
}

// broken tells the module why no response, or no more of it, comes. What was
// read before is told first.
func (c *clientCall) broken(ctx context.Context, err error) error {
	c.cause, c.s.in.ended = err, true
	if ended := ctx.Err(); ended != nil {
		c.writeEnded(ended)
	} else {
		reason, code := goneFor(err, c.response)
		c.s.cmd.peerGone(c.handle, reason, code, withoutURL(err).Error())
	}
	return c.settle(c.link.run(c))
}

func (c *clientCall) close() {
	if c.response != nil {
		_ = c.response.Body.Close() // its outcome is known
	}
	c.forget()
	c.s.recycle()
}
