package collect_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/connectcore/connectcore/wasm/abi"
	codings "github.com/connectcore/connectcore/wasm/codings/abi"
)

// most is how much memory an instance may come to, in bytes.
const most = 16 << 20

// module is an instance of one of the modules as it is shipped. The time that it
// sees does not depend on how fast it runs, so that Go's own pace in it is the same
// in each run.
type module struct {
	tb  testing.TB
	mod api.Module
}

func start(tb testing.TB, file string) module {
	tb.Helper()
	wasm, err := os.ReadFile("../../hostgo/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	runtime := wazero.NewRuntime(tb.Context())
	tb.Cleanup(func() { _ = runtime.Close(context.Background()) })
	wasi_snapshot_preview1.MustInstantiate(tb.Context(), runtime)
	mod, err := runtime.InstantiateWithConfig(tb.Context(), wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		tb.Fatal(err)
	}
	return module{tb, mod}
}

func (m module) call(export string, arguments ...uint64) uint64 {
	m.tb.Helper()
	results, err := m.mod.ExportedFunction(export).Call(context.Background(), arguments...)
	if err != nil {
		m.tb.Fatal(err)
	}
	return results[0]
}

// run gives data to an export behind its other arguments, and returns the result.
func (m module) run(reserve, export string, data []byte, arguments ...uint64) []byte {
	m.tb.Helper()
	if at := m.call(reserve, uint64(len(data))); !m.mod.Memory().Write(uint32(at), data) {
		m.tb.Fatal("the arena is outside of memory")
	}
	result := m.call(export, append(arguments, uint64(len(data)))...)
	out, ok := m.mod.Memory().Read(uint32(result>>32), uint32(result))
	if !ok {
		m.tb.Fatalf("%s returned %#x", export, result)
	}
	if size := m.mod.Memory().Size(); size > most {
		m.tb.Fatalf("the instance has %d bytes", size)
	}
	return out
}

// configure is the record of a server's configuration.
func configure(procedures ...string) []byte {
	var w abi.Writer
	w.Begin(abi.CmdConfigureServer, 0, 0)
	w.U32(0)
	w.U32(0)
	w.U32(0)
	w.U64(0)
	w.Bytes([]byte("proto"))
	w.Bytes([]byte("gzip"))
	w.Bytes([]byte{0})
	w.Bytes([]byte(strings.Join(procedures, "\x00")))
	w.Bytes(make([]byte, len(procedures)))
	w.End()
	return w.B
}

// A thousand configurations at most are open at once, one after the other is closed,
// and each is unlike the others.
func TestConfigurationsLeaveNothing(t *testing.T) {
	m := start(t, "connectcore.wasm")
	random := rand.New(rand.NewPCG(1, 1))
	var w abi.Writer
	var open []uint32
	most := 1
	for i := range 50_000 {
		if i%1000 == 0 {
			most = 1 + random.IntN(1000)
		}
		w.B = w.B[:0]
		for ; len(open) >= most; open = open[1:] {
			w.Begin(abi.CmdCloseConfig, 0, open[0])
			w.End()
		}
		procedures := []string{"/a.b/c"}
		for len(procedures) < 1+random.IntN(20) {
			procedures = append(procedures, fmt.Sprintf("/greet.v1.GreetService/Greet%d", len(procedures)))
		}
		w.B = append(w.B, configure(procedures...)...)
		record, _, ok := abi.Next(m.run(abi.ExportReserve, abi.ExportStep, w.B))
		if !ok || record.Kind != abi.EvConfigured {
			t.Fatalf("configuration %d got an event of kind %d", i, record.Kind)
		}
		open = append(open, record.Handle)
	}
}

// Requests that are small, say that they are large, and are damaged.
func TestDamagedRequestsLeaveNothing(t *testing.T) {
	m := start(t, "connectcore.wasm")
	config, _, _ := abi.Next(m.run(abi.ExportReserve, abi.ExportStep, configure("/a.b/c")))
	content := make([]byte, 5<<10)
	copy(content, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff") // gzip, then blocks of no bytes until there are none
	copy(content[len(content)-4:], "\xff\xff\x3f\x00")        // the size, below the limit
	fields := "content-type\x00application/proto\x00content-encoding\x00gzip"
	var w abi.Writer
	for range 500 {
		w.B = w.B[:0]
		w.Begin(abi.CmdOpenServer, 0, config.Handle)
		w.Bytes([]byte("POST"))
		w.Bytes([]byte("/a.b/c"))
		w.Bytes(nil)
		w.Counted(2, []byte(fields))
		w.End()
		w.Begin(abi.CmdContent, abi.ContentEnd, 0)
		w.U32(uint32(len(content)))
		w.Bytes(content)
		w.End()
		if _, rest, _ := abi.Next(m.run(abi.ExportReserve, abi.ExportStep, w.B)); !bytes.Contains(rest, []byte("decompress")) {
			t.Fatalf("got %q", rest)
		}
	}
}

// Messages that are cut short, in both codings: what they are decompressed with is
// not used again.
func TestBadMessagesLeaveNothing(t *testing.T) {
	m := start(t, "connectcore-codings.wasm")
	text, err := os.ReadFile("../ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for _, coding := range []uint32{codings.Br, codings.Zstd} {
		packed := bytes.Clone(m.run(codings.ExportReserve, codings.ExportCompress, text[:8000], uint64(coding), 3))
		for range 3_000 {
			m.run(codings.ExportReserve, codings.ExportDecompress, packed[:random.IntN(len(packed))], uint64(coding), 4<<20)
		}
	}
}
