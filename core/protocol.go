package core

// dialect is one way to speak a protocol, in both roles: what differs between
// the protocols, as data wherever it is data. Each row stands in its protocol's
// own file, next to the few functions that really differ. The sequence of a call
// (server.go, client.go) is the same for all and asks for none of them by name.
type dialect struct {
	protocol Protocol

	// Content types are "application/", base, "+" and the codec's name; with an
	// empty base the codec's name alone. bare: base alone stands for proto.
	base string
	bare bool
	get  bool // requests are HTTP GETs without content; the query says the rest
	text bool // the content is base64 of what is told here

	unary, stream bool // kinds of procedures that are called so
	envelopes     bool // a message is an envelope; otherwise it is the content
	trailers      bool // a response ends with a trailer section

	// Fields of a head that the protocol has, by what they say.
	version field // "1" is the only one
	coding  field // what the content, or an envelope with flag 1, is compressed with
	accept  field // what the peer may compress with
	timeout field

	parseTimeout  func(value []byte) (us uint64, ok bool)
	appendTimeout func(dst []byte, us uint64) []byte

	leading section // names that leading metadata of a response cannot have
	endFlag byte    // of the envelope that ends a response, 0 for none
	te      bool    // requests say that they take trailers

	// What retries are told by: tries that came before, in a request, and how long
	// to wait, in a response, in milliseconds. Empty where the protocol has none.
	tries, pushback string

	// Server role. begin adds the protocol's fields to the head of a response
	// with messages. end ends the response, whatever was written before: well
	// where e is nil. plain, if there is one, adds to c.head what a plain success
	// of a unary call has but its length, and to e what follows its message.
	begin func(c *ServerCall)
	end   func(c *ServerCall, e *Error, fields Fields, binary Pairs)
	plain func(c *ServerCall, e *Event)

	// Client role. ask, if there is one, writes a request that is not envelopes.
	// answered says whether the content of a response is to be read, after its
	// head was: t is its content type, ours says that it belongs to this protocol,
	// offered that its compression is one that the client named. unpacked reads
	// the content of an error or of an end marker. finish follows the end of content
	// that is not envelopes; noEnd says that envelopes end without an outcome. trailing, if there is one, takes fields of the head that are
	// trailing metadata.
	ask      func(c *ClientCall)
	answered func(c *ClientCall, t ContentType, ours, offered bool) bool
	unpacked func(c *ClientCall, content []byte, fault Reason)
	finish   func(c *ClientCall)
	noEnd    string
	trailing func(c *ClientCall, name, value []byte) bool
}

// dialects are all of them, in the order in which a 415 names their types.
var dialects = [...]*dialect{&connectUnary, &connectGet, &connectStream, &grpc, &grpcWeb, &grpcWebText}

// serves says whether procedures of a stream type are called so.
func (d *dialect) serves(s StreamType) bool {
	return d.unary && s == Unary || d.stream && s != Unary
}

// dialectFor finds how a POST with a content type calls a procedure of a stream
// type, and the codec that it names; nil where it does not.
func dialectFor(contentType []byte, s StreamType) (d *dialect, codec []byte) {
	t, ok := ParseContentType(contentType)
	if !ok || !t.dialect.serves(s) {
		return nil, nil
	}
	return t.dialect, t.Codec
}

// askFor finds how a client calls a procedure of a stream type.
func askFor(p Protocol, text bool, s StreamType) *dialect {
	for _, d := range dialects {
		if d.protocol == p && !d.get && d.text == text && d.serves(s) {
			return d
		}
	}
	return nil
}

// hasGet says whether calls may be made by GET.
func (d *dialect) hasGet() bool { return !d.envelopes }

// tailOnly says whether a response's head is the section that ends it.
func (d *dialect) tailOnly(h *head) bool { return d.accept == fieldGRPCAccept && h.has(fieldStatus) }

// appendType appends the content type for a codec.
func (d *dialect) appendType(dst []byte, codec string) []byte {
	dst = append(append(dst, applicationType...), d.base...)
	if d.base != "" {
		dst = append(dst, '+')
	}
	return append(dst, codec...)
}
