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
}

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
	const application = "application/"
	if len(v) <= len(application) || !EqualFold(v[:len(application)], application) {
		return ContentType{}, false
	}
	name := v[len(application):]
	for _, c := range name {
		if !tokens[lower(c)] {
			return ContentType{}, false
		}
	}
	ct := ContentType{Protocol: ProtocolConnect, Codec: name}
	base, codec := name, protoCodec
	if i := bytes.IndexByte(name, '+'); i >= 0 {
		base, codec = name[:i], name[i+1:]
	}
	switch {
	case EqualFold(base, "connect") && len(base) < len(name):
		ct = ContentType{Protocol: ProtocolConnect, Stream: true, Codec: codec}
	case EqualFold(base, "grpc"):
		ct = ContentType{Protocol: ProtocolGRPC, Stream: true, Codec: codec}
	case EqualFold(base, "grpc-web"):
		ct = ContentType{Protocol: ProtocolGRPCWeb, Stream: true, Codec: codec}
	case EqualFold(base, "grpc-web-text"):
		ct = ContentType{Protocol: ProtocolGRPCWeb, Stream: true, Text: true, Codec: codec}
	}
	if len(ct.Codec) == 0 {
		return ContentType{}, false
	}
	if !validParams(params, EqualFold(ct.Codec, "json")) {
		return ContentType{}, false
	}
	return ct, true
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
		i := 0
		for i < len(b) && tokens[lower(b[i])] {
			i++
		}
		if i == 0 || i == len(b) || b[i] != '=' {
			return false
		}
		name, rest := b[:i], b[i+1:]
		var value []byte
		if len(rest) > 0 && rest[0] == '"' {
			j := 1
			for j < len(rest) && rest[j] != '"' {
				if rest[j] == '\\' {
					j++
				}
				j++
			}
			if j >= len(rest) || !ValidFieldValue(rest[:j]) {
				return false
			}
			value, b = rest[1:j], rest[j+1:]
		} else {
			j := 0
			for j < len(rest) && tokens[lower(rest[j])] {
				j++
			}
			if j == 0 {
				return false
			}
			value, b = rest[:j], rest[j:]
		}
		if json && EqualFold(name, "charset") && !EqualFold(value, "utf-8") && !EqualFold(value, "utf8") {
			return false
		}
	}
	return true
}

// AppendContentType appends the content type that ParseContentType reads back.
// stream matters for Connect alone: the others always use envelopes.
func AppendContentType(dst []byte, p Protocol, stream bool, codec []byte) []byte {
	dst = append(dst, "application/"...)
	switch {
	case p == ProtocolGRPC:
		dst = append(dst, "grpc+"...)
	case p == ProtocolGRPCWeb:
		dst = append(dst, "grpc-web+"...)
	case stream:
		dst = append(dst, "connect+"...)
	}
	return append(dst, codec...)
}
