package hostgo

import "github.com/connectcore/connectcore/wasm/abi"

// link is a call's bond with the module, the same in both roles: the instance
// in which the call is open, the batch under construction, and the one loop
// that plays what a step answers.
type link struct {
	config  *configuration
	s       *scratch
	in      *instance // nil while no instance knows the call
	handle  uint32    // 0 until an instance has named the call
	payload []byte    // the message that the batch under construction sends
	more    more      // what the module wants to see of the content
}

// more is an event of that name that was not answered yet.
type more struct {
	pending bool
	offset  uint64
	want    uint32
}

// role is what servers and clients do differently: everything that an event
// says about the call itself.
type role interface{ event(ev *event) error }

// run gives the batch to the module and plays its events. An error means that
// the call is lost: its instance failed, or said what it must not.
func (l *link) run(r role) error {
	if err := l.step(); err != nil {
		return err
	}
	err := l.play(r)
	l.s.in.read(l.more)
	return err
}

// resume answers the module's "more". Do that when the messages that came before
// it were taken: so a reader who is slow slows down the module, and the peer.
func (l *link) resume(r role) error {
	asked := l.more
	l.more = more{}
	if !l.s.in.resume(&l.s.cmd, l.handle, asked.offset, asked.want) {
		l.ruined(errMalformedEvents)
		return errMalformedEvents
	}
	return l.run(r)
}

// step runs the batch. If no instance knows the call, the batch opens it.
func (l *link) step() (err error) {
	s := l.s
	if l.in == nil {
		l.in, s.events, err = l.config.pool.bind(l.config, s.cmd.B, s.events[:0])
	} else {
		l.in.mu.Lock()
		s.events, err = l.in.run(s.cmd.B, s.events[:0])
		l.in.mu.Unlock()
	}
	s.cmd.reset()
	if err != nil {
		l.unbind()
	}
	return err
}

// play goes through the events of a step.
func (l *link) play(r role) (failure error) {
	s := l.s
	for b := (batch{rest: s.events, spans: s.spans}); ; {
		ev := &s.ev
		ok, err := b.next(ev)
		if err != nil {
			l.ruined(err)
			return err
		}
		if !ok {
			s.spans = b.spans
			return failure
		}
		if l.handle == 0 && ev.kind != abi.EvFault {
			l.handle = ev.handle
		}
		switch ev.kind {
		case abi.EvMore:
			l.more = more{true, ev.offset, ev.want}
		case abi.EvDone:
			l.unbind()
		case abi.EvFault:
			failure = &fault{ev.code, string(ev.message)}
		}
		if err := r.event(ev); err != nil {
			l.ruined(err)
			return err
		}
	}
}

// fault is an event of that name: the module does not do what a batch asks.
type fault struct {
	kind uint32
	text string
}

func (f *fault) Error() string { return "connectcore: " + f.text }

// ruined retires an instance whose events make no sense.
func (l *link) ruined(reason error) {
	if in := l.in; in != nil {
		in.mu.Lock()
		in.retire(reason)
		in.mu.Unlock()
		l.unbind()
	}
}

// unbind frees the call's instance.
func (l *link) unbind() {
	if l.in != nil {
		l.in.release()
	}
	l.in, l.handle, l.more = nil, 0, more{}
}

// forget closes a call that is still open in an instance.
func (l *link) forget() {
	l.s.cmd.reset()
	if l.in != nil && l.handle != 0 {
		l.in.later(abi.CmdClose, l.handle)
	}
	l.unbind()
}
