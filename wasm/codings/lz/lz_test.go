package lz

import (
	"bytes"
	"testing"

	"github.com/connectcore/connectcore/tests/bound"
)

// Invariant: it does what copying byte by byte does.
func FuzzCopyWithin(f *testing.F) {
	f.Add(uint8(4), uint16(1), uint16(3), uint16(13))
	f.Add(uint8(12), uint16(4096), uint16(4000), uint16(96))
	f.Fuzz(func(t *testing.T, bits uint8, distance, at, n uint16) {
		bound.Within(t, 64<<10, func() {
			size := 1 << (bits % 13)
			to := int(at) % size
			check(t, size, 1+int(distance)%size, to, int(n)%(size-to+1))
		})
	})
}

// TestCopyWithin tries all that can be asked of small rings.
func TestCopyWithin(t *testing.T) {
	for _, size := range []int{1, 2, 4, 8, 16} {
		for distance := 1; distance <= size; distance++ {
			for at := range size {
				for n := range size - at + 1 {
					check(t, size, distance, at, n)
				}
			}
		}
	}
}

func check(t *testing.T, size, distance, at, n int) {
	t.Helper()
	ring := make([]byte, size)
	for i := range ring {
		ring[i] = byte(i*7 + i>>8)
	}
	want := bytes.Clone(ring)
	for i := at; i < at+n; i++ {
		want[i] = want[(i-distance)&(size-1)]
	}
	CopyWithin(ring, distance, at, n)
	if !bytes.Equal(ring, want) {
		t.Fatalf("size %d, distance %d, at %d, n %d: % x, want % x", size, distance, at, n, ring, want)
	}
}

func BenchmarkCopyWithin(b *testing.B) {
	ring := make([]byte, 1<<22)
	b.SetBytes(1 << 20)
	for b.Loop() {
		CopyWithin(ring, 1, 16, 1<<20)
	}
}
