package core

import "bytes"

// Error is how an RPC failed. Details hold the full name of a message type,
// without the "type.googleapis.com/" that Any puts before it, and the message in
// binary.
type Error struct {
	Code    Code
	Message []byte
	Details Pairs
}

// Reset empties e and keeps its memory.
func (e *Error) Reset() {
	e.Code = OK
	e.Message = e.Message[:0]
	e.Details.Reset()
}

// AppendError appends e as JSON (protocol.md, "Error and EndStreamResponse"): the
// code's name, the message unless empty, and the details unless there are none,
// their values in unpadded base64. OK and numbers that are no code become
// "unknown": an error has one of the names.
func AppendError(dst []byte, e *Error) []byte {
	code := e.Code
	if code == OK || !code.Valid() {
		code = Unknown
	}
	dst = append(dst, `{"code":"`...)
	dst = append(dst, codes[code].name...)
	dst = append(dst, '"')
	if len(e.Message) > 0 {
		dst = append(dst, `,"message":`...)
		dst = AppendJSONString(dst, e.Message)
	}
	for i, pos := 0, 0; i < e.Details.Len(); i++ {
		var name, value []byte
		name, value, pos = e.Details.Next(pos)
		if i == 0 {
			dst = append(dst, `,"details":[{"type":`...)
		} else {
			dst = append(dst, `,{"type":`...)
		}
		dst = AppendJSONString(dst, name)
		dst = append(dst, `,"value":"`...)
		dst = AppendBase64(dst, value)
		dst = append(dst, `"}`...)
	}
	if e.Details.Len() > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// ParseError reads the content of a Connect unary response that failed
// (protocol.md, "Unary-Response"). False means that it is not a valid error: the
// caller infers the code from the HTTP status and has no message. fallback is the
// code of an error that names none, or one that is not in the list. into is reset
// first; its memory is used again.
//
// Valid is (ours, rule 7, where protocol.md is silent) a JSON object whose "code"
// and "message" are strings, null or absent, and that has at least one of the two.
// Other members are ignored. A detail that is not an object with a "type" and a
// "value" in base64 is left out, the others stay; so is "details" that is no array.
func ParseError(content []byte, fallback Code, into *Error) bool {
	r := jsonReader{b: content}
	if r.error(fallback, into) && r.end() {
		return true
	}
	into.Reset()
	return false
}

// error consumes an error object.
func (r *jsonReader) error(fallback Code, into *Error) bool {
	into.Reset()
	var hasCode bool
	more, ok := r.open('{')
	for more && ok {
		var key []byte
		if key, ok = r.key(); !ok {
			return false
		}
		switch string(key) {
		case "code":
			into.Code, hasCode = fallback, false
			if ok = r.null(); !ok {
				hasCode = true
				var name []byte
				if name, ok = r.word(); ok {
					if code, known := CodeByName(name); known {
						into.Code = code
					}
				}
			}
		case "message":
			into.Message = into.Message[:0]
			if ok = r.null(); !ok {
				into.Message, ok = r.text(into.Message)
			}
		case "details":
			into.Details.Reset()
			ok = r.details(&into.Details)
		default:
			ok = r.skip()
		}
		if ok {
			more, ok = r.next('}')
		}
	}
	if into.Code == OK {
		into.Code = fallback
	}
	return ok && (hasCode || len(into.Message) > 0)
}

// details consumes the value of "details".
func (r *jsonReader) details(into *Pairs) bool {
	if r.peek() != '[' {
		return r.skip()
	}
	more, ok := r.open('[')
	for more && ok {
		if r.peek() != '{' {
			ok = r.skip()
		} else {
			ok = r.detail(into)
		}
		if ok {
			more, ok = r.next(']')
		}
	}
	return ok
}

// detail consumes one object. The two strings may come in either order and more
// than once, so they are only noted until the object has ended.
func (r *jsonReader) detail(into *Pairs) bool {
	var name, value []byte
	var hasValue bool
	more, ok := r.open('{')
	for more && ok {
		var key []byte
		if key, ok = r.key(); !ok {
			return false
		}
		what := &name
		switch string(key) {
		case "type":
			name = nil
		case "value":
			value, hasValue = nil, false
			what = &value
		default:
			what = nil
		}
		if what != nil && r.peek() == '"' {
			if *what, _, ok = r.raw(); ok && what == &value {
				hasValue = true
			}
		} else {
			ok = r.skip()
		}
		if ok {
			more, ok = r.next('}')
		}
	}
	if !ok || len(name) == 0 || !hasValue {
		return ok
	}
	at := into.begin()
	into.b = appendUnescaped(into.b, name)
	if i := bytes.LastIndexByte(into.b[at+pairHead:], '/'); i >= 0 {
		// Some peers send a whole type URL.
		n := copy(into.b[at+pairHead:], into.b[at+pairHead+i+1:])
		into.b = into.b[:at+pairHead+n]
	}
	mid := len(into.b)
	into.b = appendUnescaped(into.b, value)
	into.b, ok = AppendDecodeBase64(into.b[:mid], into.b[mid:])
	if !ok || mid == at+pairHead {
		into.drop(at)
		return true
	}
	into.end(at, mid-at-pairHead)
	return true
}
