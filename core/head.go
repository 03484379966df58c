package core

// Reading a head: one pass over its fields finds out what the protocols need,
// which fields are the user's, and whether the count is right.

// field says what a field of a head is to the protocols.
type field uint8

const (
	fieldUser     field = iota // metadata
	fieldReserved              // the protocol's or HTTP's own business, and not read here
	fieldContentType
	fieldContentLength
	fieldContentEncoding // RFC 9110 section 8.4; Connect unary
	fieldAcceptEncoding
	fieldStreamEncoding // Connect streams
	fieldStreamAccept
	fieldGRPCEncoding
	fieldGRPCAccept
	fieldConnectTimeout
	fieldGRPCTimeout
	fieldVersion
	fieldCount
)

// knownField finds the fields that a head is read for.
func knownField(name []byte) field {
	switch string(name) {
	case "content-type":
		return fieldContentType
	case "content-length":
		return fieldContentLength
	case "content-encoding":
		return fieldContentEncoding
	case "accept-encoding":
		return fieldAcceptEncoding
	case "connect-content-encoding":
		return fieldStreamEncoding
	case "connect-accept-encoding":
		return fieldStreamAccept
	case "grpc-encoding":
		return fieldGRPCEncoding
	case "grpc-accept-encoding":
		return fieldGRPCAccept
	case "connect-timeout-ms":
		return fieldConnectTimeout
	case "grpc-timeout":
		return fieldGRPCTimeout
	case "connect-protocol-version":
		return fieldVersion
	}
	return fieldUser
}

// head is what a section of fields says.
type head struct {
	values  [fieldCount][]byte // views
	present uint32             // bit per field
	hidden  []byte             // bit per position: not the user's text metadata
	binary  Pairs              // the user's binary metadata, decoded

	joined []byte // values of fields that came twice

	tooMuch   bool // more metadata than MaxMetadata or MaxMetadataFields
	malformed bool // a binary value is not base64
}

func (h *head) has(f field) bool { return h.present&(1<<f) != 0 }

// read reads a section; reserved says which names that it does not know are
// not the user's. trailer, where given, takes what it wants before that. It is
// false where the fields do not fit their count: one of them holds a NUL.
func (h *head) read(fields Fields, reserved section, trailer func(name, value []byte) bool) bool {
	b, n := fields.b, fields.n
	if h.present != 0 { // the views would keep what they point into
		h.present = 0
		clear(h.values[:])
	}
	h.hidden = h.hidden[:0]
	h.binary.Reset()
	h.joined = scratch(h.joined)
	h.tooMuch, h.malformed = false, false
	if n <= 0 || n > len(b)/2+1 {
		return n == 0 && len(b) == 0
	}
	for range (n + 7) / 8 {
		h.hidden = append(h.hidden, 0)
	}
	pos, count, size := 0, 0, 0
	for i := range n {
		start := pos
		for pos < len(b) && b[pos] != 0 {
			pos++
		}
		if pos >= len(b) {
			return false
		}
		name := b[start:pos:pos]
		pos++
		start = pos
		for pos < len(b) && b[pos] != 0 {
			pos++
		}
		value := b[start:pos:pos]
		if pos++; pos > len(b) != (i == n-1) {
			return false
		}
		f := knownField(name)
		switch {
		case f != fieldUser:
			if h.has(f) {
				value = h.join(h.values[f], value)
			}
			h.values[f] = value
			h.present |= 1 << f
		case reserved(name) || trailer != nil && trailer(name, value):
		default:
			count++
			size += len(name) + len(value)
			if !IsBinaryName(name) {
				continue
			}
			if count <= MaxMetadataFields && size <= MaxMetadata {
				ok := AppendBinaryValues(&h.binary, name, value)
				h.malformed = h.malformed || !ok
			}
		}
		h.hidden[i/8] |= 1 << (i % 8)
	}
	h.tooMuch = count > MaxMetadataFields || size > MaxMetadata
	return true
}

// join makes one value of two (RFC 9110 section 5.3). Where the field is no
// list, the result is not a value that it can have, which is as it should be.
func (h *head) join(a, b []byte) []byte {
	at := len(h.joined)
	h.joined = append(append(append(h.joined, a...), ", "...), b...)
	return h.joined[at:]
}
