package hostgo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"

	"github.com/connectcore/connectcore/wasm/abi"
)

// Protocol is what a client speaks; a server speaks what it is spoken to.
type Protocol uint32

// The protocols.
const (
	ProtocolConnect Protocol = abi.Connect
	ProtocolGRPC    Protocol = abi.GRPC
	ProtocolGRPCWeb Protocol = abi.GRPCWeb
)

// ClientOptions of [NewClient]. The zero value, and nil, mean the defaults.
type ClientOptions struct {
	// HTTPClient makes the requests; nil means one of the package's own, which
	// speaks HTTP/2 where the server does, and at once if the protocol is gRPC. Its
	// redirect policy is not used: redirects are not followed.
	HTTPClient *http.Client
	// Module runs the protocol; nil means [Default].
	Module *Module
	// Protocol to speak; 0 means Connect.
	Protocol Protocol
	// Text sends and receives gRPC-Web as base64, for what is between that does
	// not carry bytes. It has no meaning with other protocols.
	Text bool
	// Codec of the messages; nil means [ProtoCodec].
	Codec Codec
	// Codings are the compressions to accept, the preferred ones first, of those
	// that [HandlerOptions] names. Nil means gzip; an empty list accepts none.
	Codings []string
	// SendCoding is the compression of what is sent, one of Codings; empty
	// means none.
	SendCoding string
	// CompressMin is the size, in bytes, of the smallest message that is
	// compressed; 0 means 1 KiB, and less than 0 that all are, empty ones too.
	CompressMin int
	// ReadMax is the most bytes in one message received, before and after
	// decompression; 0 means 4 MiB.
	ReadMax int
	// SendMax is the most bytes in one message sent; 0 means no limit.
	SendMax int
	// GetMax is the longest target of an HTTP GET, in bytes; a longer one is
	// sent by POST. 0 means 8 KiB.
	GetMax int
	// UserAgent replaces the package's own.
	UserAgent string
}

// Client calls the procedures of one server. It is safe for use by several
// goroutines.
type Client struct {
	base   url.URL // scheme and host
	http   *http.Client
	config *configuration
	codec  Codec
	coding uint32 // to compress with, if this side does that
	min    int    // bytes in the smallest message to compress
}

// userAgent is what the package calls itself.
const userAgent = "connectcore-go/1.0"

// NewClient makes a client for a base URL, "https://host" or with a path before
// the procedures'. It fails if the module does not load, or if the URL or options
// make no sense.
func NewClient(baseURL string, options *ClientOptions) (*Client, error) {
	o := ClientOptions{}
	if options != nil {
		o = *options
	}
	base, err := url.Parse(baseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("connectcore: base URL: %w", err)
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("connectcore: base URL %q: want http:// or https:// and a host", base.Redacted())
	case base.RawQuery != "" || base.Fragment != "" || base.User != nil:
		return nil, fmt.Errorf("connectcore: base URL %q: only a scheme, a host and a path", base.Redacted())
	}
	if o.Module == nil {
		if o.Module, err = Default(); err != nil {
			return nil, err
		}
	}
	if o.Protocol == 0 {
		o.Protocol = ProtocolConnect
	}
	if o.Codec == nil {
		o.Codec = ProtoCodec()
	}
	if o.Codings == nil {
		o.Codings = []string{defaultCoding}
	}
	if o.UserAgent == "" {
		o.UserAgent = userAgent
	}
	if err := checkSizes(o.ReadMax, o.SendMax, max(o.CompressMin, 0), o.GetMax); err != nil {
		return nil, err
	}
	sendCoding := 0
	if o.SendCoding != "" {
		if sendCoding = slices.Index(o.Codings, o.SendCoding) + 1; sendCoding == 0 {
			return nil, fmt.Errorf("connectcore: SendCoding %q is not among Codings", o.SendCoding)
		}
	}
	c := &Client{base: url.URL{Scheme: base.Scheme, Host: base.Host}, http: ownClient(o.HTTPClient, base.Scheme == "http" && o.Protocol == ProtocolGRPC),
		codec: o.Codec, min: int(compressMin(o.CompressMin))}
	if isNative(o.SendCoding) {
		c.coding = uint32(sendCoding)
	}
	c.config, err = o.Module.configure(clientRecord(&o, sendCoding, strings.TrimRight(base.EscapedPath(), "/")), o.Codings)
	if err != nil {
		return nil, err
	}
	runtime.AddCleanup(c, (*configuration).close, c.config)
	return c, nil
}

// Close frees what the module keeps for the client, which is not to be used
// afterwards; calls that are under way go on. A client that is forgotten is
// closed by the garbage collector.
func (c *Client) Close() { c.config.close() }

