package tapes

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/connectcore/connectcore/tests/sequences"
	"github.com/connectcore/connectcore/wasm/abi"
)

// What fuzzers found, as batches for the module: the bytes of a corpus stand where a peer's
// or a host's bytes of that kind do.

// fuzzed has the packages with fuzz targets.
var fuzzed = []string{"core", "tests/sequences", "wasm/codings/guest", "wasm/guest"}

// entry is one input of a target's corpus.
type entry struct {
	target string
	values []any // []byte and numbers
}

// bytes and number are the value at i; nothing where it is none, as in an input that a fuzzer
// made for a target's former arguments.
func (e *entry) bytes(i int) (b []byte) {
	if i < len(e.values) {
		b, _ = e.values[i].([]byte)
	}
	return b
}

func (e *entry) number(i int) (n uint64) {
	if i < len(e.values) {
		n, _ = e.values[i].(uint64)
	}
	return n
}

// corpus reads the inputs in a folder that has one for each target.
func corpus(folder string) (all []entry, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "Fuzz*", "*"))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		e := entry{target: filepath.Base(filepath.Dir(name))}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			value, ok := parsed(line)
			if !ok {
				return nil, fmt.Errorf("%s: %s", name, line)
			}
			e.values = append(e.values, value)
		}
		all = append(all, e)
	}
	return all, nil
}

// parsed reads a line of an input, as Go's fuzzer writes it: bytes, a number, or a byte as a
// character.
func parsed(line string) (value any, ok bool) {
	kind, text, _ := strings.Cut(strings.TrimSuffix(line, ")"), "(")
	if kind == "[]byte" {
		b, err := strconv.Unquote(text)
		return []byte(b), err == nil
	}
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return uint64(n), true
	}
	if n, err := strconv.ParseUint(text, 0, 64); err == nil {
		return n, true
	}
	r, _, _, err := strconv.UnquoteChar(strings.TrimPrefix(text, "'"), '\'')
	return uint64(r), err == nil
}

// The handles that a fresh guest gives: to its first configuration of each role.
const (
	firstServer = 0x80010001
	firstClient = 0xc0010001
)

// speaker writes what hosts say, for one input after the other.
type speaker struct {
	w       abi.Writer
	batches [][]byte
}

func (s *speaker) batch() {
	s.batches = append(s.batches, bytes.Clone(s.w.B))
	s.w.B = s.w.B[:0]
}

const offeredCodings, offeredNative = "gzip\x00deflate\x00snappy", "\x00\x00\x00"

// configure makes the first server, and clients of all protocols, with a limit.
func (s *speaker) configure(limit uint32) {
	s.w.Begin(abi.CmdConfigureServer, abi.ServerOutcomes, 0)
	s.w.U32(limit)
	s.w.U32(0)
	s.w.U32(0)
	s.w.U64(0)
	s.w.Bytes([]byte("proto\x00json"))
	s.w.Bytes([]byte(offeredCodings))
	s.w.Bytes([]byte(offeredNative))
	s.w.Bytes([]byte("/s/Unary\x00/s/Client\x00/s/Server\x00/s/Bidi"))
	s.w.Bytes([]byte{abi.Unary | abi.NoSideEffects, abi.ClientStream, abi.ServerStream, abi.BidiStream})
	s.w.End()
	for protocol := uint32(abi.Connect); protocol <= abi.GRPCWeb; protocol++ {
		for coding := range uint32(4) {
			s.w.Begin(abi.CmdConfigureClient, 0, 0)
			for _, n := range []uint32{protocol, limit, 0, 0, coding, 0} {
				s.w.U32(n)
			}
			s.w.Bytes([]byte("proto"))
			s.w.Bytes([]byte(offeredCodings))
			s.w.Bytes([]byte(offeredNative))
			s.w.Bytes(nil)
			s.w.Bytes(nil)
			s.w.End()
		}
	}
	s.batch()
}

// text is bytes as a field can hold them in a record.
func text(b []byte) string { return strings.ReplaceAll(string(b), "\x00", "") }

func fieldsOf(pairs []string) (int, []byte) {
	return len(pairs) / 2, []byte(strings.Join(pairs, "\x00"))
}

func (s *speaker) content(b []byte) {
	s.w.Begin(abi.CmdContent, abi.ContentEnd, 0)
	s.w.U32(uint32(len(b)))
	s.w.Bytes(b)
	s.w.End()
}

