package sequences

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/connectcore/connectcore/wasm/abi"
)

// Guest is one instance: it takes a batch of commands and answers with events, which hold
// until the next one.
type Guest interface {
	Step(batch []byte) ([]byte, error)
}

// player is the host of all calls of a sequence.
type player struct {
	guest   Guest
	script  Script
	cut     Cut
	chance  Chance
	w       abi.Writer
	server  uint32
	clients []client
	calls   []*call
	byID    map[uint32]*call
	opening *call // takes the events of a handle that is not known yet
	told    *call // the call that the command under way is about
	reject  bool  // it is a reject
	fault   uint32
	faults  []string // of commands about no call
	in, out int      // bytes of commands and of events
	maker   uint32   // handle that the last `configured` had
	flags   uint16   // and its flags
	room    int      // bytes that the script may still be made longer by
}

// client is a configuration of that role.
type client struct {
	handle         uint32
	inline, getToo bool
	coding         uint32
	connect, text  bool
}

// call is one call in one of the roles, with what its host holds.
type call struct {
	handle   uint32
	client   *client // nil for a server's
	stream   int
	inline   bool   // payloads are sent with their bytes
	content  []byte // that was announced
	carry    bool   // all of it must be given with its bytes
	asked    bool
	offset   uint64
	want     uint32
	unpack   []byte   // what the host is to decompress
	coding   uint32   // of the host's, to send with
	waiting  [][]byte // payloads that were sent and are in no content yet
	over     bool
	ends     int
	log      []string // what its application and its peer see of it
	received int      // times of `received`
	side              // pair.go
}

const (
	mostCalls = 12
	mostBatch = 1 << 16
	readMax   = 1 << 12
)

// Play plays a script to a guest and returns what the calls saw, one after the other: it is
// the same for every Cut. The error says what does not hold.
func Play(g Guest, text []byte, cut Cut) (saw string, err error) {
	p := &player{guest: g, script: text, cut: cut, chance: 0x9e3779b9, byID: map[uint32]*call{}, room: 1 << 12}
	if err := p.configure(); err != nil {
		return "", err
	}
	for steps := 0; len(p.script) > 0 && steps < 1_000; steps++ {
		if err := p.command(); err != nil {
			return "", fmt.Errorf("step %d: %w", steps, err)
		}
	}
	if err := p.finish(); err != nil {
		return "", err
	}
	// What a peer's bytes may come to: more than 1,000 bytes from one, where they are compressed.
	if most := 1<<16 + 1200*p.in; p.out > most {
		return "", fmt.Errorf("%d bytes of commands bring %d of events", p.in, p.out)
	}
	var b strings.Builder
	for i, c := range p.calls {
		fmt.Fprintf(&b, "call %d\n%s\n", i, strings.Join(c.log, "\n"))
	}
	return b.String() + strings.Join(p.faults, "\n"), nil
}

