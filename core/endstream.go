package core

// EndStream is the end marker of a Connect stream: the data of the envelope with
// flag 2 (protocol.md, "Error and EndStreamResponse").
type EndStream struct {
	Failed   bool
	Error    Error
	Trailers Fields // names in lower case, in order, without the protocol's own
	Binary   Pairs  // trailers whose names end in "-bin" and whose values are base64
}

// AppendEndStream appends an end marker. With e nil or of code OK the RPC
// succeeded. The values of a name that comes more than once stand in one array, in
// the order of the first.
func AppendEndStream(dst []byte, e *Error, trailers Fields) []byte {
	dst = append(dst, '{')
	failed := e != nil && e.Code != OK
	if failed {
		dst = AppendError(append(dst, `"error":`...), e)
	}
	if failed && trailers.n > 0 {
		dst = append(dst, ',')
	}
	if trailers.n > 0 {
		dst = appendTrailers(append(dst, `"metadata":`...), trailers)
	}
	return append(dst, '}')
}

// appendTrailers appends the value of "metadata". For each name it walks the list
// again, to find those that are equal: there are few.
func appendTrailers(dst []byte, all Fields) []byte {
	separator := byte('{')
	for rest := all; rest.n > 0; {
		at := rest.n
		name, _ := rest.cut()
		open := byte('[')
		for others := all; others.n > 0; {
			before := others.n > at
			other, value := others.cut()
			if string(other) != string(name) {
				continue
			}
			if before {
				break // its array is there
			}
			if open == '[' {
				dst = append(AppendJSONString(append(dst, separator), name), ':')
				separator = ','
			}
			dst = AppendJSONString(append(dst, open), value)
			open = ','
		}
		if open == ',' {
			dst = append(dst, ']')
		}
	}
	return append(dst, '}')
}

// ParseEndStream reads the data of an end marker. False means that it is none,
// which is code internal (ours, rule 7): not a JSON object; an error with neither
// code nor message; metadata that is not an object of arrays of strings, or whose
// names or values could not be fields. into is reset first; its memory is used
// again.
//
// An error of null is taken for none: protocol.md calls it invalid, the official
// conformance suite demands success ("end-stream/null-error"). An error whose code
// is missing or not in the list is "unknown" and keeps its message. Names lose
// their upper case, as fields do, and the protocol's own are dropped. A "-bin"
// value that is not base64 stays text (ours, rule 5). Of more metadata than a section
// may have, what is over that by more than one value is dropped.
func ParseEndStream(content []byte, into *EndStream) bool {
	into.Reset()
	r := jsonReader{b: content}
	for r.open('{'); r.more('}'); {
		switch string(r.key()) {
		case "error":
			into.Error.Reset()
			if into.Failed = !r.null(); into.Failed {
				r.error(Unknown, &into.Error)
			}
		case "metadata":
			into.Trailers.Reset()
			into.Binary.Reset()
			if !r.null() {
				r.metadata(into)
			}
		default:
			r.skip()
		}
	}
	if !r.end() {
		into.Reset()
		return false
	}
	return true
}

// metadata consumes the value of "metadata". Each value is first put where a text
// field has it, and taken back from there if it does not belong there.
func (r *jsonReader) metadata(into *EndStream) {
	text := &into.Trailers
	for r.open('{'); r.more('}'); {
		key := r.key()
		if !isToken(key) {
			r.fail()
		}
		for r.open('['); r.more(']'); {
			if weigh(*text, into.Binary).tooMuch() {
				r.skip() // each value has a copy of the name: ours, rule 13
				continue
			}
			count, size := text.n, len(text.b)
			name := text.beginLower(key)
			at := len(text.b)
			text.b = r.text(text.b)
			value := text.b[at:]
			if !ValidFieldValue(value) {
				r.fail()
			}
			if ReservedTrailer(name) || IsBinaryName(name) && AppendBinaryValues(&into.Binary, name, value) {
				text.Truncate(count, size)
			}
		}
	}
}

// Reset empties e and keeps its memory.
func (e *EndStream) Reset() {
	e.Failed = false
	e.Error.Reset()
	e.Trailers.Reset()
	e.Binary.Reset()
}
