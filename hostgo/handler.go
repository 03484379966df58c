package hostgo

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/connectcore/connectcore/wasm/abi"
)

// StreamType says on which sides a procedure has many messages.
type StreamType uint8

// The stream types.
const (
	StreamTypeUnary  StreamType = abi.Unary
	StreamTypeClient StreamType = abi.ClientStream
	StreamTypeServer StreamType = abi.ServerStream
	StreamTypeBidi   StreamType = abi.BidiStream
)

// oneResponse says whether a procedure has exactly one response.
func (t StreamType) oneResponse() bool { return t == StreamTypeUnary || t == StreamTypeClient }

// oneRequest says whether a procedure has exactly one request.
func (t StreamType) oneRequest() bool { return t == StreamTypeUnary || t == StreamTypeServer }

// Procedure is one RPC that a [Handler] serves. [Unary], [ClientStream],
// [ServerStream] and [BidiStream] make one for generated messages.
type Procedure struct {
	// Path is "/package.Service/Method".
	Path string
	// Type says how many messages there are on each side.
	Type StreamType
	// NoSideEffects says that the procedure changes nothing, so that a unary
	// one may also be called by HTTP GET.
	NoSideEffects bool
	// Serve handles a call: it receives what the type has to be received,
	// sends what is to be sent, and returns how the call ends. The context
	// ends with the call's deadline, or when the peer goes away. An error that
	// is no [Error], and a panic, reach the peer as unknown with a fixed text,
	// and the handler's logger as they are.
	Serve func(ctx context.Context, call *Call) error
}

// HandlerOptions of [NewHandler]. The zero value, and nil, mean the defaults.
type HandlerOptions struct {
	// Module runs the protocols; nil means [Default].
	Module *Module
	// Codecs are the codecs to offer; nil means [ProtoCodec] and [JSONCodec].
	Codecs []Codec
	// Codings are the compressions to offer, the preferred ones first, of gzip,
	// deflate, snappy, br and zstd. Nil means gzip; an empty list offers none. br
	// and zstd have a module of their own, which is compiled when it is first used.
	Codings []string
	// CompressMin is the size, in bytes, of the smallest message that is
	// compressed; 0 means 1 KiB, and less than 0 that all are, empty ones too.
	CompressMin int
	// ReadMax is the most bytes in one message received, before and after
	// decompression; 0 means 4 MiB.
	ReadMax int
	// SendMax is the most bytes in one message sent; 0 means no limit.
	SendMax int
	// Protocols are the ones to serve; nil means all. A request of another one is
	// refused by HTTP status 415.
	Protocols []Protocol
	// RequireVersion refuses Connect requests that do not name the version of
	// the protocol.
	RequireVersion bool
	// MaxTimeout is the most time for one call, whatever timeout it asks for; 0
	// means no limit.
	MaxTimeout time.Duration
	// Logger is told about handlers that fail unexpectedly; nil means
	// [slog.Default].
	Logger *slog.Logger
	// OnError is called with an unexpected error: one that a handler returned and
	// that is no [Error], a [PanicError], or why a response does not encode. The peer
	// gets the error that it returns, and nothing is logged. If it returns nil, or
	// panics, all is as without it: the error is logged, and the peer learns no more
	// than that there was one.
	OnError func(ctx context.Context, call *Call, err error) *Error
	// AccessLog gets a record for each request when it is over, at level Info; nil
	// means that there is no such log. Its attributes, where they are known:
	//
	//	procedure       path of the procedure; none if the handler has none of that path
	//	protocol        connect, grpc or grpc_web; none if the request was refused by its HTTP status alone
	//	code            ok, or the code that the peer was told, not_found for example; for a request that was
	//	                refused by its HTTP status, what clients take that for
	//	http_status     of the response
	//	milliseconds    from the request's head to the response's end
	//	received_bytes  of the request's content that were read, as they travel
	//	sent_bytes      of the response's content, as they travel
	//	peer            the address and port of the peer
	AccessLog *slog.Logger
}

// Handler serves procedures over net/http. HTTP/1.1 and HTTP/2 work, and for
// HTTP/2 without TLS [http.Protocols.SetUnencryptedHTTP2]. It is safe for use
// by several goroutines.
type Handler struct {
	procedures []Procedure
	paths      map[string]*Procedure
	codecs     []Codec
	config     *configuration
	heads      heads
	logger     *slog.Logger
	access     *slog.Logger
	onError    func(context.Context, *Call, error) *Error
	lacking    sync.Once // said that trailers are wanted which cannot be sent
}

