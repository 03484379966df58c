package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/connectcore/connectcore/core"
)

// corsFields writes hostpy's fields.py.
func corsFields() []byte {
	var b bytes.Buffer
	b.WriteString(`"""The protocols' methods and fields that browsers ask about, from what core knows of them (core/cors.go).

Made by wasm/abigen; do not edit.
"""

from __future__ import annotations

from typing import Final

`)
	for _, c := range []struct {
		name   string
		values []string
	}{
		{"METHODS", core.CORSMethods()}, {"REQUEST", core.CORSRequestFields()}, {"RESPONSE", core.CORSResponseFields()},
	} {
		fmt.Fprintf(&b, "%s: Final = (\n    \"%s\",\n)\n", c.name, strings.Join(c.values, "\",\n    \""))
	}
	fmt.Fprintf(&b, "TRAILER_PREFIX: Final = %q\n", core.CORSTrailerPrefix)
	return b.Bytes()
}