func (p *player) configure() error {
	settings := p.script.Below(256)
	p.w.Begin(abi.CmdConfigureServer, abi.ServerOutcomes|uint16(settings&1), 0)
	p.w.U32(readMax)
	p.w.U32(uint32(settings >> 1 & 1 * 100)) // send_max
	p.w.U32(uint32(settings >> 2 & 1 * 10))  // compress_min
	p.w.U64(uint64(settings >> 3 & 1 * 1_000_000))
	p.w.Bytes([]byte(codecs))
	p.w.Bytes([]byte(offered))
	p.w.Bytes([]byte(native))
	p.w.Bytes([]byte(strings.Join(paths[:4], "\x00")))
	p.w.Bytes([]byte{abi.Unary | abi.NoSideEffects, abi.ClientStream, abi.ServerStream, abi.BidiStream})
	p.w.End()
	if err := p.step(nil); err != nil {
		return err
	}
	p.server = p.maker
	for range 1 + p.script.Below(3) {
		protocol := abi.Connect + p.script.Below(3)
		text := protocol == abi.GRPCWeb && p.script.Below(2) == 1
		c := client{coding: uint32(p.script.Below(5)), connect: protocol == abi.Connect, text: text}
		var flags uint16
		if text {
			flags = abi.ClientText
		}
		p.w.Begin(abi.CmdConfigureClient, flags, 0)
		p.w.U32(uint32(protocol))
		p.w.U32(readMax * 4)
		p.w.U32(0)
		p.w.U32(uint32(settings >> 4 & 1 * 10))
		p.w.U32(c.coding)
		p.w.U32(uint32(p.script.Below(2) * 40))
		p.w.Bytes([]byte(strings.Split(codecs, "\x00")[p.script.Below(2)]))
		p.w.Bytes([]byte(offered))
		p.w.Bytes([]byte(native))
		p.w.Bytes(nil)
		p.w.Bytes([]byte("fuzz/1.0"))
		p.w.End()
		if err := p.step(nil); err != nil {
			return err
		}
		c.handle = p.maker
		c.inline, c.getToo = p.flags&abi.ConfiguredSendInline != 0, p.flags&abi.ConfiguredGetInline != 0
		p.clients = append(p.clients, c)
	}
	return nil
}

// step plays the batch that was written, about call c, and gives the guest what it asks for.
func (p *player) step(c *call) error {
	for asked := 0; ; asked++ {
		if asked > 10_000 {
			return errors.New("it asks for content without an end")
		}
		p.told, p.fault = c, 0
		batch := p.w.B
		p.in += len(batch)
		events, err := p.guest.Step(batch)
		p.w.B = p.w.B[:0]
		if err != nil {
			return err
		}
		p.out += len(events)
		for len(events) > 0 {
			r, rest, ok := abi.Next(events)
			if !ok || !r.Known() || r.Kind < abi.EvConfigured {
				return errors.New("the events are not whole records")
			}
			if err := p.event(&r, events[abi.HeaderSize:len(events)-len(rest)]); err != nil {
				return err
			}
			events = rest
		}
		switch {
		case c == nil || c.over:
			return nil
		case c.asked:
			b := c.content[c.offset:]
			b = b[:min(len(b), int(c.want), mostBatch)]
			c.asked = false
			p.content(c, len(b), b, abi.ContentResume)
		case c.unpack != nil:
			p.w.Begin(abi.CmdDecompressed, 0, c.handle)
			p.w.Bytes(unpacked(c.unpack))
			p.w.End()
			c.unpack = nil
		default:
			return nil
		}
	}
}

func (p *player) content(c *call, length int, data []byte, flags uint16) {
	p.w.Begin(abi.CmdContent, flags, c.handle)
	p.w.U32(uint32(length))
	p.w.Bytes(data)
	p.w.End()
}

// feed tells a call content, cut into pieces; end: nothing follows it.
func (p *player) feed(c *call, b []byte, end bool) error {
	apart := end && p.cut != Whole && p.chance.Below(2) == 1 || end && len(b) == 0
	faulted := false
	for len(b) > 0 && !c.over {
		size, carried := p.cut.next(&p.chance, len(b), c.carry)
		var flags uint16
		if end && !apart && size == len(b) {
			flags = abi.ContentEnd
		}
		held := len(c.content)
		c.content = append(c.content, b[:size]...)
		p.content(c, size, b[:carried], flags)
		b = b[size:]
		if err := p.step(c); err != nil {
			return err
		}
		if p.fault != 0 { // it was not taken, and each piece says so
			c.content = c.content[:held]
			if faulted {
				c.log = c.log[:len(c.log)-1]
			}
			faulted = true
		}
	}
	if apart && !c.over {
		p.content(c, 0, nil, abi.ContentEnd)
		if err := p.step(c); err != nil {
			return err
		}
		if p.fault != 0 && faulted {
			c.log = c.log[:len(c.log)-1]
		}
	}
	return nil
}

