package core

// Base64 is RFC 4648, strictly: no line breaks, no characters from outside the
// alphabet, no bits set that stand for no byte (section 3.5), padding either
// whole or absent. The standard library skips line breaks, so it is not used.

const (
	std64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	url64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

var unStd64, unURL64 = inverse64(std64), inverse64(url64)

// inverse64 gives each character its 6 bits, and 0xff to all others.
func inverse64(alphabet string) *[256]byte {
	t := new([256]byte)
	for i := range t {
		t[i] = 0xff
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	return t
}

// AppendBase64 appends src in the standard alphabet without padding, the form of
// "-bin" fields and of Connect's error details (protocol.md, "Custom-Metadata",
// "Error and EndStreamResponse").
func AppendBase64(dst, src []byte) []byte { return appendBase64(dst, src, std64) }

// AppendPaddedBase64 is AppendBase64 with padding.
func AppendPaddedBase64(dst, src []byte) []byte {
	dst = AppendBase64(dst, src)
	return append(dst, "=="[:(3-len(src)%3)%3]...)
}

// AppendBase64URL appends src in the alphabet of RFC 4648, section 5, without
// padding: the form of a Connect GET's message (protocol.md, "Message-Query").
func AppendBase64URL(dst, src []byte) []byte { return appendBase64(dst, src, url64) }

func appendBase64(dst, src []byte, alphabet string) []byte {
	_ = alphabet[63]
	for ; len(src) >= 3; src = src[3:] {
		v := uint(src[0])<<16 | uint(src[1])<<8 | uint(src[2])
		dst = append(dst, alphabet[v>>18&63], alphabet[v>>12&63], alphabet[v>>6&63], alphabet[v&63])
	}
	switch len(src) {
	case 1:
		v := uint(src[0])
		dst = append(dst, alphabet[v>>2&63], alphabet[v<<4&63])
	case 2:
		v := uint(src[0])<<8 | uint(src[1])
		dst = append(dst, alphabet[v>>10&63], alphabet[v>>4&63], alphabet[v<<2&63])
	}
	return dst
}

// AppendDecodeBase64 appends the bytes that src stands for in the standard
// alphabet. Padding may be there or not. If src is not base64 it returns dst as
// it was, and false. src may be the spare capacity right after dst.
func AppendDecodeBase64(dst, src []byte) ([]byte, bool) {
	return appendDecodeBase64(dst, src, unStd64)
}

// AppendDecodeBase64URL is AppendDecodeBase64 for the alphabet of RFC 4648,
// section 5, and nothing else.
func AppendDecodeBase64URL(dst, src []byte) ([]byte, bool) {
	return appendDecodeBase64(dst, src, unURL64)
}

func appendDecodeBase64(dst, src []byte, table *[256]byte) ([]byte, bool) {
	whole := len(dst)
	if n := len(src); n > 0 && n%4 == 0 && src[n-1] == '=' {
		src = src[:n-1]
		if src[n-2] == '=' {
			src = src[:n-2]
		}
	}
	for ; len(src) >= 4; src = src[4:] {
		a, b, c, d := table[src[0]], table[src[1]], table[src[2]], table[src[3]]
		if a|b|c|d > 63 {
			return dst[:whole], false
		}
		dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	switch len(src) {
	case 0:
		return dst, true
	case 2:
		a, b := table[src[0]], table[src[1]]
		if a|b <= 63 && b&15 == 0 {
			return append(dst, a<<2|b>>4), true
		}
	case 3:
		a, b, c := table[src[0]], table[src[1]], table[src[2]]
		if a|b|c <= 63 && c&3 == 0 {
			return append(dst, a<<2|b>>4, b<<4|c>>2), true
		}
	}
	return dst[:whole], false
}

// AppendBinaryValues adds the values of one binary field to p, each under name:
// a field may hold several, joined by commas, and must be split before decoding
// (PROTOCOL-HTTP2.md, "Custom-Metadata"). An element that is empty between commas
// is no value; a field that is empty altogether is one empty value (ours, rule 5).
// If an element is not base64, p is as it was and the result false.
func AppendBinaryValues(p *Pairs, name, value []byte) bool {
	count, size := p.n, len(p.b)
	if len(trimSpace(value)) == 0 {
		p.Add(name, nil)
		return true
	}
	for len(value) > 0 {
		var v []byte
		v, value = cutAt(value, ',')
		if v = trimSpace(v); len(v) > 0 && !p.addBase64(name, v) {
			p.Truncate(count, size)
			return false
		}
	}
	return true
}
