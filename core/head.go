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
	fieldStatus           // gRPC "Status", "Status-Message", "Status-Details"
	fieldMessage
	fieldDetails
	fieldCount
)

// Names that are written, too.
const (
	nameContentType     = "content-type"
	nameContentLength   = "content-length"
	nameContentEncoding = "content-encoding"
	nameAcceptEncoding  = "accept-encoding"
	nameVary            = "vary"
	nameStatus          = "grpc-status"
	nameMessage         = "grpc-message"
	nameDetails         = "grpc-status-details-bin"
)

var fieldNames = [fieldCount]string{
	fieldContentType:      nameContentType,
	fieldContentLength:    nameContentLength,
	fieldContentEncoding:  nameContentEncoding,
	fieldAcceptEncoding:   nameAcceptEncoding,
	fieldStreamEncoding:   "connect-content-encoding",
	fieldStreamAccept:     "connect-accept-encoding",
	fieldGRPCEncoding:     "grpc-encoding",
	fieldGRPCAccept:       "grpc-accept-encoding",
	fieldConnectTimeout:   "connect-timeout-ms",
	fieldGRPCTimeout:      "grpc-timeout",
	fieldVersion:          "connect-protocol-version",
	fieldTransferEncoding: "transfer-encoding",
	fieldStatus:           nameStatus,
	fieldMessage:          nameMessage,
	fieldDetails:          nameDetails,
}

// fieldSlots finds a field by its name's slot. A test checks that no two share one.
var fieldSlots = func() (slots [64]field) {
	for f := fieldNone + 1; f < fieldCount; f++ {
		slots[fieldSlot([]byte(fieldNames[f]))] = f
	}
	return slots
}()

func fieldSlot(name []byte) int {
	n := len(name)
	return (n + 2*int(name[0]) + 3*int(name[n-1])) & 63
}

// knownField finds the fields that a head is read for.
func knownField(name []byte) field {
	if len(name) > 0 {
		if f := fieldSlots[fieldSlot(name)]; string(name) == fieldNames[f] {
			return f
		}
	}
	return fieldNone
}

// head is what a section of fields says.
type head struct {
	values  [fieldCount][]byte // views
	present uint32             // bit per field
	hidden  []byte             // bit per position: not the user's text metadata
	matters []byte             // bit per position: the value decides about more than its own size
	binary  Pairs              // the user's binary metadata, decoded

	joined []byte // values of fields that came twice

	tooMuch bool // more metadata than MaxMetadata or MaxMetadataFields
}

// twice stands for lengths, of which there is one: it is not a number.
var twice = []byte(",")

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
	h.hidden, h.matters = h.hidden[:0], h.matters[:0]
	h.binary.Reset()
	h.joined = scratch(h.joined)
	h.tooMuch = false
	if n <= 0 || n > len(b)/2+1 {
		return n == 0 && len(b) == 0
	}
	h.hidden = append(h.hidden, make([]byte, (n+7)/8)...)
	h.matters = append(h.matters, h.hidden...)
	// Cut by hand: two calls a field would cost a twentieth of what opening a call does.
	pos, came := 0, weight{}
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
		case f == fieldContentLength && h.has(f):
			h.values[f] = twice // unknown, whatever the values are
		case f != fieldNone:
			if h.has(f) {
				value = h.join(h.values[f], value)
			}
			h.values[f] = value
			h.present |= 1 << f
			if f != fieldContentLength { // whoever holds the content knows its length
				h.matters[i/8] |= 1 << (i % 8)
			}
		case reserved(name) || trailer != nil && trailer(name, value):
		default:
			came.add(weight{1, len(name) + len(value)})
			if !IsBinaryName(name) {
				continue
			}
			h.matters[i/8] |= 1 << (i % 8)
			// What is not base64 stays text (ours, rule 5).
			if came.tooMuch() || !AppendBinaryValues(&h.binary, name, value) {
				continue
			}
		}
		h.hidden[i/8] |= 1 << (i % 8)
	}
	h.tooMuch = h.tooMuch || came.tooMuch() || weigh(Fields{}, h.binary).tooMuch()
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
