// Command abigen writes the interface's tables for those who cannot import
// package abi: in ABI.md for people, for the Python host its numbers, those of
// the codings' module, its reader and writer of records and the fields that
// browsers ask about, and as JSON for the tape runners. With -check it writes nothing and fails where a file is not what
// it would write.
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
		{"hostpy/src/connectcore/_wasm/abi.py", pythonNumbers()},
		{"hostpy/src/connectcore/_wasm/codings_abi.py", codingsNumbers()},
		{"hostpy/src/connectcore/_wasm/records.py", pythonRecords()},
		{"hostpy/src/connectcore/_standard/fields.py", corsFields()},
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
