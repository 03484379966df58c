package hostgo

import (
	"context"
	"encoding/binary"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero"

	"github.com/connectcore/connectcore/wasm/abi"
)

// Stats counts what became of a module's instances.
type Stats struct {
	// Instances are those that take calls now.
	Instances int
	// Calls are open in these instances now. The module says early how a plain
	// unary call is answered: such a call is open in none.
	Calls int
	// Created counts all instances ever made.
	Created uint64
	// Trapped counts instances dropped because they failed.
	Trapped uint64
	// Replaced counts instances taken out because they had grown too large.
	Replaced uint64
}

// pool hands instances to calls. An instance has one owner at a time, a call
// stays with its instance; the pool makes instances as long as all are busy
// and there are fewer than max.
type pool struct {
	runtime   wazero.Runtime
	compiled  wazero.CompiledModule
	max       int
	watermark int64
	logger    *slog.Logger

	list   atomic.Pointer[[]*instance] // replaced, never changed, under change
	change sync.Mutex
	grow   sync.Mutex // held while an instance is made
	closed atomic.Bool
	alive  map[*instance]struct{} // not yet shut, in the list or leaving; under change

	created, trapped, replaced atomic.Uint64
}

func newPool(runtime wazero.Runtime, compiled wazero.CompiledModule, o *Options) *pool {
	p := &pool{runtime: runtime, compiled: compiled, max: o.Instances, watermark: o.MemoryWatermark, logger: o.Logger, alive: map[*instance]struct{}{}}
	p.list.Store(&[]*instance{})
	return p
}

// warm makes the first instance, so that a module that does not start is
// found when it is loaded.
func (p *pool) warm(ctx context.Context) error {
	in, err := newInstance(ctx, p)
	if err != nil {
		return err
	}
	p.add(in)
	return nil
}

func (p *pool) add(in *instance) {
	p.change.Lock()
	defer p.change.Unlock()
	list := append(slices.Clone(*p.list.Load()), in)
	p.list.Store(&list)
	p.alive[in] = struct{}{}
	p.created.Add(1)
}

func (p *pool) remove(in *instance) {
	p.change.Lock()
	defer p.change.Unlock()
	list := slices.DeleteFunc(slices.Clone(*p.list.Load()), func(x *instance) bool { return x == in })
	p.list.Store(&list)
}

func (p *pool) forget(in *instance) {
	p.change.Lock()
	defer p.change.Unlock()
	delete(p.alive, in)
}

// living returns all instances that are not shut.
func (p *pool) living() []*instance {
	p.change.Lock()
	defer p.change.Unlock()
	return slices.Collect(maps.Keys(p.alive))
}

// acquire returns an instance that takes another call, locked and counted.
func (p *pool) acquire() (*instance, error) {
	for !p.closed.Load() {
		list := *p.list.Load()
		least := leastBusy(list)
		if least != nil && least.tryTake() {
			return least, nil
		}
		for _, in := range list {
			if in != least && in.tryTake() {
				return in, nil
			}
		}
		if len(list) < p.max || least == nil {
			in, err := p.tryGrow(least == nil)
			if in != nil || err != nil {
				return in, err
			}
		}
		if least != nil {
			least.mu.Lock()
			if least.take() {
				return least, nil
			}
			least.mu.Unlock()
		}
	}
	return nil, errClosed
}

func leastBusy(list []*instance) *instance {
	var least *instance
	fewest := int32(abi.MaxCalls)
	for _, in := range list {
		if n := in.open.Load(); n < fewest {
			least, fewest = in, n
		}
	}
	return least
}

// tryGrow makes an instance unless somebody else does; with wait it waits for
// them, and returns nil for the caller to look again.
func (p *pool) tryGrow(wait bool) (*instance, error) {
	if !p.grow.TryLock() {
		if wait {
			p.grow.Lock()
			p.grow.Unlock() //nolint:staticcheck // only waited for
		}
		return nil, nil
	}
	defer p.grow.Unlock()
	if list := *p.list.Load(); p.closed.Load() || len(list) >= p.max && leastBusy(list) != nil {
		return nil, nil
	}
	in, err := newInstance(context.Background(), p)
	if err != nil {
		return nil, err
	}
	in.mu.Lock()
	p.add(in)
	in.take()
	return in, nil
}

func (in *instance) tryTake() bool {
	if !in.mu.TryLock() {
		return false
	}
	if in.take() {
		return true
	}
	in.mu.Unlock()
	return false
}

// take counts a call, unless the instance takes none. The caller holds mu.
func (in *instance) take() bool {
	if in.dead || in.leaving.Load() || in.open.Load() >= abi.MaxCalls {
		return false
	}
	in.open.Add(1)
	return true
}

// bind runs a batch, whose first record is for the configuration, in an instance
// of the pool, which the call that it opens then keeps.
func (p *pool) bind(config *configuration, commands, dst []byte) (*instance, []byte, error) {
	in, err := p.acquire()
	if err != nil {
		return nil, dst, err
	}
	handle, err := in.config(config)
	if err == nil {
		binary.LittleEndian.PutUint32(commands[8:], handle)
		dst, err = in.run(commands, dst)
	}
	in.mu.Unlock()
	if err != nil {
		in.release()
		return nil, dst, err
	}
	return in, dst, nil
}

func (p *pool) close() {
	p.closed.Store(true)
	p.grow.Lock() // an instance under way is alive afterwards
	defer p.grow.Unlock()
	for _, in := range p.living() {
		in.mu.Lock()
		p.remove(in)
		in.shut()
		in.mu.Unlock()
	}
}

func (p *pool) stats() Stats {
	s := Stats{Created: p.created.Load(), Trapped: p.trapped.Load(), Replaced: p.replaced.Load()}
	for _, in := range *p.list.Load() {
		s.Instances++
		s.Calls += int(in.open.Load())
	}
	return s
}
