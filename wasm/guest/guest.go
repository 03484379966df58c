// Package guest drives core by the records of ../ABI.md. The module's exports
// are a few lines around it; natively it runs the same tapes.
package guest

import (
	"slices"

	"github.com/connectcore/connectcore/core"
	"github.com/connectcore/connectcore/wasm/abi"
)

const arenaSize = 64 << 10 // what ABI.md promises to start with

// Guest is one instance: its arenas, configurations and calls. It is not safe
// for concurrent use.
type Guest struct {
	in      []byte
	w       abi.Writer
	calls   table[call]
	servers table[core.Server]
	clients table[core.Client]
	last    uint32 // handle of the call that this batch opened last
	memory  core.Memory
	words   []uint32
	outcome core.Outcome
	over    []uint32 // calls that this batch has ended
	work    int      // about how much may have been allocated since Collect was called

	// Collect, if not nil, is called now and then, between two batches: the place to
	// have garbage collected.
	Collect func()
}

// call is one RPC in one of the roles; the other's is kept for its next use.
type call struct {
	core.Call
	server *core.ServerCall
	client *core.ClientCall
}

// New makes an instance.
func New() *Guest {
	return &Guest{
		in:      make([]byte, arenaSize),
		w:       abi.Writer{B: make([]byte, 0, arenaSize)},
		calls:   table[call]{most: abi.MaxCalls},
		servers: table[core.Server]{most: abi.MaxConfigs, mark: serverMark},
		clients: table[core.Client]{most: abi.MaxConfigs, mark: clientMark},
	}
}

// Reserve makes the in arena at least size bytes and returns it.
func (g *Guest) Reserve(size int) []byte {
	if size > len(g.in) {
		g.in = make([]byte, max(size, 2*len(g.in)))
	}
	return g.in
}

// Step carries out the batch in the first size bytes of the in arena and
// returns the events, which hold until the next call.
func (g *Guest) Step(size int) (events []byte) {
	const keep, often, least = 1 << 20, 512 << 10, 4 << 10
	// What a batch allocates is told by what goes in and out, about, and a small one may
	// make a configuration.
	g.work += least + len(g.w.B) + size + g.memory.Made
	g.memory.Made = 0
	if cap(g.w.B) > keep {
		g.w.B = make([]byte, 0, arenaSize)
	}
	g.w.B = g.w.B[:0]
	if g.work > often && g.Collect != nil {
		g.work = 0
		g.Collect()
	}
	defer func() {
		if r := recover(); r != nil {
			g.w.B = g.w.B[:0]
			g.fault(0, abi.FaultPanic, "the guest failed")
			events = g.w.B
		}
	}()
	g.last, g.over = 0, g.over[:0]
	if size < 0 || size > len(g.in) {
		g.fault(0, abi.FaultRecord, "the batch is larger than the in arena")
		return g.w.B
	}
	batch := g.in[:size:size]
	for len(batch) > 0 {
		rec, rest, ok := abi.Next(batch)
		if !ok || !rec.Known() || rec.Kind >= abi.EvConfigured {
			g.fault(0, abi.FaultRecord, "a record is malformed or of an unknown kind")
			break
		}
		if !g.dispatch(&rec) {
			g.fault(rec.Handle, abi.FaultRecord, "a record's columns do not fit its size")
			break
		}
		batch = rest
	}
	return g.w.B
}

func (g *Guest) fault(handle, kind uint32, text string) {
	g.w.Begin(abi.EvFault, 0, handle)
	g.w.U32(kind)
	g.w.Bytes([]byte(text))
	g.w.End()
}

// dispatch carries out one command; it is false where the record is malformed.
func (g *Guest) dispatch(r *abi.Record) bool {
	switch r.Kind {
	case abi.CmdConfigureServer:
		return g.configureServer(r)
	case abi.CmdConfigureClient:
		return g.configureClient(r)
	case abi.CmdCloseConfig:
		if !r.Whole() {
			return false
		}
		if !g.servers.free(r.Handle) && !g.clients.free(r.Handle) {
			g.fault(r.Handle, abi.FaultHandle, "no such configuration")
		}
		return true
	case abi.CmdOpenServer:
		return g.openServer(r)
	case abi.CmdOpenClient:
		return g.openClient(r)
	}
	return g.command(r)
}

// command carries out a command on a call.
func (g *Guest) command(r *abi.Record) bool {
	handle := r.Handle
	if handle == 0 {
		handle = g.last
	}
	found := g.calls.get(handle)
	if found == nil {
		if slices.Contains(g.over, handle) {
			return true // the host cannot know that this batch has ended the call
		}
		g.fault(r.Handle, abi.FaultHandle, "no such call")
		return true
	}
	c := found.Call
	if c.Over() && r.Kind != abi.CmdReject && r.Kind != abi.CmdClose {
		return true // a client's call that has its outcome: nothing else means anything
	}
	var events []core.Event
	var err error
	switch r.Kind {
	case abi.CmdResponseHead:
		status := r.U32()
		fields := core.RawFields(r.Counted())
		if !r.Whole() {
			return false
		}
		events, err = c.ResponseHead(status, fields, r.Flags&abi.HTTPEnd != 0)
	case abi.CmdContent:
		length := r.U32()
		data := r.Bytes()
		if !r.Whole() {
			return false
		}
		events, err = c.Content(length, data, r.Flags&abi.ContentEnd != 0, r.Flags&abi.ContentResume != 0)
	case abi.CmdContentEnd:
		fields := fieldsOf(r)
		if !r.Whole() {
			return false
		}
		events, err = c.ContentEnd(fields)
	case abi.CmdPeerGone:
		reason := r.U32()
		code := r.U32()
		text := r.Bytes()
		if !r.Whole() {
			return false
		}
		events, err = c.PeerGone(core.Gone(reason), code, text)
	case abi.CmdHeaders:
		fields := fieldsOf(r)
		binary, ok := pairsOf(r)
		if !ok || !r.Whole() {
			return false
		}
		events, err = c.Headers(fields, binary, r.Flags&abi.HeadersFlush != 0)
	case abi.CmdSend:
		g.words = r.Words(g.words[:0])
		data := r.Bytes()
		if !r.Whole() {
			return false
		}
		events, err = c.Send(g.words, data, r.Flags&abi.SendInline != 0)
	case abi.CmdEnd:
		o := &g.outcome
		*o = core.Outcome{}
		o.Code = core.Code(r.U32())
		o.Message = r.Bytes()
		details, ok1 := pairsOf(r)
		o.Fields = fieldsOf(r)
		binary, ok2 := pairsOf(r)
		if !ok1 || !ok2 || !r.Whole() {
			return false
		}
		o.Details, o.Binary = details, binary
		o.Unexpected = r.Flags&abi.EndUnexpected != 0
		events, err = c.End(o)
	case abi.CmdReject:
		reason := r.U32()
		text := r.Bytes()
		if !r.Whole() {
			return false
		}
		events, err = c.Reject(core.Reason(reason), text)
	case abi.CmdDeadline:
		if !r.Whole() {
			return false
		}
		events, err = c.Deadline()
	case abi.CmdCancel:
		if !r.Whole() {
			return false
		}
		events, err = c.Cancel()
	case abi.CmdDecompressed:
		data := r.Bytes()
		if !r.Whole() {
			return false
		}
		events, err = c.Decompressed(data)
	case abi.CmdClose:
		if !r.Whole() {
			return false
		}
		g.calls.free(handle)
		return true
	}
	if err != nil {
		g.fault(handle, abi.FaultState, err.Error())
		return true
	}
	g.encode(handle, events)
	return true
}
