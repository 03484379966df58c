package core

import "strconv"

// Code is the outcome of an RPC. The numbers are gRPC's (statuscodes.md), the
// names Connect's (protocol.md, "Error Codes"); both lists have the same members
// and there are no others.
type Code uint32

// The codes.
const (
	OK                 Code = 0
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Aborted            Code = 10
	OutOfRange         Code = 11
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
	DataLoss           Code = 15
	Unauthenticated    Code = 16
)

// codes is the table of Connect's protocol.md, "Error Codes", by number.
var codes = [17]struct {
	name    string
	status  int
	meaning string // for an error that came without a text
}{
	OK:                 {"ok", 200, "the call succeeded"},
	Canceled:           {"canceled", 499, "the call was canceled"},
	Unknown:            {"unknown", 500, "the server failed in a way that it does not tell"},
	InvalidArgument:    {"invalid_argument", 400, "the request is not valid"},
	DeadlineExceeded:   {"deadline_exceeded", 504, "the deadline has passed"},
	NotFound:           {"not_found", 404, "what was asked for was not found"},
	AlreadyExists:      {"already_exists", 409, "what was to be made exists already"},
	PermissionDenied:   {"permission_denied", 403, "the caller is not allowed to do this"},
	ResourceExhausted:  {"resource_exhausted", 429, "a quota or a limit is used up"},
	FailedPrecondition: {"failed_precondition", 400, "the system is not in the state that this needs"},
	Aborted:            {"aborted", 409, "the operation was aborted, often by another one"},
	OutOfRange:         {"out_of_range", 400, "an argument is out of the valid range"},
	Unimplemented:      {"unimplemented", 501, "the server does not implement this"},
	Internal:           {"internal", 500, "something inside of the server is broken"},
	Unavailable:        {"unavailable", 503, "the service is not available now"},
	DataLoss:           {"data_loss", 500, "data is lost or damaged"},
	Unauthenticated:    {"unauthenticated", 401, "the caller is not authenticated"},
}

// Valid says whether c is one of the codes, OK included.
func (c Code) Valid() bool { return c < Code(len(codes)) }

// known is c, or Unknown for a number that is no code.
func (c Code) known() Code {
	if c.Valid() {
		return c
	}
	return Unknown
}

// String returns the code's Connect name; "ok" for OK, and "code_17" and the
// like for a number that is no code.
func (c Code) String() string {
	if c.Valid() {
		return codes[c].name
	}
	return "code_" + string(appendDecimal(nil, uint64(c)))
}

// meaning is what the code says in a few words.
func (c Code) meaning() string { return codes[c.known()].meaning }

// HTTPStatus returns the status of a Connect unary response that failed with c
// (protocol.md, "Error Codes"): 200 for OK, 500 for a number that is no code.
func (c Code) HTTPStatus() int { return codes[c.known()].status }

// CodeByName returns the code of an error. Names are exact (protocol.md, "Error
// Codes": only these are valid); "ok" is not the name of an error.
func CodeByName(name []byte) (Code, bool) {
	for c := Canceled; c <= Unauthenticated; c++ {
		if string(name) == codes[c].name {
			return c, true
		}
	}
	return Unknown, false
}

// CodeOfHTTPStatus infers a code for a response without a valid error (protocol.md,
// "HTTP to Error Code") or, in gRPC and gRPC-Web, without a status
// (http-grpc-status-mapping.md): the two tables are the same. It never returns OK.
// One row differs from gRPC's page, which has 431 as internal since lately: the
// official conformance suite 1.0.7 demands unknown for all protocols
// ("request-header-fields-too-large").
func CodeOfHTTPStatus(status int) Code {
	switch status {
	case 400:
		return Internal
	case 401:
		return Unauthenticated
	case 403:
		return PermissionDenied
	case 404:
		return Unimplemented
	case 429, 502, 503, 504:
		return Unavailable
	}
	return Unknown
}

func appendDecimal(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }
