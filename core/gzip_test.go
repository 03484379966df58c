package core

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// samples are contents of different kinds: each makes another form of block.

func samples() map[string][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	words := []string{"alpha", "beta", "gamma", "delta", "the", "of", "and", "request", "response", "\n", "0123", "{\"name\":"}
	var text []byte
	for len(text) < 1<<16 {
		text = append(append(text, words[rnd.IntN(len(words))]...), ' ')
	}
	skewed := make([]byte, 300_000)
	for i := range skewed {
		skewed[i] = byte(min(rnd.ExpFloat64()*6, 255))
	}
	// Frequencies that grow like Fibonacci's numbers want codes of more than 15 bits.
	var deep []byte
	for i, a, b := 0, 1, 1; i < 21; i, a, b = i+1, b, a+b {
		deep = append(deep, bytes.Repeat([]byte{byte(i * 7)}, min(a, 4000))...)
	}
	rnd.Shuffle(len(deep), func(i, j int) { deep[i], deep[j] = deep[j], deep[i] })
	return map[string][]byte{
		"empty":       {},
		"one byte":    {'x'},
		"three bytes": []byte("abc"),
		"hello":       []byte("hello, hello, hello, hello!"),
		"zeros":       make([]byte, 100_000),
		"pairs":       bytes.Repeat([]byte("ab"), 5000),
		"sevens":      bytes.Repeat([]byte("abcdefg"), 3000),
		"text":        text,
		"noise":       noise,
		"skewed":      skewed,
		"deep":        deep,
		"mixed":       append(append(append([]byte{}, text[:30000]...), noise[:70000]...), text...),
	}
}

func stdGunzip(src []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func stdGzip(src []byte, level int) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, level)
	_, _ = w.Write(src)
	_ = w.Close()
	return b.Bytes()
}

func TestCompressIsReadByOthers(t *testing.T) {
	var z Gzip
	for name, src := range samples() {
		packed := z.Compress([]byte("before"), src)
		if !bytes.HasPrefix(packed, []byte("before")) {
			t.Fatalf("%s: what was there is gone", name)
		}
		packed = packed[6:]
		got, err := stdGunzip(packed)
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s: the standard library says %v, %d bytes of %d", name, err, len(got), len(src))
		}
		if got, err = z.Decompress(nil, packed, len(src)); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s: Decompress says %v, %d bytes of %d", name, err, len(got), len(src))
		}
		if got, err = z.Decompress(nil, packed, len(src)-1); len(src) > 0 && (err != ErrTooLarge || len(got) > 0) {
			t.Errorf("%s: a byte over the limit: %v, %d bytes", name, err, len(got))
		}
		if again := z.Compress(nil, src); !bytes.Equal(again, packed) {
			t.Errorf("%s: compressed differently the second time", name)
		}
		if std := len(stdGzip(src, 6)); len(packed) > std+std/20+16 {
			t.Errorf("%s: %d bytes, the standard library makes %d", name, len(packed), std)
		}
	}
}

func TestDecompressReadsOthers(t *testing.T) {
	var z Gzip
	for name, src := range samples() {
		for level := -2; level <= 9; level++ {
			packed := stdGzip(src, level)
			got, err := z.Decompress([]byte("before"), packed, len(src))
			if err != nil || string(got[:6]) != "before" || !bytes.Equal(got[6:], src) {
				t.Errorf("%s, level %d: %v", name, level, err)
			}
			if len(src) == 0 {
				continue
			}
			if got, err = z.Decompress([]byte("before"), packed, len(src)-1); err != ErrTooLarge || string(got) != "before" {
				t.Errorf("%s, level %d, a byte over the limit: %v", name, level, err)
			}
		}
	}
}

