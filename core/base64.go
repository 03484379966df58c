package core

import (
	"bytes"
	"encoding/base64"
)

// Base64 is RFC 4648, strictly: no line breaks, which the standard library skips, no
// bits set that stand for no byte (section 3.5), padding either whole or absent.

var strictStd, strictURL = base64.RawStdEncoding.Strict(), base64.RawURLEncoding.Strict()

// AppendBase64 appends src in the standard alphabet without padding, the form of
// "-bin" fields and of Connect's error details (protocol.md, "Custom-Metadata",
// "Error and EndStreamResponse").
func AppendBase64(dst, src []byte) []byte { return base64.RawStdEncoding.AppendEncode(dst, src) }

// AppendPaddedBase64 is AppendBase64 with padding.
func AppendPaddedBase64(dst, src []byte) []byte { return base64.StdEncoding.AppendEncode(dst, src) }

// AppendBase64URL appends src in the alphabet of RFC 4648, section 5, without
// padding: the form of a Connect GET's message (protocol.md, "Message-Query").
func AppendBase64URL(dst, src []byte) []byte { return base64.RawURLEncoding.AppendEncode(dst, src) }

// AppendDecodeBase64 appends the bytes that src stands for in the standard
// alphabet. Padding may be there or not. If src is not base64 it returns dst as
// it was, and false. src may be the spare capacity right after dst.
func AppendDecodeBase64(dst, src []byte) ([]byte, bool) { return decode64(strictStd, dst, src) }

// AppendDecodeBase64URL is AppendDecodeBase64 for the alphabet of RFC 4648,
// section 5, and nothing else.
func AppendDecodeBase64URL(dst, src []byte) ([]byte, bool) { return decode64(strictURL, dst, src) }

func decode64(e *base64.Encoding, dst, src []byte) ([]byte, bool) {
	if n := len(src); n > 0 && n%4 == 0 && src[n-1] == '=' {
		src = bytes.TrimSuffix(src[:n-1], []byte{'='})
	}
	if bytes.IndexByte(src, '\n') >= 0 || bytes.IndexByte(src, '\r') >= 0 {
		return dst, false
	}
	out, err := e.AppendDecode(dst, src)
	if err != nil {
		return dst, false
	}
	return out, true
}

// AppendBinaryValues adds the values of one binary field to p, each under name:
// a field may hold several, joined by commas, and must be split before decoding
// (PROTOCOL-HTTP2.md, "Custom-Metadata"). An element that is empty between commas
// is no value; a field that is empty altogether is one empty value (ours, rule 5).
// If an element is not base64, p is as it was and the result false. Once p has more
// than a section may have, no more is added: each value has a copy of the name, and
// may have three bytes of its own (ours, rule 13).
func AppendBinaryValues(p *Pairs, name, value []byte) bool {
	count, size := p.n, len(p.b)
	if len(trimSpace(value)) == 0 {
		p.Add(name, nil)
		return true
	}
	for len(value) > 0 && !weigh(Fields{}, *p).tooMuch() {
		var v []byte
		v, value = cutAt(value, ',')
		if v = trimSpace(v); len(v) > 0 && !p.addBase64(name, v) {
			p.Truncate(count, size)
			return false
		}
	}
	return true
}
