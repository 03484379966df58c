package core

// EndStream is the end marker of a Connect stream: the data of the envelope with
// flag 2 (protocol.md, "Error and EndStreamResponse").
type EndStream struct {
	Failed   bool
	Error    Error
	Trailers Fields // names in lower case, in order, without the protocol's own
	Binary   Pairs  // trailers whose names end in "-bin", decoded
}

// AppendEndStream appends an end marker. With e nil or of code OK the RPC
// succeeded. trailers are text, binary are "-bin" names with bytes; the values of
// a name that comes more than once stand in one array, in the order of the first.
func AppendEndStream(dst []byte, e *Error, trailers Fields, binary Pairs) []byte {
	dst = append(dst, '{')
	failed := e != nil && e.Code != OK
	if failed {
		dst = append(dst, `"error":`...)
		dst = AppendError(dst, e)
	}
	if trailers.Len()+binary.Len() > 0 {
		if failed {
			dst = append(dst, ',')
		}
		dst = append(dst, `"metadata":{`...)
		dst = appendGroups(dst, trailers, binary)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// appendGroups appends the members of "metadata". It looks for each name's
// earlier and later fields by walking the lists: there are few.
func appendGroups(dst []byte, trailers Fields, binary Pairs) []byte {
	first := true
	for i, pos := 0, 0; i < trailers.Len(); i++ {
		name, _, next := trailers.Next(pos)
		if !fieldBefore(trailers, pos, name) {
			dst = appendGroup(dst, first, name, trailers, i, pos, binary, 0, 0)
			first = false
		}
		pos = next
	}
	for i, pos := 0, 0; i < binary.Len(); i++ {
		name, _, next := binary.Next(pos)
		if !fieldBefore(trailers, len(trailers.b)+1, name) && !pairBefore(binary, pos, name) {
			dst = appendGroup(dst, first, name, trailers, trailers.Len(), 0, binary, i, pos)
			first = false
		}
		pos = next
	}
	return dst
}

// fieldBefore says whether a field before end has the name.
func fieldBefore(f Fields, end int, name []byte) bool {
	for i, pos := 0, 0; i < f.Len() && pos < end; i++ {
		var n []byte
		if n, _, pos = f.Next(pos); string(n) == string(name) {
			return true
		}
	}
	return false
}

func pairBefore(p Pairs, end int, name []byte) bool {
	for pos := 0; pos < end; {
		var n []byte
		if n, _, pos = p.Next(pos); string(n) == string(name) {
			return true
		}
	}
	return false
}

// appendGroup appends one member with all values of name from the given places
// of both lists on.
func appendGroup(dst []byte, first bool, name []byte, trailers Fields, i, pos int, binary Pairs, j, posB int) []byte {
	if !first {
		dst = append(dst, ',')
	}
	dst = AppendJSONString(dst, name)
	dst = append(dst, ':')
	open := byte('[')
	for ; i < trailers.Len(); i++ {
		var n, v []byte
		if n, v, pos = trailers.Next(pos); string(n) == string(name) {
			dst = AppendJSONString(append(dst, open), v)
			open = ','
		}
	}
	for ; j < binary.Len(); j++ {
		var n, v []byte
		if n, v, posB = binary.Next(posB); string(n) == string(name) {
			dst = append(AppendBase64(append(dst, open, '"'), v), '"')
			open = ','
		}
	}
	return append(dst, ']')
}

// ParseEndStream reads the data of an end marker. False means that it is none,
// which is code internal (ours, rule 7): not a JSON object; an error with neither code nor
// message; metadata that is not an object of arrays of strings, or whose names or
// values could not be fields, or whose "-bin" values are not base64. into is reset
// first; its memory is used again.
//
// An error of null is taken for none: protocol.md calls it invalid, the official
// conformance suite demands success ("end-stream/null-error"). An error whose code
// is missing or not in the list is "unknown" and keeps its message. Names lose
// their upper case, as fields do, and the protocol's own are dropped.
func ParseEndStream(content []byte, into *EndStream) bool {
	into.Reset()
	r := jsonReader{b: content}
	more, ok := r.open('{')
	for more && ok {
		var key []byte
		if key, ok = r.key(); !ok {
			break
		}
		switch string(key) {
		case "error":
			into.Error.Reset()
			if into.Failed = !r.null(); into.Failed {
				ok = r.error(Unknown, &into.Error)
			}
		case "metadata":
			into.Trailers.Reset()
			into.Binary.Reset()
			ok = r.null() || r.metadata(into)
		default:
			ok = r.skip()
		}
		if ok {
			more, ok = r.next('}')
		}
	}
	if ok && r.end() {
		return true
	}
	into.Reset()
	return false
}

// Reset empties e and keeps its memory.
func (e *EndStream) Reset() {
	e.Failed = false
	e.Error.Reset()
	e.Trailers.Reset()
	e.Binary.Reset()
}

// metadata consumes the value of "metadata".
func (r *jsonReader) metadata(into *EndStream) bool {
	more, ok := r.open('{')
	for more && ok {
		var key []byte
		if key, ok = r.key(); ok {
			ok = r.values(key, into)
		}
		if ok {
			more, ok = r.next('}')
		}
	}
	return ok
}

// values consumes the array of one name. Each value is put where a field of that
// name would have it, and taken back from there if it belongs elsewhere.
func (r *jsonReader) values(key []byte, into *EndStream) bool {
	f := &into.Trailers
	count, size := f.n, len(f.b)
	name := f.beginLower(key)
	valid, drop, binary := ValidFieldName(name), ReservedTrailer(name), IsBinaryName(name)
	f.Truncate(count, size)
	if !valid {
		return false
	}
	more, ok := r.open('[')
	for more && ok {
		count, size = f.n, len(f.b)
		name = f.beginLower(key)
		at := len(f.b)
		if f.b, ok = r.text(f.b); !ok {
			return false
		}
		value := f.b[at:]
		switch {
		case !ValidFieldValue(value):
			return false
		case drop:
			f.Truncate(count, size)
		case binary:
			if !AppendBinaryValues(&into.Binary, name, value) {
				return false
			}
			f.Truncate(count, size)
		}
		more, ok = r.next(']')
	}
	return ok
}

// beginLower begins a field with the name in lower case, and returns that name.
func (f *Fields) beginLower(name []byte) []byte {
	f.BeginBytes(name)
	at := len(f.b) - 1 - len(name)
	own := f.b[at : at+len(name)]
	for i, c := range own {
		own[i] = lower(c)
	}
	return own
}
