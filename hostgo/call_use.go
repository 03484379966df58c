package hostgo

import (
	"io"
	"net/http"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// Procedure gives the path of the procedure that was called.
func (c *Call) Procedure() string { return c.procedure.Path }

// Codec gives the codec of the call's messages, which the peer chose.
func (c *Call) Codec() Codec { return c.codec }

// IsGet says whether the call came as an HTTP GET.
func (c *Call) IsGet() bool { return c.get }

// Timeout gives the time that the peer gave the call; false if it gave none.
// The handler's context ends when it is over.
func (c *Call) Timeout() (time.Duration, bool) { return c.timeout, c.hasTimeout }

// Request gives the HTTP request, for what the protocols do not cover: the
// peer's address, TLS, cookies. Its body is not the handler's to read.
func (c *Call) Request() *http.Request { return c.r }

// RequestMetadata gives the leading metadata of the peer.
func (c *Call) RequestMetadata() Metadata {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s == nil {
		return Metadata{}
	}
	return c.s.metadata()
}

// Header is the leading metadata of the response, to be set before the first
// message is sent.
func (c *Call) Header() *Metadata { return &c.header }

// Trailer is the trailing metadata of the response, to be set before the
// handler returns.
func (c *Call) Trailer() *Metadata { return &c.trailer }

// ReceiveBytes waits for the next message and gives its payload, which holds
// until the next call of ReceiveBytes or Receive, or until the handler
// returns. After the last message it gives [io.EOF]; any other error is an
// [*Error] that the handler may return.
func (c *Call) ReceiveBytes() ([]byte, error) {
	for {
		c.mu.Lock()
		payload, err := c.nextMessage()
		c.mu.Unlock()
		if payload != nil || err != nil {
			return payload, err
		}
		c.read()
		if err := c.drain(); err != nil {
			return nil, err
		}
	}
}

// nextMessage gives nothing where more must be read first. The caller holds
// mu.
func (c *Call) nextMessage() ([]byte, error) {
	if c.s.in.pending() {
		payload, _ := c.s.in.pop()
		if payload == nil {
			payload = []byte{}
		}
		return payload, nil
	}
	switch {
	case c.receiveErr != nil:
		return nil, c.receiveErr
	case c.received:
		return nil, io.EOF
	case c.over || c.abandoned:
		return nil, c.ended()
	}
	return nil, nil
}

// ended is the error of a call that is no more. The caller holds mu.
func (c *Call) ended() error {
	if c.broken != nil {
		return c.broken
	}
	return &Error{Code: CodeCanceled, Message: "the call has ended"}
}

// Receive waits for the next message and decodes it into an empty one. It
// gives errors as ReceiveBytes does. A payload that does not decode ends
// receiving.
func (c *Call) Receive(message any) error {
	payload, err := c.ReceiveBytes()
	if err != nil {
		return err
	}
	if err := c.codec.Unmarshal(payload, message); err != nil {
		return c.reject(abi.RejectDecode, &Error{Code: CodeInvalidArgument, Message: "the message does not decode", cause: err})
	}
	return nil
}

// SendBytes sends a payload. For procedures with one response it is kept, and
// goes out when the handler returns nil; otherwise it is on its way when
// SendBytes returns. An error means that the call has ended.
func (c *Call) SendBytes(payload []byte) error {
	c.mu.Lock()
	if c.over || c.abandoned {
		defer c.mu.Unlock()
		return c.ended()
	}
	if c.procedure.Type == StreamTypeUnary || c.procedure.Type == StreamTypeClient {
		defer c.mu.Unlock()
		if c.hasReply {
			return NewError(CodeInternal, "this procedure has one response, and it was sent")
		}
		c.s.payload, c.hasReply = append(c.s.payload[:0], payload...), true
		return nil
	}
	c.writeHeaders(false)
	c.reply = payload
	c.s.cmd.send(c.handle, payload, c.compresses(payload))
	c.stepped(c.step())
	c.reply = nil
	c.mu.Unlock()
	return c.drain()
}

// Send encodes a message and sends it as SendBytes does.
func (c *Call) Send(message any) error {
	single := c.procedure.Type == StreamTypeUnary || c.procedure.Type == StreamTypeClient
	c.mu.Lock()
	if c.over || c.abandoned {
		defer c.mu.Unlock()
		return c.ended()
	}
	if single && c.hasReply {
		defer c.mu.Unlock()
		return NewError(CodeInternal, "this procedure has one response, and it was sent")
	}
	buffer := c.s.payload[:0]
	c.mu.Unlock()
	payload, err := c.codec.Append(buffer, message)
	if err != nil {
		return c.reject(abi.RejectEncode, &Error{Code: CodeInternal, Message: "the message does not encode", cause: err})
	}
	c.mu.Lock()
	if c.s != nil {
		c.s.payload = payload
	}
	if single {
		c.hasReply = true
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	return c.SendBytes(payload)
}

// SendHeader sends the leading metadata now, ahead of the first message, where
// the protocol allows it.
func (c *Call) SendHeader() error {
	c.mu.Lock()
	if c.over || c.abandoned {
		defer c.mu.Unlock()
		return c.ended()
	}
	c.writeHeaders(true)
	if len(c.s.cmd.B) > 0 {
		c.stepped(c.step())
	}
	c.mu.Unlock()
	return c.drain()
}

// writeHeaders writes the command for the leading metadata, once. The caller
// holds mu.
func (c *Call) writeHeaders(flush bool) {
	if c.headersSent {
		return
	}
	c.headersSent = true
	if c.header.Len() > 0 || flush {
		c.s.cmd.headers(c.handle, &c.header, flush)
	}
}

// compresses says whether the module must see a payload, to compress it.
func (c *Call) compresses(payload []byte) bool {
	return c.coding != 0 && len(payload) >= c.compressMin
}

// reject tells the module about a message that this side cannot read or write.
func (c *Call) reject(reason uint32, e *Error) error {
	c.mu.Lock()
	if c.over || c.abandoned {
		defer c.mu.Unlock()
		return c.ended()
	}
	c.broken = e
	c.s.cmd.reject(c.handle, reason, e.cause.Error())
	c.stepped(c.step())
	if c.receiveErr != nil {
		c.receiveErr.cause = e.cause
		e = c.receiveErr
	}
	c.mu.Unlock()
	if err := c.drain(); err != nil {
		return err
	}
	return e
}
