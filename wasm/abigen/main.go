// Command abigen writes the interface's numbers for those who cannot import
// package abi: the tables of ABI.md, the Python host's module and the JSON
// that the tape runners read. With -check it writes nothing and fails where a
// file is not what it would write.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/connectcore/connectcore/wasm/abi"
)

func main() {
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	md, err := os.ReadFile("wasm/ABI.md")
	if err != nil {
		fail(err)
	}
	files := []struct {
		path string
		data []byte
	}{
		{"wasm/ABI.md", markdown(md)},
		{"hostpy/src/connectcore/_wasm/abi.py", python()},
		{"tests/tapes/abi.json", jsonTable()},
	}
	stale := false
	for _, f := range files {
		old, _ := os.ReadFile(f.path)
		if bytes.Equal(old, f.data) {
			continue
		}
		if *check {
			fmt.Fprintf(os.Stderr, "%s is stale: run `make abi`\n", f.path)
			stale = true
			continue
		}
		if err := os.WriteFile(f.path, f.data, 0o644); err != nil {
			fail(err)
		}
	}
	if stale {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "abigen:", err)
	os.Exit(1)
}

func isEvent(s abi.Schema) bool { return s.Kind >= abi.EvConfigured }

func markdown(old []byte) []byte {
	out := string(old)
	for _, part := range []struct {
		name  string
		event bool
	}{{"commands", false}, {"events", true}} {
		var b strings.Builder
		for _, s := range abi.Schemas {
			if isEvent(s) != part.event {
				continue
			}
			flags := make([]string, len(s.Flags))
			for i, f := range s.Flags {
				flags[i] = fmt.Sprintf("%d `%s`", 1<<i, f)
			}
			cols := make([]string, len(s.Columns))
			for i, c := range s.Columns {
				cols[i] = fmt.Sprintf("`%s` %s", c.Name, c.Type)
			}
			if part.event {
				fmt.Fprintf(&b, "| %d | `%s` | %s | %s |\n", s.Kind, s.Name, strings.Join(flags, ", "), strings.Join(cols, ", "))
			} else {
				fmt.Fprintf(&b, "| %d | `%s` | %s | %s | %s |\n", s.Kind, s.Name, handleOf(s.Kind), strings.Join(flags, ", "), strings.Join(cols, ", "))
			}
		}
		// The markers live inside the table, so that it stays one table.
		start, end := "<!-- "+part.name+" -->\n", "<!-- /"+part.name+" -->"
		i, j := strings.Index(out, start), strings.Index(out, end)
		if i < 0 || j < i {
			fail(fmt.Errorf("wasm/ABI.md lacks the markers of %s", part.name))
		}
		head := strings.LastIndex(strings.TrimRight(out[:i], "\n"), "\n\n")
		table := out[head+2 : i]
		rows := strings.SplitAfter(strings.TrimRight(table, "\n")+"\n", "\n")
		out = out[:head+2] + rows[0] + rows[1] + b.String() + "\n" + start + "\n" + out[j:]
	}
	return []byte(out)
}

func handleOf(k abi.Kind) string {
	switch k {
	case abi.CmdConfigureServer, abi.CmdConfigureClient:
		return "0"
	case abi.CmdCloseConfig, abi.CmdOpenServer, abi.CmdOpenClient:
		return "configuration"
	}
	return "call"
}

func upper(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }

// numbers are the constants that are neither kinds nor columns.
var numbers = []struct {
	name  string
	value uint64
}{
	{"MAJOR", abi.Major}, {"MINOR", abi.Minor}, {"HEADER_SIZE", abi.HeaderSize},
	{"NO_TIMEOUT", abi.NoTimeout}, {"COMPRESSED", abi.Compressed},
	{"SERVER_REQUIRE_VERSION", uint64(abi.ServerRequireVersion)},
	{"OPEN_TRAILERS", uint64(abi.OpenTrailers)}, {"OPEN_DUPLEX", uint64(abi.OpenDuplex)},
	{"OPEN_END", uint64(abi.OpenEnd)}, {"OPEN_PREPARE", uint64(abi.OpenPrepare)}, {"OPEN_GET", uint64(abi.OpenGet)},
	{"OPEN_UNBOUNDED", uint64(abi.OpenUnbounded)},
	{"CONTENT_END_FLAG", uint64(abi.ContentEnd)}, {"CONTENT_RESUME", uint64(abi.ContentResume)},
	{"SEND_INLINE", uint64(abi.SendInline)}, {"END_UNEXPECTED", uint64(abi.EndUnexpected)},
	{"HEADERS_FLUSH", uint64(abi.HeadersFlush)}, {"CONTENT_INLINE", uint64(abi.ContentInline)},
	{"CONFIGURED_SEND_INLINE", uint64(abi.ConfiguredSendInline)}, {"CONFIGURED_GET_INLINE", uint64(abi.ConfiguredGetInline)},
	{"REQUEST_SEND_INLINE", uint64(abi.RequestSendInline)}, {"REQUEST_GET", uint64(abi.RequestGet)}, {"MESSAGES_INLINE", uint64(abi.MessagesInline)},
	{"HTTP_END", uint64(abi.HTTPEnd)}, {"HTTP_TRAILERS", uint64(abi.HTTPTrailers)},
	{"UNARY", abi.Unary}, {"CLIENT_STREAM", abi.ClientStream}, {"SERVER_STREAM", abi.ServerStream},
	{"BIDI_STREAM", abi.BidiStream}, {"NO_SIDE_EFFECTS", abi.NoSideEffects},
	{"PROTOCOL_CONNECT", abi.Connect}, {"PROTOCOL_GRPC", abi.GRPC}, {"PROTOCOL_GRPC_WEB", abi.GRPCWeb},
	{"REJECT_DECODE", abi.RejectDecode}, {"REJECT_DECOMPRESS", abi.RejectDecompress},
	{"REJECT_TOO_LARGE", abi.RejectTooLarge}, {"REJECT_ENCODE", abi.RejectEncode},
	{"REJECT_LOST", abi.RejectLost}, {"REJECT_BUSY", abi.RejectBusy}, {"GONE_BROKEN", abi.GoneBroken},
	{"GONE_CLOSED", abi.GoneClosed}, {"GONE_REFUSED", abi.GoneRefused}, {"GONE_RESET", abi.GoneReset},
	{"FAULT_RECORD", abi.FaultRecord}, {"FAULT_HANDLE", abi.FaultHandle}, {"FAULT_STATE", abi.FaultState},
	{"FAULT_CONFIG", abi.FaultConfig}, {"FAULT_BUSY", abi.FaultBusy}, {"FAULT_PANIC", abi.FaultPanic},
	{"FAULT_ARGUMENT", abi.FaultArgument},
	{"DEFAULT_READ_MAX", abi.DefaultReadMax}, {"DEFAULT_GET_MAX", abi.DefaultGetMax},
	{"DEFAULT_COMPRESS_MIN", abi.DefaultCompressMin}, {"MAX_CALLS", abi.MaxCalls}, {"MAX_CONFIGS", abi.MaxConfigs},
	{"CARRY_WHOLE", abi.CarryWhole}, {"CARRY_FIRST", abi.CarryFirst},
}

