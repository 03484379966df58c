package hostgo

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Error is how an RPC fails. A handler returns one to choose what the peer
// sees; a client gets one for every call that did not succeed. Find it with
// [errors.AsType] or [errors.As].
type Error struct {
	// Code says what kind of failure it is.
	Code Code
	// Message explains it to the developer who made the call.
	Message string
	// Details are further facts about the failure, as messages.
	Details []Detail
	// Metadata is the trailing metadata that goes, or came, with the error.
	Metadata Metadata
	cause    error
}

// NewError makes an error with a code and a message.
func NewError(code Code, message string) *Error { return &Error{Code: code, Message: message} }

// Errorf makes an error with a code and a formatted message. An error among
// the arguments of %w stays in the chain; only its text reaches the peer.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// Error returns the code and the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Message
}

// Unwrap returns what caused the error on this side, if anything did.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of an error: 0 for nil, the code of an [Error] in its
// chain, and [CodeUnknown] for any other.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeUnknown
}

// noEnd returns an error as the cause of a failure. [io.EOF] says that all messages
// came: one in the chain of a failure would have it taken for that.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %s", io.ErrUnexpectedEOF, err.Error())
	}
	return err
}

// Detail is one message attached to an error.
type Detail struct {
	// Type is the message's full name, without a URL before it.
	Type string
	// Value is the message in Protobuf's binary format.
	Value []byte
}

// NewDetail encodes a message as a detail.
func NewDetail(message proto.Message) (Detail, error) {
	value, err := proto.Marshal(message)
	if err != nil {
		return Detail{}, fmt.Errorf("connectcore: encode an error's detail: %w", err)
	}
	return Detail{Type: string(message.ProtoReflect().Descriptor().FullName()), Value: value}, nil
}

// Message decodes the detail into a message of its type, which must be known
// to this program.
func (d Detail) Message() (proto.Message, error) {
	known, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(d.Type))
	if err != nil {
		return nil, fmt.Errorf("connectcore: error detail of type %q: %w", d.Type, err)
	}
	message := known.New().Interface()
	if err := proto.Unmarshal(d.Value, message); err != nil {
		return nil, fmt.Errorf("connectcore: error detail of type %q: %w", d.Type, err)
	}
	return message, nil
}
