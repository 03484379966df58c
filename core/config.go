package core

// Defaults and limits. Ours: rules 5 and "safe defaults" ask for them, no spec
// gives numbers.
const (
	DefaultReadMax    = 4 << 20   // bytes in one received message
	DefaultGetMax     = 8 << 10   // bytes in the target of a GET
	MaxMetadata       = 64 << 10  // bytes of metadata in one section
	MaxMetadataFields = 256       // fields of metadata in one section
	MaxHalfDuplex     = 64 << 20  // bytes of content held for a bidi call without duplex
	MaxReadMax        = 1<<31 - 1 // lengths count in 31 bits

	// One step of the core does a bounded amount of work, whatever the peer sends
	// (ours, rule 13): so many messages, and so many decompressed bytes beside the
	// message that exceeds them.
	StepMessages = 4096
	StepBytes    = 1 << 20

	// DeadlineGrace is how many microseconds after a deadline its answer is not
	// yet written: a client that keeps the same deadline is giving up, and an
	// answer that meets it then reaches it cut in two and looks broken.
	DeadlineGrace = 10_000
)

// StreamType says which sides of a procedure stream.
type StreamType uint8

const (
	Unary        StreamType = 0
	ClientStream StreamType = 1
	ServerStream StreamType = 2
	BidiStream   StreamType = 3
)

// manyRequests and manyResponses read the two bits of a stream type.
func (s StreamType) manyRequests() bool  { return s&ClientStream != 0 }
func (s StreamType) manyResponses() bool { return s&ServerStream != 0 }

// Coding is a content coding that a side offers. Native codings are done by
// the host: the core names payloads that are compressed with them and their
// limit, and never looks inside. Others must be the core's own (codings.go).
type Coding struct {
	Name   string
	Native bool
}

// Procedure is one method of a service, called by its path.
type Procedure struct {
	Path          string // "/pkg.Service/Method"
	Stream        StreamType
	NoSideEffects bool // may be called by GET
}

// ConfigError says what is wrong with a configuration.
type ConfigError string

func (e ConfigError) Error() string { return string(e) }

// ServerConfig says what a server offers.
type ServerConfig struct {
	ReadMax        uint32 // bytes in one message, before and after decompression; 0: DefaultReadMax
	SendMax        uint32 // bytes in one message sent; 0: no limit
	CompressMin    uint32 // smallest payload to compress, in bytes
	TimeoutMax     uint64 // microseconds that a call may take; 0: as many as it asks for
	RequireVersion bool   // refuse Connect requests without their protocol version
	Outcomes       bool   // say how each call ended (EventOutcome)
	Codecs         []string
	Codings        []Coding // most preferred first
	Procedures     []Procedure
	NotServed      [ProtocolGRPCWeb + 1]bool // by protocol: whether it is refused
}

// Server is a checked ServerConfig and what follows from it. It is immutable.
type Server struct {
	cfg    ServerConfig
	offer  offer
	routes map[string]uint32
	posts  [4]string // content types for each kind of procedure
}

// NewServer checks a configuration.
func NewServer(cfg ServerConfig) (*Server, error) {
	if len(cfg.Codecs) == 0 {
		return nil, ConfigError("a server needs at least one codec")
	}
	for _, name := range cfg.Codecs {
		if !ValidFieldName([]byte(name)) {
			return nil, ConfigError("a codec's name must be a lower-case token: " + name)
		}
	}
	offered, err := newOffer(cfg.Codings)
	if err != nil {
		return nil, err
	}
	if cfg.ReadMax, err = readMax(cfg.ReadMax); err != nil {
		return nil, err
	}
	if cfg.NotServed[ProtocolConnect] && cfg.NotServed[ProtocolGRPC] && cfg.NotServed[ProtocolGRPCWeb] {
		return nil, ConfigError("a server must serve at least one protocol")
	}
	if cfg.TimeoutMax == 0 {
		cfg.TimeoutMax = NoTimeout
	}
	s := &Server{cfg: cfg, offer: offered, routes: make(map[string]uint32, len(cfg.Procedures))}
	for i, p := range cfg.Procedures {
		if len(p.Path) < 2 || p.Path[0] != '/' {
			return nil, ConfigError("a procedure's path must look like /pkg.Service/Method: " + p.Path)
		}
		if _, twice := s.routes[p.Path]; twice {
			return nil, ConfigError("two procedures have the path " + p.Path)
		}
		s.routes[p.Path] = uint32(i)
	}
	for i := range s.posts {
		s.posts[i] = s.acceptPost(StreamType(i))
	}
	return s, nil
}

