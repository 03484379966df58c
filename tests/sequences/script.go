// Package sequences makes sequences of commands out of bytes, for a fuzzer: calls of any
// protocol, stream type, codec and coding, in both roles, some of them between a client and
// a server of the same guest, in any order, with all that hosts and peers do wrong. What
// must hold of every sequence is checked while it is played (play.go, pair.go).
package sequences

// Script is read byte by byte, and zeros follow its end.
type Script []byte

// Below is a number in [0, n), from the next byte.
func (s *Script) Below(n int) int {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return int(b) % n
}

// Bytes are at most so many.
func (s *Script) Bytes(most int) []byte {
	n := min(s.Below(most+1), len(*s))
	b := (*s)[:n:n]
	*s = (*s)[n:]
	return b
}

// Chance is xorshift32: choices that no script makes, such as how content is cut.
type Chance uint32

// Below is a number in [0, n).
func (c *Chance) Below(n int) int {
	x := uint32(*c)
	x ^= x << 13
	x ^= x >> 17
	x ^= x << 5
	*c = Chance(x)
	return int(x % uint32(n))
}

// Cut is a way to cut content into pieces, and to carry or only announce their bytes.
type Cut int

const (
	Whole  Cut = iota // one piece, with all of its bytes
	Pieces            // some, each with all of its bytes, some or none
	Bytes             // one byte each, which the guest must ask for
)

// next is the size of the next piece of n bytes, and how many of its bytes are carried.
func (c Cut) next(r *Chance, n int, inline bool) (size, carried int) {
	size = n
	switch c {
	case Pieces:
		size = 1 + r.Below(n)
	case Bytes:
		size = 1 + n/64
	}
	switch {
	case inline || c == Whole:
		return size, size
	case c == Pieces:
		return size, r.Below(size + 1)
	}
	return size, 0
}

// What peers and hosts say, right and wrong.
var (
	paths = []string{"/s/Unary", "/s/Client", "/s/Server", "/s/Bidi", "/s/none", "/s//Unary", ""}
	types = []string{
		"application/proto", "application/json", "application/connect+proto", "application/connect+json", "application/grpc",
		"application/grpc+json", "application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text",
		"Application/Proto; charset=utf-8", "text/plain", "application/grpc-web-text+thrift",
	}
	codings  = []string{"gzip", "deflate", "snappy", hostCoding, "identity", "x-gzip", "lzma", ""}
	accepts  = []string{"", "gzip", "*;q=0", "gzip;q=0.5, snappy", hostCoding, "identity;q=0, deflate"}
	timeouts = []string{"", "1000", "1S", "0", "99999999H", "-1", "1000000000000", " 5"}
	statuses = []uint32{200, 200, 200, 200, 204, 307, 400, 404, 415, 429, 500, 503, 0, 999}
	queries  = []string{
		"", "connect=v1&encoding=proto&message=", "encoding=json&message=%7B%7D", "encoding=proto&base64=1&message=__4&compression=gzip",
		"message=%&encoding=", "encoding=proto&message=a&message=b",
	}
)

const (
	hostCoding = "br" // which the host does itself, in its own way (packed)
	codecs     = "proto\x00json"
	offered    = "gzip\x00deflate\x00snappy\x00" + hostCoding
	native     = "\x00\x00\x00\x01"
)

// packed is what the coding that is the host's makes of a message: the guest never looks
// into it.
func packed(message []byte) []byte {
	out := append(make([]byte, 0, len(message)+1), 'P')
	for _, b := range message {
		out = append(out, b^0x55)
	}
	return out
}

func unpacked(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	return packed(b[1:])[1:]
}
