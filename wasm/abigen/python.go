package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/connectcore/connectcore/wasm/abi"
)

// The longest line that hostpy's formatter leaves alone.
const lineLength = 128

// constants are the numbers that are neither kinds nor layouts.
var constants = []struct {
	name  string
	value uint64
}{
	{"MAJOR", abi.Major}, {"MINOR", abi.Minor}, {"HEADER_SIZE", abi.HeaderSize},
	{"NO_TIMEOUT", abi.NoTimeout}, {"COMPRESSED", abi.Compressed},
	{"SERVER_REQUIRE_VERSION", uint64(abi.ServerRequireVersion)}, {"SERVER_OUTCOMES", uint64(abi.ServerOutcomes)},
	{"SERVER_NO_CONNECT", uint64(abi.ServerNoConnect)}, {"SERVER_NO_GRPC", uint64(abi.ServerNoGRPC)},
	{"SERVER_NO_GRPC_WEB", uint64(abi.ServerNoGRPCWeb)},
	{"CLIENT_TEXT", uint64(abi.ClientText)}, {"PREPARED_TRAILERS", uint64(abi.PreparedTrailers)},
	{"OPEN_TRAILERS", uint64(abi.OpenTrailers)}, {"OPEN_DUPLEX", uint64(abi.OpenDuplex)},
	{"OPEN_END", uint64(abi.OpenEnd)}, {"OPEN_PREPARE", uint64(abi.OpenPrepare)}, {"OPEN_GET", uint64(abi.OpenGet)},
	{"OPEN_RETRY", uint64(abi.OpenRetry)}, {"RETRY_UNPROCESSED", uint64(abi.RetryUnprocessed)},
	{"RETRY_TRANSIENT", uint64(abi.RetryTransient)}, {"RETRY_NEVER", uint64(abi.RetryNever)}, {"RETRY_TOLD", uint64(abi.RetryTold)},
	{"OPEN_UNBOUNDED", uint64(abi.OpenUnbounded)},
	{"CONTENT_END_FLAG", uint64(abi.ContentEnd)}, {"CONTENT_RESUME", uint64(abi.ContentResume)},
	{"SEND_INLINE", uint64(abi.SendInline)}, {"END_UNEXPECTED", uint64(abi.EndUnexpected)},
	{"HEADERS_FLUSH", uint64(abi.HeadersFlush)}, {"CONTENT_INLINE", uint64(abi.ContentInline)},
	{"CONFIGURED_SEND_INLINE", uint64(abi.ConfiguredSendInline)}, {"CONFIGURED_GET_INLINE", uint64(abi.ConfiguredGetInline)},
	{"REQUEST_SEND_INLINE", uint64(abi.RequestSendInline)}, {"REQUEST_GET", uint64(abi.RequestGet)}, {"MESSAGES_INLINE", uint64(abi.MessagesInline)},
	{"HTTP_END", uint64(abi.HTTPEnd)}, {"HTTP_TRAILERS", uint64(abi.HTTPTrailers)},
	{"HTTP_LACKS_TRAILERS", uint64(abi.HTTPLacks)},
	{"UNARY", abi.Unary}, {"CLIENT_STREAM", abi.ClientStream}, {"SERVER_STREAM", abi.ServerStream},
	{"BIDI_STREAM", abi.BidiStream}, {"NO_SIDE_EFFECTS", abi.NoSideEffects},
	{"PROTOCOL_CONNECT", abi.Connect}, {"PROTOCOL_GRPC", abi.GRPC}, {"PROTOCOL_GRPC_WEB", abi.GRPCWeb},
	{"REJECT_DECODE", abi.RejectDecode}, {"REJECT_DECOMPRESS", abi.RejectDecompress},
	{"REJECT_TOO_LARGE", abi.RejectTooLarge}, {"REJECT_ENCODE", abi.RejectEncode},
	{"REJECT_LOST", abi.RejectLost}, {"REJECT_BUSY", abi.RejectBusy}, {"REJECT_KIND", abi.RejectKind},
	{"GONE_CLOSED", abi.GoneClosed}, {"GONE_REFUSED", abi.GoneRefused}, {"GONE_RESET", abi.GoneReset},
	{"GONE_BROKEN", abi.GoneBroken}, {"GONE_LARGE", abi.GoneLarge},
	{"FAULT_RECORD", abi.FaultRecord}, {"FAULT_HANDLE", abi.FaultHandle}, {"FAULT_STATE", abi.FaultState},
	{"FAULT_CONFIG", abi.FaultConfig}, {"FAULT_BUSY", abi.FaultBusy}, {"FAULT_PANIC", abi.FaultPanic},
	{"FAULT_ARGUMENT", abi.FaultArgument},
	{"DEFAULT_READ_MAX", abi.DefaultReadMax}, {"DEFAULT_GET_MAX", abi.DefaultGetMax},
	{"DEFAULT_COMPRESS_MIN", abi.DefaultCompressMin}, {"MAX_CALLS", abi.MaxCalls}, {"MAX_CONFIGS", abi.MaxConfigs},
	{"CARRY_WHOLE", abi.CarryWhole}, {"CARRY_FIRST", abi.CarryFirst}, {"MAX_MEMBERS", abi.MaxMembers},
}

