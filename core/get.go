package core

import (
	"bytes"
	"unicode/utf8"
)

// GetQuery is what the query of a Connect GET says (protocol.md,
// "Unary-Get-Request"). Its byte strings live until the next ParseGet into it; one
// that the query does not have is nil.
type GetQuery struct {
	Message     []byte // as sent: decoded from base64, still compressed
	Codec       []byte
	Compression []byte // empty: identity
	HasVersion  bool   // "connect=v1" was there

	buf []byte
}

// GetFault is what is wrong with the query of a Connect GET, as text for the
// caller of the RPC. All are invalid_argument.
type GetFault string

const (
	GetOK         GetFault = ""
	GetBadEscape  GetFault = "the query has a broken percent-escape"
	GetBadBase64  GetFault = "the parameter message is not URL-safe base64"
	GetBadVersion GetFault = `the parameter connect must be "v1"`
	GetBadText    GetFault = "the parameter message is not UTF-8"
	GetNoMessage  GetFault = "the parameter message is missing"
	GetDuplicate  GetFault = "a parameter of the query is given twice"
)

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
	var version, base64 []byte
	for len(query) > 0 {
		var part []byte
		part, query, _ = bytes.Cut(query, []byte{'&'})
		name, value := cutAt(part, '=')
		name, ok := into.decode(name)
		if !ok {
			continue
		}
		var parameter *[]byte
		switch string(name) {
		case "connect":
			parameter = &version
		case "encoding":
			parameter = &into.Codec
		case "message":
			parameter = &into.Message
		case "base64":
			parameter = &base64
		case "compression":
			parameter = &into.Compression
		default:
			continue
		}
		value, ok = into.decode(value)
		twice := *parameter != nil
		if !twice {
			*parameter = value
		}
		switch {
		case fault != GetOK: // the first one counts
		case twice:
			fault = GetDuplicate
		case !ok:
			fault = GetBadEscape
		case parameter == &version && string(value) != "v1":
			fault = GetBadVersion
		}
	}
	into.HasVersion = version != nil
	switch {
	case fault != GetOK:
		return fault
	case into.Message == nil:
		return GetNoMessage
	case string(base64) == "1":
		// In place: what is decoded is shorter than what it is decoded from.
		message, ok := AppendDecodeBase64URL(into.Message[:0], into.Message)
		if !ok {
			return GetBadBase64
		}
		into.Message = message
	}
	if string(into.Codec) == jsonCodec && CodingIndex(into.Compression, nil) == 0 && !utf8.Valid(into.Message) {
		return GetBadText
	}
	return GetOK
}

// decode puts the text of a parameter's name or value into buf.
func (q *GetQuery) decode(v []byte) (text []byte, ok bool) {
	start := len(q.buf)
	q.buf, ok = appendDecodePercent(q.buf, v, ' ')
	return q.buf[start:len(q.buf):len(q.buf)], ok
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
