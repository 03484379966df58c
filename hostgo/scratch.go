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
	verdict verdict // on a request's head
	headKey headKey // of that head
}

var scratches = sync.Pool{New: func() any { return &scratch{} }}

const keepBuffer = 256 << 10

// recycle puts the scratch back, without what a large call left behind. Some
// of it may still be seen by a caller who keeps a payload too long; nothing
// may still be running.
func (s *scratch) recycle() {
	for _, b := range []*[]byte{&s.cmd.B, &s.cmd.text, &s.cmd.strings, &s.cmd.pairs, &s.cmd.details, &s.events, &s.in.buf,
		&s.in.inlined, &s.out.bytes, &s.writing.bytes, &s.payload, &s.headKey.key} {
		if cap(*b) > keepBuffer {
			*b = nil
		}
	}
	s.in.reset(0)
	s.out.reset()
	s.writing.reset()
	scratches.Put(s)
}
