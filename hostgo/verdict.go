package hostgo

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"net/http"
	"sync/atomic"
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
	contentInline    bool // the module wants all bytes of what comes,
	sendInline       bool // and of what is sent
}

// prepared is the answer to a plain success: a call with one message each way
// that ends well and in time, without metadata of the handler's.
type prepared struct {
	readMax  int // most bytes of the request's content, all of which is the message
	replyMax int // most bytes of the response's message
	status   int
	fields   []field // of the response's head
	length   string  // name of one more field, whose value is the size of the message
}

type field struct{ name, value string }

// keepRequest copies a "request" event.
func (v *verdict) keepRequest(ev *event) {
	v.facts = facts{ev.procedure, ev.codec, Protocol(ev.protocol), -1,
		ev.flags&abi.RequestGet != 0, ev.flags&abi.ContentInline != 0, ev.flags&abi.RequestSendInline != 0}
	if ev.timeoutUS <= math.MaxInt64/1000 { // a longer one never passes
		v.timeout = time.Duration(ev.timeoutUS) * time.Microsecond
	}
	v.hidden = append(v.hidden[:0], ev.hidden...)
	v.binary.count, v.binary.bytes = ev.binary.count, append(v.binary.bytes[:0], ev.binary.bytes...)
}

// keepPrepared copies a "prepared" event, which comes behind its "request".
func (v *verdict) keepPrepared(ev *event) {
	p := &v.prepared
	*p = prepared{readMax: int(ev.limit), replyMax: int(ev.replyMax), status: int(ev.status), fields: p.fields[:0],
		length: http.CanonicalHeaderKey(string(ev.data))}
	eachField(ev.fields, func(_ int, name, value string) {
		p.fields = append(p.fields, field{http.CanonicalHeaderKey(name), value})
	})
}

// clone returns a copy that shares nothing with the original.
func (v *verdict) clone() *verdict {
	c := *v
	c.hidden, c.binary.bytes = bytes.Clone(v.hidden), bytes.Clone(v.binary.bytes)
	c.prepared.fields = append([]field(nil), v.prepared.fields...)
	return &c
}

// heads keeps the verdicts on heads that came more than once, so that the call
// of a client whose heads repeat needs no step to open. It holds at most as many
// as it has places, of heads of at most mostHead bytes; a later one takes the
// place of an earlier one.
type heads struct {
	once [1024]atomic.Uint32 // hashes of heads that came once
	kept [256]atomic.Pointer[keptHead]
}

type keptHead struct {
	head    []byte
	verdict *verdict
}

const mostHead = 4 << 10

var headSeed = maphash.MakeSeed()

// headHash is the hash of an "open-server" record, without its handle: that is
// an instance's own.
func headHash(record []byte) uint32 {
	binary.LittleEndian.PutUint32(record[8:], 0)
	return uint32(maphash.Bytes(headSeed, record))
}

// find returns the verdict on a head, nil if none is kept.
func (h *heads) find(record []byte, hash uint32) *verdict {
	if k := h.kept[hash%uint32(len(h.kept))].Load(); k != nil && bytes.Equal(k.head, record) {
		return k.verdict
	}
	return nil
}

// saw keeps the verdict on a head that comes for the second time.
func (h *heads) saw(record []byte, hash uint32, v *verdict) {
	if len(record) > mostHead {
		return
	}
	if h.once[hash%uint32(len(h.once))].Swap(hash) != hash {
		return
	}
	binary.LittleEndian.PutUint32(record[8:], 0)
	h.kept[hash%uint32(len(h.kept))].Store(&keptHead{bytes.Clone(record), v.clone()})
}
