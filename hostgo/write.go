package hostgo

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// responseState says how far the response is. It only grows.
type responseState uint8

const (
	responseNone   responseState = iota // the peer has seen nothing
	responseBegun                       // something was written
	responseBroken                      // writing failed, or the response must not end well
	responseClosed                      // ServeHTTP returns: nothing may be written
)

// drain writes what the module wants written. Several goroutines may drain;
// each returns when what it queued is out.
func (c *Call) drain() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return c.drainLocked()
}

// drainLocked is drain if the caller holds wmu.
func (c *Call) drainLocked() error {
	for wrote := false; ; wrote = true {
		c.mu.Lock()
		s := c.s
		if s == nil || len(s.out.ops) == 0 {
			var err error
			if c.response > responseBegun {
				err = c.ended()
			}
			flush := wrote && err == nil && c.state != callOver
			c.mu.Unlock()
			if flush && http.NewResponseController(c.w).Flush() != nil {
				err = c.broke()
			}
			return err
		}
		if wait := time.Until(c.notBefore); wait > 0 {
			c.mu.Unlock()
			c.sleep(wait)
			c.mu.Lock()
			c.notBefore = time.Time{}
		}
		s.out, s.writing = s.writing, s.out
		s.out.reset()
		early := c.duplex && !s.in.ended
		usable := c.response <= responseBegun
		if usable {
			c.response = responseBegun
		}
		c.mu.Unlock()
		if usable && !c.write(&s.writing, early) {
			_ = c.broke() // the next round returns it
		}
	}
}

// sleep waits, as long as the peer is there.
func (c *Call) sleep(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.r.Context().Done():
	}
}

// broke notes that the response cannot end well, and returns the error that the
// call is over with. The caller holds wmu.
func (c *Call) broke() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.response = responseBroken
	c.goneLocked(errWrite)
	return c.ended()
}

var errWrite = errors.New("writing the response failed")

// write writes the operations, false if the response cannot end well. early says
// that the request of a call in full duplex has not ended.
func (c *Call) write(out *output, early bool) bool {
	for i := range out.ops {
		op := &out.ops[i]
		data := out.bytes[op.from:op.to]
		ok := true
		switch op.kind {
		case abort:
			return false
		case plain:
			ok = c.writePlain(op.payload, op.compressed)
		case abi.EvTrailers:
			setFields(c.w.Header(), counted{op.fields, data}, http.TrailerPrefix)
		case abi.EvResponseHead:
			c.writeResponseHead(op, data, early)
		case abi.EvBody:
			ok = c.writeBody(op, data)
		}
		if !ok {
			return false
		}
	}
	return true
}

// writePlain writes the answer that was prepared, with a payload as content.
func (c *Call) writePlain(payload []byte, compressed bool) bool {
	p := &c.verdict.prepared
	h := c.w.Header()
	values := make([]string, 0, len(p.fields)+len(p.packed)+1)
	add := func(name, value string) {
		values = append(values, value)
		addField(h, name, values[len(values)-1:len(values):len(values)])
	}
	for _, f := range p.fields {
		add(f.name, f.value)
	}
	prefix := p.sizePrefix(payload)
	if compressed {
		for _, f := range p.packed {
			add(f.name, f.value)
		}
		if p.prefix > 0 {
			prefix[0] = p.mark
		}
	}
	if p.length != "" {
		add(p.length, strconv.Itoa(len(payload)))
	}
	c.sendHead(p.status, p.hasTrailers)
	ok := c.writeBytes(prefix) && c.writeBytes(payload) && c.writeBytes(p.data)
	for _, f := range p.trailers {
		addField(h, f.name, []string{f.value})
	}
	return ok
}

func (c *Call) writeResponseHead(op *operation, fields []byte, early bool) {
	h := c.w.Header()
	setFields(h, counted{op.fields, fields}, "")
	if early && c.r.ProtoMajor == 1 {
		// With full duplex, net/http must not use the connection again if the
		// handler leaves some of the request unread.
		h["Connection"] = []string{"close"}
	}
	if op.flags&abi.HTTPLacks != 0 {
		c.handler.lacking.Do(func() {
			c.handler.logger.Warn("connectcore: a client calls by gRPC over a version of HTTP that has no trailers: the call fails",
				"version", c.r.Proto, "peer", c.r.RemoteAddr)
		})
	}
	c.sendHead(int(op.status), op.flags&abi.HTTPTrailers != 0)
}

// sendHead sends the head of the response, whose fields are set.
func (c *Call) sendHead(status int, hasTrailers bool) {
	h := c.w.Header()
	if hasTrailers {
		// Content that is short and at hand would get a length from net/http,
		// and over HTTP/1.1 trailers follow chunks only.
		if c.r.ProtoMajor == 1 {
			h["Transfer-Encoding"] = []string{"chunked"}
		} else {
			h["Content-Length"] = nil
		}
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // net/http would guess one
	}
	c.outcome.status = status
	c.w.WriteHeader(status)
}

func (c *Call) writeBody(op *operation, data []byte) bool {
	for range op.count {
		if !c.writeBytes(data[:op.prefix]) || !c.writeBytes(op.payload) {
			return false
		}
		data = data[op.prefix:]
	}
	return c.writeBytes(data)
}

func (c *Call) writeBytes(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	n, err := c.w.Write(b)
	c.outcome.sent += int64(n)
	return err == nil
}

// setFields adds the fields of a column to a header section.
func setFields(h http.Header, fields counted, prefix string) {
	values := make([]string, fields.count)
	eachField(fields, func(i int, name, value string) {
		values[i] = value
		addField(h, prefix+http.CanonicalHeaderKey(name), values[i:i+1:i+1])
	})
}

func addField(h http.Header, name string, values []string) {
	if old := h[name]; old != nil {
		values = append(old, values...)
	}
	h[name] = values
}
