package hostgo

import "sync"

// scratch is the memory that a call works with, reused from call to call.
type scratch struct {
	cmd     commands
	events  []byte
	ev      event // the one that is dealt with
	spans   []uint32
	in      content
	out     output
	writing output  // what is being written while out fills again
	payload []byte  // of the last message sent
	head    []byte  // the peer's header section as a fields column
	fields  int     // how many fields head has
	verdict verdict // on that head
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

const keepBuffer = 256 << 10

// recycle puts the scratch back, without what a large call left behind. Some
// of it may still be seen by a caller who keeps a payload too long; nothing
// may still be running.
func (s *scratch) recycle() {
	for _, b := range []*[]byte{&s.cmd.B, &s.cmd.text, &s.cmd.strings, &s.cmd.pairs, &s.cmd.details, &s.events, &s.in.buf,
		&s.in.inlined, &s.out.bytes, &s.writing.bytes, &s.payload, &s.head} {
		if cap(*b) > keepBuffer {
			*b = nil
		}
	}
	s.in.reset(0)
	s.out.reset()
	s.writing.reset()
	scratches.Put(s)
}

// keepHead keeps the header section that httpFields wrote last.
func (s *scratch) keepHead(count int) {
	s.head, s.cmd.text, s.fields = s.cmd.text, s.head, count
}
