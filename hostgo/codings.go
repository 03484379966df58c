package hostgo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	abi "github.com/connectcore/connectcore/wasm/codings/abi"
)

//go:embed connectcore-codings.wasm
var embeddedCodings []byte

var (
	errCodingTooLarge  = errors.New("decompresses to more than the limit")
	errCodingMalformed = errors.New("is not what its coding says")
)

// codingLevel is what messages are compressed with: quick, and the smaller part of
// what there is to gain is left.
const codingLevel = 3

// codingNumbers are the codings that the codings' module does.
var codingNumbers = map[string]uint32{"br": abi.Br, "zstd": abi.Zstd}

var codingFunctions = []function{
	{"_initialize", nil, nil},
	{abi.ExportMarker, nil, []api.ValueType{api.ValueTypeI32}},
	{abi.ExportVersion, nil, []api.ValueType{api.ValueTypeI32}},
	{abi.ExportReserve, []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}},
	{abi.ExportCompress, []api.ValueType{api.ValueTypeI32, api.ValueTypeI32, api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}},
	{abi.ExportDecompress, []api.ValueType{api.ValueTypeI32, api.ValueTypeI32, api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}},
}

// codingsModule is the module of the codings that are too large for the first
// one. It is compiled when it is first used; the runtime, with its limit of memory
// and its cache, is that of the first one. It is safe for use by several goroutines.
type codingsModule struct {
	runtime   wazero.Runtime
	wasm      []byte
	watermark int64
	logger    *slog.Logger
	busy      chan struct{} // as many as may be in use at once

	once     sync.Once
	compiled wazero.CompiledModule
	err      error

	mu     sync.Mutex
	idle   []*codingsInstance
	closed bool

	created, trapped, replaced uint64 // under mu
}

func newCodings(runtime wazero.Runtime, wasm []byte, o *Options) *codingsModule {
	return &codingsModule{
		runtime: runtime, wasm: wasm, watermark: o.MemoryWatermark, logger: o.Logger,
		busy: make(chan struct{}, o.Instances),
	}
}

// compress appends src compressed. name is one of codingNumbers.
func (m *codingsModule) compress(name string, dst, src []byte) ([]byte, error) {
	return m.use(dst, src, func(in *codingsInstance) (api.Function, uint64, uint64) {
		return in.compress, uint64(codingNumbers[name]), codingLevel
	})
}

// decompress appends what src stands for, at most limit bytes. The errors for
// what is wrong with src are errCodingTooLarge and errCodingMalformed; any other
// is about the module.
func (m *codingsModule) decompress(name string, dst, src []byte, limit int) ([]byte, error) {
	return m.use(dst, src, func(in *codingsInstance) (api.Function, uint64, uint64) {
		return in.decompress, uint64(codingNumbers[name]), uint64(max(0, min(limit, math.MaxInt32)))
	})
}

func (m *codingsModule) use(dst, src []byte, which func(*codingsInstance) (f api.Function, coding, x uint64)) ([]byte, error) {
	m.busy <- struct{}{}
	defer func() { <-m.busy }()
	in, err := m.acquire()
	if err != nil {
		return dst, fmt.Errorf("connectcore: codings: %w", err)
	}
	f, coding, x := which(in)
	out, err := in.run(f, coding, x, dst, src)
	switch {
	case err == nil || err == errCodingTooLarge || err == errCodingMalformed:
		m.release(in)
		return out, err
	default:
		m.drop(in, err)
		return dst, fmt.Errorf("connectcore: codings: %w", err)
	}
}

// acquire takes an instance that is idle, or makes one.
func (m *codingsModule) acquire() (*codingsInstance, error) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, errClosed
	}
	if last := len(m.idle) - 1; last >= 0 {
		in := m.idle[last]
		m.idle = m.idle[:last]
		m.mu.Unlock()
		return in, nil
	}
	m.created++
	m.mu.Unlock()
	if err := m.load(); err != nil {
		return nil, err
	}
	return m.start()
}

// load compiles the module, once.
func (m *codingsModule) load() error {
	m.once.Do(func() { m.compiled, m.err = m.compile() })
	return m.err
}