func TestDecompressFaults(t *testing.T) {
	var z Gzip
	good := z.Compress(nil, []byte(strings.Repeat("some text ", 20)))
	change := func(i int, to byte) []byte {
		b := bytes.Clone(good)
		b[(i+len(b))%len(b)] = to
		return b
	}
	withHead := func(flags byte, more string) []byte {
		return append(append(append([]byte{}, good[:3]...), append([]byte{flags}, good[4:10]...)...),
			append([]byte(more), good[10:]...)...)
	}
	for _, c := range []struct {
		fault string
		src   []byte
		err   error
	}{
		{"none", good, nil},
		{"two members", append(bytes.Clone(good), good...), nil},
		{"a name", withHead(8, "name\x00"), nil},
		{"a comment", withHead(16, "comment\x00"), nil},
		{"extra bytes", withHead(4, "\x03\x00abc"), nil},
		{"all of a header", withHead(4|8|16, "\x01\x00anname\x00comment\x00"), nil},
		{"empty", nil, ErrMalformed},
		{"wrong first byte", change(0, 0x1e), ErrMalformed},
		{"wrong second byte", change(1, 0x8c), ErrMalformed},
		{"unknown method", change(2, 9), ErrMalformed},
		{"reserved flag", change(3, 0x20), ErrMalformed},
		{"name without end", withHead(8, "")[:14], ErrMalformed},
		{"extra bytes missing", withHead(4, "\xff\xff"), ErrMalformed},
		{"header sum wrong", withHead(2, "\x00\x00"), ErrMalformed},
		{"reserved block kind", change(10, 0x07), ErrMalformed},
		{"wrong sum", change(-8, good[len(good)-8]^1), ErrMalformed},
		{"wrong size", change(-4, good[len(good)-4]^1), ErrMalformed},
		{"trailing zero", append(bytes.Clone(good), 0), ErrMalformed},
		{"trailing garbage", append(bytes.Clone(good), "garbage"...), ErrMalformed},
		{"half a second member", append(bytes.Clone(good), good[:20]...), ErrMalformed},
		{"stored size contradicts itself", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x01\x00\x01\x00x"), ErrMalformed},
		{"distance behind the start", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x03\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00"), ErrMalformed},
	} {
		got, err := z.Decompress([]byte("x"), c.src, 1000)
		if err != c.err || err != nil && string(got) != "x" {
			t.Errorf("%s: %v", c.fault, err)
		}
	}
	for n := range len(good) {
		if _, err := z.Decompress(nil, good[:n], 1000); err != ErrMalformed {
			t.Errorf("truncated to %d bytes: %v", n, err)
		}
	}
	// A match of the second member must not reach into the first.
	if _, err := z.Decompress(nil, append(bytes.Clone(good),
		"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x03\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00"...), 1000); err != ErrMalformed {
		t.Errorf("distance into the member before: %v", err)
	}
}

func TestBombStopsAtTheLimit(t *testing.T) {
	var z Gzip
	const limit = 4 << 20
	bomb := stdGzip(make([]byte, 256<<20), 9)
	dst := make([]byte, 0, limit+1024)
	if _, err := z.Decompress(dst, bomb, limit); err != ErrTooLarge {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(3, func() { _, _ = z.Decompress(dst, bomb, limit) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	// A lie about the size does not get the memory.
	small := stdGzip([]byte("small"), 6)
	copy(small[len(small)-4:], "\xff\xff\xff\x7f")
	if _, err := z.Decompress(nil, small, 1<<30); err != ErrMalformed {
		t.Error(err)
	}
	if got := cap(z.reserve(nil, small, 1<<30)); got > len(small)*1100+outSlack {
		t.Errorf("%d bytes for a message of %d", got, len(small))
	}
}

func TestGzipAllocatesNothing(t *testing.T) {
	var z Gzip
	src := samples()["text"]
	packed, out := z.Compress(nil, src), make([]byte, 0, len(src)+outSlack)
	room := make([]byte, 0, 2*len(src))
	if n := testing.AllocsPerRun(10, func() {
		if _, err := z.Decompress(out, packed, len(src)); err != nil {
			t.Fatal(err)
		}
		_ = z.Compress(room, src)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecompress64K(b *testing.B) {
	var z Gzip
	src := samples()["text"]
	packed, out := stdGzip(src, 6), make([]byte, 0, len(src)+outSlack)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = z.Decompress(out, packed, len(src))
	}
}

func BenchmarkStandardDecompress64K(b *testing.B) {
	src := samples()["text"]
	packed, out := stdGzip(src, 6), make([]byte, len(src))
	var r gzip.Reader
	in := bytes.NewReader(nil)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(packed)
		_ = r.Reset(in)
		_, _ = io.ReadFull(&r, out)
	}
}
