package tapes

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/connectcore/connectcore/wasm/codings/abi"
	"github.com/connectcore/connectcore/wasm/codings/guest"
)

var generated = flag.Bool("generated", false, "play what fuzzing has generated on this machine, too")

// perGuest is how many inputs one guest gets.
const perGuest = 100

// inputs are the corpora of all targets: those that are committed, and with -generated those
// that fuzzing has made.
func inputs(t *testing.T) map[string][]entry {
	t.Helper()
	cache := ""
	if *generated {
		out, err := exec.Command("go", "env", "GOCACHE").Output()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(strings.TrimSpace(string(out)), "fuzz", "github.com/connectcore/connectcore")
	}
	all := map[string][]entry{}
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	for _, name := range fuzzed {
		folder := filepath.Join("../..", filepath.FromSlash(name))
		tests, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range tests {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range target.FindAllSubmatch(text, -1) {
				all[string(m[1])] = nil
			}
		}
		folders := []string{filepath.Join(folder, "testdata", "fuzz")}
		if cache != "" {
			folders = append(folders, filepath.Join(cache, filepath.FromSlash(name)))
		}
		for _, folder := range folders {
			found, err := corpus(folder)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range found {
				if _, known := all[e.target]; known {
					all[e.target] = append(all[e.target], e)
				}
			}
		}
	}
	return all
}

// What fuzzing has found means the same to core, to the module under wazero and to the module
// under wasmtime, byte for byte; and to the codings' module natively and under both.
func TestCorpora(t *testing.T) {
	t.Parallel()
	told := map[string][][]byte{}
	packing := map[string][]entry{}
	for target, entries := range inputs(t) {
		if len(entries) == 0 {
			t.Errorf("%s has no corpus", target)
		}
		alone, together := spokenAlone[target], spokenAs[target]
		switch {
		case alone != nil:
			for i := range entries {
				told[fmt.Sprintf("%s %d", target, i)] = alone(&entries[i])
			}
		case together != nil:
			for from := 0; from < len(entries); from += perGuest {
				s := &speaker{}
				s.configure([]uint32{0, 100, 5_000}[from/perGuest%3])
				for i := range entries[from:min(from+perGuest, len(entries))] {
					together(s, &entries[from+i])
				}
				told[fmt.Sprintf("%s from %d on", target, from)] = s.batches
			}
		case target == "FuzzDecompress" || target == "FuzzRoundTrip":
			packing[target] = entries
		default:
			t.Errorf("nothing says what %s's inputs are to the modules", target)
		}
	}
	playBatches(t, told)
	playPacking(t, packing)
}

func playBatches(t *testing.T, told map[string][][]byte) {
	m, err := openModule(t.Context(), "../../hostgo/connectcore.wasm")
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	digests, steps := map[string]string{}, 0
	for name, batches := range told {
		in, drop, err := m.instance()
		if err != nil {
			t.Fatal(err)
		}
		core, digest := newNative(), sha256.New()
		for i, batch := range batches {
			want, _ := core.Step(batch)
			fmt.Fprintf(digest, "%d:%s", len(want), want)
			wholeRecords(t, want)
			got, err := in.Step(batch)
			if err != nil {
				t.Fatalf("%s, batch %d: the module trapped: %v\n%x", name, i, err, batch)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s, batch %d: the module and core differ:\n%x\n%x\n%x", name, i, batch, got, want)
			}
			steps++
		}
		drop()
		digests[name] = hex.EncodeToString(digest.Sum(nil))
	}
	python := toldByPython(t, told)
	for name, digest := range digests {
		if python[name] != digest {
			t.Errorf("%s: the module under wasmtime and core differ", name)
		}
	}
	t.Logf("%d batches", steps)
}

// packed is one thing to do for the codings' module, as test_codings.py reads it.
type packed struct {
	Compress      bool
	Coding, Level uint32 // or the limit
	Data          []byte
}

// playPacking gives each message to a fresh guest natively, and to one instance under each
// runtime after the other: no result depends on a call before.
func playPacking(t *testing.T, all map[string][]entry) {
	var asked []packed
	for _, e := range all["FuzzDecompress"] {
		asked = append(asked, packed{false, uint32(e.number(0)), uint32(e.number(1)) % (4 << 20), e.bytes(2)})
	}
	for _, e := range all["FuzzRoundTrip"] {
		asked = append(asked, packed{true, uint32(1 + e.number(0)%2), uint32(int(e.number(1)) % 12), e.bytes(2)})
	}
	var want []string
	for _, a := range asked {
		g := new(guest.Guest)
		copy(g.Reserve(uint32(len(a.Data))), a.Data)
		var out []byte
		var fault uint32
		if a.Compress {
			out, fault = g.Compress(a.Coding, int(int32(a.Level)), uint32(len(a.Data)))
		} else {
			out, fault = g.Decompress(a.Coding, a.Level, uint32(len(a.Data)))
		}
		want = append(want, summary(fault, out))
	}
	for runtime, got := range map[string][]string{"wazero": packedByWazero(t, asked), "wasmtime": packedByPython(t, asked)} {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("under %s, message %d: %q, natively %s: %+v", runtime, i, got[min(i, len(got)-1)], want[i], asked[i])
			}
		}
	}
	t.Logf("%d messages for the codings' module", len(asked))
}

func summary(fault uint32, out []byte) string {
	return fmt.Sprintf("%d %d %08x", fault, len(out), crc32.ChecksumIEEE(out))
}

func packedByWazero(t *testing.T, asked []packed) (said []string) {
	m, err := openModule(t.Context(), "../../hostgo/connectcore-codings.wasm")
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	in, err := m.fresh()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(name string, values ...uint64) uint64 {
		out, err := in.ExportedFunction(name).Call(m.ctx, values...)
		if err != nil {
			t.Fatalf("the codings' module trapped: %v", err)
		}
		return out[0]
	}
	for _, a := range asked {
		at := ask(abi.ExportReserve, uint64(len(a.Data)))
		if at == 0 || !in.Memory().Write(uint32(at), a.Data) {
			t.Fatal("no place for a message")
		}
		name := abi.ExportDecompress
		if a.Compress {
			name = abi.ExportCompress
		}
		result := ask(name, uint64(a.Coding), uint64(a.Level), uint64(len(a.Data)))
		if result>>32 == 0 {
			said = append(said, summary(uint32(result), nil))
			continue
		}
		out, ok := in.Memory().Read(uint32(result>>32), uint32(result))
		if !ok {
			t.Fatal("a result outside of the memory")
		}
		said = append(said, summary(0, out))
	}
	return said
}

func packedByPython(t *testing.T, asked []packed) (said []string) {
	t.Helper()
	text, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "messages.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(pythonOf(t), "codings_module.py", file)
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, wrong.Bytes())
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatal(err)
	}
	return said
}
