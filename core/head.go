package core

// Reading a head: one pass over its fields finds out what the protocols need,
// which fields are the user's, and whether the count is right.

// field says what a field of a head is to the protocols.
type field uint8

const (
	fieldNone field = iota // not one of those that are read; metadata, or nobody's business
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
	fieldTransferEncoding // RFC 9112 section 6.1
	fieldCount
)

// The names of these fields, and of others that are written, each in one place.
const (
	nameContentType     = "content-type"
	nameContentLength   = "content-length"
	nameContentEncoding = "content-encoding"
	nameAcceptEncoding  = "accept-encoding"
	nameStreamEncoding  = "connect-content-encoding"
	nameStreamAccept    = "connect-accept-encoding"
	nameGRPCEncoding    = "grpc-encoding"
	nameGRPCAccept      = "grpc-accept-encoding"
	nameConnectTimeout  = "connect-timeout-ms"
	nameGRPCTimeout     = "grpc-timeout"
	nameVersion         = "connect-protocol-version"
	nameTransferCoding  = "transfer-encoding"
)

var fieldNames = [fieldCount]string{
	fieldContentType:     nameContentType,
	fieldContentLength:   nameContentLength,
	fieldContentEncoding: nameContentEncoding,
	fieldAcceptEncoding:  nameAcceptEncoding,
	fieldStreamEncoding:  nameStreamEncoding,
	fieldStreamAccept:    nameStreamAccept,
	fieldGRPCEncoding:    nameGRPCEncoding,
	fieldGRPCAccept:      nameGRPCAccept,
	fieldConnectTimeout:  nameConnectTimeout,
	fieldGRPCTimeout:     nameGRPCTimeout,
	fieldVersion:         nameVersion,

	fieldTransferEncoding: nameTransferCoding,
}

// knownField finds the fields that a head is read for.
func knownField(name []byte) field {
	switch string(name) {
	case nameContentType:
		return fieldContentType
	case nameContentLength:
		return fieldContentLength
	case nameContentEncoding:
		return fieldContentEncoding
	case nameAcceptEncoding:
		return fieldAcceptEncoding
	case nameStreamEncoding:
		return fieldStreamEncoding
	case nameStreamAccept:
		return fieldStreamAccept
	case nameGRPCEncoding:
		return fieldGRPCEncoding
	case nameGRPCAccept:
		return fieldGRPCAccept
	case nameConnectTimeout:
		return fieldConnectTimeout
	case nameGRPCTimeout:
		return fieldGRPCTimeout
	case nameVersion:
		return fieldVersion
	case nameTransferCoding:
		return fieldTransferEncoding
	}
	return fieldNone
}

// head is what a section of fields says.
type head struct {
	values  [fieldCount][]byte // views
	present uint32             // bit per field
	hidden  []byte             // bit per position: not the user's text metadata
	binary  Pairs              // the user's binary metadata, decoded

	joined []byte // values of fields that came twice

	tooMuch bool // more metadata than MaxMetadata or MaxMetadataFields
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
	h.tooMuch = false
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
		case f != fieldNone:
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
			// What is not base64 stays text (ours, rule 5).
			if count > MaxMetadataFields || size > MaxMetadata || !AppendBinaryValues(&h.binary, name, value) {
				continue
			}
		}
		h.hidden[i/8] |= 1 << (i % 8)
	}
	h.tooMuch = h.tooMuch || count > MaxMetadataFields || size > MaxMetadata
	return true
}

// join makes one value of two (RFC 9110 section 5.3). Where the field is not a
// list, the result is not a legal value, and so the field is refused. A head of
// many such fields is refused before the joining costs more than reading it.
func (h *head) join(a, b []byte) []byte {
	if h.tooMuch = h.tooMuch || len(h.joined) > MaxMetadata; h.tooMuch {
		return a
	}
	at := len(h.joined)
	h.joined = append(append(append(h.joined, a...), ", "...), b...)
	return h.joined[at:]
}
