package core

import (
	"bytes"
	"unicode/utf8"
)

// jsonDepth is how deep arrays and objects may nest; deeper is malformed (ours,
// rule 7).
const jsonDepth = 100

// jsonReader reads one JSON text (RFC 8259) from front to back without building
// anything. Each method consumes one thing. Where something else stands there, or
// it is malformed, the reader fails: there is nothing more to read, so that all
// loops end, and end is false. Text is checked to be UTF-8; an escaped surrogate
// without its partner becomes U+FFFD (section 8.2 leaves it open). Of equal keys
// the caller lets the last one win.
//
//	r := jsonReader{b: content}
//	for r.open('{'); r.more('}'); {
//		switch string(r.key()) {
//		... r.text(), r.skip() or an inner loop
//		}
//	}
//	return r.end()
type jsonReader struct {
	b      []byte
	i      int
	depth  int
	opened bool // nothing was read yet of what was opened last
	failed bool
}

func (r *jsonReader) fail() { r.i, r.failed = len(r.b), true }

// end says whether all was well formed and only white space is left.
func (r *jsonReader) end() bool { return r.peek() == 0 && r.i == len(r.b) && !r.failed }

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

// take consumes c if that comes next.
func (r *jsonReader) take(c byte) bool {
	is := r.peek() == c
	if is {
		r.i++
	}
	return is
}

// open consumes '{' or '['.
func (r *jsonReader) open(c byte) {
	if r.depth == jsonDepth || !r.take(c) {
		r.fail()
	}
	r.depth++
	r.opened = true
}

// more goes on to the next member or element. At the end it consumes the closing
// character and is false.
func (r *jsonReader) more(closing byte) bool {
	c, first := r.peek(), r.opened
	r.opened = false
	switch {
	case c == closing:
		r.i++
		r.depth--
		return false
	case c == ',' && !first:
		r.i++
	case !first:
		r.fail()
	}
	return !r.failed
}

// key consumes a member's key and the colon.
func (r *jsonReader) key() []byte {
	key := r.raw()
	if !r.take(':') {
		r.fail()
	}
	return unescaped(key)
}

// text consumes a string and appends it to dst.
func (r *jsonReader) text(dst []byte) []byte { return appendUnescaped(dst, r.raw()) }

// null consumes a null if one stands there.
func (r *jsonReader) null() bool {
	is := r.peek() == 'n'
	if is {
		r.literal("null")
	}
	return is
}

func (r *jsonReader) literal(s string) {
	if !hasPrefix(r.b[r.i:], s) {
		r.fail()
		return
	}
	r.i += len(s)
}

// raw consumes a string and returns what is between the quotes, a view.
func (r *jsonReader) raw() (raw []byte) {
	if r.take('"') {
		if size := stringSize(r.b[r.i:]); size >= 0 {
			raw = r.b[r.i : r.i+size]
			r.i += size + 1
			return raw
		}
	}
	r.fail()
	return nil
}

// stringSize finds the closing quote of the string that b begins in; it is -1
// where the string is malformed.
func stringSize(b []byte) int {
	ascii := true
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[:i]) {
				return -1
			}
			return i
		case c == '\\':
			_, size := unescape(b[i:])
			if size == 0 {
				return -1
			}
			i += size - 1
		case c < ' ':
			return -1
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return -1
}

// escapes has what stands behind a backslash, and what that means.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape reads the escape at the start of b; its size is 0 if there is none.
func unescape(b []byte) (v rune, size int) {
	if len(b) < 2 || b[0] != '\\' {
		return 0, 0
	}
	if c := escapes[b[1]]; c != 0 {
		return rune(c), 2
	}
	if v, ok := unHex(b[2:], 4); ok && b[1] == 'u' {
		return v, 6
	}
	return 0, 0
}

// appendUnescaped appends what a string that raw returned stands for.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		v, size := unescape(raw[i:])
		raw = raw[i+size:]
		if v >= 0xd800 && v < 0xdc00 {
			if low, size := unescape(raw); low >= 0xdc00 && low < 0xe000 {
				v = (v-0xd800)<<10 + (low - 0xdc00) + 0x10000
				raw = raw[size:]
			}
		}
		dst = utf8.AppendRune(dst, v) // a lone surrogate becomes U+FFFD
	}
}

// unescaped is appendUnescaped for strings that rarely have escapes: raw itself
// if it has none.
func unescaped(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	return appendUnescaped(nil, raw)
}

// skip consumes one value of any kind.
func (r *jsonReader) skip() {
	switch r.peek() {
	case '{':
		for r.open('{'); r.more('}'); {
			r.key()
			r.skip()
		}
	case '[':
		for r.open('['); r.more(']'); {
			r.skip()
		}
	case '"':
		r.raw()
	case 't':
		r.literal("true")
	case 'f':
		r.literal("false")
	case 'n':
		r.literal("null")
	default:
		r.number()
	}
}

func (r *jsonReader) number() {
	r.within('-', '-')
	if !r.within('0', '0') {
		r.digits()
	}
	if r.within('.', '.') {
		r.digits()
	}
	if r.within('e', 'e') || r.within('E', 'E') {
		if !r.within('+', '+') {
			r.within('-', '-')
		}
		r.digits()
	}
}

// digits consumes one digit or more.
func (r *jsonReader) digits() {
	if !r.within('0', '9') {
		r.fail()
	}
	for r.within('0', '9') {
	}
}

// within consumes a byte from low to high if that comes next, without white space.
func (r *jsonReader) within(low, high byte) bool {
	if r.i == len(r.b) || r.b[r.i] < low || r.b[r.i] > high {
		return false
	}
	r.i++
	return true
}

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string. What is not UTF-8 in it becomes
// U+FFFD, so that the text is always well formed (RFC 8259, section 8.1).
func AppendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			continue
		}
		if c >= utf8.RuneSelf {
			if _, n := utf8.DecodeRune(s[i:]); n > 1 {
				i += n - 1
				continue
			}
		}
		dst = append(dst, s[done:i]...)
		done = i + 1
		switch {
		case c >= utf8.RuneSelf:
			dst = append(dst, "\uFFFD"...)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[done:]...), '"')
}

// appendText appends s with what is not UTF-8 in it replaced by U+FFFD.
func appendText(dst, s []byte) []byte {
	if utf8.Valid(s) {
		return append(dst, s...)
	}
	for _, v := range string(s) {
		dst = utf8.AppendRune(dst, v)
	}
	return dst
}
