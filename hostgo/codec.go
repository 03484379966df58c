package hostgo

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Codec turns messages into payloads and back. It is used by several
// goroutines at once.
type Codec interface {
	// Name is what the codec is called on the wire.
	Name() string
	// Append encodes the message behind dst and returns the longer slice.
	Append(dst []byte, message any) ([]byte, error)
	// Unmarshal decodes a payload into the message, which is empty. It must
	// not keep the payload. An error is about the payload: a server's peer reads
	// up to 200 bytes of what the codec named json says.
	Unmarshal(payload []byte, message any) error
}

// Resolver finds message types by name or URL, for [google.protobuf.Any] in
// JSON. [protoregistry.GlobalTypes] is one.
type Resolver interface {
	protoregistry.MessageTypeResolver
	protoregistry.ExtensionTypeResolver
}

// ProtoCodec is Protobuf's binary format, named "proto".
func ProtoCodec() Codec { return protoCodec{} }

// JSONCodec is Protobuf's JSON mapping, named "json". Fields that the message
// does not know are ignored when decoding, as in the binary format. A nil
// resolver means the types linked into the program.
func JSONCodec(resolver Resolver) Codec {
	c := &jsonCodec{unmarshal: protojson.UnmarshalOptions{DiscardUnknown: true}}
	if resolver != nil {
		c.marshal.Resolver, c.unmarshal.Resolver = resolver, resolver
	}
	return c
}

type protoCodec struct{}

func (protoCodec) Name() string { return "proto" }

func (protoCodec) Append(dst []byte, message any) ([]byte, error) {
	m, err := asProto(message)
	if err != nil {
		return dst, err
	}
	return proto.MarshalOptions{}.MarshalAppend(dst, m)
}

func (protoCodec) Unmarshal(payload []byte, message any) error {
	m, err := asProto(message)
	if err != nil {
		return err
	}
	return proto.Unmarshal(payload, m)
}

type jsonCodec struct {
	marshal   protojson.MarshalOptions
	unmarshal protojson.UnmarshalOptions
}

func (*jsonCodec) Name() string { return "json" }

func (c *jsonCodec) Append(dst []byte, message any) ([]byte, error) {
	m, err := asProto(message)
	if err != nil {
		return dst, err
	}
	return c.marshal.MarshalAppend(dst, m)
}

func (c *jsonCodec) Unmarshal(payload []byte, message any) error {
	m, err := asProto(message)
	if err != nil {
		return err
	}
	return c.unmarshal.Unmarshal(payload, m)
}

func asProto(message any) (proto.Message, error) {
	if m, ok := message.(proto.Message); ok {
		return m, nil
	}
	return nil, notProtoError{fmt.Sprintf("%T", message)}
}

// notProtoError is a mistake of the application's, and tells nothing of a payload.
type notProtoError struct{ kind string }

func (e notProtoError) Error() string { return e.kind + " is not a Protobuf message" }
