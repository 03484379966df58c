// Package core holds the rules of three protocols for RPC over HTTP: Connect,
// gRPC and gRPC-Web. It does no I/O: it is a pure function of a configuration,
// the bytes that came and what the host says happened.
//
//	request head ─┐                                         ┌─> response head
//	content chunks┼─> core ─> events ─> handler ─> core ────┼─> content
//	trailers ─────┘                                         └─> trailers
//
// The client role is the same machine turned round: what the application sends
// becomes a request head and content, and what the server answers comes back as
// events.
//
// The package has two layers. The codecs (this page names their files) turn one
// piece of a protocol into values and back; each takes any bytes, never panics,
// appends to the caller's buffers and returns views of its input, so that the
// steady state of a call makes no garbage.
//
//	code.go         codes, their names, both ways to and from HTTP statuses
//	header.go       ordered fields, binary pairs    names.go  reserved names
//	base64.go       both alphabets, -bin values
//	timeout.go      connect-timeout-ms, grpc-timeout
//	mediatype.go    content types
//	json.go         a strict reader without trees
//	error.go        the Connect error               endstream.go  its end marker
//	status.go       google.rpc.Status
//	percent.go      grpc-message, queries           get.go        the query of a GET
//	compression.go  choosing a coding               codings.go    those that are done here
//	gzip.go         its members     inflate*.go, deflate*.go  what is in them
//
// The engine above them turns heads and content into events.
//
//	config.go       what a side offers, checked     event.go   what to do or to know
//	protocol.go     what differs between protocols: a table, whose rows stand in
//	                connect_unary.go, connect_stream.go, grpc.go, grpcweb.go
//	call.go         one RPC, in two halves          state.go   what each half accepts, and when
//	head.go         a section of fields, in one pass
//	receive.go      the receiving half: content to payloads, whole or in any pieces
//	send.go         the sending half: payloads      metadata.go  and the application's metadata
//	server.go       the server role: opening a call answer.go  and answering it
//	client.go       the client role
//
// To know how one protocol is spoken, read its file next to its specification: it
// has both roles. RULES.md lists the rules that the protocols' texts leave open.
//
// In scope: everything that a protocol decides. Out of scope: sockets, clocks,
// randomness, goroutines, logging, HTTP parsing, message classes. A deadline is
// a number that the core reads from the wire and the host's clock enforces.
//
// Where the protocols' texts are silent the rule is marked "ours", by its number
// in RULES.md.
package core
