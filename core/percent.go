package core

import "unicode/utf8"

// Percent-encoding, of gRPC's messages and in the query of a Connect GET.

// AppendGRPCMessage appends an error's message percent-encoded
// (PROTOCOL-HTTP2.md, "Status-Message"). A space at either end is encoded, too:
// HTTP would strip it. What is not UTF-8 becomes U+FFFD.
func AppendGRPCMessage(dst, message []byte) []byte {
	if !utf8.Valid(message) {
		message = appendText(nil, message)
	}
	last := len(message) - 1
	for i, c := range message {
		plain := c >= ' ' && c <= '~' && c != '%' && (c != ' ' || i > 0 && i < last)
		dst = appendPercent(dst, c, plain)
	}
	return dst
}

// AppendDecodeGRPCMessage appends the text of a percent-encoded message. One with
// a broken escape, or that is not UTF-8 when decoded, is kept as it came
// (PROTOCOL-HTTP2.md, "Status-Message": never an error, never thrown away), and
// what is not UTF-8 even then becomes U+FFFD.
func AppendDecodeGRPCMessage(dst, v []byte) []byte {
	text, ok := appendDecodePercent(dst, v, '+')
	if !ok || !utf8.Valid(text[len(dst):]) {
		return appendText(dst, v)
	}
	return text
}

// appendQueryValue appends s with all but RFC 3986's unreserved characters
// encoded.
func appendQueryValue(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		plain := lower(c) >= 'a' && lower(c) <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
		dst = appendPercent(dst, c, plain)
	}
	return dst
}

func appendPercent(dst []byte, c byte, plain bool) []byte {
	const digits = "0123456789ABCDEF"
	if plain {
		return append(dst, c)
	}
	return append(dst, '%', digits[c>>4], digits[c&15])
}

// appendDecodePercent appends v decoded; plus is what "+" stands for. Where an
// escape is broken it returns dst as it was, and false.
func appendDecodePercent(dst, v []byte, plus byte) ([]byte, bool) {
	whole := len(dst)
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch c {
		case '+':
			c = plus
		case '%':
			escaped, ok := unHex(v[i+1:], 2)
			if !ok {
				return dst[:whole], false
			}
			c = byte(escaped)
			i += 2
		}
		dst = append(dst, c)
	}
	return dst, true
}

// unHex reads the first size bytes of b as hexadecimal digits.
func unHex(b []byte, size int) (v rune, ok bool) {
	if len(b) < size {
		return 0, false
	}
	for _, c := range b[:size] {
		switch c = lower(c); {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | rune(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