// pythonNumbers writes hostpy's abi.py.
func pythonNumbers() []byte {
	var b bytes.Buffer
	b.WriteString(`"""The numbers of the module's interface (wasm/ABI.md).

Made by wasm/abigen; do not edit.
"""

from __future__ import annotations

from typing import Final

`)
	fmt.Fprintf(&b, "EXPORT_MARKER: Final = %q\nEXPORT_VERSION: Final = %q\nEXPORT_RESERVE: Final = %q\nEXPORT_STEP: Final = %q\n\n",
		abi.ExportMarker, abi.ExportVersion, abi.ExportReserve, abi.ExportStep)
	for _, c := range constants {
		fmt.Fprintf(&b, "%s: Final = %d\n", c.name, c.value)
	}
	codes := strings.Join(abi.Codes[:], `", "`)
	fmt.Fprintf(&b, "BINARY_SUFFIX: Final = %q\n\n# The codes' names, by number.\nCODES: Final = (\"%s\")\n\n# Kinds.\n", abi.BinarySuffix, codes)
	for _, s := range abi.Schemas {
		prefix := "CMD_"
		if isEvent(s) {
			prefix = "EV_"
		}
		fmt.Fprintf(&b, "%s%s: Final = %d\n", prefix, upper(s.Name), s.Kind)
	}
	b.WriteString("\n# What a record begins with, its fixed block included: name and letter (of `struct`) of each number.\n")
	for _, s := range abi.Schemas {
		var numbers []string
		for _, n := range fixed(s) {
			numbers = append(numbers, n.name+":"+n.letter)
		}
		fmt.Fprintf(&b, "LAYOUT_%s: Final = %q\n", upper(s.Name), strings.Join(numbers, " "))
	}
	return b.Bytes()
}

// number is a fixed-size part of a record.
type number struct{ name, letter string }

// fixed lists what a record begins with, its fixed block included.
func fixed(s abi.Schema) []number {
	out := []number{{"kind", "H"}, {"flags", "H"}, {"size", "I"}, {"handle", "I"}}
	for _, c := range s.Columns {
		switch c.Type {
		case abi.U32:
			out = append(out, number{c.Name, "I"})
		case abi.U64:
			out = append(out, number{c.Name, "Q"})
		case abi.Bytes:
			out = append(out, number{c.Name + "_size", "I"})
		case abi.Words:
			out = append(out, number{c.Name + "_count", "I"})
		default:
			out = append(out, number{c.Name + "_count", "I"}, number{c.Name + "_size", "I"})
		}
	}
	return out
}

func letters(s abi.Schema) string {
	out := "<"
	for _, n := range fixed(s) {
		out += n.letter
	}
	return out
}

func fixedSize(s abi.Schema) int {
	sizes := map[string]int{"H": 2, "I": 4, "Q": 8}
	size := 0
	for _, n := range fixed(s) {
		size += sizes[n.letter]
	}
	return size
}

