package core

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// The binary form of google.rpc.Status (google/rpc/status.proto), which gRPC
// carries in base64 in a trailer, written by hand:
//
//	message Status { int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3; }
//	message Any    { string type_url = 1; bytes value = 2; }

const typeURLPrefix = "type.googleapis.com/"

// typeName is what follows the last slash of a type URL (any.proto).
func typeName(url []byte) []byte { return url[bytes.LastIndexByte(url, '/')+1:] }

// Wire types that these messages have.
const (
	wireVarint = 0
	wireBytes  = 2
)

// AppendStatus appends e as a google.rpc.Status. What is not UTF-8 in its text
// becomes U+FFFD.
func AppendStatus(dst []byte, e *Error) []byte {
	if e.Code != OK {
		dst = append(dst, 1<<3|wireVarint)
		dst = binary.AppendUvarint(dst, uint64(e.Code))
	}
	if len(e.Message) > 0 {
		at := len(dst)
		dst = appendText(dst, e.Message)
		dst = delimit(dst, at, 2)
	}
	for rest := e.Details; rest.n > 0; {
		name, value := rest.cut()
		detail := len(dst)
		dst = append(append(dst, typeURLPrefix...), name...)
		dst = delimit(dst, detail, 1)
		if len(value) > 0 {
			at := len(dst)
			dst = append(dst, value...)
			dst = delimit(dst, at, 2)
		}
		dst = delimit(dst, detail, 3)
	}
	return dst
}

// delimit makes a field of what stands in dst from at on.
func delimit(dst []byte, at int, number byte) []byte {
	var room [1 + binary.MaxVarintLen64]byte
	head := binary.AppendUvarint(append(room[:0], number<<3|wireBytes), uint64(len(dst)-at))
	return slices.Insert(dst, at, head...)
}

// ParseStatus reads a google.rpc.Status. False means that b is none; into is then
// empty. A code that is not in the list becomes unknown (ours, rule 6: never OK,
// never a made-up one). A detail without a type is left out. into is reset first;
// its memory is used again.
func ParseStatus(b []byte, into *Error) bool {
	into.Reset()
	r := protoReader{b: b}
	for r.next() {
		switch r.tag {
		case 1<<3 | wireVarint:
			into.Code = Unknown
			if r.number <= uint64(Unauthenticated) {
				into.Code = Code(r.number)
			}
		case 2<<3 | wireBytes:
			into.Message = appendText(into.Message[:0], r.bytes)
		case 3<<3 | wireBytes:
			if !parseAny(r.bytes, &into.Details) {
				r.fail()
			}
		}
	}
	if r.failed {
		into.Reset()
	}
	return !r.failed
}

func parseAny(b []byte, into *Pairs) bool {
	var url, value []byte
	r := protoReader{b: b}
	for r.next() {
		switch r.tag {
		case 1<<3 | wireBytes:
			url = r.bytes
		case 2<<3 | wireBytes:
			value = r.bytes
		}
	}
	if name := typeName(url); len(name) > 0 && utf8.Valid(name) && !r.failed {
		into.Add(name, value)
	}
	return !r.failed
}

// protoReader reads the fields of a message in protobuf's binary form.
type protoReader struct {
	b      []byte // what is left
	failed bool   // b was malformed

	// The field read last: its number and wire type, and its value.
	tag    uint64
	number uint64
	bytes  []byte
}

func (r *protoReader) fail() { r.b, r.failed = nil, true }

// next reads a field, a group as a whole. It is false at the end, and where the
// message is malformed.
func (r *protoReader) next() bool { return len(r.b) > 0 && r.field(jsonDepth, 0) }

// field reads a field. Groups may nest depth deep, as deep as JSON may, and are
// closed by their own number: end is the tag that closes the one we are in.
func (r *protoReader) field(depth int, end uint64) bool {
	tag := r.varint()
	if number := tag >> 3; number == 0 || number >= 1<<29 {
		r.fail()
	}
	switch tag & 7 {
	case wireVarint:
		r.number = r.varint()
	case 1:
		r.take(8)
	case wireBytes:
		r.bytes = r.take(r.varint())
	case 3:
		if depth == 0 {
			r.fail()
		}
		for r.field(depth-1, tag+1) && r.tag != tag+1 {
		}
	case 4:
		if tag != end {
			r.fail()
		}
	case 5:
		r.take(4)
	default:
		r.fail()
	}
	r.tag = tag
	return !r.failed
}

func (r *protoReader) varint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *protoReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
