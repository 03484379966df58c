package hostgo

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/connectcore/connectcore/wasm/abi"
)

// tiny writes WebAssembly modules that look like the real one and behave as a
// test needs.
type tiny struct {
	version uint32
	without string // an export to leave out
	rename  string // what its name is instead
	step    []byte // code that step runs for anything but a configuration
	wide    bool   // reserve takes an i64
	foreign bool   // something is imported from outside of WASI
}

const (
	tinyArena  = 0x1000
	tinyEvents = 0x800
)

var (
	codeTrap = []byte{0x00} // unreachable
	// codeLost gives events that lie outside of memory.
	codeLost = append([]byte{0x42}, append(sleb(0x7fff0000<<32|64), 0x0f)...)
	// codePanic gives the fault by which a guest says that it failed.
	codePanic = append([]byte{0x42}, append(sleb((tinyEvents+16)<<32|24), 0x0f)...)
	// codeGarbage gives events that are none.
	codeGarbage = append([]byte{0x42}, append(sleb(tinyArena<<32|40), 0x0f)...)
)

func uleb(n uint64) []byte { return binary.AppendUvarint(nil, n) }

func sleb(n int64) (b []byte) {
	for {
		low := byte(n & 0x7f)
		n >>= 7
		if n == 0 && low&0x40 == 0 || n == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

func vector(items ...[]byte) []byte {
	b := uleb(uint64(len(items)))
	for _, item := range items {
		b = append(b, item...)
	}
	return b
}

func sized(b []byte) []byte { return append(uleb(uint64(len(b))), b...) }

func (m tiny) bytes() []byte {
	const i32, i64 = 0x7f, 0x7e
	reserveParam := byte(i32)
	if m.wide {
		reserveParam = i64
	}
	types := vector(
		[]byte{0x60, 0, 0},
		[]byte{0x60, 0, 1, i32},
		[]byte{0x60, 1, reserveParam, 1, i32},
		[]byte{0x60, 1, i32, 1, i64})
	// step: configurations are answered, all else runs m.step.
	step := []byte{0x41}
	step = append(step, sleb(tinyArena)...)
	step = append(step, 0x2f, 1, 0)          // i32.load16_u: the record's kind
	step = append(step, 0x41, 2, 0x4d, 0x04) // <= 2, if
	step = append(step, 0x40, 0x42)          // i64.const
	step = append(step, sleb(tinyEvents<<32|12)...)
	step = append(step, 0x0f, 0x0b) // return, end
	step = append(step, m.step...)
	step = append(step, 0x42, 0) // no events
	constant := func(n int64) []byte { return append([]byte{0x41}, sleb(n)...) }
	body := func(code []byte) []byte { return sized(append(append([]byte{0}, code...), 0x0b)) }

	imports, first := vector(), byte(0)
	if m.foreign {
		imports = vector(append(append(sized([]byte("env")), sized([]byte("clock"))...), 0, 0))
		first = 1
	}
	var exports [][]byte
	for i, name := range []string{"_initialize", abi.ExportMarker, abi.ExportVersion, abi.ExportReserve, abi.ExportStep} {
		if name == m.without {
			if name = m.rename; name == "" {
				continue
			}
		}
		exports = append(exports, append(sized([]byte(name)), 0, first+byte(i)))
	}
	exports = append(exports, append(sized([]byte("memory")), 2, 0))

	var configured, fault abi.Writer
	configured.Begin(abi.EvConfigured, 0, 1)
	configured.End()
	fault.Begin(abi.EvFault, 0, 0)
	fault.U32(abi.FaultPanic)
	fault.Bytes([]byte("test"))
	fault.End()
	data := func(at int64, b []byte) []byte {
		return append(append(append([]byte{0}, constant(at)...), 0x0b), sized(b)...)
	}
	const faultAt = tinyEvents + 16 // codePanic's address
	wasm := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, b []byte) { wasm = append(append(wasm, id), sized(b)...) }
	section(1, types)
	section(2, imports)
	section(3, vector([]byte{0}, []byte{1}, []byte{1}, []byte{2}, []byte{3}))
	section(5, vector([]byte{0, 4}))
	section(7, vector(exports...))
	section(10, vector(body(nil), body(constant(0)), body(constant(int64(int32(m.version)))), body(constant(tinyArena)), body(step)))
	section(11, vector(data(tinyEvents, configured.B), data(faultAt, fault.B)))
	return wasm
}

const goodVersion = abi.Major<<16 | abi.Minor

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestLoadRefuses(t *testing.T) {
	broken := append([]byte(nil), embedded...)
	clear(broken[len(broken)/2 : len(broken)/2+4096])
	for _, test := range []struct {
		name string
		wasm []byte
		want []string
	}{
		{"nothing", nil, []string{"does not compile", "0 bytes"}},
		{"text", []byte("this is not a module"), []string{"does not compile", "20 bytes"}},
		{"half a file", embedded[:len(embedded)/2], []string{"does not compile", "is the file complete?"}},
		{"zeros within", broken, []string{"does not compile"}},
		{"no step", tiny{version: goodVersion, without: abi.ExportStep}.bytes(),
			[]string{`no function "connectcore_step" is exported`}},
		{"other major", tiny{version: 2 << 16, without: abi.ExportMarker, rename: "connectcore_abi_v2"}.bytes(),
			[]string{`no function "connectcore_abi_v1" is exported`, `exports "connectcore_abi_v2": another major version`, "interface 1.0"}},
		{"other signature", tiny{version: goodVersion, wide: true}.bytes(),
			[]string{`function "connectcore_reserve" is (i64) -> (i32), want (i32) -> (i32)`}},
		{"foreign import", tiny{version: goodVersion, foreign: true}.bytes(), []string{`"clock" of "env" is imported`}},
		{"version says other", tiny{version: 2 << 16}.bytes(), []string{"interface is 2.0, this package needs 1.0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := LoadBytes(t.Context(), test.wasm, &Options{Logger: quiet()})
			if err == nil {
				_ = m.Close(context.Background())
				t.Fatal("loaded")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestLoadAcceptsLaterMinor(t *testing.T) {
	m, err := LoadBytes(t.Context(), tiny{version: goodVersion + 7}.bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCacheOfOthersIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	good := tiny{version: goodVersion}.bytes()
	if _, err := LoadBytes(t.Context(), good, &Options{CacheDir: dir}); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("got %v, want an error that says what to do", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m, err := LoadBytes(t.Context(), good, &Options{CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
		t.Errorf("the cache holds %d entries (%v), want some", len(entries), err)
	}
}

// The package is a host: it knows the module's interface, and no more.
func TestImportsNoCore(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	forbidden := `"github.com/connectcore/connectcore/` + `core"`
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), forbidden) {
			t.Errorf("%s imports core", file)
		}
	}
}
