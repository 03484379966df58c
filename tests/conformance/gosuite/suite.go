// Package gosuite is what the Go server and the Go client under test share:
// the official suite's messages, its stdin and stdout format, and metadata.
//
// The suite's generated Go packages are internal to its module, and code of
// our own generated from its .proto files would have to be made before this
// repository builds. So the .proto files are compiled when the program starts
// (20 ms), from the suite's module in Go's module cache, and the messages are
// dynamic: a fresh clone builds and vets without any set-up.
package gosuite

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/connectcore/connectcore/hostgo"
)

const (
	// Module and Version name the suite.
	Module  = "connectrpc.com/conformance"
	Version = "v1.0.7"
	// Package is the Protobuf package of the suite's messages.
	Package = "connectrpc.conformance.v1"
	// Service is the service that both sides speak about.
	Service = Package + ".ConformanceService"
)

// Suite is the suite's compiled messages.
type Suite struct {
	types *dynamicpb.Types
}

// Load compiles the suite's .proto files.
func Load(ctx context.Context) (*Suite, error) {
	dir, err := protoDir(ctx)
	if err != nil {
		return nil, err
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}}),
	}
	const folder = "connectrpc/conformance/v1/"
	compiled, err := compiler.Compile(ctx, folder+"service.proto", folder+"client_compat.proto", folder+"server_compat.proto")
	if err != nil {
		return nil, fmt.Errorf("compile the suite's messages: %w", err)
	}
	files := &protoregistry.Files{}
	for _, file := range compiled {
		if err := register(files, file); err != nil {
			return nil, err
		}
	}
	return &Suite{dynamicpb.NewTypes(files)}, nil
}

func register(files *protoregistry.Files, file protoreflect.FileDescriptor) error {
	if _, err := files.FindFileByPath(file.Path()); err == nil {
		return nil
	}
	imports := file.Imports()
	for i := range imports.Len() {
		if err := register(files, imports.Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	return files.RegisterFile(file)
}

// protoDir finds the suite in Go's module cache, and asks Go for it if it is
// not there.
func protoDir(ctx context.Context) (string, error) {
	cache, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(cache)), filepath.FromSlash(Module)+"@"+Version, "proto")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if out, err := exec.CommandContext(ctx, "go", "mod", "download", Module+"@"+Version).CombinedOutput(); err != nil {
			return "", fmt.Errorf("go mod download %s@%s: %w\n%s", Module, Version, err, out)
		}
	}
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("the suite's .proto files: %w", err)
	}
	return dir, nil
}

// Codecs are the package's codecs, with the suite's messages known to JSON.
func (s *Suite) Codecs() []hostgo.Codec {
	return []hostgo.Codec{hostgo.ProtoCodec(), hostgo.JSONCodec(s.types)}
}

// New makes an empty message, by its name without the package.
func (s *Suite) New(name string) Message {
	return s.newByName(Package + "." + protoreflect.FullName(name))
}

func (s *Suite) newByName(name protoreflect.FullName) Message {
	t, err := s.types.FindMessageByName(name)
	if err != nil {
		panic(fmt.Sprintf("the suite has no message %s", name))
	}
	return Message{t.New()}
}

// Unpack decodes what a google.protobuf.Any holds.
func (s *Suite) Unpack(packed Message) (Message, error) {
	url := packed.String("type_url")
	t, err := s.types.FindMessageByURL(url)
	if err != nil {
		return Message{}, fmt.Errorf("unpack %q: %w", url, err)
	}
	m := t.New()
	return Message{m}, proto.Unmarshal(packed.Bytes("value"), m.Interface())
}

// Pack makes a google.protobuf.Any of a message.
func (s *Suite) Pack(m Message) (Message, error) {
	value, err := proto.Marshal(m.Proto())
	if err != nil {
		return Message{}, err
	}
	return s.PackRaw(string(m.m.Descriptor().FullName()), value), nil
}

const urlPrefix = "type.googleapis.com/"

// PackRaw makes a google.protobuf.Any of a type's name and a value.
func (s *Suite) PackRaw(name string, value []byte) Message {
	packed := s.newByName("google.protobuf.Any")
	packed.Set("type_url", urlPrefix+name)
	packed.Set("value", value)
	return packed
}

// Details turns the details of the suite's Error into an error's.
func (s *Suite) Details(e Message) []hostgo.Detail {
	var details []hostgo.Detail
	for _, packed := range e.List("details") {
		url := packed.String("type_url")
		details = append(details, hostgo.Detail{Type: url[strings.LastIndexByte(url, '/')+1:], Value: packed.Bytes("value")})
	}
	return details
}

// binarySuffix ends the names of metadata that the suite writes in base64.
const binarySuffix = "-bin"

// AddTo adds the suite's Header messages to metadata.
func AddTo(metadata *hostgo.Metadata, headers []Message) error {
	for _, header := range headers {
		name := header.String("name")
		for _, value := range header.Strings("value") {
			if !strings.HasSuffix(strings.ToLower(name), binarySuffix) {
				metadata.Add(name, value)
				continue
			}
			decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
			if err != nil {
				return fmt.Errorf("header %s: %w", name, err)
			}
			metadata.AddBinary(name, decoded)
		}
	}
	return nil
}

// AddFrom appends metadata to a field of the suite's Header messages.
func AddFrom(m Message, field string, metadata *hostgo.Metadata) {
	headers := map[string]Message{}
	add := func(name, value string) {
		header, ok := headers[name]
		if !ok {
			header = m.Append(field)
			header.Set("name", name)
			headers[name] = header
		}
		header.AppendString("value", value)
	}
	for name, value := range metadata.All() {
		add(name, value)
	}
	for name, value := range metadata.AllBinary() {
		add(name, base64.RawStdEncoding.EncodeToString(value))
	}
}

// ReadMessage reads one message of the runner: its size in four bytes, most
// significant first, and the message. It gives io.EOF where none begins.
func ReadMessage(r io.Reader, m Message) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	data := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r, data); err != nil {
		return fmt.Errorf("message of %d bytes: %w", len(data), err)
	}
	return proto.Unmarshal(data, m.Proto())
}

// WriteMessage writes one message for the runner.
func WriteMessage(w io.Writer, m Message) error {
	data, err := proto.Marshal(m.Proto())
	if err != nil {
		return err
	}
	framed := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	_, err = w.Write(append(framed, data...))
	return err
}
