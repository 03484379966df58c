package hostgo

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sort"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/connectcore/connectcore/wasm/abi"
)

//go:embed connectcore.wasm
var embedded []byte

// Options of a [Module]. The zero value, and nil, mean the defaults.
type Options struct {
	// Instances is how many instances run at once at most; 0 means GOMAXPROCS.
	Instances int
	// MemoryLimit is the most memory, in bytes, that one instance may have;
	// 0 means 512 MiB, at most 4 GiB.
	MemoryLimit int64
	// MemoryWatermark is the memory, in bytes, past which an instance takes no
	// more calls and is replaced once its calls are over (its memory never
	// shrinks); 0 means 64 MiB.
	MemoryWatermark int64
	// CacheDir is the directory in which compiled code is kept between
	// processes. Empty means none: every process compiles once, for a second or
	// two of CPU.
	// [DefaultCacheDir] is a good place. The directory is made if it does not
	// exist; one that others could write to is refused, since native code is
	// loaded from it.
	CacheDir string
	// Logger is told about instances that failed. Nil means [slog.Default].
	Logger *slog.Logger
}

// Module is the compiled module with its instances. It is safe for use by
// several goroutines.
type Module struct {
	pool    *pool
	codings *codingsModule
	runtime wazero.Runtime
	cache   wazero.CompilationCache
}

var (
	defaultOnce   sync.Once
	defaultModule *Module
	errDefault    error
)

// Default returns the module with default options (see [Load]). It is compiled at
// the first call; later ones return the same module, or the same error.
func Default() (*Module, error) {
	defaultOnce.Do(func() { defaultModule, errDefault = Load(context.Background(), nil) })
	return defaultModule, errDefault
}

// Load compiles the embedded module, or the file that the environment variable
// CONNECTCORE_MODULE names, if its SHA-256 is what CONNECTCORE_MODULE_SHA256
// says. The caller closes the result.
func Load(ctx context.Context, options *Options) (*Module, error) {
	wasm, err := chosen()
	if err != nil {
		return nil, err
	}
	return LoadBytes(ctx, wasm, options)
}

// LoadBytes compiles a module other than the embedded one, and checks that it
// is one that this package can drive: its imports, its exports, its version.
// The caller closes the result.
func LoadBytes(ctx context.Context, wasm []byte, options *Options) (*Module, error) {
	o := Options{}
	if options != nil {
		o = *options
	}
	if o.Instances <= 0 {
		o.Instances = runtime.GOMAXPROCS(0)
	}
	if o.MemoryLimit <= 0 {
		o.MemoryLimit = 512 << 20
	}
	if o.MemoryWatermark <= 0 {
		o.MemoryWatermark = 64 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	const page = 64 << 10
	config := wazero.NewRuntimeConfig().
		WithMemoryLimitPages(uint32(min(o.MemoryLimit/page, 65536))).
		WithDebugInfoEnabled(false)
	m := &Module{}
	if o.CacheDir != "" {
		if err := ownCacheDir(o.CacheDir); err != nil {
			return nil, fmt.Errorf("connectcore: cache of compiled code: %w", err)
		}
		cache, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("connectcore: cache of compiled code: %w", err)
		}
		m.cache = cache
		config = config.WithCompilationCache(cache)
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := m.start(ctx, wasm, &o); err != nil {
		return nil, errors.Join(fmt.Errorf("connectcore: %w", err), m.Close(ctx))
	}
	return m, nil
}

func (m *Module) start(ctx context.Context, wasm []byte, o *Options) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, m.runtime); err != nil {
		return fmt.Errorf("set up WASI: %w", err)
	}
	compiled, err := m.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return fmt.Errorf("the module does not compile (%d bytes; is the file complete?): %w", len(wasm), err)
	}
	if err := check(compiled, functions, abi.ExportMarker, abi.Major, abi.Minor); err != nil {
		return err
	}
	m.pool, m.codings = newPool(m.runtime, compiled, o), newCodings(m.runtime, embeddedCodings, o)
	return m.pool.warm(ctx)
}

