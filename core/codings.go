package core

// coding is a content coding that the core does itself: a row of the table that
// everything about codings is made from.
type coding struct {
	name  string
	alias string // another name that peers use, if any
	// compress appends src compressed. decompress appends what src stands for;
	// it returns ErrTooLarge as soon as that is over limit bytes, and any other
	// error where src is malformed.
	compress   func(m *Memory, dst, src []byte) []byte
	decompress func(m *Memory, dst, src []byte, limit int) ([]byte, error)
}

var codings = [...]coding{
	{
		name: "gzip", alias: "x-gzip", // RFC 9110, section 8.4.1.3
		compress: func(m *Memory, dst, src []byte) []byte { return m.gzip.Compress(dst, src) },
		decompress: func(m *Memory, dst, src []byte, limit int) ([]byte, error) {
			return m.gzip.Decompress(dst, src, limit)
		},
	},
	{
		name:     "deflate",
		compress: func(m *Memory, dst, src []byte) []byte { return m.gzip.CompressZlib(dst, src) },
		decompress: func(m *Memory, dst, src []byte, limit int) ([]byte, error) {
			return m.gzip.DecompressZlib(dst, src, limit)
		},
	},
	{
		name:     "snappy",
		compress: func(_ *Memory, dst, src []byte) []byte { return AppendSnappy(dst, src) },
		decompress: func(_ *Memory, dst, src []byte, limit int) ([]byte, error) {
			return AppendUnsnappy(dst, src, limit)
		},
	},
}

// Memory is what calls that are never in a method at the same time may share: it
// holds the events of the one that was in a method last, with what a head was read
// for, and the core's own codings work in it, in about 1 MiB once they are used. The
// zero value is ready.
type Memory struct {
	// Made is about how many bytes were decompressed since somebody set it to 0, with
	// as much as may have been made of what turned out bad.
	Made int

	gzip   Gzip
	events []Event
	in     head
}

// codingNamed finds the core's own coding of that name; nil where there is none.
func codingNamed(name string) *coding {
	for i := range codings {
		if codings[i].name == name {
			return &codings[i]
		}
	}
	return nil
}

// offer is a checked list of codings that a side offers.
type offer struct {
	names  []string
	own    []*coding // what does each of them; nil for those that the host does
	accept string    // the names, for the fields that tell a peer
}

const identity = "identity"

// newOffer checks a list. Identity may stand in it and means nothing there: it
// is always offered.
func newOffer(list []Coding) (o offer, err error) {
	for i, c := range list {
		if !ValidFieldName([]byte(c.Name)) {
			return o, ConfigError("a coding's name must be a lower-case token: " + c.Name)
		}
		own := codingNamed(c.Name)
		if own == nil && !c.Native && c.Name != identity {
			return o, ConfigError("the core does not know the coding " + c.Name + ": it must be native to the host")
		}
		if c.Native {
			own = nil
		}
		for _, other := range list[:i] {
			if other.Name == c.Name {
				return o, ConfigError("two codings have the name " + c.Name)
			}
		}
		o.names, o.own = append(o.names, c.Name), append(o.own, own)
		if c.Name == identity {
			continue
		}
		if o.accept != "" {
			o.accept += ", "
		}
		o.accept += c.Name
	}
	return o, nil
}

// known names the codings for a person.
func (o *offer) known() string {
	if o.accept == "" {
		return "none"
	}
	return o.accept
}

// packing is a coding in use: 0 for identity, or the 1-based index of one in an
// offer, and what does it, nil where the host does.
type packing struct {
	index uint32
	own   *coding
}

func (o *offer) packing(index int) packing {
	if index <= 0 {
		return packing{}
	}
	return packing{uint32(index), o.own[index-1]}
}

// name is the name of a coding in use, "" for identity.
func (o *offer) name(p packing) string {
	if p.index == 0 {
		return ""
	}
	return o.names[p.index-1]
}

// here says whether the core does the coding, native whether the host does.
func (p packing) here() bool   { return p.own != nil }
func (p packing) native() bool { return p.index != 0 && p.own == nil }
