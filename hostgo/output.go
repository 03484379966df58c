package hostgo

import "github.com/connectcore/connectcore/wasm/abi"

// output is what the module wants written, in order, until somebody does. Its
// bytes are copies: events last only until the next step.
type output struct {
	ops   []operation
	bytes []byte
}

// Operations of the host's own.
const (
	abort = abi.Kind(0) // end the response as a broken one
	plain = abi.Kind(1) // write the prepared response, with the payload
)

type operation struct {
	kind          abi.Kind
	flags         uint16
	status        uint32
	fields        int // how many
	from, to      int // fields or data, in bytes
	count, prefix int
	payload       []byte // count times, which is at most once
	compressed    bool   // plain: the payload is
}

func (o *output) reset() {
	clear(o.ops)
	o.ops, o.bytes = o.ops[:0], o.bytes[:0]
}

// add queues an event that is to be written. payload is the message of the
// same batch.
func (o *output) add(ev *event, payload []byte) {
	op := operation{kind: ev.kind, flags: ev.flags, status: ev.status, fields: ev.fields.count, from: len(o.bytes)}
	switch ev.kind {
	case abi.EvBody:
		o.bytes = append(o.bytes, ev.data...)
		op.count, op.prefix = int(ev.count), int(ev.prefix)
		if op.count > 0 {
			op.payload = payload
		}
	default:
		o.bytes = append(o.bytes, ev.fields.bytes...)
	}
	op.to = len(o.bytes)
	o.ops = append(o.ops, op)
}