func (m *codingsModule) compile() (wazero.CompiledModule, error) {
	compiled, err := m.runtime.CompileModule(context.Background(), m.wasm)
	if err != nil {
		return nil, fmt.Errorf("the module does not compile (%d bytes; is the file complete?): %w", len(m.wasm), err)
	}
	return compiled, check(compiled, codingFunctions, abi.ExportMarker, abi.Major, abi.Minor)
}

func (m *codingsModule) start() (*codingsInstance, error) {
	ctx := context.Background()
	in := &codingsInstance{stderr: &tail{}}
	mod, err := m.runtime.InstantiateModule(ctx, m.compiled, moduleConfig(in.stderr))
	if err != nil {
		return nil, fmt.Errorf("start an instance of the module: %w", err)
	}
	in.mod, in.memory = mod, mod.Memory()
	in.reserve = mod.ExportedFunction(abi.ExportReserve)
	in.compress = mod.ExportedFunction(abi.ExportCompress)
	in.decompress = mod.ExportedFunction(abi.ExportDecompress)
	version, err := mod.ExportedFunction(abi.ExportVersion).Call(ctx)
	if err == nil {
		err = checkVersion(uint32(version[0]), abi.Major, abi.Minor)
	}
	if err != nil {
		return nil, errors.Join(err, mod.Close(ctx))
	}
	return in, nil
}

// release keeps an instance for the next message, unless it has grown too large.
func (m *codingsModule) release(in *codingsInstance) {
	m.mu.Lock()
	keep := !m.closed && int64(in.memory.Size()) <= m.watermark
	if keep {
		m.idle = append(m.idle, in)
	} else {
		m.replaced++
	}
	m.mu.Unlock()
	if !keep {
		in.shut()
	}
}

// drop ends an instance that failed.
func (m *codingsModule) drop(in *codingsInstance, reason error) {
	m.mu.Lock()
	m.trapped++
	m.mu.Unlock()
	m.logger.Error("connectcore: an instance of the codings' module failed and was dropped",
		"error", reason, "said", in.stderr.String())
	in.shut()
}

// close ends the instances that are idle; the others end with what they do.
func (m *codingsModule) close() {
	m.mu.Lock()
	idle := m.idle
	m.idle, m.closed = nil, true
	m.mu.Unlock()
	for _, in := range idle {
		in.shut()
	}
}

// codingsInstance is one instance. Whoever acquired it owns it.
type codingsInstance struct {
	mod                           api.Module
	memory                        api.Memory
	reserve, compress, decompress api.Function
	stack                         [3]uint64
	stderr                        *tail
}

// run has the guest do one message, and appends what comes out. After an error
// other than those about the message the instance is not to be used again.
func (in *codingsInstance) run(f api.Function, coding, x uint64, dst, src []byte) ([]byte, error) {
	if len(src) > math.MaxInt32 {
		return dst, fmt.Errorf("a message of %d bytes", len(src))
	}
	ctx := context.Background()
	in.stack[0] = uint64(len(src))
	if err := in.reserve.CallWithStack(ctx, in.stack[:]); err != nil {
		return dst, err
	}
	if arena := uint32(in.stack[0]); arena == 0 || !in.memory.Write(arena, src) {
		return dst, fmt.Errorf("there is no room for a message of %d bytes", len(src))
	}
	in.stack = [3]uint64{coding, x, uint64(len(src))}
	if err := f.CallWithStack(ctx, in.stack[:]); err != nil {
		return dst, err
	}
	address, size := uint32(in.stack[0]>>32), uint32(in.stack[0])
	if address == 0 {
		switch size {
		case abi.FaultTooLarge:
			return dst, errCodingTooLarge
		case abi.FaultMalformed:
			return dst, errCodingMalformed
		}
		return dst, fmt.Errorf("fault %d", size)
	}
	result, ok := in.memory.Read(address, size)
	if !ok {
		return dst, fmt.Errorf("a result at %#x, size %d, is outside of memory", address, size)
	}
	return append(dst, result...), nil
}

func (in *codingsInstance) shut() {
	_ = in.mod.Close(context.Background()) // nothing of it is used again
}
