package tapes

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strconv"

	"github.com/connectcore/connectcore/wasm/abi"
)

// event does what a host does with an event, and notes it in the form in which
// tapes write events: what it means, however the content was cut.
func (p *player) event(e *event) error {
	name := e.schema.Name
	if e.schema.Kind == abi.EvConfigured {
		if len(p.pending) == 0 {
			return fmt.Errorf("nothing was configured")
		}
		f := p.pending[0]
		p.pending = p.pending[1:]
		f.handle = e.handle
		p.configs = append(p.configs, f)
		p.note(Entry{Kind: name, Flags: flagsOf(e)})
		return nil
	}
	k := p.handles[e.handle]
	if e.schema.Kind == abi.EvFault {
		return p.fault(e, k)
	}
	if k == nil || k.done {
		if len(p.opens) == 0 {
			return fmt.Errorf("for handle %#x, which is no open call", e.handle)
		}
		k = p.opens[0]
		p.opens = p.opens[1:]
		k.handle = e.handle
		p.handles[e.handle] = k
	}
	out := Entry{Kind: name}
	switch e.schema.Kind {
	case abi.EvMore:
		p.want = append(p.want, *e)
		return nil
	case abi.EvDone:
		k.done = true
	case abi.EvRequest, abi.EvResponse:
		k.inline = e.flag("content-inline")
	case abi.EvMessages:
		return p.messages(e, k)
	case abi.EvBody:
		return p.body(e, k)
	}
	out.Flags = flagsOf(e)
	for _, c := range e.schema.Columns {
		v := e.cols[c.Name]
		switch c.Type {
		case abi.U32, abi.U64:
			skip := v.n == 0
			switch c.Name {
			case "timeout_us":
				skip = v.n == abi.NoTimeout
			case "procedure", "codec":
				skip = false
			}
			if skip {
				continue
			}
			out.Args = append(out.Args, Arg{c.Name, Text{Bytes: []byte(k.word(name, c.Name, v.n))}})
		case abi.Bytes:
			if c.Name == "hidden" {
				lines, err := visible(k.head, v.b)
				if err != nil {
					return err
				}
				out.Lines = append(out.Lines, lines...)
			} else if len(v.b) > 0 {
				out.Args = append(out.Args, Arg{c.Name, Text{Bytes: v.b}})
			}
		case abi.Fields, abi.Pairs:
			kind := map[string]string{"binary": "binary", "details": "detail"}[c.Name]
			for _, pair := range v.pairs {
				out.Lines = append(out.Lines, Line{kind, string(pair[0]), Text{Bytes: pair[1]}})
			}
		}
	}
	p.noteFor(k, out)
	return nil
}

func flagsOf(e *event) (flags []string) {
	for i, f := range e.schema.Flags {
		if e.flags&(1<<i) != 0 {
			flags = append(flags, f)
		}
	}
	return flags
}

// word names a number by what the call's configuration calls it.
func (k *call) word(kind, column string, n uint64) string {
	var names []string
	if k.config != nil {
		switch column {
		case "procedure":
			names = k.config.procedures
		case "codec":
			names = k.config.codecs
		case "coding":
			if n--; n < uint64(len(k.config.coding)) {
				return k.config.coding[n]
			}
			n++
		}
	}
	if n < uint64(len(names)) {
		return names[n]
	}
	return fromNumber(kind, column, n)
}

// visible lists the fields of a head that are the user's metadata.
func visible(head []Line, hidden []byte) (out []Line, err error) {
	if len(hidden) != (len(head)+7)/8 {
		return nil, fmt.Errorf("hidden has %d bytes for %d fields", len(hidden), len(head))
	}
	for i := range 8 * len(hidden) {
		bit := hidden[i/8]>>(i%8)&1 != 0
		switch {
		case i >= len(head) && bit:
			return nil, fmt.Errorf("hidden has bit %d for %d fields", i, len(head))
		case i < len(head) && !bit:
			out = append(out, head[i])
		}
	}
	return out, nil
}

// What one step brings (ABI.md, section 4): so many messages, and so many
// decompressed bytes beside the message that exceeds them.
const (
	stepMessages = 4096
	stepBytes    = 1 << 20
)

