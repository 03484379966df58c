package hostgo

import (
	"errors"
	"fmt"

	"github.com/connectcore/connectcore/wasm/abi"
)

// configuration is what a handler or a client asks of the module: the record
// that makes it. An instance learns it with the first call that needs it there.
type configuration struct {
	pool    *pool
	record  []byte
	packers []packer // of the codings, in order; nil for what the module does
	flags   uint16   // of the module's answer, which is the same in every instance
}

// configure makes a configuration. An instance tries it, so that one that the
// module refuses is found early.
func (m *Module) configure(record []byte, codings []string) (*configuration, error) {
	c := &configuration{pool: m.pool, record: record}
	for _, name := range codings {
		c.packers = append(c.packers, m.codings.packer(name))
	}
	in, err := c.pool.acquire()
	if err != nil {
		return nil, fmt.Errorf("connectcore: %w", err)
	}
	_, c.flags, err = in.configure(c)
	in.mu.Unlock()
	in.release()
	if err != nil {
		return nil, fmt.Errorf("connectcore: %w", err)
	}
	return c, nil
}

// close forgets the configuration in every instance. Calls that are open go on.
func (c *configuration) close() {
	for _, in := range c.pool.living() {
		in.mu.Lock()
		in.drop(c)
		in.mu.Unlock()
	}
}

// config returns the handle that a configuration has in this instance, made on
// first use. The caller holds mu.
func (in *instance) config(c *configuration) (uint32, error) {
	if handle, ok := in.configs[c]; ok {
		return handle, nil
	}
	handle, _, err := in.configure(c)
	return handle, err
}

// configure gives a configuration to this instance. The caller holds mu.
func (in *instance) configure(c *configuration) (handle uint32, flags uint16, err error) {
	if len(in.configs) >= abi.MaxConfigs {
		for any := range in.configs {
			in.drop(any) // it comes back when a call needs it
			break
		}
	}
	events, err := in.run(c.record, nil)
	if err != nil {
		return 0, 0, err
	}
	ev, b := event{}, batch{rest: events}
	switch ok, err := b.next(&ev); {
	case err != nil:
		in.retire(err)
		return 0, 0, errRetired
	case ok && ev.kind == abi.EvConfigured:
		in.configs[c] = ev.handle
		return ev.handle, ev.flags, nil
	case ok && ev.kind == abi.EvFault:
		return 0, 0, fmt.Errorf("the module refuses the configuration: %s", ev.message)
	}
	err = errors.New("the module does not answer a configuration")
	in.retire(err)
	return 0, 0, err
}

// drop forgets a configuration. The caller holds mu.
func (in *instance) drop(c *configuration) {
	if handle, ok := in.configs[c]; ok {
		delete(in.configs, c)
		in.later(abi.CmdCloseConfig, handle)
	}
}
