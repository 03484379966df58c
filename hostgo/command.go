package hostgo

import (
	"encoding/binary"
	"net/http"

	"github.com/connectcore/connectcore/wasm/abi"
)

// commands is a batch of commands under construction, with the scratch that
// its columns need. A column's bytes are copied when its record ends.
type commands struct {
	abi.Writer
	text, pairs, details []byte
	strings              []byte
	names                []string
	word                 [1]uint32
}

func (c *commands) reset() { c.B, c.strings = c.B[:0], c.strings[:0] }

// str writes a bytes column.
func (c *commands) str(s string) {
	at := len(c.strings)
	c.strings = append(c.strings, s...)
	c.Bytes(c.strings[at:])
}

// httpFields writes an HTTP header section as a fields column. Names go over in
// lower case, as the interface asks, and in order.
func (c *commands) httpFields(h http.Header) {
	c.names = sortedNames(c.names, h)
	c.namedFields(h, c.names)
	clear(c.names)
}

// namedFields is httpFields for who has the names in order.
func (c *commands) namedFields(h http.Header, names []string) {
	c.text = c.text[:0]
	count := 0
	for _, name := range names {
		for _, value := range h[name] {
			c.field(count, name, value)
			count++
		}
	}
	c.Counted(count, c.text)
}

func (c *commands) field(i int, name, value string) {
	if i > 0 {
		c.text = append(c.text, 0)
	}
	for j := range len(name) {
		b := name[j]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		c.text = append(c.text, b)
	}
	c.text = append(c.text, 0)
	c.text = append(c.text, value...)
}

// metadata writes a fields column and a pairs column.
func (c *commands) metadata(m *Metadata) {
	c.text, c.pairs = c.text[:0], c.pairs[:0]
	texts, binaries := 0, 0
	for i := range m.entries {
		e := &m.entries[i]
		if e.binary {
			c.pairs = appendPair(c.pairs, e.name, e.value)
			binaries++
			continue
		}
		c.field(texts, e.name, e.value)
		texts++
	}
	c.Counted(texts, c.text)
	c.Counted(binaries, c.pairs)
}

func appendPair[V string | []byte](b []byte, name string, value V) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(name)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
	b = append(b, name...)
	return append(b, value...)
}

func (c *commands) headers(handle uint32, m *Metadata, flush bool) {
	var flags uint16
	if flush {
		flags = abi.HeadersFlush
	}
	c.Begin(abi.CmdHeaders, flags, handle)
	c.metadata(m)
	c.End()
}

// send announces one message, with its bytes if the module must see them.
func (c *commands) send(handle uint32, payload []byte, compressed, inline bool) {
	c.word[0] = uint32(len(payload))
	if compressed {
		c.word[0] |= abi.Compressed
	}
	if inline {
		c.Begin(abi.CmdSend, abi.SendInline, handle)
		c.Words(c.word[:])
		c.Bytes(payload)
	} else {
		c.Begin(abi.CmdSend, 0, handle)
		c.Words(c.word[:])
		c.Bytes(nil)
	}
	c.End()
}

var noMetadata Metadata

// end writes the end of the application's part: success with trailing
// metadata, an error, or (unexpected) a failure that the peer must not see.
func (c *commands) end(handle uint32, err *Error, unexpected bool, trailing *Metadata) {
	var flags uint16
	if unexpected {
		flags = abi.EndUnexpected
	}
	c.Begin(abi.CmdEnd, flags, handle)
	if err == nil {
		c.U32(0)
		c.Bytes(nil)
		c.Counted(0, nil)
	} else {
		c.U32(uint32(err.Code))
		c.str(err.Message)
		c.details = c.details[:0]
		for i := range err.Details {
			c.details = appendPair(c.details, err.Details[i].Type, err.Details[i].Value)
		}
		c.Counted(len(err.Details), c.details)
	}
	c.metadata(trailing)
	c.End()
}

func (c *commands) reject(handle, reason uint32, text string) {
	c.Begin(abi.CmdReject, 0, handle)
	c.U32(reason)
	c.str(text)
	c.End()
}

func (c *commands) peerGone(handle, reason, resetCode uint32, text string) {
	c.Begin(abi.CmdPeerGone, 0, handle)
	c.U32(reason)
	c.U32(resetCode)
	c.str(text)
	c.End()
}

// bare writes a command without columns.
func (c *commands) bare(kind abi.Kind, handle uint32) {
	c.Begin(kind, 0, handle)
	c.End()
}

// bareEnd writes the end of a client's messages, of which only the handle is
// read.
func (c *commands) bareEnd(handle uint32) { c.end(handle, nil, false, &noMetadata) }