// messages resolves spans into payloads.
func (p *player) messages(e *event, k *call) error {
	spans, base := e.cols["spans"].words, e.cols["base"].n
	from := k.content
	if e.flag("inline") {
		from, base = e.cols["data"].b, 0
	} else if len(e.cols["data"].b) > 0 {
		return fmt.Errorf("data without the flag inline")
	}
	if len(spans)%2 != 0 {
		return fmt.Errorf("an odd number of words in spans")
	}
	if len(spans)/2 > stepMessages {
		return fmt.Errorf("%d messages at once, and a step brings %d at most", len(spans)/2, stepMessages)
	}
	unpacked := uint64(0)
	for i := 0; i < len(spans); i += 2 {
		if e.flag("inline") && e.cols["coding"].n != 0 && unpacked > stepBytes {
			return fmt.Errorf("message %d comes at once with %d bytes of others, and a step decompresses %d", i/2, unpacked, stepBytes)
		}
		unpacked += uint64(spans[i+1] &^ abi.Compressed)
		start := base + uint64(spans[i])
		size := uint64(spans[i+1] &^ abi.Compressed)
		if start+size > uint64(len(from)) {
			return fmt.Errorf("span %d+%d in content of %d", start, size, len(from))
		}
		if !e.flag("inline") {
			if start < k.released {
				return fmt.Errorf("span at %d, and %d were given up", start, k.released)
			}
			k.released = start + size
		}
		out := Entry{Kind: "message", Payloads: []Text{{Bytes: bytes.Clone(from[start : start+size])}}}
		if spans[i+1]&abi.Compressed != 0 {
			out.Flags = []string{"compressed"}
			out.Args = []Arg{
				{"coding", Text{Bytes: []byte(k.word("message", "coding", e.cols["coding"].n))}},
				{"limit", Text{Bytes: strconv.AppendUint(nil, e.cols["limit"].n, 10)}},
			}
		}
		p.noteFor(k, out)
	}
	return nil
}

// body puts the payloads of this batch between the prefixes.
func (p *player) body(e *event, k *call) error {
	count, prefix, data := int(e.cols["count"].n), int(e.cols["prefix"].n), e.cols["data"].b
	if count > len(k.sends) {
		return fmt.Errorf("%d payloads, and %d were sent in this batch", count, len(k.sends))
	}
	if count*prefix > len(data) {
		return fmt.Errorf("%d prefixes of %d in %d bytes", count, prefix, len(data))
	}
	var b []byte
	for i, payload := range k.sends[:count] {
		b = append(append(b, data[i*prefix:(i+1)*prefix]...), payload...)
	}
	b = append(b, data[count*prefix:]...)
	k.sends = k.sends[count:]
	p.noteFor(k, Entry{Kind: "http-body", Flags: flagsOf(e), Payloads: []Text{{Bytes: b}}})
	return nil
}

func (p *player) fault(e *event, k *call) error {
	out := Entry{Kind: "fault"}
	out.Args = append(out.Args, Arg{"fault", Text{Bytes: []byte(fromNumber("", "fault", e.cols["fault"].n))}})
	if k == nil && e.handle != 0 {
		out.Args = append(out.Args, Arg{"handle", Text{Bytes: strconv.AppendUint(nil, uint64(e.handle), 10)}})
	}
	if len(e.cols["text"].b) == 0 {
		return fmt.Errorf("without a text")
	}
	out.Args = append(out.Args, Arg{"text", Text{Bytes: e.cols["text"].b}})
	// What a fault answers has opened nothing.
	if n := len(p.pending); n > 0 {
		p.pending = p.pending[:0]
	}
	if k != nil {
		p.noteFor(k, out)
	} else {
		p.note(out)
	}
	return nil
}

// noteFor notes an event of a call, and joins a body to the one before it.
func (p *player) noteFor(k *call, e Entry) {
	if k.name != "" {
		e.Args = append([]Arg{{"call", Text{Bytes: []byte(k.name)}}}, e.Args...)
	}
	if n := len(p.got); n > 0 && e.Kind == "http-body" && p.got[n-1].Kind == "http-body" && !p.got[n-1].Flag("end") {
		if a, _ := p.got[n-1].Arg("call"); a == k.name {
			last := &p.got[n-1]
			last.Payloads[0].Bytes = append(last.Payloads[0].Bytes, e.Payloads[0].Bytes...)
			last.Flags = e.Flags
			return
		}
	}
	p.note(e)
}

func (p *player) note(e Entry) { p.got = append(p.got, e) }

// unzipBodies shows bodies that are one gzip member by what they hold: what
// exactly a compressor makes is nobody's business.
func (p *player) unzipBodies() {
	for i := range p.got {
		e := &p.got[i]
		if e.Kind != "http-body" {
			continue
		}
		if b, ok := unzipped(e.Payloads[0].Bytes); ok {
			e.Flags = append(e.Flags, "gzip")
			e.Payloads[0].Bytes = b
		}
	}
}

func unzipped(b []byte) ([]byte, bool) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, false
	}
	out, err := io.ReadAll(r)
	return out, err == nil
}
