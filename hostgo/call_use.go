package hostgo

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// Procedure returns the path of the procedure that was called.
func (c *Call) Procedure() string { return c.procedure.Path }

// Protocol returns the protocol that the peer speaks.
func (c *Call) Protocol() Protocol { return c.protocol }

// Codec returns the codec of the call's messages, which the peer chose.
func (c *Call) Codec() Codec { return c.codec }

// IsGet says whether the call came as an HTTP GET.
func (c *Call) IsGet() bool { return c.get }

// Timeout returns the time that the call has, false if there is no limit.
// The handler's context ends when it is over.
func (c *Call) Timeout() (timeout time.Duration, ok bool) {
	return max(c.timeout, 0), c.timeout >= 0
}

// Request returns the HTTP request, for what the protocols do not cover: the
// peer's address, TLS, cookies. Its body is not the handler's to read.
func (c *Call) Request() *http.Request { return c.r }

// RequestMetadata returns the leading metadata of the peer.
func (c *Call) RequestMetadata() Metadata {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s == nil {
		return Metadata{}
	}
	return leadingMetadata(c.r.Header, c.verdict.hidden, c.verdict.binary)
}

// Header returns the leading metadata of the response, to be set before the
// first message is sent.
func (c *Call) Header() *Metadata { return &c.header }

// Trailer returns the trailing metadata of the response, to be set before the
// handler returns.
func (c *Call) Trailer() *Metadata { return &c.trailer }

// ReceiveBytes waits for the next message and returns its payload, which holds
// until the next call of ReceiveBytes or Receive, or until the handler returns.
// After the last message it returns [io.EOF]. The handler may return any other
// error; it is an [*Error] if the peer is told why.
func (c *Call) ReceiveBytes() ([]byte, error) {
	for {
		m, err := c.nextMessage()
		switch {
		case err != nil:
			return nil, err
		case m.coding != 0:
			return c.unpack(&m)
		case m.payload != nil:
			return m.payload, nil
		}
		c.read()
		if err := c.drain(); err != nil {
			return nil, err
		}
	}
}

// unpack decompresses a message.
func (c *Call) unpack(m *message) ([]byte, error) {
	payload, reason, err := c.config.unpack(m)
	c.mu.Lock()
	c.reading = false
	if err != nil && reason == 0 && c.state != callOver {
		c.lost(err)
	}
	c.mu.Unlock()
	switch {
	case err == nil:
		return payload, nil
	case reason != 0:
		return nil, c.reject(reason, err, "")
	}
	_ = c.drain() // the handler is told the reason below
	return nil, err
}

// nextMessage returns none, and no error, if more must be read first. The bytes of
// one that has to be decompressed are guarded as if they were read.
func (c *Call) nextMessage() (message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s != nil {
		if m, ok := c.s.in.pop(); ok {
			c.reading = m.coding != 0
			return m, nil
		}
	}
	switch {
	case c.receiveEnd != nil:
		return message{}, c.receiveEnd
	case c.state == callOver:
		return message{}, c.ended()
	}
	return message{}, nil
}

// Receive waits for the next message and decodes it into an empty one. It
// returns errors as ReceiveBytes does. A payload that does not decode ends
// receiving.
func (c *Call) Receive(message any) error {
	payload, err := c.ReceiveBytes()
	if err != nil {
		return err
	}
	if err := c.codec.Unmarshal(payload, message); err != nil {
		cause := fmt.Errorf("connectcore: decode a request: %w", err)
		if errors.As(err, new(notProtoError)) {
			return cause // the handler's mistake, not the peer's
		}
		c.handler.logger.Debug("connectcore: a request does not decode", "procedure", c.procedure.Path, "error", err)
		return c.reject(abi.RejectDecode, cause, err.Error())
	}
	return nil
}

// SendBytes sends a payload. For procedures with one response it is kept, and
// goes out when the handler returns nil; otherwise it is on its way when
// SendBytes returns. An error means that the call has ended, or that the
// procedure's one response was sent before.
func (c *Call) SendBytes(payload []byte) error {
	c.mu.Lock()
	if err := c.maySend(); err != nil || c.procedure.Type.oneResponse() {
		defer c.mu.Unlock()
		if err == nil {
			c.s.payload, c.replied = append(c.s.payload[:0], payload...), true
		}
		return err
	}
	c.writeHeaders(false)
	c.send(payload, c.packing)
	c.run()
	c.payload = nil
	c.mu.Unlock()
	return c.drain()
}

// Send encodes a message and sends it as SendBytes does. If the message does not
// encode, it returns what [HandlerOptions.OnError] makes of that, to be returned by
// the handler; without that the call has ended.
func (c *Call) Send(message any) error {
	c.mu.Lock()
	err := c.maySend()
	if err != nil {
		c.mu.Unlock()
		return err
	}
	buffer := c.s.payload[:0]
	c.mu.Unlock()
	payload, err := c.codec.Append(buffer, message)
	if err != nil {
		err = fmt.Errorf("connectcore: encode a response: %w", err)
		if answer := c.answerTo(c.r.Context(), err); answer != nil {
			return answer
		}
		c.handler.logger.Error("connectcore: a response does not encode", "procedure", c.procedure.Path, "error", err)
		return c.reject(abi.RejectEncode, err, "")
	}
	if !c.procedure.Type.oneResponse() {
		c.keepReply(payload, false)
		return c.SendBytes(payload)
	}
	c.keepReply(payload, true)
	return nil
}

// keepReply keeps the buffer that a response was encoded into.
func (c *Call) keepReply(payload []byte, replied bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s != nil {
		c.s.payload, c.replied = payload, replied
	}
}

// maySend returns why nothing can be sent. The caller holds mu.
func (c *Call) maySend() error {
	switch {
	case c.state == callOver:
		return c.ended()
	case c.replied:
		return errReplied
	}
	return nil
}

var errReplied = errors.New("connectcore: this procedure has one response, and it was sent")

// SendHeader sends the leading metadata now, ahead of the first message, if the
// protocol allows it.
func (c *Call) SendHeader() error {
	c.mu.Lock()
	if c.state != callOpen {
		defer c.mu.Unlock()
		if c.state == callPrepared {
			return nil // a response that is one message keeps it until the end
		}
		return c.ended()
	}
	if c.writeHeaders(true) {
		c.run()
	}
	c.mu.Unlock()
	return c.drain()
}

// writeHeaders writes the command for the leading metadata, once, if there is
// something to tell. The caller holds mu.
func (c *Call) writeHeaders(flush bool) bool {
	if c.leading || c.header.Len() == 0 && !flush {
		return false
	}
	c.leading = true
	c.s.cmd.headers(c.handle, &c.header, flush)
	return true
}

// reject tells the module about a message that this side cannot read or write,
// and what the codec says of it, and returns what the module makes of that.
func (c *Call) reject(reason uint32, cause error, words string) error {
	cause = noEnd(cause)
	c.mu.Lock()
	if c.state == callOver {
		defer c.mu.Unlock()
		return c.ended()
	}
	c.broken = cause
	c.tell().reject(c.handle, reason, words)
	c.run()
	c.s.in.drop()
	c.mu.Unlock()
	if err := c.drain(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != callOver {
		return c.receiveEnd
	}
	return c.ended()
}