// event takes one event, and checks that it may come.
func (p *player) event(r *abi.Record, raw []byte) error {
	switch r.Kind {
	case abi.EvConfigured:
		p.maker, p.flags = r.Handle, r.Flags
		return nil
	case abi.EvFault:
		p.fault = r.U32()
		switch text := r.Bytes(); {
		case p.fault == abi.FaultPanic || p.fault == abi.FaultBusy || p.fault == 0 || p.fault > abi.FaultArgument || !r.Whole():
			return fmt.Errorf("fault %d: %s", p.fault, text)
		case p.told != nil:
			p.told.log = append(p.told.log, fmt.Sprintf("fault %d", p.fault))
		default:
			p.faults = append(p.faults, fmt.Sprintf("fault %d", p.fault))
		}
		return nil
	}
	c := p.byID[r.Handle]
	if c == nil && p.opening != nil {
		c, p.opening = p.opening, nil
		c.handle = r.Handle
		p.byID[r.Handle] = c
	}
	again := c != nil && c.client != nil && p.reject && (r.Kind == abi.EvEnd || r.Kind == abi.EvRetry)
	switch {
	case c == nil:
		return fmt.Errorf("event %d for handle %#x, which is nobody's", r.Kind, r.Handle)
	case p.told != nil && c != p.told:
		return fmt.Errorf("a command for call %#x brings event %d for %#x", p.told.handle, r.Kind, r.Handle)
	case c.over && !again:
		return fmt.Errorf("event %d for call %#x, which is over", r.Kind, r.Handle)
	}
	if err := c.event(r, again); err != nil {
		return err
	}
	switch r.Kind {
	case abi.EvMessages, abi.EvMore, abi.EvBody:
	default:
		c.log = append(c.log, fmt.Sprintf("%d %d %q", r.Kind, r.Flags, raw))
	}
	return nil
}

// roles has the events that come to one role alone: whether it is the client's.
var roles = map[abi.Kind]bool{
	abi.EvRequestHead: true, abi.EvResponse: true, abi.EvEnd: true, abi.EvRetry: true, abi.EvDecompress: true,
	abi.EvRequest: false, abi.EvReceived: false, abi.EvResponseHead: false, abi.EvTrailers: false, abi.EvStop: false,
	abi.EvDone: false, abi.EvPrepared: false, abi.EvOutcome: false,
}

func (c *call) event(r *abi.Record, again bool) error {
	if other, known := roles[r.Kind]; known && other != (c.client != nil) {
		return fmt.Errorf("event %d is not for this role", r.Kind)
	}
	switch r.Kind {
	case abi.EvRequest:
		c.inline, c.carry = r.Flags&abi.RequestSendInline != 0, r.Flags&abi.ContentInline != 0
		c.stream = int(r.U32())
		r.U32()
		r.U32()
		c.coding = r.U32()
	case abi.EvResponse:
		c.carry = r.Flags&abi.ContentInline != 0
	case abi.EvMessages:
		return c.messages(r)
	case abi.EvMore:
		offset, want := r.U64(), r.U32()
		if offset >= uint64(len(c.content)) || want == 0 || c.asked || offset < c.offset {
			return fmt.Errorf("it asks for %d bytes from %d on, of %d, and asked from %d on before", want, offset, len(c.content), c.offset)
		}
		c.asked, c.offset, c.want = true, offset, want
		return nil
	case abi.EvReceived:
		c.received++
		c.receivedCode = r.U32()
	case abi.EvRequestHead:
		c.method, c.target = bytes.Clone(r.Bytes()), bytes.Clone(r.Bytes())
		c.headCount, c.headBytes = r.Counted()
		c.headBytes = bytes.Clone(c.headBytes)
		c.hasHead, c.wrote = true, r.Flags&abi.HTTPEnd != 0
	case abi.EvResponseHead:
		if c.hasHead || c.wrote {
			return errors.New("two heads of a response")
		}
		c.status = r.U32()
		c.headCount, c.headBytes = r.Counted()
		c.headBytes = bytes.Clone(c.headBytes)
		c.hasHead, c.wrote, c.hasTrailers = true, r.Flags&abi.HTTPEnd != 0, r.Flags&abi.HTTPTrailers != 0
	case abi.EvBody:
		return c.body(r)
	case abi.EvTrailers:
		if c.wrote || !c.hasTrailers {
			return errors.New("trailers that no head announced, or behind the end")
		}
		c.trailerCount, c.trailerBytes = r.Counted()
		c.trailerBytes = bytes.Clone(c.trailerBytes)
		c.wrote = true
	case abi.EvEnd:
		c.code = r.U32()
		c.message = bytes.Clone(r.Bytes())
		if c.code != 0 && len(c.message) == 0 {
			return errors.New("an error without a message")
		}
		if c.code >= uint32(len(abi.Codes)) {
			return fmt.Errorf("code %d", c.code)
		}
		c.ends++
	case abi.EvDecompress:
		r.U32()
		r.U32()
		c.unpack = append([]byte{}, r.Bytes()...)
	case abi.EvOutcome:
		c.code = r.U32()
		c.hasOutcome = true
		if c.code == 0 && c.receivedCode != 0 {
			return fmt.Errorf("the server has received the error %d, and the call is a success", c.receivedCode)
		}
	case abi.EvDone:
		c.ends++
	}
	if c.ends > 1 && !again {
		return errors.New("a second end of the call")
	}
	c.over = c.over || c.ends > 0
	return nil
}

