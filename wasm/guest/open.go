package guest

import (
	"bytes"

	"github.com/connectcore/connectcore/core"
	"github.com/connectcore/connectcore/wasm/abi"
)

// fieldsOf reads a fields column; BrokenFields where its count does not fit.
func fieldsOf(r *abi.Record) core.Fields {
	f, ok := core.FieldsOf(r.Counted())
	if !ok {
		return core.BrokenFields
	}
	return f
}

func pairsOf(r *abi.Record) (core.Pairs, bool) { return core.PairsOf(r.Counted()) }

// names splits a list joined by NUL, empty for no names.
func names(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	var out []string
	for _, n := range bytes.Split(b, []byte{0}) {
		out = append(out, string(n))
	}
	return out
}

// codingsOf reads a configuration's codings. Where it is false the fault is told.
func (g *Guest) codingsOf(list, native []byte) (out []core.Coding, ok bool) {
	all := names(list)
	if ok = len(all) == len(native); ok {
		for i, n := range all {
			ok = ok && native[i] <= 1
			out = append(out, core.Coding{Name: n, Native: native[i] == 1})
		}
	}
	if !ok {
		g.fault(0, abi.FaultConfig, "native must have one byte, 0 or 1, for each coding")
	}
	return out, ok
}

func (g *Guest) configureServer(r *abi.Record) bool {
	var cfg core.ServerConfig
	cfg.ReadMax, cfg.SendMax, cfg.CompressMin, cfg.TimeoutMax = r.U32(), r.U32(), r.U32(), r.U64()
	codecs, codings, native := r.Bytes(), r.Bytes(), r.Bytes()
	procedures, attributes := r.Bytes(), r.Bytes()
	if !r.Whole() {
		return false
	}
	cfg.RequireVersion, cfg.Outcomes = r.Flags&abi.ServerRequireVersion != 0, r.Flags&abi.ServerOutcomes != 0
	cfg.NotServed[core.ProtocolConnect] = r.Flags&abi.ServerNoConnect != 0
	cfg.NotServed[core.ProtocolGRPC] = r.Flags&abi.ServerNoGRPC != 0
	cfg.NotServed[core.ProtocolGRPCWeb] = r.Flags&abi.ServerNoGRPCWeb != 0
	cfg.Codecs = names(codecs)
	var ok bool
	if cfg.Codings, ok = g.codingsOf(codings, native); !ok {
		return true
	}
	paths := names(procedures)
	if len(paths) != len(attributes) {
		g.fault(0, abi.FaultConfig, "attributes must have one byte for each procedure")
		return true
	}
	for i, path := range paths {
		stream, safe, ok := attributesOf(uint32(attributes[i]))
		if !ok {
			g.fault(0, abi.FaultConfig, textAttributes)
			return true
		}
		cfg.Procedures = append(cfg.Procedures, core.Procedure{Path: path, Stream: stream, NoSideEffects: safe})
	}
	server, err := core.NewServer(cfg)
	configured(g, &g.servers, server, 0, err)
	return true
}

const textAttributes = "a procedure's attributes have bits that do not exist"

func attributesOf(a uint32) (stream core.StreamType, noSideEffects, ok bool) {
	return core.StreamType(a & 3), a&abi.NoSideEffects != 0, a <= abi.BidiStream|abi.NoSideEffects
}

func (g *Guest) configureClient(r *abi.Record) bool {
	var cfg core.ClientConfig
	cfg.Protocol = core.Protocol(r.U32())
	cfg.ReadMax, cfg.SendMax, cfg.CompressMin = r.U32(), r.U32(), r.U32()
	cfg.SendCoding, cfg.GetMax = r.U32(), r.U32()
	codec, codings, native := r.Bytes(), r.Bytes(), r.Bytes()
	prefix, userAgent := r.Bytes(), r.Bytes()
	if !r.Whole() {
		return false
	}
	cfg.Text = r.Flags&abi.ClientText != 0
	cfg.Codec, cfg.Prefix, cfg.UserAgent = string(codec), string(prefix), string(userAgent)
	var ok bool
	if cfg.Codings, ok = g.codingsOf(codings, native); !ok {
		return true
	}
	client, err := core.NewClient(cfg)
	var flags uint16
	if err == nil {
		all, get := client.Inline()
		flags = flag(all, abi.ConfiguredSendInline) | flag(get, abi.ConfiguredGetInline)
	}
	configured(g, &g.clients, client, flags, err)
	return true
}

func configured[T any](g *Guest, t *table[T], value *T, flags uint16, err error) {
	if err != nil {
		g.fault(0, abi.FaultConfig, err.Error())
		return
	}
	handle, s, ok := t.add()
	if !ok {
		g.fault(0, abi.FaultBusy, "too many configurations are open")
		return
	}
	s.value = value
	g.w.Begin(abi.EvConfigured, flags, handle)
	g.w.End()
}

// newCall takes a call from the table.
func (g *Guest) newCall(config uint32) *call {
	handle, s, ok := g.calls.add()
	if !ok {
		g.last = 0
		g.fault(config, abi.FaultBusy, "too many calls are open")
		return nil
	}
	if s.value == nil {
		s.value = new(call)
	}
	g.last = handle
	return s.value
}

func (g *Guest) openServer(r *abi.Record) bool {
	method, path, query := r.Bytes(), r.Bytes(), r.Bytes()
	fields := core.RawFields(r.Counted())
	if !r.Whole() {
		return false
	}
	server := g.servers.get(r.Handle)
	if server == nil {
		g.last = 0
		g.fault(r.Handle, abi.FaultHandle, "no such server configuration")
		return true
	}
	c := g.newCall(r.Handle)
	if c == nil {
		return true
	}
	head := core.RequestHead{Method: method, Path: path, Query: query, Fields: fields}
	can := core.Capabilities{
		Trailers: r.Flags&abi.OpenTrailers != 0, Duplex: r.Flags&abi.OpenDuplex != 0,
		Prepare: r.Flags&abi.OpenPrepare != 0, Unbounded: r.Flags&abi.OpenUnbounded != 0,
	}
	if c.server == nil {
		c.server = new(core.ServerCall)
		c.server.Memory = &g.memory
	}
	c.Call = c.server
	g.encode(g.last, server.Open(c.server, &head, can, r.Flags&abi.OpenEnd != 0))
	return true
}

func (g *Guest) openClient(r *abi.Record) bool {
	attributes := r.U32()
	o := core.Opening{Tries: r.U32(), Timeout: r.U64(), Path: r.Bytes(), Fields: fieldsOf(r)}
	o.Get, o.Retry = r.Flags&abi.OpenGet != 0, r.Flags&abi.OpenRetry != 0
	binary, ok := pairsOf(r)
	if !ok || !r.Whole() {
		return false
	}
	o.Binary = binary
	g.last = 0
	client := g.clients.get(r.Handle)
	if client == nil {
		g.fault(r.Handle, abi.FaultHandle, "no such client configuration")
		return true
	}
	if o.Stream, o.NoSideEffects, ok = attributesOf(attributes); !ok {
		g.fault(r.Handle, abi.FaultState, textAttributes)
		return true
	}
	c := g.newCall(r.Handle)
	if c == nil {
		return true
	}
	if c.client == nil {
		c.client = new(core.ClientCall)
		c.client.Memory = &g.memory
	}
	c.Call = c.client
	events, err := client.Open(c.client, &o)
	if err != nil {
		g.calls.free(g.last)
		g.over = append(g.over, g.last) // what the batch says about it is skipped
		g.fault(r.Handle, abi.FaultArgument, err.Error())
		return true
	}
	g.encode(g.last, events)
	return true
}