// pythonRecords writes hostpy's records.py: a function that packs each
// command, a class that reads each event.
func pythonRecords() []byte {
	var b bytes.Buffer
	b.WriteString(`"""Records (wasm/ABI.md, section 2): a function that packs each command, a class that reads each event.

Made by wasm/abigen; do not edit.

A command's function takes a handle, flags where the command has any, and the columns in the contract's order; what is left out
is zero or empty. Fields are their number and one column of bytes (` + "`columns.py`" + `). Columns are the attributes of an event.
"""

from __future__ import annotations

from struct import Struct, pack, unpack_from
from typing import TYPE_CHECKING, Final, TypeAlias

from . import abi
from .columns import join_pairs, split_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .columns import Buffer, Pairs

`)
	var names []string
	for _, s := range abi.Schemas {
		names = append(names, pythonName(s))
	}
	exported := append([]string{"Event", "decode"}, names...)
	slices.Sort(exported)
	b.WriteString("__all__ = [\n")
	for _, name := range exported {
		fmt.Fprintf(&b, "    %q,\n", name)
	}
	b.WriteString("]\n\n_BARE: Final = Struct(\"<HHII\")  # a record without columns\n")
	for _, s := range abi.Schemas {
		if len(s.Columns) > 0 {
			method := "pack"
			if isEvent(s) {
				method = "unpack_from"
			}
			fmt.Fprintf(&b, "_%s: Final = Struct(%q).%s\n", upper(s.Name), letters(s), method)
		}
	}
	b.WriteString("_START: Final = Struct(\"<H2xI\").unpack_from  # a record's kind and size\n")
	for _, s := range abi.Schemas {
		if !isEvent(s) {
			command(&b, s)
		}
	}
	for _, s := range abi.Schemas {
		if isEvent(s) {
			event(&b, s)
		}
	}
	b.WriteString("\n\nEvent: TypeAlias = (\n")
	separator := "    "
	for _, s := range abi.Schemas {
		if isEvent(s) {
			fmt.Fprintf(&b, "%s%s\n", separator, pythonName(s))
			separator = "    | "
		}
	}
	b.WriteString(")\n\n_EVENTS: Final[dict[int, Callable[[bytes, int], Event]]] = {\n")
	for _, s := range abi.Schemas {
		if isEvent(s) {
			fmt.Fprintf(&b, "    abi.EV_%s: %s,\n", upper(s.Name), pythonName(s))
		}
	}
	b.WriteString(`}


def decode(events: bytes) -> list[Event]:
    """The events of one step, in order. Events of kinds that this version does not know are skipped."""
    result: list[Event] = []
    at = 0
    while at < len(events):
        kind, size = _START(events, at)
        read = _EVENTS.get(kind)
        if read is not None:
            result.append(read(events, at))
        at += size
    return result
`)
	return b.Bytes()
}

// pythonName is a command's function, or an event's class.
func pythonName(s abi.Schema) string {
	if !isEvent(s) {
		return strings.ReplaceAll(s.Name, "-", "_")
	}
	out := ""
	for _, word := range strings.Split(s.Name, "-") {
		out += strings.ToUpper(word[:1]) + word[1:]
	}
	return out
}

// about is the docstring of a record's function or class.
func about(s abi.Schema) string {
	out := `"""` + "`" + s.Name + "`"
	if of := handleOf(s.Kind); !isEvent(s) && of != "0" {
		out += ", the handle is a " + of + "'s"
	}
	out += "."
	for i, f := range s.Flags {
		if i == 0 {
			out += " Flags: "
		} else {
			out += ", "
		}
		out += fmt.Sprintf("%d %s", 1<<i, f)
	}
	if len(s.Flags) > 0 {
		out += "."
	}
	return out + `"""`
}

func command(b *bytes.Buffer, s abi.Schema) {
	parameters, handle, flags := []string{"handle: int"}, "handle", "0"
	if handleOf(s.Kind) == "0" {
		parameters, handle = []string{"*"}, "0"
	}
	if len(s.Flags) > 0 {
		parameters, flags = append(parameters, "flags: int = 0"), "flags"
	}
	kind := "abi.CMD_" + upper(s.Name)
	if len(s.Columns) == 0 {
		fmt.Fprintf(b, "\n\ndef %s(%s) -> bytes:\n    %s\n", pythonName(s), strings.Join(parameters, ", "), about(s))
		fmt.Fprintf(b, "    return _BARE.pack(%s, %s, %d, %s)\n", kind, flags, abi.HeaderSize, handle)
		return
	}
	var before, sizes, numbers, parts []string
	for _, c := range s.Columns {
		sized := c.Name
		switch c.Type {
		case abi.U32, abi.U64:
			parameters = append(parameters, c.Name+": int = 0")
			numbers = append(numbers, c.Name)
			continue
		case abi.Bytes:
			parameters = append(parameters, c.Name+`: Buffer = b""`)
			numbers = append(numbers, "len("+c.Name+")")
		case abi.Words:
			parameters = append(parameters, c.Name+": Sequence[int] = ()")
			numbers = append(numbers, "len("+c.Name+")")
			sized = c.Name + "_part"
			before = append(before, fmt.Sprintf("%s = pack(f\"<{len(%s)}I\", *%s)", sized, c.Name, c.Name))
		case abi.Fields:
			parameters = append(parameters, c.Name+"_count: int = 0", c.Name+`: bytes = b""`)
			numbers = append(numbers, c.Name+"_count", "len("+c.Name+")")
		case abi.Pairs:
			parameters = append(parameters, c.Name+": Pairs = ()")
			sized = c.Name + "_part"
			numbers = append(numbers, "len("+c.Name+")", "len("+sized+")")
			before = append(before, fmt.Sprintf("%s = join_pairs(%s)", sized, c.Name))
		}
		sizes = append(sizes, "len("+sized+")")
		parts = append(parts, sized)
	}
	b.WriteString("\n\n" + list("def "+pythonName(s)+"(", parameters, ") -> bytes:", ""))
	fmt.Fprintf(b, "    %s\n", about(s))
	for _, line := range before {
		fmt.Fprintf(b, "    %s\n", line)
	}
	size := fmt.Sprint(fixedSize(s))
	if len(sizes) > 0 {
		size += " + " + strings.Join(sizes, " + ")
	}
	b.WriteString(list("    head = _"+upper(s.Name)+"(", append([]string{kind, flags, size, handle}, numbers...), ")", "    "))
	if len(parts) == 0 {
		b.WriteString("    return head\n")
		return
	}
	fmt.Fprintf(b, "    return b\"\".join((head, %s))\n", strings.Join(parts, ", "))
}

