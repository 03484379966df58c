//go:build wasip1

// Command wasm is the module: a WASI reactor that carries out records (ABI.md).
package main

import (
	"unsafe"

	"github.com/connectcore/connectcore/wasm/abi"
	"github.com/connectcore/connectcore/wasm/collect"
	"github.com/connectcore/connectcore/wasm/guest"
)

// instance is made when the module starts, and lives as long as its store.
var instance = start()

func start() *guest.Guest {
	g := guest.New()
	g.Collect = collect.Garbage
	return g
}

func main() {}

//go:wasmexport connectcore_abi_v1
func marker() int32 { return 0 }

//go:wasmexport connectcore_abi_version
func version() int32 { return abi.Major<<16 | abi.Minor }

//go:wasmexport connectcore_reserve
func reserve(size int32) int32 {
	return int32(address(instance.Reserve(int(size))))
}

//go:wasmexport connectcore_step
func step(size int32) int64 {
	events := instance.Step(int(size))
	return int64(address(events))<<32 | int64(len(events))
}

// address of a buffer that the instance keeps referenced. Go's heap does not
// move, so it holds for as long as the instance keeps the buffer.
func address(b []byte) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}