// acceptPost lists the content types of a kind of procedure (RFC 9110 has no
// such field; W3C LDP 7.1 does, and the Connect servers send it with 415).
func (s *Server) acceptPost(kind StreamType) string {
	var b []byte
	add := func(codec string, d *dialect) {
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		if b = d.appendType(b, codec); codec == "" {
			b = b[:len(b)-1] // the base alone
		}
	}
	for _, d := range dialects {
		if d.get || !d.serves(kind) || s.cfg.NotServed[d.protocol] {
			continue
		}
		if d.bare {
			add("", d)
		}
		for _, codec := range s.cfg.Codecs {
			add(codec, d)
		}
	}
	return string(b)
}

// ClientConfig says how a client calls.
type ClientConfig struct {
	Protocol    Protocol
	Text        bool   // gRPC-Web as base64
	ReadMax     uint32 // bytes in one message, before and after decompression; 0: DefaultReadMax
	SendMax     uint32 // bytes in one message sent; 0: no limit
	CompressMin uint32 // smallest payload to compress, in bytes
	SendCoding  uint32 // 1-based index of the coding to send with, 0 for none
	GetMax      uint32 // longest target of a GET, in bytes; 0: DefaultGetMax
	Codec       string
	Codings     []Coding // what to accept, most preferred first
	Prefix      string   // path of the base URL, without a slash at its end
	UserAgent   string
}

// Client is a checked ClientConfig and what follows from it. It is immutable.
type Client struct {
	cfg   ClientConfig
	offer offer
}

// NewClient checks a configuration.
func NewClient(cfg ClientConfig) (*Client, error) {
	switch cfg.Protocol {
	case ProtocolConnect, ProtocolGRPC, ProtocolGRPCWeb:
	default:
		return nil, ConfigError("a client's protocol must be 1 (Connect), 2 (gRPC) or 3 (gRPC-Web)")
	}
	if cfg.Text && cfg.Protocol != ProtocolGRPCWeb {
		return nil, ConfigError("only gRPC-Web can be sent as text")
	}
	if !ValidFieldName([]byte(cfg.Codec)) {
		return nil, ConfigError("a codec's name must be a lower-case token: " + cfg.Codec)
	}
	offered, err := newOffer(cfg.Codings)
	if err != nil {
		return nil, err
	}
	if int(cfg.SendCoding) > len(cfg.Codings) {
		return nil, ConfigError("send_coding is not the index of a coding")
	}
	if !ValidFieldValue([]byte(cfg.UserAgent)) {
		return nil, ConfigError("user_agent has bytes that an HTTP field cannot hold")
	}
	if n := len(cfg.Prefix); n > 0 && (cfg.Prefix[0] != '/' || cfg.Prefix[n-1] == '/' || !validTarget(cfg.Prefix)) {
		return nil, ConfigError("prefix must be empty or a path with a slash at its start and none at its end: " + cfg.Prefix)
	}
	if cfg.ReadMax, err = readMax(cfg.ReadMax); err != nil {
		return nil, err
	}
	if cfg.GetMax == 0 {
		cfg.GetMax = DefaultGetMax
	}
	return &Client{cfg: cfg, offer: offered}, nil
}

func readMax(n uint32) (uint32, error) {
	switch {
	case n == 0:
		return DefaultReadMax, nil
	case n > MaxReadMax:
		return 0, ConfigError("read_max must be below 2^31")
	}
	return n, nil
}

// Inline says for which calls of the client payloads must be given with their
// bytes: all of them, or those that are made by GET.
func (cl *Client) Inline() (all, get bool) {
	d := askFor(cl.cfg.Protocol, cl.cfg.Text, Unary)
	return cl.offer.packing(int(cl.cfg.SendCoding)).here() || d.text, d.hasGet()
}

// validTarget says whether s can stand in a request target as it is: visible
// ASCII without '?' and '#' (RFC 9112 section 3.2).
func validTarget(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '?' || s[i] == '#' {
			return false
		}
	}
	return true
}
