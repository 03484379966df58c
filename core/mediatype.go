package core

import "bytes"

// Protocol is one of the three.
type Protocol uint32

// The protocols, with the numbers of the module's interface.
const (
	ProtocolConnect Protocol = 1
	ProtocolGRPC    Protocol = 2
	ProtocolGRPCWeb Protocol = 3
)

// ContentType is what a content type says about an RPC.
type ContentType struct {
	Protocol Protocol
	Stream   bool   // content is a sequence of envelopes
	Text     bool   // gRPC-Web: content is base64 of that sequence
	Codec    []byte // a view, in the sender's letter case: compare with EqualFold

	dialect *dialect
}

const applicationType, jsonCodec = "application/", "json"

var protoCodec = []byte("proto")

// ParseContentType reads a content type:
//
//	application/<codec>                  Connect unary   (protocol.md, "Unary-Content-Type")
//	application/connect+<codec>          Connect stream  (protocol.md, "Streaming-Content-Type")
//	application/grpc[+<codec>]           gRPC            (PROTOCOL-HTTP2.md, "Content-Type")
//	application/grpc-web[+<codec>]       gRPC-Web        (PROTOCOL-WEB.md, "Content-Type")
//	application/grpc-web-text[+<codec>]  gRPC-Web in base64
//
// Type and parameter names have no letter case (RFC 9110, section 8.3.1).
// Parameters are allowed and mean nothing, but JSON that claims a charset other
// than UTF-8 is refused. False means "not ours": HTTP 415.
func ParseContentType(v []byte) (ContentType, bool) {
	v = trimSpace(v)
	var params []byte
	if i := bytes.IndexByte(v, ';'); i >= 0 {
		v, params = trimSpace(v[:i]), v[i:]
	}
	if len(v) < len(applicationType) || !EqualFold(v[:len(applicationType)], applicationType) {
		return ContentType{}, false
	}
	name := v[len(applicationType):]
	base, codec := cutAt(name, '+')
	plus := codec != nil
	if !plus {
		codec = protoCodec
	}
	d := &connectUnary
	for _, other := range dialects {
		if other.base != "" && (plus || other.bare) && EqualFold(base, other.base) {
			d = other
		}
	}
	if d.base == "" {
		codec = name
	}
	if len(codec) == 0 || !isToken(name) || !validParams(params, EqualFold(codec, jsonCodec)) {
		return ContentType{}, false
	}
	return ContentType{Protocol: d.protocol, Stream: d.envelopes, Text: d.text, Codec: codec, dialect: d}, true
}

// validParams reads *( OWS ";" OWS [ name "=" ( token / quoted-string ) ] ), RFC
// 9110, section 5.6.6. With json it refuses a charset other than UTF-8.
func validParams(b []byte, json bool) bool {
	for b = trimSpace(b); len(b) > 0; b = trimSpace(b) {
		if b[0] != ';' {
			return false
		}
		if b = trimSpace(b[1:]); len(b) == 0 || b[0] == ';' {
			continue
		}
		name, rest := cutAt(b, '=')
		value, rest, ok := cutValue(rest)
		if !ok || !isToken(name) {
			return false
		}
		b = rest
		if json && EqualFold(name, "charset") && !EqualFold(value, "utf-8") && !EqualFold(value, "utf8") {
			return false
		}
	}
	return true
}

// cutValue takes a token or a quoted-string off b. Escapes stay as they are.
func cutValue(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		n := tokenSize(b)
		return b[:n], b[n:], n > 0
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[1:i], b[i+1:], ValidFieldValue(b[:i])
		}
	}
	return nil, nil, false
}
