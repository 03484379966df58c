package core

import "unicode/utf8"

// jsonDepth is how deep arrays and objects may nest; deeper is malformed (ours,
// rule 7).
const jsonDepth = 100

// jsonReader reads one JSON text (RFC 8259) from front to back without building
// anything. Each method consumes one thing and says whether it was there and well
// formed; after a false the reader is of no more use. Text is checked to be
// UTF-8; an escaped surrogate without its partner becomes U+FFFD (section 8.2
// leaves it open). Of equal keys the caller lets the last one win.
//
//	r := jsonReader{b: content}
//	for more, ok := r.open('{'); more; more, ok = r.next('}') {
//		key, ok := r.key()
//		... r.text(), r.skip() or an inner loop
//	}
//	r.end()
type jsonReader struct {
	b     []byte
	i     int
	depth int
	buf   []byte // a word that had escapes
}

// peek skips white space and returns the next byte, 0 at the end.
func (r *jsonReader) peek() byte {
	for r.i < len(r.b) {
		switch c := r.b[r.i]; c {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return c
		}
	}
	return 0
}

// end says whether only white space is left.
func (r *jsonReader) end() bool { return r.peek() == 0 && r.i == len(r.b) }

// open consumes '{' or '['. more says that a member or an element follows; an
// empty one is consumed whole.
func (r *jsonReader) open(c byte) (more, ok bool) {
	if r.peek() != c || r.depth == jsonDepth {
		return false, false
	}
	r.i++
	r.depth++
	if r.peek() == c+2 { // '{' + 2 is '}', '[' + 2 is ']'
		r.i++
		r.depth--
		return false, true
	}
	return true, true
}

// next consumes what stands after a member or an element: ',' (more follows) or
// the closing character.
func (r *jsonReader) next(closing byte) (more, ok bool) {
	switch r.peek() {
	case ',':
		r.i++
		return true, true
	case closing:
		r.i++
		r.depth--
		return false, true
	}
	return false, false
}

// key consumes a member's key and the colon. What word says of its result holds.
func (r *jsonReader) key() (key []byte, ok bool) {
	if key, ok = r.word(); !ok || r.peek() != ':' {
		return nil, false
	}
	r.i++
	return key, true
}

// word consumes a string that is looked at once: a view of the input or, if it
// had escapes, of a buffer that the next word or key overwrites.
func (r *jsonReader) word() (word []byte, ok bool) {
	raw, plain, ok := r.raw()
	if ok && !plain {
		r.buf = appendUnescaped(r.buf[:0], raw)
		return r.buf, true
	}
	return raw, ok
}

// text consumes a string and appends it to dst. If what stands there is no
// string, nothing is consumed.
func (r *jsonReader) text(dst []byte) ([]byte, bool) {
	raw, plain, ok := r.raw()
	switch {
	case !ok:
		return dst, false
	case plain:
		return append(dst, raw...), true
	}
	return appendUnescaped(dst, raw), true
}

// null consumes a null if one stands there.
func (r *jsonReader) null() bool { return r.peek() == 'n' && r.literal("null") }

func (r *jsonReader) literal(s string) bool {
	if len(r.b)-r.i < len(s) || string(r.b[r.i:r.i+len(s)]) != s {
		return false
	}
	r.i += len(s)
	return true
}

// raw consumes a string and returns what is between the quotes; plain says that
// it holds no escapes. All escapes in it are well formed.
func (r *jsonReader) raw() (raw []byte, plain, ok bool) {
	if r.peek() != '"' {
		return nil, false, false
	}
	plain = true
	ascii := true
	start := r.i + 1
	for i := start; i < len(r.b); {
		switch c := r.b[i]; {
		case c == '"':
			raw = r.b[start:i]
			if !ascii && !utf8.Valid(raw) {
				return nil, false, false
			}
			r.i = i + 1
			return raw, plain, true
		case c == '\\':
			n := escapeSize(r.b[i:])
			if n == 0 {
				return nil, false, false
			}
			plain = false
			i += n
		case c < ' ':
			return nil, false, false
		default:
			if c >= utf8.RuneSelf {
				ascii = false
			}
			i++
		}
	}
	return nil, false, false
}

// escapeSize returns how long the escape at the start of b is, 0 if it is none.
func escapeSize(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var v rune
	for _, c := range b[:4] {
		h := unHex(c)
		if h > 15 {
			return 0, false
		}
		v = v<<4 | rune(h)
	}
	return v, true
}

// unHex returns the value of a hexadecimal digit, 0xff for anything else.
func unHex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// appendUnescaped appends what a string that raw accepted stands for.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = raw[i+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			v, _ := hex4(raw[i+2:])
			i += 6
			if v >= 0xd800 && v < 0xdc00 && len(raw)-i >= 6 && raw[i] == '\\' && raw[i+1] == 'u' {
				if low, _ := hex4(raw[i+2:]); low >= 0xdc00 && low < 0xe000 {
					v = (v-0xd800)<<10 + (low - 0xdc00) + 0x10000
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, v) // a lone surrogate becomes U+FFFD
			continue
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}

// skip consumes one value of any kind.
func (r *jsonReader) skip() bool {
	var objects [jsonDepth + 1]bool // which of the open ones are objects
	floor := r.depth
	for {
		more, ok := false, true
		switch c := r.peek(); c {
		case '{', '[':
			if more, ok = r.open(c); more {
				objects[r.depth] = c == '{'
			}
		case '"':
			_, _, ok = r.raw()
		case 't':
			ok = r.literal("true")
		case 'f':
			ok = r.literal("false")
		case 'n':
			ok = r.literal("null")
		default:
			ok = r.number()
		}
		for ok && !more {
			if r.depth == floor {
				return true
			}
			closing := byte(']')
			if objects[r.depth] {
				closing = '}'
			}
			more, ok = r.next(closing)
		}
		if ok && objects[r.depth] {
			_, ok = r.key()
		}
		if !ok {
			return false
		}
	}
}

// number consumes a number.
func (r *jsonReader) number() bool {
	if r.at('-') {
		r.i++
	}
	if r.at('0') {
		r.i++
	} else if !r.digits() {
		return false
	}
	if r.at('.') {
		if r.i++; !r.digits() {
			return false
		}
	}
	if r.at('e') || r.at('E') {
		if r.i++; r.at('+') || r.at('-') {
			r.i++
		}
		return r.digits()
	}
	return true
}

func (r *jsonReader) at(c byte) bool { return r.i < len(r.b) && r.b[r.i] == c }

func (r *jsonReader) digits() bool {
	start := r.i
	for r.i < len(r.b) && r.b[r.i]-'0' <= 9 {
		r.i++
	}
	return r.i > start
}

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string. What is not UTF-8 in it becomes
// U+FFFD, so that the text is always well formed (RFC 8259, section 8.1).
func AppendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			v, n := utf8.DecodeRune(s[i:])
			if v == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendText appends s with what is not UTF-8 in it replaced by U+FFFD.
func appendText(dst, s []byte) []byte {
	if utf8.Valid(s) {
		return append(dst, s...)
	}
	for len(s) > 0 {
		v, n := utf8.DecodeRune(s)
		dst = utf8.AppendRune(dst, v)
		s = s[n:]
	}
	return dst
}
