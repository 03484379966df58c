package core

import (
	"bytes"
	"unicode/utf8"
)

// GetQuery is what the query of a Connect GET says (protocol.md,
// "Unary-Get-Request"). Its byte strings live until the next ParseGet into it.
type GetQuery struct {
	Message     []byte // as sent: decoded from base64, still compressed
	Codec       []byte
	Compression []byte // empty if not given: identity
	Base64      bool
	HasVersion  bool // "connect=v1" was there
	HasMessage  bool
	HasCodec    bool

	buf []byte
}

// GetFault is what is wrong with the query of a Connect GET.
type GetFault uint8

// The faults. All are invalid_argument.
const (
	GetOK GetFault = iota
	GetBadEscape
	GetBadBase64
	GetBadVersion
	GetBadText
	GetNoMessage
	GetDuplicate
)

// String returns text for the caller of the RPC.
func (f GetFault) String() string {
	switch f {
	case GetOK:
		return ""
	case GetBadEscape:
		return "the query has a broken percent-escape"
	case GetBadBase64:
		return "the parameter message is not URL-safe base64"
	case GetBadVersion:
		return `the parameter connect must be "v1"`
	case GetBadText:
		return "the parameter message is not UTF-8"
	case GetNoMessage:
		return "the parameter message is missing"
	case GetDuplicate:
		return "a parameter of the query is given twice"
	}
	return "the query is malformed"
}

// ParseGet reads a query, without its "?", and returns the first fault in it; the
// codec is read in any case, since an unknown one is a fault of another kind (HTTP
// 415). Parameters may come in any order and unknown ones are ignored
// (protocol.md, "Query-Get"), broken escapes in them included; a parameter of the
// protocol that comes twice is a fault (ours, rule 4). "+" is a space, as in any
// query of a form. A base64 other than "1" is ignored ("Base64-Query"). A JSON
// message that is neither compressed nor UTF-8 is a fault.
func ParseGet(query []byte, into *GetQuery) (fault GetFault) {
	buf := into.buf[:0]
	if cap(buf) < len(query) {
		buf = make([]byte, 0, len(query)) // so that views of it stay good
	}
	*into = GetQuery{buf: buf}
	bad := func(f GetFault) {
		if fault == GetOK {
			fault = f
		}
	}
	var hasBase64, hasCompression bool
	for len(query) > 0 {
		part, rest, _ := bytes.Cut(query, []byte{'&'})
		query = rest
		name, value, _ := bytes.Cut(part, []byte{'='})
		name, ok := into.decode(name)
		if !ok {
			continue
		}
		var seen *bool
		switch string(name) {
		case "connect":
			seen = &into.HasVersion
		case "encoding":
			seen = &into.HasCodec
		case "message":
			seen = &into.HasMessage
		case "base64":
			seen = &hasBase64
		case "compression":
			seen = &hasCompression
		default:
			continue
		}
		if *seen {
			bad(GetDuplicate)
			continue
		}
		*seen = true
		if value, ok = into.decode(value); !ok {
			bad(GetBadEscape)
			continue
		}
		switch seen {
		case &into.HasVersion:
			if string(value) != "v1" {
				bad(GetBadVersion)
			}
		case &into.HasCodec:
			into.Codec = value
		case &into.HasMessage:
			into.Message = value
		case &hasBase64:
			into.Base64 = string(value) == "1"
		default:
			into.Compression = value
		}
	}
	if !into.HasMessage {
		bad(GetNoMessage)
	}
	if fault != GetOK {
		return fault
	}
	if into.Base64 {
		// In place: what is decoded is shorter than what it is decoded from.
		m, ok := AppendDecodeBase64URL(into.Message[:0], into.Message)
		if !ok {
			return GetBadBase64
		}
		into.Message = m
	}
	if string(into.Codec) == "json" && CodingIndex(into.Compression, nil) == 0 && !utf8.Valid(into.Message) {
		return GetBadText
	}
	return GetOK
}

// decode puts the text of a parameter's name or value into buf.
func (q *GetQuery) decode(v []byte) ([]byte, bool) {
	start := len(q.buf)
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(v) {
				q.buf = q.buf[:start]
				return nil, false
			}
			high, low := unHex(v[i+1]), unHex(v[i+2])
			if high|low > 15 {
				q.buf = q.buf[:start]
				return nil, false
			}
			c = high<<4 | low
			i += 2
		}
		q.buf = append(q.buf, c)
	}
	return q.buf[start:len(q.buf):len(q.buf)], true
}

// AppendGet appends the query of a Connect GET, without "?", in the order of
// protocol.md, "Query-Get", so that equal calls have equal URLs. message is sent
// in base64 whatever the codec; compression is left out if empty.
func AppendGet(dst []byte, codec, compression string, message []byte) []byte {
	dst = append(dst, "connect=v1&base64=1"...)
	if compression != "" {
		dst = appendQueryValue(append(dst, "&compression="...), compression)
	}
	dst = appendQueryValue(append(dst, "&encoding="...), codec)
	return AppendBase64URL(append(dst, "&message="...), message)
}

// appendQueryValue appends s with all but RFC 3986's unreserved characters
// percent-encoded.
func appendQueryValue(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}
