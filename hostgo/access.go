package hostgo

import (
	"log/slog"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// outcome is with what a call ended, as the access log wants it. It is guarded by
// Call.mu, what was written by Call.wmu.
type outcome struct {
	known    bool
	code     uint32
	protocol Protocol // 0 where a request was refused by its HTTP status alone
	received int64    // bytes of content
	sent     int64
	status   int // HTTP
}

// String names the protocol for people.
func (p Protocol) String() string {
	switch p {
	case ProtocolConnect:
		return "connect"
	case ProtocolGRPC:
		return "grpc"
	case ProtocolGRPCWeb:
		return "grpc_web"
	}
	return "no protocol"
}

// logAccess writes the access log's record of a call that is over.
func (c *Call) logAccess(start time.Time) {
	took := time.Since(start)
	c.wmu.Lock()
	c.mu.Lock()
	o := c.outcome
	c.mu.Unlock()
	c.wmu.Unlock()
	attrs := make([]slog.Attr, 0, 8)
	if p := c.handler.paths[c.r.URL.EscapedPath()]; p != nil {
		attrs = append(attrs, slog.String("procedure", p.Path))
	}
	if o.protocol != 0 {
		attrs = append(attrs, slog.String("protocol", o.protocol.String()))
	}
	if o.known {
		attrs = append(attrs, slog.String("code", abi.Codes[o.code]))
	}
	if o.status != 0 {
		attrs = append(attrs, slog.Int("http_status", o.status))
	}
	attrs = append(attrs, slog.Float64("milliseconds", float64(took.Microseconds())/1000),
		slog.Int64("received_bytes", o.received), slog.Int64("sent_bytes", o.sent), slog.String("peer", c.r.RemoteAddr))
	c.handler.access.LogAttrs(c.r.Context(), slog.LevelInfo, "connectcore: a request was served", attrs...)
}