// Close ends all instances. Calls that are under way fail.
func (m *Module) Close(ctx context.Context) error {
	if m.pool != nil {
		m.pool.close()
		m.codings.close()
	}
	err := m.runtime.Close(ctx)
	if m.cache != nil {
		err = errors.Join(err, m.cache.Close(ctx))
	}
	return err
}

// LoadCodings compiles the module of br and zstd, which otherwise happens when one
// of them is first used: a server can do that before it takes calls.
func (m *Module) LoadCodings() error {
	if err := m.codings.load(); err != nil {
		return fmt.Errorf("connectcore: codings: %w", err)
	}
	return nil
}

// Stats returns the counters of the module's instances.
func (m *Module) Stats() Stats { return m.pool.stats() }

// function is what a module has to export, and how.
type function struct {
	name            string
	params, results []api.ValueType
}

var functions = []function{
	{"_initialize", nil, nil},
	{abi.ExportMarker, nil, []api.ValueType{api.ValueTypeI32}},
	{abi.ExportVersion, nil, []api.ValueType{api.ValueTypeI32}},
	{abi.ExportReserve, []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}},
	{abi.ExportStep, []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}},
}

// check compares a module with its contract and names all that is wrong.
func check(compiled wazero.CompiledModule, functions []function, marker string, major, minor uint32) error {
	var wrong []string
	exports := compiled.ExportedFunctions()
	for _, want := range functions {
		f, ok := exports[want.name]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("no function %q is exported", want.name))
		case !equalTypes(f.ParamTypes(), want.params) || !equalTypes(f.ResultTypes(), want.results):
			wrong = append(wrong, fmt.Sprintf("function %q is %s, want %s", want.name,
				signature(f.ParamTypes(), f.ResultTypes()), signature(want.params, want.results)))
		}
	}
	if _, ok := compiled.ExportedMemories()["memory"]; !ok {
		wrong = append(wrong, `no memory "memory" is exported`)
	}
	foreign := map[string]bool{}
	for _, f := range compiled.ImportedFunctions() {
		if module, name, _ := f.Import(); module != wasi_snapshot_preview1.ModuleName {
			foreign[fmt.Sprintf("%q of %q is imported, only WASI may be", name, module)] = true
		}
	}
	if len(compiled.ImportedMemories()) > 0 {
		foreign["a memory is imported, only WASI may be"] = true
	}
	for text := range foreign {
		wrong = append(wrong, text)
	}
	if len(wrong) == 0 {
		return nil
	}
	if _, ok := exports[marker]; !ok {
		stem := strings.TrimRight(marker, "0123456789") // of all major versions
		for name := range exports {
			if strings.HasPrefix(name, stem) {
				wrong = append(wrong, fmt.Sprintf("it exports %q: another major version of the interface", name))
			}
		}
	}
	sort.Strings(wrong)
	return fmt.Errorf("not a module that this package (interface %d.%d) can drive: %s",
		major, minor, strings.Join(wrong, "; "))
}

func equalTypes(a, b []api.ValueType) bool { return string(a) == string(b) }

func signature(params, results []api.ValueType) string {
	names := func(types []api.ValueType) string {
		var s []string
		for _, t := range types {
			s = append(s, api.ValueTypeName(t))
		}
		return "(" + strings.Join(s, ", ") + ")"
	}
	return names(params) + " -> " + names(results)
}

// checkVersion refuses another major version and an older minor one.
func checkVersion(version, wantMajor, wantMinor uint32) error {
	if major, minor := version>>16, version&0xffff; major != wantMajor || minor < wantMinor {
		return fmt.Errorf("the module's interface is %d.%d, this package needs %d.%d or a later %d.x",
			major, minor, wantMajor, wantMinor, wantMajor)
	}
	return nil
}

func moduleConfig(stderr *tail) wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName(""). // instances are many, and nobody imports them
		WithStartFunctions("_initialize").
		WithStderr(stderr).
		WithRandSource(rand.Reader). // seeds the guest's hash tables
		WithSysNanotime().
		WithSysWalltime()
}
