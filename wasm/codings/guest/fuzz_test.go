package guest

import (
	"bytes"
	"testing"

	"github.com/connectcore/connectcore/tests/bound"
	"github.com/connectcore/connectcore/wasm/codings/abi"
)

// Invariant: any bytes decompress to at most limit bytes or are a fault, and never a panic; what came
// before changes nothing.
func FuzzDecompress(f *testing.F) {
	for _, number := range codings {
		for name := range messages {
			if data, _ := new(Guest).compressed(number, 3, messages[name]); len(data) < 10_000 {
				f.Add(number, uint32(len(messages[name])), data)
			}
		}
	}
	used := &Guest{}
	f.Fuzz(func(t *testing.T, coding, limit uint32, data []byte) {
		bound.Within(t, 64<<20, func() {
			limit %= 4 << 20
			want, wantFault := new(Guest).decompressed(coding, limit, data)
			got, fault := used.decompressed(coding, limit, data)
			switch {
			case fault == abi.FaultPanic || wantFault == abi.FaultPanic:
				t.Fatal("it panics")
			case fault != wantFault || !bytes.Equal(got, want):
				t.Fatalf("fault %d, %d bytes; the first time fault %d, %d bytes", fault, len(got), wantFault, len(want))
			case len(got) > int(limit):
				t.Fatalf("%d bytes, the limit is %d", len(got), limit)
			}
		})
	})
}

// Invariant: parse(append(x)) = x for every message, at every level.
func FuzzRoundTrip(f *testing.F) {
	for _, number := range codings {
		f.Add(number, 3, text(1000))
	}
	used := &Guest{}
	f.Fuzz(func(t *testing.T, coding uint32, level int, message []byte) {
		bound.Within(t, 128<<20, func() {
			coding = 1 + coding%2
			data, fault := used.compressed(coding, level%12, message)
			if fault != 0 {
				t.Fatalf("fault %d", fault)
			}
			back, fault := used.decompressed(coding, uint32(len(message)), bytes.Clone(data))
			if fault != 0 || !bytes.Equal(back, message) {
				t.Fatalf("fault %d, %d bytes of %d", fault, len(back), len(message))
			}
		})
	})
}
