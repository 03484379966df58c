package hostgo

import (
	"sync"

	"github.com/connectcore/connectcore/wasm/abi"
)

// scratch is the memory that a call works with, reused from call to call.
type scratch struct {
	cmd     commands
	events  []byte
	spans   []uint32
	in      content
	out     output
	writing output // what is being written while out fills again
	payload []byte // of the last message sent
	head    []byte // the peer's header section as a fields column
	fields  int    // how many fields head has
	hidden  []byte
	binary  counted
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

const keepBuffer = 256 << 10

// recycle puts the scratch back, without what a large call left behind. Some
// of it may still be seen by a caller who keeps a payload too long; nothing
// may still be running.
func (s *scratch) recycle() {
	for _, b := range []*[]byte{&s.cmd.B, &s.cmd.text, &s.cmd.pairs, &s.cmd.details, &s.events, &s.in.buf,
		&s.in.inlined, &s.out.bytes, &s.writing.bytes, &s.payload} {
		if cap(*b) > keepBuffer {
			*b = nil
		}
	}
	s.in.reset(0)
	s.out.reset()
	s.writing.reset()
	scratches.Put(s)
}

// keepHead copies a header section that was just written by httpFields.
func (s *scratch) keepHead(count int) {
	s.head, s.fields = append(s.head[:0], s.cmd.text...), count
	s.hidden, s.binary.count, s.binary.bytes = s.hidden[:0], 0, s.binary.bytes[:0]
}

// keepMetadata copies what an event says of that header section.
func (s *scratch) keepMetadata(ev *event) {
	s.hidden = append(s.hidden[:0], ev.hidden...)
	s.binary.count, s.binary.bytes = ev.binary.count, append(s.binary.bytes[:0], ev.binary.bytes...)
}

// metadata gives the user's part of the peer's header section.
func (s *scratch) metadata() Metadata {
	return metadataOf(counted{s.fields, s.head}, s.hidden, s.binary)
}

// link is a call's bond with its instance.
type link struct {
	in     *instance
	handle uint32
	over   bool // the call's handle is no more
}

// step runs the scratch's commands for this call; its events are then in
// s.events.
func (l *link) step(s *scratch) error {
	if l.over {
		s.cmd.reset()
		return errRetired
	}
	l.in.mu.Lock()
	events, err := l.in.run(s.cmd.B, s.events[:0])
	l.in.mu.Unlock()
	s.events = events
	s.cmd.reset()
	if err != nil {
		l.end()
	}
	return err
}

// open runs the scratch's commands, the first of which opens this call.
func (l *link) open(p *pool, config *configuration, s *scratch) error {
	in, events, err := p.bind(config, s.cmd.B, s.events[:0])
	s.events = events
	s.cmd.reset()
	*l = link{in: in, over: err != nil}
	return err
}

// end frees the instance of the call.
func (l *link) end() {
	if !l.over {
		l.over = true
		l.in.release()
	}
}

// forget closes a call that is still open.
func (l *link) forget(s *scratch) {
	if l.over || l.in == nil {
		return
	}
	s.cmd.reset()
	s.cmd.bare(abi.CmdClose, l.handle)
	if l.step(s) == nil {
		l.end()
	}
}
