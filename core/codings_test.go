package core

import (
	"bytes"
	"compress/zlib"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/connectcore/connectcore/tests/bound"
	"github.com/golang/snappy"
)

// references are other people's readers and writers of the same codings.
var references = map[string]struct {
	write func(io.Writer) io.WriteCloser
	read  func(io.Reader) (io.Reader, error)
}{
	"deflate": {
		func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
	},
	"snappy": {
		func(w io.Writer) io.WriteCloser { return snappy.NewBufferedWriter(w) },
		func(r io.Reader) (io.Reader, error) { return snappy.NewReader(r), nil },
	},
}

func codingSamples() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	text := bytes.Repeat([]byte("the grey sea with letters from friends and salt for all "), 5000)
	return [][]byte{nil, {0}, []byte("hello"), noise, noise[:65536], text, text[:65537], make([]byte, 1<<20)}
}

func TestCodingsAgreeWithOthers(t *testing.T) {
	var m Memory
	for name, ref := range references {
		c := codingNamed(name)
		for i, src := range codingSamples() {
			packed := c.compress(&m, []byte("before"), src)
			if !bytes.HasPrefix(packed, []byte("before")) {
				t.Fatalf("%s: what stood before is lost", name)
			}
			r, err := ref.read(bytes.NewReader(packed[6:]))
			if err != nil {
				t.Fatal(name, i, err)
			}
			if out, err := io.ReadAll(r); err != nil || !bytes.Equal(out, src) {
				t.Errorf("%s, sample %d: another reader says %d bytes, %v", name, i, len(out), err)
			}
			var b bytes.Buffer
			w := ref.write(&b)
			_, _ = w.Write(src)
			_ = w.Close()
			if name == "snappy" && len(src) == 0 {
				b.WriteString(snappyHead) // that writer writes nothing for nothing
			}
			for _, in := range [][]byte{packed[6:], b.Bytes()} {
				out, err := c.decompress(&m, []byte("x"), in, len(src))
				if err != nil || !bytes.Equal(out[1:], src) {
					t.Errorf("%s, sample %d: %d bytes, %v", name, i, len(out), err)
				}
				if len(src) > 0 {
					if out, err := c.decompress(&m, []byte("x"), in, len(src)-1); err != ErrTooLarge || string(out) != "x" {
						t.Errorf("%s, sample %d over the limit: %v", name, i, err)
					}
				}
				// A cut between two chunks of Snappy cannot be told from an end.
				for cut := 1; cut < len(in) && name != "snappy"; cut += 1 + len(in)/50 {
					if out, err := c.decompress(&m, nil, in[:cut], 1<<21); err == nil {
						t.Errorf("%s, sample %d cut at %d: %d bytes", name, i, cut, len(out))
					}
				}
				if _, err := c.decompress(&m, nil, append(bytes.Clone(in), 0), 1<<21); err != ErrMalformed {
					t.Errorf("%s, sample %d with a byte behind: %v", name, i, err)
				}
			}
		}
	}
}

// Invariant: any bytes decompress to at most the limit or are refused, and what is refused adds nothing
// and changes nothing; parse(append(x)) = x, in every coding.
func FuzzCodings(f *testing.F) {
	var m Memory
	for i := range codings {
		for _, s := range codingSamples()[:3] {
			f.Add(uint8(i), codings[i].compress(&m, nil, s), uint16(100))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte, limit uint16) {
		bound.Within(t, 4<<20+100*uint64(len(b)), func() {
			c := &codings[int(which)%len(codings)]
			dst := []byte("kept")
			out, err := c.decompress(&m, dst, b, int(limit))
			if string(out[:4]) != "kept" || len(out)-4 > int(limit) || err != nil && len(out) != 4 {
				t.Fatalf("%s: %q, %v", c.name, out, err)
			}
			back, err := c.decompress(&m, nil, c.compress(&m, nil, b), len(b))
			if err != nil || !bytes.Equal(back, b) {
				t.Fatalf("%s: %d bytes become %d, %v", c.name, len(b), len(back), err)
			}
		})
	})
}

func TestCodingsBombs(t *testing.T) {
	var m Memory
	zeros := make([]byte, 64<<20)
	for i := range codings {
		c := &codings[i]
		packed := c.compress(&m, nil, zeros)
		dst := make([]byte, 0, 5<<20)
		n := testing.AllocsPerRun(1, func() {
			if _, err := c.decompress(&m, dst, packed, 4<<20); err != ErrTooLarge {
				t.Errorf("%s: %v", c.name, err)
			}
		})
		if n > 3 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// A message has room at once for what it decompresses to, where that can be told
// from it; a lie does not get the room.
func TestSnappyRoom(t *testing.T) {
	for _, message := range codingSamples() {
		if room := snappyRoom(AppendSnappy(nil, message)); room != len(message) {
			t.Errorf("%d bytes of room for %d", room, len(message))
		}
	}
	packed := AppendSnappy(nil, make([]byte, 4<<20))
	if n := testing.AllocsPerRun(1, func() {
		if _, err := AppendUnsnappy(nil, packed, 4<<20); err != nil {
			t.Error(err)
		}
	}); n != 1 {
		t.Errorf("%v allocations, want one", n)
	}
	var lies []byte
	for range 100 {
		lies = append(lies, 0, 8, 0, 0, 0, 0, 0, 0, 0x80, 0x80, 0x04, 0) // a chunk of 64 KiB, it says
	}
	if room := snappyRoom(lies); room > 22*len(lies) {
		t.Errorf("%d bytes of room for %d that cannot need it", room, len(lies))
	}
}

// A payload that comes in pieces has never more than twice the room that it needs.
func TestCollect(t *testing.T) {
	const size = 1<<20 + 1
	r := receiver{mode: receiveEnvelopes}
	for left := size; left > 0; left -= 1 << 10 {
		r.left = uint64(left)
		r.collect(make([]byte, min(left, 1<<10)))
		if have, room := len(r.payload), cap(r.payload); room > max(2*have, 4<<10) || room > size+size/8 {
			t.Fatalf("room of %d for %d of %d bytes", room, have, size)
		}
	}
}