// request is one to the server.
func (s *speaker) request(method, path string, query, content []byte, fields ...string) {
	count, b := fieldsOf(fields)
	s.requestOf(method, path, query, content, count, b)
}

func (s *speaker) requestOf(method, path string, query, content []byte, count int, fields []byte) {
	s.w.Begin(abi.CmdOpenServer, abi.OpenTrailers|abi.OpenDuplex, firstServer)
	s.w.Bytes([]byte(method))
	s.w.Bytes([]byte(path))
	s.w.Bytes(query)
	s.w.Counted(count, fields)
	s.w.End()
	s.content(content)
	s.batch()
}

// call opens a client's call.
func (s *speaker) call(protocol, coding int, stream uint32, timeout uint64, message []byte, fields int, f []byte, pairs int, p []byte) {
	s.w.Begin(abi.CmdOpenClient, 0, firstClient+uint32(4*(protocol-abi.Connect)+coding))
	s.w.U32(stream)
	s.w.U32(0)
	s.w.U64(timeout)
	s.w.Bytes([]byte("/s/Any"))
	s.w.Counted(fields, f)
	s.w.Counted(pairs, p)
	s.w.End()
	s.w.Begin(abi.CmdSend, abi.SendInline, 0)
	s.w.Words([]uint32{uint32(len(message))})
	s.w.Bytes(message)
	s.w.End()
	s.w.Begin(abi.CmdEnd, 0, 0)
	s.w.U32(0)
	s.w.Bytes(nil)
	for range 3 {
		s.w.Counted(0, nil)
	}
	s.w.End()
}

// response is one to a call of a client's.
func (s *speaker) response(protocol int, stream, status uint32, content []byte, fields ...string) {
	s.call(protocol, 0, stream, abi.NoTimeout, nil, 0, nil, 0, nil)
	count, b := fieldsOf(fields)
	s.w.Begin(abi.CmdResponseHead, 0, 0)
	s.w.U32(status)
	s.w.Counted(count, b)
	s.w.End()
	s.content(content)
	s.batch()
}

