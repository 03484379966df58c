package hostgo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/connectcore/connectcore/wasm/abi"
)

// Stream is a call of a [Client] under way. One goroutine may send while another
// receives; until the call has begun, it waits. A stream ends when Receive returns
// an error; one that is left before has to be closed, or its context has to end.
//
//	Send... CloseSend   one message for StreamTypeUnary and StreamTypeServer
//	Receive...          until it returns an error: io.EOF if the call ended well
type Stream struct {
	client     *Client
	ctx        context.Context
	cancel     context.CancelFunc // ends ctx; nil for Client.Unary
	unwatch    func() bool
	procedure  string
	streamType StreamType
	options    callOptions
	unary      bool          // of Client.Unary, whose caller waits for all
	answered   chan struct{} // closed when the response's head, or what came in its place, was told; or none will be

	// The request's content, if it has many messages: what is written to pipe is
	// read at pipeEnd by net/http.
	pipe    *io.PipeWriter
	pipeEnd *io.PipeReader

	// mu guards what follows. It is held for steps, never while reading from or
	// writing to the peer.
	mu sync.Mutex
	link
	request    *http.Request
	content    []byte // of the request, to be written
	response   *http.Response
	unread     message // what the module has to read when it is decompressed
	started    bool    // the HTTP request is made
	unmade     bool    // it will not be made
	sendClosed bool
	sent       bool // the request of a procedure that has one was given
	reading    bool // from the peer
	released   bool
	over       bool   // the outcome is known; messages that came before may be left
	failure    *Error // the outcome, if it is not success
	broken     error  // in place of an outcome
	cause      error  // what this side found out, behind what the module makes of it
	header     Metadata
	trailer    Metadata
}

// SendBytes sends a payload, which is on its way when SendBytes returns. If the
// call has ended it returns [io.EOF], and Receive says how.
func (s *Stream) SendBytes(payload []byte) error {
	if s.pipe == nil {
		payload = bytes.Clone(payload)
	}
	return s.sendKept(payload)
}

// sendKept is SendBytes, but keeps a payload that is the one request.
func (s *Stream) sendKept(payload []byte) error {
	s.mu.Lock()
	if err := s.maySend(); err != nil || s.pipe == nil {
		defer s.mu.Unlock()
		if err == nil {
			s.payload, s.sent = payload, true
		}
		return err
	}
	s.send(payload, s.packing())
	s.run()
	s.payload = nil
	return s.flush()
}

// flush writes what the module wants written. mu is held, and released.
func (s *Stream) flush() error {
	content, over := s.content, s.over
	s.content = nil
	s.mu.Unlock()
	if over {
		return io.EOF
	}
	if len(content) > 0 {
		if _, err := s.pipe.Write(content); err != nil {
			return io.EOF // net/http takes no more, and the response says why
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cap(content) <= keepBuffer {
		s.content = content[:0]
	}
	return nil
}

// maySend returns why nothing can be sent. The caller holds mu.
func (s *Stream) maySend() error {
	s.giveUp()
	switch {
	case s.sendClosed:
		return errSendClosed
	case s.over:
		return io.EOF
	case s.sent:
		return errSent
	}
	return nil
}

var (
	errSendClosed = errors.New("connectcore: Send after CloseSend")
	errSent       = errors.New("connectcore: this procedure has one request, and it was sent")
	errNotSent    = errors.New("connectcore: CloseSend before Send, and this procedure has one request")
)

// Send encodes a message and sends it as SendBytes does. If the message does not
// encode, the call ends with the error that is returned.
func (s *Stream) Send(message any) error {
	payload, err := s.client.codec.Append(nil, message)
	if err != nil {
		return s.reject(abi.RejectEncode, err)
	}
	return s.sendKept(payload)
}

// CloseSend says that nothing more is sent.
func (s *Stream) CloseSend() error {
	s.mu.Lock()
	s.giveUp()
	if s.sendClosed || s.over {
		defer s.mu.Unlock()
		s.sendClosed = true
		return nil
	}
	if s.pipe == nil {
		defer s.mu.Unlock()
		if !s.sent {
			return errNotSent
		}
		s.sendClosed = true
		s.open()
		s.start()
		return s.broken
	}
	s.sendClosed = true
	s.s.cmd.bareEnd(s.handle)
	s.run()
	if s.flush() == nil {
		_ = s.pipe.Close() // it has no error of its own
	}
	return nil
}

// ReceiveBytes waits for the next message and returns its payload, which holds
// until the next call of ReceiveBytes, Receive or Close. After the last message of a
// call that ended well it returns [io.EOF], of one that failed an [*Error]. When the
// context has ended, messages that came before are not returned any more.
func (s *Stream) ReceiveBytes() ([]byte, error) {
	for {
		s.mu.Lock()
		s.giveUp()
		if s.s != nil {
			if m, ok := s.s.in.pop(); ok {
				s.reading = m.coding != 0
				s.mu.Unlock()
				if m.coding != 0 {
					return s.decompressed(&m)
				}
				return m.payload, nil
			}
		}
		over, outcome := s.over, s.outcome()
		s.mu.Unlock()
		if over {
			s.release()
			return nil, outcome
		}
		<-s.answered
		s.read()
	}
}

// decompressed returns a message that this side has to decompress.
func (s *Stream) decompressed(m *message) ([]byte, error) {
	payload, reason, err := s.config.unpack(m)
	s.mu.Lock()
	s.reading = false
	if err != nil && reason == 0 {
		s.settle(err)
	}
	s.mu.Unlock()
	if err == nil {
		return payload, nil
	}
	if reason != 0 {
		_ = s.reject(reason, err) // the outcome comes next
	}
	return s.ReceiveBytes()
}

// Receive waits for the next message and decodes it into an empty one. It returns
// errors as ReceiveBytes does. If a message does not decode, the call ends.
func (s *Stream) Receive(message any) error {
	payload, err := s.ReceiveBytes()
	if err != nil {
		return err
	}
	if err := s.client.codec.Unmarshal(payload, message); err != nil {
		outcome := s.reject(abi.RejectDecode, fmt.Errorf("connectcore: decode a response: %w", err))
		s.release()
		return outcome
	}
	return nil
}

// CloseAndReceive is CloseSend, and then Receive for the response of a procedure
// that has one.
func (s *Stream) CloseAndReceive(response any) error {
	if err := s.CloseSend(); err != nil {
		return err
	}
	if err := s.Receive(response); err != nil {
		return err
	}
	s.release()
	return nil
}

// Header waits for the response's head and returns the leading metadata, which is
// empty if no head comes.
func (s *Stream) Header() Metadata {
	<-s.answered
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header
}

// Trailer returns the trailing metadata, once Receive has returned an error.
func (s *Stream) Trailer() Metadata {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trailer
}

// Close ends a call that has not ended, and frees what it holds. It may be called
// at any time, and more than once.
func (s *Stream) Close() {
	s.mu.Lock()
	if !s.released {
		s.end(context.Canceled)
	}
	s.mu.Unlock()
	s.release()
}
