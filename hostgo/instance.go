package hostgo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero/api"

	"github.com/connectcore/connectcore/wasm/abi"
)

var (
	errRetired         = errors.New("the module's instance of this call failed")
	errMalformedEvents = errors.New("the module's instance emitted malformed events")
	errEndless         = errors.New("the module does not end a call that was told whole")
	errClosed          = errors.New("the module is closed")
)

const firstArena = 64 << 10

// instance is one instance of the module. Whoever holds mu owns it: only they
// call into it, or read or write its memory.
type instance struct {
	pool   *pool
	open   atomic.Int32 // calls bound to it
	inside atomic.Bool  // a call into the guest is under way

	mu            sync.Mutex
	dead          bool        // closed; nothing may touch it
	leaving       atomic.Bool // takes no new calls; set under mu
	mod           api.Module
	memory        api.Memory
	reserve, step api.Function
	stack         [1]uint64
	arena         uint32 // address of the in arena
	arenaSize     uint32
	configs       map[*configuration]uint32 // handles
	stderr        *tail

	lateMu sync.Mutex // not held during a step
	late   commands   // what goes ahead of the next batch
}

func newInstance(ctx context.Context, p *pool) (*instance, error) {
	in := &instance{pool: p, configs: map[*configuration]uint32{}, stderr: &tail{}}
	mod, err := p.runtime.InstantiateModule(ctx, p.compiled, moduleConfig(in.stderr))
	if err != nil {
		return nil, fmt.Errorf("start an instance of the module: %w", err)
	}
	in.mod, in.memory = mod, mod.Memory()
	in.reserve = mod.ExportedFunction(abi.ExportReserve)
	in.step = mod.ExportedFunction(abi.ExportStep)
	if err := in.hello(ctx); err != nil {
		return nil, errors.Join(err, mod.Close(ctx))
	}
	return in, nil
}

func (in *instance) hello(ctx context.Context) error {
	if _, err := in.mod.ExportedFunction(abi.ExportMarker).Call(ctx); err != nil {
		return fmt.Errorf("call %s: %w", abi.ExportMarker, err)
	}
	version, err := in.mod.ExportedFunction(abi.ExportVersion).Call(ctx)
	if err != nil {
		return fmt.Errorf("call %s: %w", abi.ExportVersion, err)
	}
	if err := checkVersion(uint32(version[0]), abi.Major, abi.Minor); err != nil {
		return err
	}
	return in.makeRoom(firstArena)
}

func (in *instance) makeRoom(size uint32) error {
	in.stack[0] = uint64(size)
	if err := in.reserve.CallWithStack(context.Background(), in.stack[:]); err != nil {
		return fmt.Errorf("call %s: %w", abi.ExportReserve, err)
	}
	in.arena, in.arenaSize = uint32(in.stack[0]), size
	return nil
}

// run gives the commands to the guest and appends its events to dst. An error
// means that the instance is retired. The caller holds mu.
func (in *instance) run(commands, dst []byte) ([]byte, error) {
	if in.dead {
		return dst, errRetired
	}
	if !in.inside.CompareAndSwap(false, true) {
		panic("connectcore: two owners of one instance")
	}
	dst, err := in.enter(commands, dst)
	in.inside.Store(false)
	if err != nil {
		in.retire(err)
		return dst, errRetired
	}
	if int64(in.memory.Size()) > in.pool.watermark {
		in.leave()
	}
	return dst, nil
}

func (in *instance) enter(commands, dst []byte) ([]byte, error) {
	size, err := in.fill(commands)
	if err != nil {
		return dst, err
	}
	in.stack[0] = size
	if err := in.step.CallWithStack(context.Background(), in.stack[:]); err != nil {
		return dst, err
	}
	address, length := uint32(in.stack[0]>>32), uint32(in.stack[0])
	events, ok := in.memory.Read(address, length)
	if !ok {
		return dst, fmt.Errorf("events at %#x, size %d, are outside of memory", address, length)
	}
	if text, ok := panicIn(events); ok {
		return dst, fmt.Errorf("the guest failed: %s", text)
	}
	return append(dst, events...), nil
}

// fill writes the next batch into the in arena and returns its size.
func (in *instance) fill(commands []byte) (size uint64, err error) {
	in.lateMu.Lock()
	defer in.lateMu.Unlock()
	late := in.late.B
	in.late.reset()
	size = uint64(len(late)) + uint64(len(commands))
	if size > uint64(in.arenaSize) {
		if size > 1<<31 {
			return 0, fmt.Errorf("a batch of %d bytes", size)
		}
		if err := in.makeRoom(uint32(size)); err != nil {
			return 0, err
		}
	}
	if !in.memory.Write(in.arena, late) || !in.memory.Write(in.arena+uint32(len(late)), commands) {
		return 0, fmt.Errorf("the in arena at %#x, size %d, is outside of memory", in.arena, in.arenaSize)
	}
	return size, nil
}

// panicIn finds the event by which a guest says that it failed.
func panicIn(events []byte) (text string, found bool) {
	for rest := events; len(rest) >= abi.HeaderSize; {
		size := binary.LittleEndian.Uint32(rest[4:])
		if size < abi.HeaderSize || uint64(size) > uint64(len(rest)) {
			return "", false // malformed: the reader of the events says so
		}
		if abi.Kind(binary.LittleEndian.Uint16(rest)) == abi.EvFault {
			if r, _, ok := abi.Next(rest); ok && r.U32() == abi.FaultPanic {
				return string(r.Bytes()), true
			}
		}
		rest = rest[size:]
	}
	return "", false
}

// retire drops an instance that failed, with its memory. The caller holds mu.
func (in *instance) retire(reason error) {
	if in.dead {
		return
	}
	in.pool.remove(in)
	in.pool.trapped.Add(1)
	in.pool.logger.Error("connectcore: an instance of the module failed and was dropped",
		"error", reason, "calls", in.open.Load(), "said", in.stderr.String())
	in.shut()
}

// leave takes an instance out of the pool; it ends with its last call. The
// caller holds mu.
func (in *instance) leave() {
	if in.leaving.Load() || in.dead {
		return
	}
	in.pool.remove(in)
	in.pool.replaced.Add(1)
	in.leaving.Store(true)
}

func (in *instance) shut() {
	if in.dead {
		return
	}
	in.dead = true
	in.pool.forget(in)
	_ = in.mod.Close(context.Background()) // nothing of it is used again
}

// later has a command without columns go ahead of the next batch.
func (in *instance) later(kind abi.Kind, handle uint32) {
	in.lateMu.Lock()
	defer in.lateMu.Unlock()
	in.late.bare(kind, handle)
}

// release ends a call's bond with the instance.
func (in *instance) release() {
	if in.open.Add(-1) > 0 || !in.leaving.Load() {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.dead && in.open.Load() == 0 {
		in.shut()
	}
}

// tail keeps the last bytes of what a guest prints, which is nothing unless it
// fails. Only the owner of the instance writes and reads it.
type tail struct{ b []byte }

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if extra := len(t.b) - tailSize; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }
