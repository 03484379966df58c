package core

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
	code := e.Code.known()
	if code == OK {
		code = Unknown
	}
	dst = append(append(append(dst, `{"code":"`...), codes[code].name...), '"')
	if len(e.Message) > 0 {
		dst = AppendJSONString(append(dst, `,"message":`...), e.Message)
	}
	before := `,"details":[{"type":`
	for rest := e.Details; rest.n > 0; {
		name, value := rest.cut()
		dst = AppendJSONString(append(dst, before...), name)
		dst = AppendBase64(append(dst, `,"value":"`...), value)
		dst = append(dst, `"}`...)
		before = `,{"type":`
	}
	if e.Details.n > 0 {
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
	r.error(fallback, into)
	if !r.end() {
		into.Reset()
		return false
	}
	return true
}

// error consumes an error object.
func (r *jsonReader) error(fallback Code, into *Error) {
	into.Reset()
	into.Code = fallback
	hasCode := false
	for r.open('{'); r.more('}'); {
		switch string(r.key()) {
		case "code":
			into.Code = fallback
			if hasCode = !r.null(); hasCode {
				if code, ok := CodeByName(unescaped(r.raw())); ok {
					into.Code = code
				}
			}
		case "message":
			into.Message = into.Message[:0]
			if !r.null() {
				into.Message = r.text(into.Message)
			}
		case "details":
			into.Details.Reset()
			r.details(&into.Details)
		default:
			r.skip()
		}
	}
	if !hasCode && len(into.Message) == 0 {
		r.fail()
	}
}

// details consumes the value of "details".
func (r *jsonReader) details(into *Pairs) {
	if r.peek() != '[' {
		r.skip()
		return
	}
	for r.open('['); r.more(']'); {
		if r.peek() == '{' {
			r.detail(into)
		} else {
			r.skip()
		}
	}
}

// detail consumes one object. The two strings may come in either order and more
// than once, so they are only noted until the object has ended.
func (r *jsonReader) detail(into *Pairs) {
	var name, value []byte // nil: not there, or not a string
	for r.open('{'); r.more('}'); {
		what := &name
		switch string(r.key()) {
		case "type":
		case "value":
			what = &value
		default:
			r.skip()
			continue
		}
		if *what = nil; r.peek() == '"' {
			*what = r.raw()
		} else {
			r.skip()
		}
	}
	// Some peers send a whole type URL.
	if name = typeName(unescaped(name)); len(name) > 0 && value != nil {
		into.addBase64(name, unescaped(value))
	}
}