// list writes elements between brackets: in one line, or one in each.
func list(start string, elements []string, end, indent string) string {
	if line := start + strings.Join(elements, ", ") + end; len(line) <= lineLength {
		return line + "\n"
	}
	return start + "\n" + indent + "    " + strings.Join(elements, ",\n"+indent+"    ") + ",\n" + indent + end + "\n"
}

func event(b *bytes.Buffer, s abi.Schema) {
	slots, types := []string{"handle"}, "    handle: int\n"
	numbers := []string{"_", "_", "_", "self.handle"}
	if len(s.Flags) > 0 {
		slots, types = append(slots, "flags"), types+"    flags: int\n"
		numbers[1] = "self.flags"
	}
	var tail []string // Python's lines for the columns that have bytes
	advance := ""     // what the column before the next one took
	for _, c := range s.Columns {
		slots = append(slots, c.Name)
		size := c.Name + "_size"
		if advance != "" && c.Type != abi.U32 && c.Type != abi.U64 {
			tail = append(tail, "at += "+advance)
		}
		kind := "bytes"
		switch c.Type {
		case abi.U32, abi.U64:
			kind = "int"
			numbers = append(numbers, "self."+c.Name)
		case abi.Words:
			kind = "tuple[int, ...]"
			numbers = append(numbers, c.Name+"_count")
			tail = append(tail, fmt.Sprintf("self.%s = unpack_from(f\"<{%s_count}I\", batch, at)", c.Name, c.Name))
			advance = "4 * " + c.Name + "_count"
		case abi.Pairs:
			kind = "list[tuple[bytes, bytes]]"
			numbers = append(numbers, c.Name+"_count", size)
			tail = append(tail, fmt.Sprintf("self.%s = split_pairs(%s_count, batch, at)", c.Name, c.Name))
			advance = size
		default:
			if c.Type == abi.Fields {
				numbers = append(numbers, "_")
			}
			numbers = append(numbers, size)
			tail = append(tail, fmt.Sprintf("self.%s = batch[at : at + %s]", c.Name, size))
			advance = size
		}
		types += fmt.Sprintf("    %s: %s\n", c.Name, kind)
	}
	if last := s.Columns; len(last) > 0 && last[len(last)-1].Type == abi.Pairs {
		numbers[len(numbers)-1] = "_" // nothing follows that would need its size
	}
	slices.Sort(slots)
	fmt.Fprintf(b, "\n\nclass %s:\n    %s\n\n", pythonName(s), about(s))
	for i, slot := range slots {
		slots[i] = fmt.Sprintf("%q", slot)
	}
	end := ")"
	if len(slots) == 1 {
		end = ",)"
	}
	fmt.Fprintf(b, "%s%s\n    def __init__(self, batch: bytes, at: int) -> None:\n", list("    __slots__ = (", slots, end, "    "), types)
	unpack := "_" + upper(s.Name)
	if len(s.Columns) == 0 {
		unpack = "_BARE.unpack_from"
	}
	line := "        " + strings.Join(numbers, ", ") + " = " + unpack + "(batch, at)"
	if len(line) > lineLength {
		line = list("        (", numbers, ") = "+unpack+"(batch, at)", "        ")
	} else {
		line += "\n"
	}
	b.WriteString(line)
	if len(tail) > 0 {
		fmt.Fprintf(b, "        at += %d\n        %s\n", fixedSize(s), strings.Join(tail, "\n        "))
	}
}
