package main

import (
	"bytes"
	"fmt"

	"github.com/connectcore/connectcore/wasm/codings/abi"
)

// codingsNumbers writes hostpy's codings_abi.py.
func codingsNumbers() []byte {
	var b bytes.Buffer
	b.WriteString(`"""The numbers of the codings' module's interface (wasm/ABI.md, section 11).

Made by wasm/abigen; do not edit.
"""

from __future__ import annotations

from typing import Final

`)
	for _, c := range []struct{ name, value string }{
		{"MARKER", abi.ExportMarker}, {"VERSION", abi.ExportVersion}, {"RESERVE", abi.ExportReserve},
		{"COMPRESS", abi.ExportCompress}, {"DECOMPRESS", abi.ExportDecompress},
	} {
		fmt.Fprintf(&b, "EXPORT_%s: Final = %q\n", c.name, c.value)
	}
	for _, c := range []struct {
		name  string
		value uint32
	}{
		{"MAJOR", abi.Major}, {"MINOR", abi.Minor}, {"BR", abi.Br}, {"ZSTD", abi.Zstd},
		{"FAULT_TOO_LARGE", abi.FaultTooLarge}, {"FAULT_MALFORMED", abi.FaultMalformed}, {"MAX_WINDOW", abi.MaxWindow},
	} {
		fmt.Fprintf(&b, "%s: Final = %d\n", c.name, c.value)
	}
	return b.Bytes()
}
