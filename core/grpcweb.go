package core

// gRPC-Web (PROTOCOL-WEB.md), all kinds of procedures, in binary and as text. It is
// gRPC whose last section is an envelope of the content, for peers that see no
// trailers; text is base64 of that content (text.go).

var (
	grpcWeb     = grpcWebDialect("grpc-web", false)
	grpcWebText = grpcWebDialect("grpc-web-text", true)
)

func grpcWebDialect(base string, text bool) dialect {
	d := grpc
	d.protocol, d.base, d.text, d.trailers, d.te = ProtocolGRPCWeb, base, text, false, false
	d.endFlag = 0x80 // "Message framing": the most significant bit
	d.end, d.plain, d.unpacked = endGRPCWeb, plainGRPCWeb, grpcWebUnpacked
	if text {
		d.plain = nil // a host cannot write base64 around its message
	}
	return d
}

func endGRPCWeb(c *ServerCall, e *Error, fields Fields, binary Pairs) {
	b, at := c.beginEnd(e)
	c.body = appendTrailerBlock(c.body, c.addTail(e, fields, binary))
	c.closeEnd(b, at)
}

func plainGRPCWeb(c *ServerCall, e *Event) {
	beginEnvelopes(c)
	c.body = append(c.body[:0], c.d.endFlag, 0, 0, 0, 0)
	c.body = appendTrailerBlock(c.body, c.addTail(nil, Fields{}, Pairs{}))
	putPrefixLength(c.body)
	e.Data = c.body
}

// grpcWebUnpacked reads the envelope that ends a response.
func grpcWebUnpacked(c *ClientCall, content []byte, fault Reason) {
	if fault != 0 {
		c.receiveBad(fault)
		return
	}
	c.tail.Reset()
	if !parseTrailerBlock(content, &c.tail) {
		c.receiveFailed(Internal, "the trailers in the response's content are malformed")
		return
	}
	c.readTail(c.tail)
}

// appendTrailerBlock appends fields as lines of HTTP/1.1, without the empty one at
// the end.
func appendTrailerBlock(dst []byte, fields Fields) []byte {
	for name, value := range fields.All {
		dst = append(append(dst, name...), ": "...)
		dst = append(append(dst, value...), "\r\n"...)
	}
	return dst
}

// parseTrailerBlock reads such lines, with any case of names, any space around
// values, and the last line end or an empty line at the end or not.
func parseTrailerBlock(b []byte, into *Fields) bool {
	for len(b) > 0 {
		line, rest := cutAt(b, '\n')
		b = rest
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		if len(line) == 0 {
			return len(b) == 0
		}
		name, value := cutAt(line, ':')
		trimmed := trimSpace(value)
		name = into.beginLower(name)
		into.b = append(into.b, trimmed...)
		if value == nil || !ValidFieldValue(trimmed) || !ValidFieldName(name) {
			return false
		}
	}
	return true
}
