// Package abi is the interface of the codings' module in numbers. The contract in
// words is ../../ABI.md, "The codings' module".
package abi

// Version of the interface. A host refuses another major; a minor adds codings
// and exports without changing those that exist.
const (
	Major = 1
	Minor = 0
)

// Names of what the module exports, beside "memory" and "_initialize".
const (
	ExportMarker     = "connectcore_codings_v1"         // () -> i32: zero; its name is the major version
	ExportVersion    = "connectcore_codings_version"    // () -> i32: major<<16 | minor
	ExportReserve    = "connectcore_codings_reserve"    // (size i32) -> i32: address of the in arena, at least size bytes; 0 where it cannot be
	ExportCompress   = "connectcore_codings_compress"   // (coding, level, size i32) -> i64: address<<32 | size, or a fault
	ExportDecompress = "connectcore_codings_decompress" // (coding, limit, size i32) -> i64: the same
)

// Codings.
const (
	Br uint32 = iota + 1
	Zstd
)

// Faults: what stands in a result whose address is 0.
const (
	FaultTooLarge  uint32 = iota + 1 // it decompresses to more than the limit
	FaultMalformed                   // it is not what the coding's format says
	FaultArgument                    // there is no such coding, or the size is not within the in arena
	FaultPanic                       // the guest failed: drop the instance
)

// MaxWindow is the largest window, in bytes, that a zstd frame may need (RFC 9659).
const MaxWindow = 8 << 20
