// Package abi is the module's interface in numbers: the kinds, flags and
// columns of the records that cross between host and guest, with the one
// encoder and decoder that the guest, the Go host and the tests share. The
// contract in words is ../ABI.md; the tables for other languages are made
// from this file by ../abigen.
//
// Nothing here knows a protocol, and nothing here imports core.
package abi

// Version of the interface. A host refuses another major; a minor adds
// records, flags and reasons without changing those that exist.
const (
	Major = 1
	Minor = 0
)

// Names of what the module exports, beside "memory" and "_initialize".
const (
	ExportMarker  = "connectcore_abi_v1"      // () -> i32: zero; its name is the major version
	ExportVersion = "connectcore_abi_version" // () -> i32: major<<16 | minor
	ExportReserve = "connectcore_reserve"     // (size i32) -> i32: address of the in arena, at least size bytes
	ExportStep    = "connectcore_step"        // (size i32) -> i64: out address<<32 | out size
)

// HeaderSize is the size of what every record starts with:
// kind u16, flags u16, size u32 (of the whole record), handle u32.
const HeaderSize = 12

// NoTimeout in a timeout column says that there is none.
const NoTimeout = ^uint64(0)

// Kind says what a record is. Commands go to the guest, events come from it.
type Kind uint16

// Commands: what happened, host to guest.
const (
	CmdConfigureServer Kind = 1
	CmdConfigureClient Kind = 2
	CmdCloseConfig     Kind = 3
	CmdOpenServer      Kind = 4
	CmdOpenClient      Kind = 5
	CmdResponseHead    Kind = 6
	CmdContent         Kind = 7
	CmdContentEnd      Kind = 8
	CmdPeerGone        Kind = 9
	CmdHeaders         Kind = 10
	CmdSend            Kind = 11
	CmdEnd             Kind = 12
	CmdReject          Kind = 13
	CmdDeadline        Kind = 14
	CmdCancel          Kind = 15
	CmdClose           Kind = 16
	CmdDecompressed    Kind = 17
)

// Events: what to do, guest to host.
const (
	EvConfigured   Kind = 129
	EvRequest      Kind = 130
	EvMessages     Kind = 131
	EvReceived     Kind = 132
	EvResponseHead Kind = 133
	EvRequestHead  Kind = 134
	EvBody         Kind = 135
	EvTrailers     Kind = 136
	EvResponse     Kind = 137
	EvEnd          Kind = 138
	EvStop         Kind = 139
	EvMore         Kind = 140
	EvDone         Kind = 141
	EvFault        Kind = 142
	EvPrepared     Kind = 143
	EvDecompress   Kind = 144
	EvRetry        Kind = 145
	EvOutcome      Kind = 146
)

// Flags, by the record that they stand in.
const (
	// ConfigureServer.
	ServerRequireVersion uint16 = 1 // Connect requests must carry the protocol version
	ServerOutcomes       uint16 = 2 // say how each call ended, by an Outcome
	ServerNoConnect      uint16 = 4 // refuse the protocol
	ServerNoGRPC         uint16 = 8
	ServerNoGRPCWeb      uint16 = 16

	// ConfigureClient.
	ClientText uint16 = 1 // gRPC-Web as base64

	// OpenServer: what the host's HTTP side can do, and what it already knows.
	OpenTrailers uint16 = 1 // response trailers can be sent
	OpenDuplex   uint16 = 2 // the response can start before the request ends
	OpenEnd      uint16 = 4 // the request has no content
	OpenPrepare  uint16 = 8 // say how a plain success is answered, if that is known already
	// The server does not tell where the request's content ends.
	OpenUnbounded uint16 = 16

	// OpenClient.
	OpenGet   uint16 = 1 // ask for an HTTP GET, where protocol and procedure allow
	OpenRetry uint16 = 2 // say with a failure what another try may do

	// Content.
	ContentEnd    uint16 = 1 // the content ends here, without trailers
	ContentResume uint16 = 2 // these bytes answer a More: they were announced before

	// Send.
	SendInline uint16 = 1 // the payloads follow in data

	// End (command).
	EndUnexpected uint16 = 1 // the handler failed in a way that the peer must not see

	// Headers.
	HeadersFlush uint16 = 1 // send the response head now

	// Configured, for a client: which payloads are sent with their bytes.
	ConfiguredSendInline uint16 = 1 // all
	ConfiguredGetInline  uint16 = 2 // those of calls that are opened with OpenGet

	// Request, Response.
	ContentInline     uint16 = 1 // give all further content with its bytes
	RequestGet        uint16 = 2 // came as an HTTP GET
	RequestSendInline uint16 = 4 // send all messages with their bytes

	// Messages.
	MessagesInline uint16 = 1 // spans lie in data, not in the host's content

	// Retry.
	RetryUnprocessed uint16 = 1 // the server has done no work
	RetryTransient   uint16 = 2 // another try may go better
	RetryNever       uint16 = 4 // the server wants no other try
	RetryTold        uint16 = 8 // it has told how long to wait

	// Prepared.
	PreparedTrailers uint16 = 1 // a trailer section ends the response

	// ResponseHead, RequestHead, Body.
	HTTPEnd      uint16 = 1 // nothing follows: the HTTP message ends with this
	HTTPTrailers uint16 = 2 // ResponseHead: a Trailers event will end the response
	HTTPLacks    uint16 = 4 // ResponseHead: trailers should, and the host cannot send them
)