func enveloped(flags byte, b []byte) []byte {
	n := len(b)
	return append([]byte{flags, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...)
}

// bareTypes are the first content types of each protocol's streams.
var bareTypes = [...]string{abi.Connect: "application/connect+proto", abi.GRPC: "application/grpc", abi.GRPCWeb: "application/grpc-web"}

// spokenAs says an input of a target to a configured guest. Of a target that is not here,
// spokenAlone has the batches for a guest of its own.
var spokenAs = map[string]func(s *speaker, e *entry){
	"FuzzJSON": func(s *speaker, e *entry) {
		s.response(abi.Connect, abi.Unary, 400, e.bytes(0), "content-type", "application/json")
		s.response(abi.Connect, abi.BidiStream, 200, enveloped(2, e.bytes(0)), "content-type", bareTypes[abi.Connect])
	},
	"FuzzConnectError": func(s *speaker, e *entry) {
		s.response(abi.Connect, abi.Unary, 404, e.bytes(0), "content-type", "application/json")
		whole := append(append([]byte(`{"error":`), e.bytes(0)...), '}')
		s.response(abi.Connect, abi.BidiStream, 200, enveloped(2, whole), "content-type", bareTypes[abi.Connect])
	},
	"FuzzEndStream": func(s *speaker, e *entry) {
		s.response(abi.Connect, abi.ServerStream, 200, enveloped(2, e.bytes(0)), "content-type", bareTypes[abi.Connect])
		s.response(abi.GRPCWeb, abi.ServerStream, 200, enveloped(0x80, e.bytes(0)), "content-type", bareTypes[abi.GRPCWeb])
	},
	"FuzzStatus": func(s *speaker, e *entry) {
		details := base64.StdEncoding.EncodeToString(e.bytes(0))
		s.response(abi.GRPC, abi.Unary, 200, nil, "content-type", bareTypes[abi.GRPC], "grpc-status", "5", "grpc-status-details-bin", details)
		s.response(abi.GRPC, abi.Unary, 200, nil, "content-type", bareTypes[abi.GRPC], "grpc-status", "5", "grpc-message", text(e.bytes(0)))
	},
	"FuzzContentType": func(s *speaker, e *entry) {
		for stream, path := range []string{"/s/Unary", "/s/Bidi"} {
			s.request("POST", path, nil, nil, "content-type", text(e.bytes(0)))
			for protocol := abi.Connect; protocol <= abi.GRPCWeb; protocol++ {
				s.response(protocol, uint32(stream*abi.BidiStream), 200, nil, "content-type", text(e.bytes(0)))
			}
		}
	},
	"FuzzTimeouts": func(s *speaker, e *entry) {
		s.request("POST", "/s/Unary", nil, nil, "content-type", "application/proto", "connect-timeout-ms", text(e.bytes(0)))
		s.request("POST", "/s/Unary", nil, enveloped(0, nil), "content-type", bareTypes[abi.GRPC], "grpc-timeout", text(e.bytes(0)))
		for protocol := abi.Connect; protocol <= abi.GRPCWeb; protocol++ {
			s.call(protocol, 0, abi.Unary, e.number(1), nil, 0, nil, 0, nil)
			s.batch()
		}
	},
	"FuzzGet": func(s *speaker, e *entry) { s.request("GET", "/s/Unary", e.bytes(0), nil) },
	"FuzzBase64": func(s *speaker, e *entry) {
		s.request("POST", "/s/Unary", nil, nil, "content-type", "application/proto", "x-any-bin", text(e.bytes(0)))
		s.request("POST", "/s/Bidi", nil, e.bytes(0), "content-type", "application/grpc-web-text")
		query := append([]byte("encoding=proto&base64=1&message="), e.bytes(0)...)
		s.request("GET", "/s/Unary", query, nil)
	},
	"FuzzFieldsAndPairs": func(s *speaker, e *entry) {
		s.requestOf("POST", "/s/Unary", nil, nil, int(int32(e.number(0))), e.bytes(1))
		s.call(abi.GRPC, 0, abi.BidiStream, abi.NoTimeout, nil, int(int32(e.number(0))), e.bytes(1), 0, nil)
		s.batch()
		s.call(abi.GRPC, 0, abi.BidiStream, abi.NoTimeout, nil, 0, nil, int(int32(e.number(0))), e.bytes(1))
		s.batch()
	},
	"FuzzNegotiateCoding": func(s *speaker, e *entry) {
		s.request("POST", "/s/Unary", nil, nil, "content-type", "application/proto", "accept-encoding", text(e.bytes(0)))
		s.request("POST", "/s/Unary", nil, nil, "content-type", "application/proto", "content-encoding", text(e.bytes(0)))
	},
	"FuzzGunzip": func(s *speaker, e *entry) {
		b := append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), e.bytes(0)...)
		s.request("POST", "/s/Unary", nil, b, "content-type", "application/proto", "content-encoding", "gzip")
	},
	"FuzzCodings": func(s *speaker, e *entry) {
		which := int(e.number(0) % 3)
		name := strings.Split(offeredCodings, "\x00")[which]
		s.request("POST", "/s/Unary", nil, e.bytes(1), "content-type", "application/proto", "content-encoding", name)
		s.call(abi.Connect, which+1, abi.Unary, abi.NoTimeout, e.bytes(1), 0, nil, 0, nil)
		s.batch()
	},
	"FuzzSplits": func(s *speaker, e *entry) {
		how := e.number(1)
		path := []string{"/s/Unary", "/s/Client", "/s/Server", "/s/Bidi"}[how&3]
		contentType := "application/proto"
		if how&4 != 0 {
			contentType = bareTypes[abi.GRPC]
		} else if how&3 != 0 {
			contentType = bareTypes[abi.Connect]
		}
		coding := "identity"
		if how&0x10 != 0 {
			coding = "gzip"
		}
		s.request("POST", path, nil, e.bytes(0), "content-type", contentType, "content-encoding", coding,
			"connect-content-encoding", coding, "grpc-encoding", coding)
	},
}

var spokenAlone = map[string]func(e *entry) [][]byte{
	"FuzzStep": func(e *entry) [][]byte {
		var s speaker
		s.configure(0)
		return append(s.batches, e.bytes(0), e.bytes(1))
	},
	"FuzzSequences": func(e *entry) [][]byte { return sequenceOf(e.bytes(0)) },
	// Any bytes are a script: of calls between both roles, too.
	"FuzzConversation": func(e *entry) [][]byte { return sequenceOf(e.bytes(0)) },
}

// sequenceOf has the batches of a script, as core natively leads it on.
func sequenceOf(script []byte) [][]byte {
	r := &recording{Guest: newNative()}
	_, _ = sequences.Play(r, script, sequences.Pieces) // what is wrong with it is the fuzz target's to say
	return r.batches
}