func clientRecord(o *ClientOptions, sendCoding int, prefix string) []byte {
	var w abi.Writer
	var flags uint16
	if o.Text {
		flags = abi.ClientText
	}
	w.Begin(abi.CmdConfigureClient, flags, 0)
	w.U32(uint32(o.Protocol))
	w.U32(uint32(o.ReadMax))
	w.U32(uint32(o.SendMax))
	w.U32(compressMin(o.CompressMin))
	w.U32(uint32(sendCoding))
	w.U32(uint32(o.GetMax))
	w.Bytes([]byte(o.Codec.Name()))
	w.Bytes(joined(o.Codings))
	w.Bytes(native(o.Codings))
	w.Bytes([]byte(prefix))
	w.Bytes([]byte(o.UserAgent))
	w.End()
	return w.B
}

// These keep the connections of all clients that bring no transport: http2Transport
// of those that need HTTP/2 and have no TLS to agree on it. They must not decompress
// on their own: the module does, within the limits.
var (
	defaultTransport = newTransport(nil)
	http2Transport   = newTransport((*http.Protocols).SetUnencryptedHTTP2)
)

func newTransport(only func(*http.Protocols, bool)) http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true
	if only != nil {
		t.Protocols = new(http.Protocols)
		only(t.Protocols, true)
	}
	return t
}

// ownClient is a client that follows no redirects.
func ownClient(given *http.Client, needsHTTP2 bool) *http.Client {
	var c http.Client
	if given != nil {
		c = *given
	}
	switch {
	case c.Transport != nil:
	case needsHTTP2:
		c.Transport = http2Transport
	default:
		c.Transport = defaultTransport
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// CallOption changes one call of a [Client].
type CallOption func(*callOptions)

type callOptions struct {
	metadata        Metadata
	get             bool
	header, trailer *Metadata
}

// WithMetadata sends leading metadata.
func WithMetadata(metadata Metadata) CallOption {
	return func(o *callOptions) { o.metadata = metadata }
}

// WithGet sends a unary call as an HTTP GET if the protocol has that. Use it
// for procedures without side effects only.
func WithGet() CallOption { return func(o *callOptions) { o.get = true } }

// ReceiveMetadata stores the leading and the trailing metadata of the response,
// of a failed call too, when the call is over. Either may be nil.
func ReceiveMetadata(header, trailer *Metadata) CallOption {
	return func(o *callOptions) { o.header, o.trailer = header, trailer }
}

// Unary calls a procedure with one request and one response, which is decoded
// into an empty message. The context's deadline goes to the server with the
// call. An error is an [*Error], unless the application asks for something that
// makes no sense, or the module does not work.
func (c *Client) Unary(ctx context.Context, procedure string, request, response any, options ...CallOption) error {
	s := c.newStream(ctx, StreamTypeUnary, procedure, options)
	s.unary = true
	defer s.release()
	err := s.Send(request)
	if err == nil {
		err = s.CloseSend()
	}
	if err == nil {
		err = s.Receive(response)
	}
	return err
}

// ServerStream calls a procedure with one request and many responses.
func (c *Client) ServerStream(ctx context.Context, procedure string, request any, options ...CallOption) (*Stream, error) {
	s, err := c.Stream(ctx, StreamTypeServer, procedure, options...)
	if err != nil {
		return nil, err
	}
	if err = s.Send(request); err == nil {
		err = s.CloseSend()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// ClientStream calls a procedure with many requests and one response, which
// [Stream.CloseAndReceive] waits for.
func (c *Client) ClientStream(ctx context.Context, procedure string, options ...CallOption) (*Stream, error) {
	return c.Stream(ctx, StreamTypeClient, procedure, options...)
}

// BidiStream calls a procedure with many requests and many responses. With HTTP/1.1
// most servers answer when all requests have come.
func (c *Client) BidiStream(ctx context.Context, procedure string, options ...CallOption) (*Stream, error) {
	return c.Stream(ctx, StreamTypeBidi, procedure, options...)
}

// Stream calls a procedure of any stream type. If that has one request, the call
// begins with [Stream.CloseSend]. An error says that the application asks for
// something that makes no sense; all else is told by the stream.
func (c *Client) Stream(ctx context.Context, t StreamType, procedure string, options ...CallOption) (*Stream, error) {
	s := c.newStream(ctx, t, procedure, options)
	s.ctx, s.cancel = context.WithCancel(ctx)
	if !t.oneRequest() {
		s.pipeEnd, s.pipe = io.Pipe()
	}
	s.unwatch = context.AfterFunc(s.ctx, s.expired)
	if t.oneRequest() {
		return s, nil
	}
	s.mu.Lock()
	s.open()
	s.start()
	broken := s.broken
	s.mu.Unlock()
	if broken != nil {
		s.release()
		return nil, broken
	}
	return s, nil
}

func (c *Client) newStream(ctx context.Context, t StreamType, procedure string, options []CallOption) *Stream {
	s := &Stream{client: c, ctx: ctx, streamType: t, procedure: procedure, answered: make(chan struct{}),
		link: link{config: c.config, s: scratches.Get().(*scratch)}}
	for _, option := range options {
		option(&s.options)
	}
	return s
}