func python() []byte {
	var b bytes.Buffer
	b.WriteString("\"\"\"The numbers of the module's interface (wasm/ABI.md).\n\nMade by wasm/abigen; do not edit.\n\"\"\"\n\nfrom __future__ import annotations\n\nfrom typing import Final\n\n")
	fmt.Fprintf(&b, "EXPORT_MARKER: Final = %q\nEXPORT_VERSION: Final = %q\nEXPORT_RESERVE: Final = %q\nEXPORT_STEP: Final = %q\n\n",
		abi.ExportMarker, abi.ExportVersion, abi.ExportReserve, abi.ExportStep)
	for _, n := range numbers {
		fmt.Fprintf(&b, "%s: Final = %d\n", n.name, n.value)
	}
	fmt.Fprintf(&b, "BINARY_SUFFIX: Final = %q\nIDENTITY: Final = %q\n\n# The codes' names, by number.\nCODES: Final = %s\n\n", abi.BinarySuffix, abi.Identity, pyTuple(quoted(abi.Codes[:])))
	for _, s := range abi.Schemas {
		prefix := "CMD_"
		if isEvent(s) {
			prefix = "EV_"
		}
		fmt.Fprintf(&b, "%s%s: Final = %d\n", prefix, upper(s.Name), s.Kind)
	}
	b.WriteString("\n# kind: (name, flag names from the lowest bit, columns as (name, type))\n")
	b.WriteString("SCHEMAS: Final[dict[int, tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]]] = {\n")
	for _, s := range abi.Schemas {
		fmt.Fprintf(&b, "    %d: (\n        %q,\n        %s,\n        %s,\n    ),\n", s.Kind, s.Name, pyTuple(quoted(s.Flags)), pyTuple(pyColumns(s.Columns)))
	}
	b.WriteString("}\n")
	return b.Bytes()
}

func quoted(in []string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = fmt.Sprintf("%q", s)
	}
	return out
}

func pyColumns(in []abi.Column) []string {
	out := make([]string, len(in))
	for i, c := range in {
		out[i] = fmt.Sprintf("(%q, %q)", c.Name, c.Type)
	}
	return out
}

func pyTuple(in []string) string {
	switch len(in) {
	case 0:
		return "()"
	case 1:
		return "(" + in[0] + ",)"
	}
	return "(" + strings.Join(in, ", ") + ")"
}

func jsonTable() []byte {
	type column struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	type schema struct {
		Kind    uint16   `json:"kind"`
		Name    string   `json:"name"`
		Event   bool     `json:"event"`
		Flags   []string `json:"flags"`
		Columns []column `json:"columns"`
	}
	table := struct {
		Major   int               `json:"major"`
		Minor   int               `json:"minor"`
		Exports map[string]string `json:"exports"`
		Codes   []string          `json:"codes"`
		Records []schema          `json:"records"`
	}{Major: abi.Major, Minor: abi.Minor, Codes: abi.Codes[:], Exports: map[string]string{
		"marker": abi.ExportMarker, "version": abi.ExportVersion, "reserve": abi.ExportReserve, "step": abi.ExportStep}}
	for _, s := range abi.Schemas {
		r := schema{Kind: uint16(s.Kind), Name: s.Name, Event: isEvent(s), Flags: append([]string{}, s.Flags...), Columns: []column{}}
		for _, c := range s.Columns {
			r.Columns = append(r.Columns, column{c.Name, string(c.Type)})
		}
		table.Records = append(table.Records, r)
	}
	out, err := json.MarshalIndent(table, "", " ")
	if err != nil {
		fail(err)
	}
	return append(out, '\n')
}