// messages takes payloads that came, and looks where the guest says that they are.
func (c *call) messages(r *abi.Record) error {
	base, coding := r.U64(), r.U32()
	r.U32() // the limit of what the host decompresses
	spans := r.Words(nil)
	data := r.Bytes()
	if !r.Whole() || len(spans)%2 != 0 || len(spans) == 0 {
		return errors.New("spans that are not pairs")
	}
	from := data
	if r.Flags&abi.MessagesInline == 0 {
		if base > uint64(len(c.content)) || len(data) > 0 {
			return fmt.Errorf("spans count from %d, of %d", base, len(c.content))
		}
		from = c.content[base:]
	}
	for i := 0; i < len(spans); i += 2 {
		size := spans[i+1] &^ abi.Compressed
		if uint64(spans[i])+uint64(size) > uint64(len(from)) {
			return fmt.Errorf("a message of %d bytes at %d, of %d", size, spans[i], len(from))
		}
		if limit := c.readMax(); size > limit {
			return fmt.Errorf("a message of %d bytes, and the limit is %d", size, limit)
		}
		message := bytes.Clone(from[spans[i]:][:size])
		if spans[i+1] != size {
			if coding == 0 {
				return errors.New("a message is compressed with nothing")
			}
			message = unpacked(message)
		}
		c.got = append(c.got, message)
		c.log = append(c.log, fmt.Sprintf("message %t %q", spans[i+1] != size, message))
	}
	return nil
}

// readMax is the most bytes that a message may have.
func (c *call) readMax() uint32 {
	if c.client != nil {
		return 4 * readMax
	}
	return readMax
}

// body takes content that the call writes.
func (c *call) body(r *abi.Record) error {
	count, prefix := r.U32(), r.U32()
	data := r.Bytes()
	if !r.Whole() || c.wrote || !c.hasHead {
		return errors.New("content without a head, or behind the end")
	}
	if int(count) > len(c.waiting) || uint64(count)*uint64(prefix) > uint64(len(data)) {
		return fmt.Errorf("content of %d payloads, and %d were given", count, len(c.waiting))
	}
	at := len(c.written)
	for range count {
		c.written = append(append(c.written, data[:prefix]...), c.waiting[0]...)
		data, c.waiting = data[prefix:], c.waiting[1:]
	}
	c.written = append(c.written, data...)
	c.wrote = r.Flags&abi.HTTPEnd != 0
	c.log = append(c.log, fmt.Sprintf("body %t %q", c.wrote, c.written[at:]))
	return nil
}
