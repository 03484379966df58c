package core

// EventKind says what an Event is.
type EventKind uint8

const (
	EventRequest      EventKind = iota + 1 // server: a call for a procedure
	EventMessages                          // payloads that came
	EventReceived                          // server: no more messages come
	EventResponseHead                      // server: write the response's head
	EventRequestHead                       // client: write the request's head
	EventBody                              // write content
	EventTrailers                          // server: write the trailer section; the response ends
	EventResponse                          // client: leading metadata is known
	EventEnd                               // client: the outcome
	EventStop                              // server: the answer is decided without the handler
	EventMore                              // show content again, from an offset on
	EventDone                              // server: nothing more comes for this call
	EventPrepared                          // server: how a plain success is answered
	EventDecompress                        // client: decompress Data, to at most Limit bytes
	EventRetry                             // client: what another try may do; EventEnd follows
	EventOutcome                           // server: how the call ended; EventDone follows
)

// Event is one thing to do or to know, the result of a Call's method. Which of
// its parts have a meaning depends on Kind; the others are zero. All slices
// are views that hold until the next method of the same Call.
type Event struct {
	Kind EventKind

	// Request: index of the procedure, protocol, index of the codec, coding
	// for what is sent back and from which payload size on to use it, timeout
	// in microseconds (NoTimeout: none), whether it came as an HTTP GET.
	Procedure   uint32
	Protocol    Protocol // Outcome, too: 0 where none was spoken
	Codec       uint32
	CompressMin uint32
	Timeout     uint64
	Get         bool

	// Request, Response: all further content must be given with its bytes.
	// Request: all messages must be sent with theirs.
	ContentInline, SendInline bool
	// Request, Response: a bit per field of the head, set where the field is
	// not the user's text metadata; and the decoded binary metadata.
	Hidden []byte

	// Request: 1-based index of the native coding to compress with, 0 for none.
	// Messages, Decompress: of the coding that the bytes are compressed with;
	// Prepared: that the request's message may be compressed with.
	Coding uint32

	// Messages: start and length of each payload. Starts count from Base in
	// the content, or from 0 in Data where Inline. A length with bit 31 set
	// belongs to a payload that the host decompresses, to at most Limit bytes.
	Base   uint64
	Limit  uint32
	Spans  []uint32
	Inline bool

	// Prepared: where the application ends the call well, with one message of
	// at most ReplyMax bytes and no metadata, the response is Status, Fields, Packed
	// where the host compressed the message as Request says, with
	// Length a further field of that name whose value is the payload's size in
	// decimal, and as content a prefix, the payload and Data, then Trailers, if
	// HasTrailers. The request's content is a prefix and the message, at most
	// Limit bytes. A prefix is Prefix bytes: none, or the last four are the size of
	// what follows, big-endian, and those before are zero, but for a first one of
	// Mark, with which the message is compressed with Coding, as it always is behind
	// no prefix, unless it is empty. Where anything else happens, the call is opened
	// again. The same holds for another head with the same names in the same order,
	// at most HeadMax bytes in names and values, and the same values where Matters
	// has a bit.
	Length   []byte
	ReplyMax uint32
	HeadMax  uint32
	Mark     uint32
	Packed   Fields
	Matters  []byte
	Trailers Fields

	// ResponseHead, RequestHead, Body: the HTTP message ends with this.
	End bool
	// ResponseHead: a Trailers event will end it, or should. Prepared: see there.
	HasTrailers, LacksTrailers bool

	Status  uint32 // ResponseHead
	Method  []byte // RequestHead
	Target  []byte // RequestHead
	Fields  Fields // ResponseHead, RequestHead, Trailers; End: trailing text metadata
	Binary  Pairs  // Request, Response: leading, End: trailing binary metadata
	Code    Code   // Received, End, Stop, Outcome
	Message []byte // Received, End, Stop
	Grace   uint32 // Stop: microseconds in which the answer is not yet written
	Details Pairs  // End

	// Body: Count payloads of the Send command, each preceded by Prefix bytes
	// of Data; what is left of Data follows. Messages: Data of inline spans.
	Count  uint32
	Prefix uint32
	Data   []byte

	Offset uint64 // More: absolute offset in the content
	Want   uint32 // More: how many bytes are of use

	// Retry: the server has done no work; another try may go better; the server
	// wants none; it has told how long to wait, which is Wait microseconds.
	Unprocessed, Transient, Never, Told bool
	Wait                                uint64
}
