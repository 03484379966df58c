package tapes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/connectcore/connectcore/wasm/abi"
)

// Words for numbers, by column. A column that is not here is written as a
// number; so is a number that has no word.
var words = map[string][]string{
	"code": {"ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
		"permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented",
		"internal", "unavailable", "data_loss", "unauthenticated"},
	"protocol":    {"", "connect", "grpc", "grpc-web"},
	"fault":       {"", "record", "handle", "state", "config", "busy", "panic", "argument"},
	"stream_type": {"unary", "client", "server", "bidi"},
	"peer-gone":   {"", "closed", "refused", "reset", "broken", "large"},
	"reject":      {"", "decode", "decompress", "too-large", "encode", "lost", "busy", "kind"},
}

func wordsOf(kind, column string) []string {
	if column == "reason" {
		return words[kind]
	}
	return words[column]
}

func toNumber(kind, column, s string) (uint64, error) {
	if column == "timeout_us" && s == "none" {
		return abi.NoTimeout, nil
	}
	for i, w := range wordsOf(kind, column) {
		if w != "" && w == s {
			return uint64(i), nil
		}
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%s=%s is neither a number nor a word for one", column, s)
	}
	return n, nil
}

func fromNumber(kind, column string, n uint64) string {
	if w := wordsOf(kind, column); n < uint64(len(w)) && w[n] != "" {
		return w[n]
	}
	return strconv.FormatUint(n, 10)
}

func schemaNamed(name string, event bool) *abi.Schema {
	for i := range abi.Schemas {
		if s := &abi.Schemas[i]; s.Name == name && (s.Kind >= abi.EvConfigured) == event {
			return s
		}
	}
	return nil
}

// column is one decoded column.
type column struct {
	n     uint64
	b     []byte
	pairs [][2][]byte
	words []uint32
}

// encode appends a command. Columns that cols lacks are zero, or empty; a
// timeout that it lacks is none.
func encode(batch []byte, s *abi.Schema, flags uint16, handle uint32, cols map[string]column) []byte {
	w := abi.Writer{B: batch}
	w.Begin(s.Kind, flags, handle)
	for _, c := range s.Columns {
		v, given := cols[c.Name]
		switch c.Type {
		case abi.U32:
			w.U32(uint32(v.n))
		case abi.U64:
			if !given && c.Name == "timeout_us" {
				v.n = abi.NoTimeout
			}
			w.U64(v.n)
		case abi.Bytes:
			w.Bytes(v.b)
		case abi.Fields:
			var parts [][]byte
			for _, p := range v.pairs {
				parts = append(parts, p[0], p[1])
			}
			w.Counted(len(v.pairs), bytes.Join(parts, []byte{0}))
		case abi.Pairs:
			var b []byte
			for _, p := range v.pairs {
				b = binary.LittleEndian.AppendUint32(b, uint32(len(p[0])))
				b = binary.LittleEndian.AppendUint32(b, uint32(len(p[1])))
				b = append(append(b, p[0]...), p[1]...)
			}
			w.Counted(len(v.pairs), b)
		case abi.Words:
			w.Words(v.words)
		}
	}
	w.End()
	return w.B
}

// event is one decoded event.
type event struct {
	schema *abi.Schema
	flags  uint16
	handle uint32
	cols   map[string]column
}

func (e *event) flag(name string) bool {
	for i, f := range e.schema.Flags {
		if f == name {
			return e.flags&(1<<i) != 0
		}
	}
	return false
}

// decode takes a batch of events apart and complains of everything in it that
// the contract does not allow.
func decode(batch []byte) ([]event, error) {
	var out []event
	for len(batch) > 0 {
		r, rest, ok := abi.Next(batch)
		if !ok {
			return out, fmt.Errorf("the events end with %d bytes that are no record", len(batch))
		}
		batch = rest
		e := event{schema: abi.SchemaOf(r.Kind), flags: r.Flags, handle: r.Handle, cols: map[string]column{}}
		if e.schema == nil || r.Kind < abi.EvConfigured {
			return out, fmt.Errorf("an event of unknown kind %d", r.Kind)
		}
		name := e.schema.Name
		if e.flags>>len(e.schema.Flags) != 0 {
			return out, fmt.Errorf("%s has flags %#x that the contract does not name", name, e.flags)
		}
		for _, c := range e.schema.Columns {
			var v column
			switch c.Type {
			case abi.U32:
				v.n = uint64(r.U32())
			case abi.U64:
				v.n = r.U64()
			case abi.Bytes:
				v.b = bytes.Clone(r.Bytes())
			case abi.Words:
				v.words = r.Words(nil)
			case abi.Fields:
				n, b := r.Counted()
				parts := strings.Split(string(b), "\x00")
				if n == 0 {
					parts = nil
				}
				if len(parts) != 2*n || n == 0 && len(b) > 0 {
					return out, fmt.Errorf("%s: %s announces %d fields and holds %d parts", name, c.Name, n, len(parts))
				}
				for i := 0; i < len(parts); i += 2 {
					v.pairs = append(v.pairs, [2][]byte{[]byte(parts[i]), []byte(parts[i+1])})
				}
			case abi.Pairs:
				n, b := r.Counted()
				for range n {
					if len(b) < 8 {
						return out, fmt.Errorf("%s: %s is cut short", name, c.Name)
					}
					x, y := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
					if b = b[8:]; uint64(x)+uint64(y) > uint64(len(b)) {
						return out, fmt.Errorf("%s: %s is cut short", name, c.Name)
					}
					v.pairs = append(v.pairs, [2][]byte{bytes.Clone(b[:x]), bytes.Clone(b[x : x+y])})
					b = b[x+y:]
				}
				if len(b) > 0 {
					return out, fmt.Errorf("%s: %s holds more than it announces", name, c.Name)
				}
			}
			e.cols[c.Name] = v
		}
		if !r.Whole() {
			return out, fmt.Errorf("%s does not hold exactly its columns", name)
		}
		out = append(out, e)
	}
	return out, nil
}
