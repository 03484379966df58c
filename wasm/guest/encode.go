package guest

import (
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

func (g *Guest) encodeEvent(handle uint32, e *core.Event) {
	w := &g.w
	switch e.Kind {
	case core.EventRequest:
		w.Begin(abi.EvRequest, flag(e.ContentInline, abi.ContentInline)|flag(e.Get, abi.RequestGet), handle)
		w.U32(e.Procedure)
		w.U32(uint32(e.Protocol))
		w.U32(e.Codec)
		w.U32(e.Coding)
		w.U32(e.CompressMin)
		w.U64(e.Timeout)
		w.Bytes(e.Hidden)
		w.Counted(e.Binary.Len(), e.Binary.Bytes())
	case core.EventMessages:
		w.Begin(abi.EvMessages, flag(e.Inline, abi.MessagesInline), handle)
		w.U64(e.Base)
		w.U32(e.Coding)
		w.U32(e.Limit)
		w.Words(e.Spans)
		w.Bytes(e.Data)
	case core.EventReceived:
		w.Begin(abi.EvReceived, 0, handle)
		w.U32(uint32(e.Code))
		w.Bytes(e.Message)
	case core.EventResponseHead:
		w.Begin(abi.EvResponseHead, flag(e.End, abi.HTTPEnd)|flag(e.HasTrailers, abi.HTTPTrailers), handle)
		w.U32(e.Status)
		w.Counted(e.Fields.Len(), e.Fields.Bytes())
	case core.EventRequestHead:
		w.Begin(abi.EvRequestHead, flag(e.End, abi.HTTPEnd), handle)
		w.Bytes(e.Method)
		w.Bytes(e.Target)
		w.Counted(e.Fields.Len(), e.Fields.Bytes())
	case core.EventBody:
		w.Begin(abi.EvBody, flag(e.End, abi.HTTPEnd), handle)
		w.U32(e.Count)
		w.U32(e.Prefix)
		w.Bytes(e.Data)
	case core.EventTrailers:
		w.Begin(abi.EvTrailers, 0, handle)
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
	case core.EventReset:
		w.Begin(abi.EvReset, 0, handle)
		w.U32(e.ResetCode)
	case core.EventStop:
		w.Begin(abi.EvStop, 0, handle)
		w.U32(uint32(e.Code))
	case core.EventMore:
		w.Begin(abi.EvMore, 0, handle)
		w.U64(e.Offset)
		w.U32(e.Want)
	case core.EventPrepared:
		w.Begin(abi.EvPrepared, 0, handle)
		w.U32(e.Limit)
		w.U32(e.Status)
		w.Counted(e.Fields.Len(), e.Fields.Bytes())
		w.Bytes(e.Length)
	case core.EventDone:
		g.calls.free(handle)
		g.over = append(g.over, handle)
		w.Begin(abi.EvDone, 0, handle)
	}
	w.End()
}
