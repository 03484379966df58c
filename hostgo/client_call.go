package hostgo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// clientCall is one call of a [Client], from its request to its outcome.
type clientCall struct {
	client *Client
	link
	s       *scratch
	payload []byte // of the request
	more    event

	message  []byte // the response's; a view into the scratch
	ended    bool
	err      *Error // the outcome, where it is not success
	header   Metadata
	trailer  Metadata
	response *http.Response
}

func (c *clientCall) run(ctx context.Context, procedure string, payload []byte, o *callOptions) error {
	err := c.exchange(ctx, procedure, payload, o)
	if o.header != nil {
		*o.header = c.header
	}
	if o.trailer != nil {
		*o.trailer = c.trailer
	}
	switch {
	case err != nil:
		return err
	case c.err != nil:
		return c.err
	case !c.ended:
		return errMalformedEvents
	}
	return nil
}

func (c *clientCall) exchange(ctx context.Context, procedure string, payload []byte, o *callOptions) error {
	c.payload = payload
	c.s.in.reset(-1)
	c.writeOpen(ctx, procedure, o)
	if err := c.stepped(c.link.open(c.client.module.pool, c.client.config, c.s)); err != nil || c.over {
		return err
	}
	request, err := c.request(ctx)
	if err != nil {
		return err
	}
	response, err := c.client.http.Do(request)
	if err != nil {
		return c.broken(ctx, err)
	}
	c.response = response
	if err := c.head(response); err != nil {
		return err
	}
	for !c.over {
		if err := c.read(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *clientCall) writeOpen(ctx context.Context, procedure string, o *callOptions) {
	var flags uint16
	if o.get {
		flags = abi.OpenGet
	}
	timeout := abi.NoTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = uint64(max(0, time.Until(deadline).Microseconds()))
	}
	cmd := &c.s.cmd
	cmd.reset()
	cmd.Begin(abi.CmdOpenClient, flags, 0)
	cmd.U32(abi.Unary)
	cmd.U64(timeout)
	cmd.Bytes([]byte(procedure))
	cmd.metadata(o.metadata)
	cmd.End()
	inline := o.get || c.client.sendCoding && len(c.payload) >= c.client.compressMin
	cmd.send(0, c.payload, inline)
	cmd.bareEnd(0)
}

// stepped deals with the events of a step, and with what they ask for.
func (c *clientCall) stepped(err error) error {
	for {
		if err != nil {
			return err
		}
		if err := c.apply(); err != nil {
			return err
		}
		if c.more.kind == 0 || c.over {
			return nil
		}
		ok := c.s.in.resume(&c.s.cmd, c.handle, c.more.offset, c.more.want)
		c.more = event{}
		if !ok {
			return errMalformedEvents
		}
		err = c.step(c.s)
	}
}

func (c *clientCall) apply() error {
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

func (c *clientCall) event(ev *event) error {
	if c.handle == 0 {
		c.handle = ev.handle
	}
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
		c.s.keepMetadata(ev)
		c.header = c.s.metadata()
	case abi.EvMessages:
		if !c.s.in.take(ev) {
			return errMalformedEvents
		}
		c.message, _ = c.s.in.pop()
	case abi.EvEnd:
		c.ended = true
		c.trailer = metadataOf(ev.fields, nil, ev.binary)
		if ev.code != 0 {
			c.err = &Error{Code: Code(ev.code), Message: string(ev.message), Details: detailsOf(ev.details), Metadata: c.trailer}
		}
	case abi.EvMore:
		c.more = *ev
	case abi.EvDone:
		c.end()
	case abi.EvFault:
		return errors.New(string(ev.message))
	}
	return nil
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
		return nil, NewError(CodeInternal, "the procedure's path is not one of a URL")
	}
	u.Scheme, u.Host = c.client.base.Scheme, c.client.base.Host
	request := (&http.Request{Method: string(method), URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}}).WithContext(ctx)
	head := &out.ops[0]
	setFields(request.Header, counted{head.fields, out.bytes[head.from:head.to]}, "")
	if request.Header.Get(acceptCoding) == "" {
		// Where a request has none, net/http adds its own, and decompresses
		// without a limit.
		request.Header.Set(acceptCoding, "identity")
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

// content gives the request's content. It is not in the scratch: net/http may
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

func (c *clientCall) head(response *http.Response) error {
	cmd := &c.s.cmd
	cmd.Begin(abi.CmdResponseHead, 0, c.handle)
	cmd.U32(uint32(response.StatusCode))
	fields := cmd.httpFields(response.Header)
	cmd.End()
	c.s.keepHead(fields)
	c.s.in.reset(response.ContentLength)
	return c.stepped(c.step(c.s))
}

// read reads once from the response's content and gives it to the module.
func (c *clientCall) read(ctx context.Context) error {
	s := c.s
	n, err := 0, io.EOF
	if !s.in.complete() {
		n, err = c.response.Body.Read(s.in.space())
	}
	if err != nil && err != io.EOF {
		if n > 0 {
			s.in.commit(&s.cmd, c.handle, n, false)
		}
		return c.broken(ctx, err)
	}
	if n == 0 && err == nil {
		return nil
	}
	trailers := err == io.EOF && len(c.response.Trailer) > 0
	end := err == io.EOF && !trailers
	if n > 0 || end {
		s.in.commit(&s.cmd, c.handle, n, end)
	}
	if trailers {
		s.cmd.Begin(abi.CmdContentEnd, 0, c.handle)
		s.cmd.httpFields(c.response.Trailer)
		s.cmd.End()
	}
	return c.stepped(c.step(s))
}

// broken tells the module why no response, or no more of it, comes. What was
// read before is told first.
func (c *clientCall) broken(ctx context.Context, err error) error {
	cmd := &c.s.cmd
	switch ended := ctx.Err(); {
	case errors.Is(ended, context.DeadlineExceeded):
		cmd.bare(abi.CmdDeadline, c.handle)
	case ended != nil:
		cmd.bare(abi.CmdCancel, c.handle)
	default:
		reason, code := goneFor(err)
		cmd.peerGone(c.handle, reason, code, withoutURL(err).Error())
	}
	if err := c.stepped(c.step(c.s)); err != nil {
		return err
	}
	if c.err != nil {
		c.err.cause = err
	}
	return nil
}

// withoutURL takes off what http.Client says of the request.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// streamError has the shape of net/http's own error for an HTTP/2 stream that
// was reset, which lets itself be copied into it.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream reset" }

func goneFor(err error) (reason, code uint32) {
	var reset streamError
	if errors.As(err, &reset) {
		return abi.GoneReset, reset.Code
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return abi.GoneRefused, 0
	}
	return abi.GoneClosed, 0
}

func (c *clientCall) close() {
	if c.response != nil {
		_ = c.response.Body.Close() // its outcome is known
	}
	c.forget(c.s)
	c.s.recycle()
}
