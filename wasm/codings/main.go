//go:build wasip1

// Command codings is the module of the codings that are too large for the first
// one: a WASI reactor that compresses and decompresses (../ABI.md, "The codings' module").
package main

import (
	"unsafe"

	"github.com/connectcore/connectcore/wasm/codings/abi"
	"github.com/connectcore/connectcore/wasm/codings/guest"
	"github.com/connectcore/connectcore/wasm/collect"
)

var instance = guest.Guest{Collect: collect.Garbage}

func main() {}

//go:wasmexport connectcore_codings_v1
func marker() int32 { return 0 }

//go:wasmexport connectcore_codings_version
func version() int32 { return abi.Major<<16 | abi.Minor }

//go:wasmexport connectcore_codings_reserve
func reserve(size uint32) int32 { return int32(address(instance.Reserve(size))) }

//go:wasmexport connectcore_codings_compress
func compress(coding uint32, level int32, size uint32) int64 {
	return result(instance.Compress(coding, int(level), size))
}

//go:wasmexport connectcore_codings_decompress
func decompress(coding, limit, size uint32) int64 {
	return result(instance.Decompress(coding, limit, size))
}

func result(out []byte, fault uint32) int64 {
	if fault != 0 {
		return int64(fault)
	}
	return int64(address(out))<<32 | int64(len(out))
}

// address of a buffer that the instance keeps referenced. Go's heap does not
// move, so it holds for as long as the instance keeps the buffer.
func address(b []byte) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}
