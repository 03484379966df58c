package guest

import (
	"encoding/binary"
	"slices"

	"github.com/connectcore/connectcore/core"
	"github.com/connectcore/connectcore/wasm/abi"
)

// encode writes a call's events as records. A call that is done gives its
// handle back.
func (g *Guest) encode(handle uint32, events []core.Event) {
	for i := range events {
		g.encodeEvent(handle, &events[i])
	}
}

func flag(on bool, bit uint16) uint16 {
	if on {
		return bit
	}
	return 0
}

var le = binary.LittleEndian

// record starts a record of known size and returns it, the header written. The
// hot kinds are written through it: in wasm a call costs more than its work, so
// that the columns' methods of abi.Writer cost as much as all of core.
func (g *Guest) record(kind abi.Kind, flags uint16, handle uint32, size int) []byte {
	b := g.w.B
	n := len(b)
	if cap(b)-n < size {
		b = slices.Grow(b, size)
	}
	b = b[:n+size]
	g.w.B = b
	r := b[n:]
	_ = r[abi.HeaderSize-1]
	le.PutUint64(r, uint64(kind)|uint64(flags)<<16|uint64(size)<<32)
	le.PutUint32(r[8:], handle)
	return r
}

func (g *Guest) encodeEvent(handle uint32, e *core.Event) {
	const h = abi.HeaderSize
	w := &g.w
	switch e.Kind {
	case core.EventRequest:
		const fixed = h + 5*4 + 8 + 4 + 8
		hidden, pairs := e.Hidden, e.Binary.Bytes()
		r := g.record(abi.EvRequest, flag(e.ContentInline, abi.ContentInline)|flag(e.Get, abi.RequestGet)|flag(e.SendInline, abi.RequestSendInline), handle, fixed+len(hidden)+len(pairs))
		_ = r[fixed-1]
		le.PutUint32(r[h:], e.Procedure)
		le.PutUint32(r[h+4:], uint32(e.Protocol))
		le.PutUint32(r[h+8:], e.Codec)
		le.PutUint32(r[h+12:], e.Coding)
		le.PutUint32(r[h+16:], e.CompressMin)
		le.PutUint64(r[h+20:], e.Timeout)
		le.PutUint32(r[h+28:], uint32(len(hidden)))
		le.PutUint32(r[h+32:], uint32(e.Binary.Len()))
		le.PutUint32(r[h+36:], uint32(len(pairs)))
		copy(r[fixed:], hidden)
		copy(r[fixed+len(hidden):], pairs)
		return
	case core.EventMessages:
		const fixed = h + 8 + 4*4
		r := g.record(abi.EvMessages, flag(e.Inline, abi.MessagesInline), handle, fixed+4*len(e.Spans)+len(e.Data))
		_ = r[fixed-1]
		le.PutUint64(r[h:], e.Base)
		le.PutUint32(r[h+8:], e.Coding)
		le.PutUint32(r[h+12:], e.Limit)
		le.PutUint32(r[h+16:], uint32(len(e.Spans)))
		le.PutUint32(r[h+20:], uint32(len(e.Data)))
		r = r[fixed:]
		for i, v := range e.Spans {
			le.PutUint32(r[4*i:], v)
		}
		copy(r[4*len(e.Spans):], e.Data)
		return
	case core.EventReceived:
		r := g.record(abi.EvReceived, 0, handle, h+8+len(e.Message))
		le.PutUint32(r[h:], uint32(e.Code))
		le.PutUint32(r[h+4:], uint32(len(e.Message)))
		copy(r[h+8:], e.Message)
		return
	case core.EventResponseHead:
		fields := e.Fields.Bytes()
		r := g.record(abi.EvResponseHead, flag(e.End, abi.HTTPEnd)|flag(e.HasTrailers, abi.HTTPTrailers)|
			flag(e.LacksTrailers, abi.HTTPLacks), handle, h+12+len(fields))
		_ = r[h+11]
		le.PutUint32(r[h:], e.Status)
		le.PutUint32(r[h+4:], uint32(e.Fields.Len()))
		le.PutUint32(r[h+8:], uint32(len(fields)))
		copy(r[h+12:], fields)
		return
	case core.EventBody:
		r := g.record(abi.EvBody, flag(e.End, abi.HTTPEnd), handle, h+12+len(e.Data))
		_ = r[h+11]
		le.PutUint32(r[h:], e.Count)
		le.PutUint32(r[h+4:], e.Prefix)
		le.PutUint32(r[h+8:], uint32(len(e.Data)))
		copy(r[h+12:], e.Data)
		return
	case core.EventTrailers:
		fields := e.Fields.Bytes()
		r := g.record(abi.EvTrailers, 0, handle, h+8+len(fields))
		le.PutUint32(r[h:], uint32(e.Fields.Len()))
		le.PutUint32(r[h+4:], uint32(len(fields)))
		copy(r[h+8:], fields)
		return
	case core.EventDone:
		g.calls.free(handle)
		g.over = append(g.over, handle)
		g.record(abi.EvDone, 0, handle, h)
		return
	case core.EventRequestHead:
		w.Begin(abi.EvRequestHead, flag(e.End, abi.HTTPEnd), handle)
		w.Bytes(e.Method)
		w.Bytes(e.Target)
		w.Counted(e.Fields.Len(), e.Fields.Bytes())
	case core.EventResponse:
		w.Begin(abi.EvResponse, flag(e.ContentInline, abi.ContentInline), handle)
		w.Bytes(e.Hidden)
		w.Counted(e.Binary.Len(), e.Binary.Bytes())
	case core.EventEnd:
		w.Begin(abi.EvEnd, 0, handle)
		w.U32(uint32(e.Code))
		w.Bytes(e.Message)
		w.Counted(e.Details.Len(), e.Details.Bytes())
		w.Counted(e.Fields.Len(), e.Fields.Bytes())
		w.Counted(e.Binary.Len(), e.Binary.Bytes())
	case core.EventStop:
		w.Begin(abi.EvStop, 0, handle)
		w.U32(uint32(e.Code))
		w.U32(e.Grace)
		w.Bytes(e.Message)
	case core.EventMore:
		w.Begin(abi.EvMore, 0, handle)
		w.U64(e.Offset)
		w.U32(e.Want)
	case core.EventPrepared:
		w.Begin(abi.EvPrepared, flag(e.HasTrailers, abi.PreparedTrailers), handle)
		w.U32(e.Limit)
		w.U32(e.ReplyMax)
		w.U32(e.HeadMax)
		w.U32(e.Coding)
		w.U32(e.Mark)
		w.U32(e.Prefix)
		w.U32(e.Status)
		w.Counted(e.Fields.Len(), e.Fields.Bytes())
		w.Counted(e.Packed.Len(), e.Packed.Bytes())
		w.Bytes(e.Length)
		w.Bytes(e.Data)
		w.Counted(e.Trailers.Len(), e.Trailers.Bytes())
		w.Bytes(e.Matters)
	case core.EventRetry:
		flags := flag(e.Unprocessed, abi.RetryUnprocessed) | flag(e.Transient, abi.RetryTransient)
		flags |= flag(e.Never, abi.RetryNever) | flag(e.Told, abi.RetryTold)
		w.Begin(abi.EvRetry, flags, handle)
		w.U64(e.Wait)
	case core.EventOutcome:
		w.Begin(abi.EvOutcome, 0, handle)
		w.U32(uint32(e.Code))
		w.U32(uint32(e.Protocol))
	case core.EventDecompress:
		w.Begin(abi.EvDecompress, 0, handle)
		w.U32(e.Coding)
		w.U32(e.Limit)
		w.Bytes(e.Data)
	}
	w.End()
}
