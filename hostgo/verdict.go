package hostgo

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/http"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// verdict is what the module says to the head of a request that has a handler.
// It depends on the head and on nothing else.
type verdict struct {
	facts
	hidden   []byte
	binary   counted
	prepared prepared
}

// facts are what a "request" event says in numbers.
type facts struct {
	procedure, codec uint32
	protocol         Protocol
	timeout          time.Duration // negative for none
	get              bool
	contentInline    bool // the module wants all bytes of what comes
	packing          packing
}

// prepared is the answer to a plain success: a call with one message each way
// that ends well and in time, without metadata of the handler's.
type prepared struct {
	coding      uint32 // the request's message may be compressed with this; 0 for none
	mark        byte   // it is if its prefix begins with this
	prefix      int    // bytes in front of each message: its size in the last four, and zeros
	readMax     int    // most bytes of the request's message
	replyMax    int    // most bytes of the response's message
	status      int
	fields      []field // of the response's head
	packed      []field // of it, too, if this side compressed the message
	length      string  // name of one more field, whose value is the size of the message; or empty
	data        []byte  // content behind the message
	hasTrailers bool
	trailers    []field

	// The same holds for a head with the same names, and the same values where
	// matters has a bit, of at most headMax bytes.
	matters []byte
	headMax int
}

type field struct{ name, value string }

// keepRequest copies a "request" event.
func (v *verdict) keepRequest(ev *event) {
	v.facts = facts{ev.procedure, ev.codec, Protocol(ev.protocol), -1,
		ev.flags&abi.RequestGet != 0, ev.flags&abi.ContentInline != 0,
		packing{ev.coding, int(ev.compressMin), ev.flags&abi.RequestSendInline != 0}}
	if ev.timeoutUS <= math.MaxInt64/1000 { // a longer one never passes
		v.timeout = time.Duration(ev.timeoutUS) * time.Microsecond
	}
	v.hidden = append(v.hidden[:0], ev.hidden...)
	v.binary.count, v.binary.bytes = ev.binary.count, append(v.binary.bytes[:0], ev.binary.bytes...)
}

// keepPrepared copies a "prepared" event, which comes behind its "request".
func (v *verdict) keepPrepared(ev *event) {
	p := &v.prepared
	*p = prepared{
		coding: ev.coding, mark: byte(ev.mark), prefix: int(ev.prefix),
		readMax: int(ev.limit), replyMax: int(ev.replyMax), status: int(ev.status),
		fields:      appendFields(p.fields[:0], ev.fields, ""),
		packed:      appendFields(p.packed[:0], ev.packed, ""),
		length:      http.CanonicalHeaderKey(string(ev.message)),
		data:        append(p.data[:0], ev.data...),
		hasTrailers: ev.flags&abi.PreparedTrailers != 0,
		trailers:    appendFields(p.trailers[:0], ev.trailers, http.TrailerPrefix),
		matters:     append(p.matters[:0], ev.matters...), headMax: int(ev.headMax),
	}
}

// appendFields appends the fields of a column as net/http writes their names.
func appendFields(to []field, from counted, prefix string) []field {
	eachField(from, func(_ int, name, value string) {
		to = append(to, field{prefix + http.CanonicalHeaderKey(name), value})
	})
	return to
}

// clone returns a copy that shares nothing with the original.
func (v *verdict) clone() *verdict {
	c := *v
	c.hidden, c.binary.bytes = bytes.Clone(v.hidden), bytes.Clone(v.binary.bytes)
	p := &c.prepared
	p.data, p.matters = bytes.Clone(p.data), bytes.Clone(p.matters)
	p.fields, p.packed = append([]field(nil), p.fields...), append([]field(nil), p.packed...)
	p.trailers = append([]field(nil), p.trailers...)
	return &c
}

// message returns the message of a request's content, false if the content is
// anything else than one message.
func (p *prepared) message(content []byte) (m message, ok bool) {
	if len(content) < p.prefix || len(content) > p.prefix+p.readMax {
		return m, false
	}
	m.payload = content[p.prefix:len(content):len(content)]
	want := p.sizePrefix(m.payload)
	if p.coding != 0 && (p.prefix == 0 || content[0] == p.mark) {
		if len(m.payload) > 0 {
			m.coding, m.limit = p.coding, uint32(p.readMax)
		}
		if p.prefix > 0 {
			want[0] = p.mark
		}
	}
	return m, bytes.Equal(content[:p.prefix], want)
}

// sizePrefix returns what stands in front of a message.
func (p *prepared) sizePrefix(message []byte) []byte {
	size := binary.BigEndian.AppendUint64(nil, uint64(len(message))) // zeros, and the size in the last four
	return size[len(size)-p.prefix:]
}

// mostPrefix is the longest that sizePrefix makes.
const mostPrefix = 8