// NewHandler makes a handler. It fails if the module does not load, or if
// procedures or options make no sense.
func NewHandler(options *HandlerOptions, procedures ...Procedure) (*Handler, error) {
	o := HandlerOptions{}
	if options != nil {
		o = *options
	}
	if o.Module == nil {
		module, err := Default()
		if err != nil {
			return nil, err
		}
		o.Module = module
	}
	if o.Codecs == nil {
		o.Codecs = []Codec{ProtoCodec(), JSONCodec(nil)}
	}
	if o.Codings == nil {
		o.Codings = []string{defaultCoding}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h := &Handler{codecs: o.Codecs, logger: o.Logger, access: o.AccessLog, onError: o.OnError,
		procedures: append([]Procedure(nil), procedures...), paths: map[string]*Procedure{}}
	for i := range h.procedures {
		p := &h.procedures[i]
		switch {
		case !strings.HasPrefix(p.Path, "/"):
			return nil, fmt.Errorf("connectcore: procedure %q: a path starts with a slash", p.Path)
		case h.paths[p.Path] != nil:
			return nil, fmt.Errorf("connectcore: procedure %q is given twice", p.Path)
		case p.Serve == nil:
			return nil, fmt.Errorf("connectcore: procedure %q has no Serve", p.Path)
		case p.Type > StreamTypeBidi:
			return nil, fmt.Errorf("connectcore: procedure %q: unknown stream type %d", p.Path, p.Type)
		}
		h.paths[p.Path] = p
	}
	if err := checkSizes(o.ReadMax, o.SendMax, max(o.CompressMin, 0)); err != nil {
		return nil, err
	}
	record, err := h.record(&o)
	if err != nil {
		return nil, err
	}
	config, err := o.Module.configure(record, o.Codings)
	if err != nil {
		return nil, err
	}
	h.config = config
	runtime.AddCleanup(h, (*configuration).close, config)
	return h, nil
}

// Close frees what the module keeps for the handler, which is not to be used
// afterwards; calls that are under way go on. A handler that is forgotten is
// closed by the garbage collector.
func (h *Handler) Close() { h.config.close() }

// defaultCoding is the coding that every peer knows.
const defaultCoding = "gzip"

// compressMin returns what the module is told for that option.
func compressMin(option int) uint32 {
	if option == 0 {
		return abi.DefaultCompressMin
	}
	return uint32(max(option, 0))
}

func checkSizes(sizes ...int) error {
	for _, size := range sizes {
		if size < 0 || int64(size) >= 1<<31 {
			return fmt.Errorf("connectcore: a limit of %d bytes is out of range", size)
		}
	}
	return nil
}

// record makes the command that configures an instance for this handler.
func (h *Handler) record(o *HandlerOptions) ([]byte, error) {
	if o.MaxTimeout < 0 || o.MaxTimeout > 0 && o.MaxTimeout < time.Microsecond {
		return nil, fmt.Errorf("connectcore: a MaxTimeout of %v is out of range", o.MaxTimeout)
	}
	var w abi.Writer
	flags, err := unserved(o.Protocols)
	if err != nil {
		return nil, err
	}
	if o.RequireVersion {
		flags |= abi.ServerRequireVersion
	}
	if o.AccessLog != nil {
		flags |= abi.ServerOutcomes
	}
	var codecs, paths []string
	var attributes []byte
	for _, c := range o.Codecs {
		codecs = append(codecs, c.Name())
	}
	for _, p := range h.procedures {
		a := byte(p.Type)
		if p.NoSideEffects {
			a |= abi.NoSideEffects
		}
		paths, attributes = append(paths, p.Path), append(attributes, a)
	}
	w.Begin(abi.CmdConfigureServer, flags, 0)
	w.U32(uint32(o.ReadMax))
	w.U32(uint32(o.SendMax))
	w.U32(compressMin(o.CompressMin))
	w.U64(uint64(o.MaxTimeout.Microseconds()))
	w.Bytes(joined(codecs))
	w.Bytes(joined(o.Codings))
	w.Bytes(native(o.Codings))
	w.Bytes(joined(paths))
	w.Bytes(attributes)
	w.End()
	return w.B, nil
}

// unserved returns the flags that refuse all protocols but those.
func unserved(served []Protocol) (uint16, error) {
	if served == nil {
		return 0, nil
	}
	var flags uint16 = abi.ServerNoConnect | abi.ServerNoGRPC | abi.ServerNoGRPCWeb
	for _, p := range served {
		switch p {
		case ProtocolConnect:
			flags &^= abi.ServerNoConnect
		case ProtocolGRPC:
			flags &^= abi.ServerNoGRPC
		case ProtocolGRPCWeb:
			flags &^= abi.ServerNoGRPCWeb
		default:
			return 0, fmt.Errorf("connectcore: unknown protocol %d", p)
		}
	}
	return flags, nil
}

func joined(names []string) []byte { return []byte(strings.Join(names, "\x00")) }
