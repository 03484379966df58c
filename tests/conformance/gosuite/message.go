package gosuite

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Message is a message of the suite, its fields reached by name. A name or a
// type that is wrong is a mistake of the program, and panics.
type Message struct{ m protoreflect.Message }

// Proto gives the message to codecs.
func (m Message) Proto() proto.Message { return m.m.Interface() }

func (m Message) field(name protoreflect.Name) protoreflect.FieldDescriptor {
	f := m.m.Descriptor().Fields().ByName(name)
	if f == nil {
		panic(fmt.Sprintf("%s has no field %s", m.m.Descriptor().FullName(), name))
	}
	return f
}

func (m Message) get(name protoreflect.Name) protoreflect.Value { return m.m.Get(m.field(name)) }

// Has says whether a field is set.
func (m Message) Has(name protoreflect.Name) bool { return m.m.Has(m.field(name)) }

// String reads a string field.
func (m Message) String(name protoreflect.Name) string { return m.get(name).String() }

// Bytes reads a bytes field.
func (m Message) Bytes(name protoreflect.Name) []byte { return m.get(name).Bytes() }

// Bool reads a bool field.
func (m Message) Bool(name protoreflect.Name) bool { return m.get(name).Bool() }

// Uint reads an unsigned field.
func (m Message) Uint(name protoreflect.Name) uint64 { return m.get(name).Uint() }

// Enum reads an enum field: its number.
func (m Message) Enum(name protoreflect.Name) int { return int(m.get(name).Enum()) }

// EnumName reads an enum field: the name of its value.
func (m Message) EnumName(name protoreflect.Name) string {
	f := m.field(name)
	if v := f.Enum().Values().ByNumber(m.get(name).Enum()); v != nil {
		return string(v.Name())
	}
	return ""
}

// Message reads a message field. Where it is not set, it is empty and
// read-only.
func (m Message) Message(name protoreflect.Name) Message { return Message{m.get(name).Message()} }

// List reads a field of messages.
func (m Message) List(name protoreflect.Name) []Message {
	list := m.get(name).List()
	messages := make([]Message, list.Len())
	for i := range messages {
		messages[i] = Message{list.Get(i).Message()}
	}
	return messages
}

// Strings reads a field of strings.
func (m Message) Strings(name protoreflect.Name) []string {
	list := m.get(name).List()
	texts := make([]string, list.Len())
	for i := range texts {
		texts[i] = list.Get(i).String()
	}
	return texts
}

// BytesList reads a field of bytes fields.
func (m Message) BytesList(name protoreflect.Name) [][]byte {
	list := m.get(name).List()
	values := make([][]byte, list.Len())
	for i := range values {
		values[i] = list.Get(i).Bytes()
	}
	return values
}

// Set sets a field that is not of messages or enums.
func (m Message) Set(name protoreflect.Name, value any) {
	m.m.Set(m.field(name), protoreflect.ValueOf(value))
}

// SetEnum sets an enum field by number.
func (m Message) SetEnum(name protoreflect.Name, number int) {
	m.m.Set(m.field(name), protoreflect.ValueOfEnum(protoreflect.EnumNumber(number)))
}

// SetMessage sets a message field.
func (m Message) SetMessage(name protoreflect.Name, value Message) {
	m.m.Set(m.field(name), protoreflect.ValueOfMessage(value.m))
}

// Mutable gives a message field to be filled.
func (m Message) Mutable(name protoreflect.Name) Message {
	return Message{m.m.Mutable(m.field(name)).Message()}
}

// Append appends an empty message to a field and gives it to be filled.
func (m Message) Append(name string) Message {
	list := m.m.Mutable(m.field(protoreflect.Name(name))).List()
	return Message{list.AppendMutable().Message()}
}

// AppendMessage appends a message to a field.
func (m Message) AppendMessage(name protoreflect.Name, value Message) {
	m.m.Mutable(m.field(name)).List().Append(protoreflect.ValueOfMessage(value.m))
}

// AppendString appends to a field of strings.
func (m Message) AppendString(name protoreflect.Name, value string) {
	m.m.Mutable(m.field(name)).List().Append(protoreflect.ValueOfString(value))
}
