package core

import "unicode/utf8"

// The binary form of google.rpc.Status (google/rpc/status.proto), which gRPC
// carries in base64 in a trailer, written by hand:
//
//	message Status { int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3; }
//	message Any    { string type_url = 1; bytes value = 2; }

const typeURLPrefix = "type.googleapis.com/"

// AppendStatus appends e as a google.rpc.Status. What is not UTF-8 in its text
// becomes U+FFFD.
func AppendStatus(dst []byte, e *Error) []byte {
	if e.Code != OK {
		dst = append(dst, 1<<3|0)
		dst = appendVarint(dst, uint64(e.Code))
	}
	if len(e.Message) > 0 {
		dst = append(dst, 2<<3|2)
		if utf8.Valid(e.Message) {
			dst = appendVarint(dst, uint64(len(e.Message)))
			dst = append(dst, e.Message...)
		} else {
			size := 0
			for m := e.Message; len(m) > 0; {
				v, n := utf8.DecodeRune(m)
				size += utf8.RuneLen(v)
				m = m[n:]
			}
			dst = appendText(appendVarint(dst, uint64(size)), e.Message)
		}
	}
	for i, pos := 0, 0; i < e.Details.Len(); i++ {
		var name, value []byte
		name, value, pos = e.Details.Next(pos)
		url := len(typeURLPrefix) + len(name)
		size := 1 + varintSize(uint64(url)) + url
		if len(value) > 0 {
			size += 1 + varintSize(uint64(len(value))) + len(value)
		}
		dst = append(dst, 3<<3|2)
		dst = appendVarint(dst, uint64(size))
		dst = append(dst, 1<<3|2)
		dst = appendVarint(dst, uint64(url))
		dst = append(append(dst, typeURLPrefix...), name...)
		if len(value) > 0 {
			dst = append(dst, 2<<3|2)
			dst = appendVarint(dst, uint64(len(value)))
			dst = append(dst, value...)
		}
	}
	return dst
}

// ParseStatus reads a google.rpc.Status. False means that b is none; into is then
// empty. A code that is not in the list becomes unknown (ours, rule 6: never OK,
// never a made-up one). A detail's type is what follows the last slash of its type URL
// (any.proto); a detail without a type is left out. into is reset first; its
// memory is used again.
func ParseStatus(b []byte, into *Error) bool {
	into.Reset()
	r := protoReader{b: b}
	for len(r.b) > 0 {
		field, wire, ok := r.tag()
		switch {
		case !ok:
		case field == 1 && wire == 0:
			var v uint64
			if v, ok = r.varint(); ok {
				into.Code = Unknown
				if v <= uint64(Unauthenticated) {
					into.Code = Code(v)
				}
			}
		case field == 2 && wire == 2:
			var v []byte
			if v, ok = r.bytes(); ok {
				into.Message = appendText(into.Message[:0], v)
			}
		case field == 3 && wire == 2:
			var v []byte
			if v, ok = r.bytes(); ok {
				ok = parseAny(v, &into.Details)
			}
		default:
			ok = r.skip(field, wire)
		}
		if !ok {
			into.Reset()
			return false
		}
	}
	return true
}

func parseAny(b []byte, into *Pairs) bool {
	var url, value []byte
	r := protoReader{b: b}
	for len(r.b) > 0 {
		field, wire, ok := r.tag()
		switch {
		case !ok:
		case field == 1 && wire == 2:
			url, ok = r.bytes()
		case field == 2 && wire == 2:
			value, ok = r.bytes()
		default:
			ok = r.skip(field, wire)
		}
		if !ok {
			return false
		}
	}
	for i := len(url) - 1; i >= 0; i-- {
		if url[i] == '/' {
			url = url[i+1:]
			break
		}
	}
	if len(url) > 0 && utf8.Valid(url) {
		into.Add(url, value)
	}
	return true
}

// protoReader reads the fields of a message in protobuf's binary form; b is what
// is left.
type protoReader struct{ b []byte }

func (r *protoReader) varint() (v uint64, ok bool) {
	for i := 0; i < len(r.b) && i < 10; i++ {
		c := r.b[i]
		if i == 9 && c > 1 {
			return 0, false
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.b = r.b[i+1:]
			return v, true
		}
	}
	return 0, false
}

func (r *protoReader) tag() (field uint64, wire byte, ok bool) {
	v, ok := r.varint()
	field, wire = v>>3, byte(v&7)
	return field, wire, ok && field > 0 && field < 1<<29
}

func (r *protoReader) bytes() ([]byte, bool) {
	n, ok := r.varint()
	if !ok || n > uint64(len(r.b)) {
		return nil, false
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v, true
}

// skip passes over a field that is not known; a group only where it is closed
// by its own number and nests no deeper than JSON may.
func (r *protoReader) skip(field uint64, wire byte) bool {
	var open [jsonDepth]uint64
	depth := 0
	for {
		ok := true
		switch wire {
		case 0:
			_, ok = r.varint()
		case 1:
			ok = r.drop(8)
		case 2:
			_, ok = r.bytes()
		case 3:
			if ok = depth < len(open); ok {
				open[depth] = field
				depth++
			}
		case 4:
			if ok = depth > 0 && open[depth-1] == field; ok {
				depth--
			}
		case 5:
			ok = r.drop(4)
		default:
			ok = false
		}
		if !ok || depth == 0 {
			return ok
		}
		if field, wire, ok = r.tag(); !ok {
			return false
		}
	}
}

func (r *protoReader) drop(n int) bool {
	if len(r.b) < n {
		return false
	}
	r.b = r.b[n:]
	return true
}

func appendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

func varintSize(v uint64) (n int) {
	for n = 1; v >= 0x80; n++ {
		v >>= 7
	}
	return n
}

const upperHex = "0123456789ABCDEF"

// AppendGRPCMessage appends an error's message percent-encoded
// (PROTOCOL-HTTP2.md, "Status-Message"). A space at either end is encoded, too:
// HTTP would strip it.
func AppendGRPCMessage(dst, message []byte) []byte {
	last := len(message) - 1
	for i, c := range message {
		if c < ' ' || c > '~' || c == '%' || c == ' ' && (i == 0 || i == last) {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// AppendDecodeGRPCMessage appends the text of a percent-encoded message. One with
// a broken escape, or that is not UTF-8 when decoded, is kept as it came
// (PROTOCOL-HTTP2.md, "Status-Message": never an error, never thrown away), and
// what is not UTF-8 even then becomes U+FFFD.
func AppendDecodeGRPCMessage(dst, v []byte) []byte {
	start := len(dst)
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c == '%' {
			if i+2 >= len(v) {
				return appendText(dst[:start], v)
			}
			high, low := unHex(v[i+1]), unHex(v[i+2])
			if high|low > 15 {
				return appendText(dst[:start], v)
			}
			c = high<<4 | low
			i += 2
		}
		dst = append(dst, c)
	}
	if !utf8.Valid(dst[start:]) {
		return appendText(dst[:start], v)
	}
	return dst
}
