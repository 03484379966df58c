package core

// tokens marks the characters of a field name in lower case: RFC 9110, section
// 5.1 (token), without upper case as RFC 9113, section 8.2 demands. It is wider
// than the Header-Name of the RPC protocols, which name what to send.
var tokens = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" {
		t[c] = true
	}
	return t
}()

// ValidFieldName says whether b is a field name in lower case.
func ValidFieldName(b []byte) bool {
	for _, c := range b {
		if !tokens[c] {
			return false
		}
	}
	return len(b) > 0
}

// tokenSize returns how many of the first bytes of b make a token, in any letter case.
func tokenSize(b []byte) (n int) {
	for n < len(b) && tokens[lower(b[n])] {
		n++
	}
	return n
}

// isToken says whether b is a token, in any letter case.
func isToken(b []byte) bool { return len(b) > 0 && tokenSize(b) == len(b) }

// ValidFieldValue says whether b can be a field value: no CR, LF, NUL (RFC 9110,
// section 5.5), and no other control character but HTAB. Bytes from 0x80 are
// legal (obs-text); an empty value is, too.
func ValidFieldValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// IsBinaryName says whether the field's values are base64 of bytes
// (PROTOCOL-HTTP2.md, "Binary-Header"; protocol.md, "Binary-Metadata").
func IsBinaryName(name []byte) bool {
	return len(name) >= 4 && string(name[len(name)-4:]) == "-bin"
}

// ReservedRequest says whether a request's field is the protocol's or HTTP's own
// business: not shown to the user as metadata, nor to be set by the user. What a
// proxy, a browser or a program adds (user-agent, authorization, cookie, accept,
// origin, forwarded) is metadata. The choice within HTTP's fields is ours, rule 5.
//
// The protocols keep "connect-" (protocol.md, "Unary-Request": keys that begin with
// it are reserved) and "grpc-" (PROTOCOL-HTTP2.md, "Custom-Metadata": those not in
// use are reserved for the future). HTTP has pseudo-fields, and fields about one
// message's content or one connection: RFC 9110, sections 6.6.2, 7.6.1, 7.8, 8.3,
// 8.4, 8.6, 10.1.4, 12.5.3; RFC 9113, section 8.2.2.
func ReservedRequest(name []byte) bool {
	if len(name) == 0 || name[0] == ':' ||
		name[0] == 'c' && hasPrefix(name, "connect-") || name[0] == 'g' && hasPrefix(name, "grpc-") {
		return true
	}
	switch string(name) {
	case "te", "trailer", "upgrade", "connection", "keep-alive", "proxy-connection", "transfer-encoding",
		"content-type", "content-length", "content-encoding", "accept-encoding",
		"host", "expect", "http2-settings":
		return true
	}
	return false
}

// ReservedResponse is ReservedRequest for the leading metadata of a response.
// date, server, vary and the like are metadata. The "trailer-" names of a Connect
// unary response are the business of that protocol alone, not of this list.
func ReservedResponse(name []byte) bool {
	return ReservedTrailer(name) && string(name) != "host"
}

// ReservedTrailer is ReservedRequest for trailing metadata, wherever it travels.
// RFC 9110, section 6.5.1 forbids framing and routing in trailers.
func ReservedTrailer(name []byte) bool {
	return ReservedRequest(name) && string(name) != "expect" && string(name) != "http2-settings"
}

// cutAt cuts b at its first c; after is nil if there is none. It is inlined: in the
// module a call costs more than a look at a few bytes.
func cutAt(b []byte, c byte) (before, after []byte) {
	for i := range b {
		if b[i] == c {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// trimSpace takes optional whitespace (RFC 9110, section 5.6.3) off both ends.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// EqualFold says whether b is s, letters of ASCII compared without case.
func EqualFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if c != s[i] && lower(c) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	return c
}
