package core

import (
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"testing"
)

func BenchmarkCompress64K(b *testing.B) {
	var z Gzip
	src := samples()["text"]
	out := make([]byte, 0, 2*len(src))
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n = len(z.Compress(out, src))
	}
	b.ReportMetric(float64(n), "size")
}

func BenchmarkStandardCompress64K(b *testing.B) {
	src := samples()["text"]
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, 6)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		w.Reset(&out)
		_, _ = w.Write(src)
		_ = w.Close()
	}
	b.ReportMetric(float64(out.Len()), "size")
}

func TestCodesOfManyFrequencies(t *testing.T) {
	fibonacci := make([]uint32, 30)
	for i, a, b := 0, uint32(1), uint32(1); i < 30; i, a, b = i+1, b, a+b {
		fibonacci[i] = a
	}
	flat := make([]uint32, 286)
	for i := range flat {
		flat[i] = 7
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	random := make([]uint32, 286)
	for i := range random {
		random[i] = uint32(rnd.ExpFloat64()*rnd.ExpFloat64()*500) * uint32(rnd.IntN(2))
	}
	for _, c := range []struct {
		what  string
		freq  []uint32
		limit uint
	}{
		{"one symbol", []uint32{0, 5, 0}, 15},
		{"two symbols", []uint32{1, 16384}, 15},
		{"Fibonacci, cut at 15", fibonacci, 15},
		{"Fibonacci, cut at 7", fibonacci[:19], 7},
		{"Fibonacci, cut as far as can be", fibonacci[:19], 5},
		{"all equal", flat, 15},
		{"random", random, 15},
	} {
		var w blockWriter
		codes := make([]code, len(c.freq))
		w.build(c.freq, codes, c.limit)
		room, used := 0.0, 0
		for sym, k := range codes {
			if (k.size > 0) != (c.freq[sym] > 0) || uint(k.size) > c.limit {
				t.Errorf("%s: symbol %d has %d bits", c.what, sym, k.size)
			}
			if k.size == 0 {
				continue
			}
			used++
			room += 1 / float64(uint(1)<<k.size)
			for other, o := range codes {
				if other != sym && o.size >= k.size && o.bits&(1<<k.size-1) == k.bits {
					t.Errorf("%s: the code of %d begins with that of %d", c.what, other, sym)
				}
				if c.freq[other] > c.freq[sym] && o.size > k.size {
					t.Errorf("%s: %d comes more often than %d and has a longer code", c.what, other, sym)
				}
			}
		}
		if used > 1 && room != 1 {
			t.Errorf("%s: the code fills %v", c.what, room)
		}
	}
}

func TestGzipOfEverySmallSize(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	var z Gzip
	for size := range 600 {
		for _, letters := range []int{1, 2, 5, 256} {
			src := make([]byte, size)
			for i := range src {
				src[i] = byte(rnd.IntN(letters))
			}
			packed := z.Compress(nil, src)
			if got, err := stdGunzip(packed); err != nil || !bytes.Equal(got, src) {
				t.Fatalf("%d of %d letters: the standard library says %v", size, letters, err)
			}
			if got, err := z.Decompress(nil, packed, size); err != nil || !bytes.Equal(got, src) {
				t.Fatalf("%d of %d letters: %v", size, letters, err)
			}
			if len(packed) > size+gzipHeadSize+gzipTailSize+5+1 {
				t.Fatalf("%d of %d letters: %d bytes", size, letters, len(packed))
			}
		}
	}
}

func TestCompressorNumbersItsPlacesAnew(t *testing.T) {
	var z Gzip
	src := samples()["text"][:5000]
	want := z.Compress(nil, src)
	z.out.base = 1<<31 - 100
	for range 3 {
		if got := z.Compress(nil, src); !bytes.Equal(got, want) {
			t.Fatal("compressed differently")
		}
	}
	if z.out.base > 1<<30 {
		t.Error("the numbers were not begun anew")
	}
}