// Compressed marks, in the high bit of a length, a payload that is compressed
// with the coding of the call.
const Compressed = 1 << 31

// Stream types, the low two bits of a procedure's attributes, and the bit for
// procedures without side effects.
const (
	Unary         = 0
	ClientStream  = 1
	ServerStream  = 2
	BidiStream    = 3
	NoSideEffects = 4
)

// Protocols.
const (
	Connect = 1
	GRPC    = 2
	GRPCWeb = 3
)

// Reasons of a Reject: what the host found out about a message.
const (
	RejectDecode     = 1 // received payload is not a message of the codec
	RejectDecompress = 2 // received payload does not decompress
	RejectTooLarge   = 3 // received payload decompresses to more than the limit
	RejectEncode     = 4 // the application's message cannot be encoded
	RejectLost       = 5 // the instance of a call failed; this is the call opened again
	RejectBusy       = 6 // there is no room for the call
	RejectKind       = 7 // the host does not do calls of this kind
)

// Reasons of a PeerGone.
const (
	GoneClosed  = 1 // the connection ended or broke
	GoneRefused = 2 // no connection, or the peer refused the stream before work began
	GoneReset   = 3 // the peer reset the HTTP/2 or HTTP/3 stream, with a code
	GoneBroken  = 4 // what came is not HTTP
	GoneLarge   = 5 // a section of fields is larger than the host takes
)

// Kinds of a Fault: the host misused the interface, or the guest failed.
const (
	FaultRecord   = 1 // malformed record, or one of an unknown kind
	FaultHandle   = 2 // stale or unknown handle
	FaultState    = 3 // not a command for this call's state or role
	FaultConfig   = 4 // a configuration that makes no sense
	FaultBusy     = 5 // too many calls or configurations open
	FaultPanic    = 6 // the guest failed: drop the instance
	FaultArgument = 7 // the application asks for something that makes no sense
)

// Numbers that hosts and guest share, so that each stands in one place.
const (
	BinarySuffix       = "-bin"   // names that end so have values of bytes
	DefaultReadMax     = 4 << 20  // bytes in one message received: read_max 0
	DefaultGetMax      = 8 << 10  // bytes in the target of a GET: get_max 0
	DefaultCompressMin = 1 << 10  // bytes; what hosts configure where nobody says otherwise
	MaxCalls           = 65_535   // open in one instance
	MaxConfigs         = 2_048    // of each role, open in one instance
	CarryWhole         = 16 << 10 // bytes; a chunk of content up to this size is carried whole,
	CarryFirst         = 4 << 10  // and so many bytes of a longer one
	MaxMembers         = 2_048    // members of gzip, or frames of zstd, in one message; more are malformed
)

// Codes are the names of the codes, by number.
var Codes = [...]string{
	"ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
	"permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented",
	"internal", "unavailable", "data_loss", "unauthenticated",
}
