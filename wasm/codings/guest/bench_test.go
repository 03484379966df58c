package guest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/connectcore/connectcore/wasm/codings/abi"
)

// prose is 64 KiB of text as people write it.
func prose(tb testing.TB) []byte {
	var all []byte
	for _, pattern := range []string{"README.md", "wasm/ABI.md", "core/RULES.md", "core/*.go"} {
		names, err := filepath.Glob("../../../" + pattern)
		if err != nil {
			tb.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, b...)
		}
	}
	return all[:64<<10]
}

// The profile of this benchmark is what the module is compiled by: `make profile`.
func BenchmarkModule(b *testing.B) {
	whole := prose(b)
	for coding, number := range codings {
		for _, level := range []int{2, 3, 4, 6} {
			for _, size := range []int{1 << 10, len(whole)} {
				message := whole[:size]
				g := &Guest{}
				data, _ := g.compressed(number, level, message)
				data = bytes.Clone(data)
				name := fmt.Sprintf("%s-%d-%d", coding, level, size)
				b.Run("compress-"+name, func(b *testing.B) {
					b.SetBytes(int64(size))
					for b.Loop() {
						g.compressed(number, level, message)
					}
				})
				b.Run("decompress-"+name, func(b *testing.B) {
					b.SetBytes(int64(size))
					for b.Loop() {
						if _, fault := g.decompressed(number, abi.MaxWindow, data); fault != 0 {
							b.Fatal(fault)
						}
					}
				})
			}
		}
	}
}
