package hostgo

import (
	"context"
	"errors"
	"net/http"

	"github.com/connectcore/connectcore/wasm/abi"
)

var errWrite = errors.New("writing the response failed")

// drain writes what the module wants written. Several goroutines may drain;
// each returns when what it queued is out.
func (c *Call) drain() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.drainLocked()
}

// drainLocked is drain for who holds wmu.
func (c *Call) drainLocked() error {
	flush := false
	for {
		c.mu.Lock()
		if c.s == nil || len(c.s.out.ops) == 0 {
			flush = flush && !c.over
			c.mu.Unlock()
			break
		}
		s := c.s
		s.out, s.writing = s.writing, s.out
		s.out.reset()
		c.wrote = true
		early := c.begun && !c.received
		c.mu.Unlock()
		if !c.closed && !c.failed && !c.aborted && !c.write(&s.writing, early) {
			c.failed = true
			c.gone(errWrite)
		}
		flush = true
	}
	if c.failed || c.closed {
		return ofContext(context.Canceled)
	}
	if flush && c.http.Flush() != nil {
		c.failed = true
		return ofContext(context.Canceled)
	}
	return nil
}

// write writes the operations; early says that the request has not ended.
func (c *Call) write(out *output, early bool) bool {
	for i := range out.ops {
		op := &out.ops[i]
		data := out.bytes[op.from:op.to]
		switch op.kind {
		case abort:
			c.aborted = true
			return true
		case abi.EvTrailers:
			setFields(c.w.Header(), counted{op.fields, data}, http.TrailerPrefix)
		case abi.EvResponseHead:
			h := c.w.Header()
			setFields(h, counted{op.fields, data}, "")
			if op.flags&abi.HTTPTrailers != 0 {
				// Content that is short and at hand would get a length from
				// net/http, and over HTTP/1.1 trailers follow chunks only.
				if c.r.ProtoMajor == 1 {
					h["Transfer-Encoding"] = []string{"chunked"}
				} else {
					h["Content-Length"] = nil
				}
			}
			if early && c.r.ProtoMajor == 1 && c.procedure.Type == StreamTypeBidi {
				// Without full duplex, net/http reads the rest of the request
				// first. With it, it must not use the connection again where
				// the handler leaves some of the request unread.
				if c.http.EnableFullDuplex() != nil {
					return false
				}
				h["Connection"] = []string{"close"}
			}
			if h["Content-Type"] == nil {
				h["Content-Type"] = nil // net/http would guess one
			}
			c.w.WriteHeader(int(op.status))
		case abi.EvBody:
			if !c.writeBody(op, data) {
				return false
			}
		}
	}
	return true
}

func (c *Call) writeBody(op *operation, data []byte) bool {
	for range op.count {
		if op.prefix > 0 {
			if _, err := c.w.Write(data[:op.prefix]); err != nil {
				return false
			}
			data = data[op.prefix:]
		}
		if _, err := c.w.Write(op.payload); err != nil {
			return false
		}
	}
	if len(data) > 0 {
		if _, err := c.w.Write(data); err != nil {
			return false
		}
	}
	return true
}

// setFields adds the fields of a column to a header section.
func setFields(h http.Header, fields counted, prefix string) {
	values := make([]string, fields.count)
	eachField(fields, func(i int, name, value string) {
		name = prefix + http.CanonicalHeaderKey(name)
		if old := h[name]; old != nil {
			h[name] = append(old, value)
			return
		}
		values[i] = value
		h[name] = values[i : i+1 : i+1]
	})
}
