package hostgo

import (
	"encoding/binary"
	"net/http"
	"strings"

	"github.com/connectcore/connectcore/wasm/abi"
)

// event is one event of the module as a Go value. Which columns are set is
// told by its kind (the module's interface document, section 7). Slices are
// views into the batch.
type event struct {
	kind   abi.Kind
	flags  uint16
	handle uint32

	procedure, protocol, codec uint32
	coding, compressMin, limit uint32
	replyMax, headMax          uint32
	status, code, count        uint32
	prefix, mark               uint32
	want, graceUS              uint32
	timeoutUS, base, offset    uint64
	hidden, data, matters      []byte
	message                    []byte // text of received, end-of-call, stop and fault
	fields, packed, trailers   counted
	binary, details            counted
	spans                      []uint32
	unknown                    bool // of a later minor version: to be skipped
}

// counted is a fields or a pairs column.
type counted struct {
	count int
	bytes []byte
}

// batch walks the events of one step.
type batch struct {
	rest  []byte
	spans []uint32
}

// next reads the next event into ev. It returns false at the end, and an error
// if the batch is not what the interface promises.
func (b *batch) next(ev *event) (bool, error) {
	if len(b.rest) == 0 {
		return false, nil
	}
	r, rest, ok := abi.Next(b.rest)
	if !ok {
		return false, errMalformedEvents
	}
	b.rest = rest
	*ev = event{}
	ev.kind, ev.flags, ev.handle = r.Kind, r.Flags, r.Handle
	if !r.Known() {
		ev.unknown = true
		return true, nil
	}
	b.columns(&r, ev)
	if !r.Whole() {
		return false, errMalformedEvents
	}
	return true, nil
}

func (b *batch) columns(r *abi.Record, ev *event) {
	switch r.Kind {
	case abi.EvRequest:
		ev.procedure, ev.protocol, ev.codec = r.U32(), r.U32(), r.U32()
		ev.coding, ev.compressMin, ev.timeoutUS = r.U32(), r.U32(), r.U64()
		ev.hidden, ev.binary = r.Bytes(), countedOf(r)
	case abi.EvMessages:
		ev.base, ev.coding, ev.limit = r.U64(), r.U32(), r.U32()
		ev.spans = r.Words(b.spans[:0])
		b.spans = ev.spans
		ev.data = r.Bytes()
	case abi.EvReceived:
		ev.code, ev.message = r.U32(), r.Bytes()
	case abi.EvResponseHead:
		ev.status, ev.fields = r.U32(), countedOf(r)
	case abi.EvRequestHead:
		ev.message, ev.data = r.Bytes(), r.Bytes() // method, target
		ev.fields = countedOf(r)
	case abi.EvBody:
		ev.count, ev.prefix, ev.data = r.U32(), r.U32(), r.Bytes()
	case abi.EvTrailers:
		ev.fields = countedOf(r)
	case abi.EvResponse:
		ev.hidden, ev.binary = r.Bytes(), countedOf(r)
	case abi.EvEnd:
		ev.code, ev.message = r.U32(), r.Bytes()
		ev.details, ev.fields, ev.binary = countedOf(r), countedOf(r), countedOf(r)
	case abi.EvStop:
		ev.code, ev.graceUS, ev.message = r.U32(), r.U32(), r.Bytes()
	case abi.EvPrepared:
		ev.limit, ev.replyMax, ev.headMax, ev.coding, ev.mark = r.U32(), r.U32(), r.U32(), r.U32(), r.U32()
		ev.prefix, ev.status = r.U32(), r.U32()
		ev.fields, ev.packed = countedOf(r), countedOf(r)
		ev.message, ev.data = r.Bytes(), r.Bytes() // message: the field of the length
		ev.trailers, ev.matters = countedOf(r), r.Bytes()
	case abi.EvDecompress:
		ev.coding, ev.limit, ev.data = r.U32(), r.U32(), r.Bytes()
	case abi.EvOutcome:
		ev.code, ev.protocol = r.U32(), r.U32()
	case abi.EvMore:
		ev.offset, ev.want = r.U64(), r.U32()
	case abi.EvFault:
		ev.code, ev.message = r.U32(), r.Bytes()
	}
}

func countedOf(r *abi.Record) counted {
	n, b := r.Counted()
	return counted{n, b}
}

// eachField calls f with every name and value of a fields column. The strings
// share one copy of the column.
func eachField(c counted, f func(i int, name, value string)) {
	if c.count == 0 {
		return
	}
	text := string(c.bytes)
	for i := range c.count {
		name, rest, _ := strings.Cut(text, "\x00")
		value, rest, _ := strings.Cut(rest, "\x00")
		text = rest
		f(i, name, value)
	}
}

// eachPair calls f with every pair of a pairs column.
func eachPair(c counted, f func(a, b []byte)) {
	rest := c.bytes
	for range c.count {
		if len(rest) < 8 {
			return
		}
		na := uint64(binary.LittleEndian.Uint32(rest))
		nb := uint64(binary.LittleEndian.Uint32(rest[4:]))
		rest = rest[8:]
		if na+nb > uint64(len(rest)) {
			return
		}
		f(rest[:na], rest[na:na+nb])
		rest = rest[na+nb:]
	}
}

// trailingMetadata copies metadata out of a fields and a pairs column.
func trailingMetadata(fields, pairs counted) Metadata {
	var m Metadata
	eachField(fields, func(_ int, name, value string) {
		m.entries = append(m.entries, entry{name, value, false})
	})
	m.addPairs(pairs)
	return m
}

// leadingMetadata returns the fields of a header section, without those that are
// hidden, and a pairs column.
func leadingMetadata(h http.Header, hidden []byte, pairs counted) Metadata {
	var m Metadata
	i := 0
	for _, name := range sortedNames(nil, h) {
		for _, value := range h[name] {
			if i/8 >= len(hidden) || hidden[i/8]&(1<<(i%8)) == 0 {
				m.Add(name, value)
			}
			i++
		}
	}
	m.addPairs(pairs)
	return m
}

func (m *Metadata) addPairs(pairs counted) {
	eachPair(pairs, func(name, value []byte) {
		m.entries = append(m.entries, entry{string(name), string(value), true})
	})
}

func detailsOf(pairs counted) []Detail {
	var details []Detail
	eachPair(pairs, func(name, value []byte) {
		details = append(details, Detail{Type: string(name), Value: append([]byte(nil), value...)})
	})
	return details
}
