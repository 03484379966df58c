package tapes

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/connectcore/connectcore/wasm/abi"
	"github.com/connectcore/connectcore/wasm/guest"
)

// native is core without the module around it.
type native struct{ g *guest.Guest }

func newNative() Guest { return native{guest.New()} }

func (n native) Step(batch []byte) ([]byte, error) {
	copy(n.g.Reserve(len(batch)), batch)
	return bytes.Clone(n.g.Step(len(batch))), nil
}

// module is the shipped module under wazero, driven directly: not by hostgo.
type module struct {
	ctx      context.Context
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
}

func openModule(ctx context.Context, path string) (*module, error) {
	code, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &module{ctx: ctx, runtime: wazero.NewRuntime(ctx)}
	wasi_snapshot_preview1.MustInstantiate(ctx, m.runtime)
	m.compiled, err = m.runtime.CompileModule(ctx, code)
	return m, err
}

func (m *module) close() { m.runtime.Close(m.ctx) }

func (m *module) fresh() (api.Module, error) {
	return m.runtime.InstantiateModule(m.ctx, m.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
}

// instance makes a fresh one and a function that drops it.
func (m *module) instance() (Guest, func(), error) {
	in, err := m.fresh()
	if err != nil {
		return nil, nil, err
	}
	drop := func() { in.Close(m.ctx) }
	version, err := in.ExportedFunction(abi.ExportVersion).Call(m.ctx)
	if err != nil {
		return nil, nil, err
	}
	if version[0] != abi.Major<<16|abi.Minor {
		return nil, nil, fmt.Errorf("the module has version %#x", version[0])
	}
	return instance{m.ctx, in}, drop, nil
}

type instance struct {
	ctx context.Context
	api.Module
}

func (i instance) Step(batch []byte) ([]byte, error) {
	at, err := i.ExportedFunction(abi.ExportReserve).Call(i.ctx, uint64(len(batch)))
	if err != nil {
		return nil, err
	}
	if !i.Memory().Write(uint32(at[0]), batch) {
		return nil, fmt.Errorf("the in arena lies outside of the memory")
	}
	out, err := i.ExportedFunction(abi.ExportStep).Call(i.ctx, uint64(len(batch)))
	if err != nil {
		return nil, err
	}
	b, ok := i.Memory().Read(uint32(out[0]>>32), uint32(out[0]))
	if !ok {
		return nil, fmt.Errorf("the events lie outside of the memory")
	}
	return bytes.Clone(b), nil
}
