package tapes

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"github.com/connectcore/connectcore/tests/sequences"
	"github.com/connectcore/connectcore/wasm/abi"
)

// Guest is what a tape is played to: one fresh instance.
type Guest interface {
	// Step gives the guest a batch and returns its events.
	Step(batch []byte) ([]byte, error)
}

// call is what a host keeps of a call.
type call struct {
	name     string
	handle   uint32 // 0 until an event has told it
	config   *config
	head     []Line   // the fields of the head that came in
	content  []byte   // all content so far
	released uint64   // what lies before need not be held any more
	inline   bool     // the guest wants all content with its bytes
	sends    [][]byte // payloads of this batch that no body has taken yet
	done     bool
}

// config is what a host keeps of a configuration.
type config struct {
	handle                     uint32
	procedures, codecs, coding []string
}

// player is the host's side of the contract.
type player struct {
	guest   Guest
	mode    *Mode
	chance  sequences.Chance
	digest  hash.Hash
	batch   []byte
	opened  *call   // by this batch, last: handle 0 means it
	opens   []*call // by this batch, whose handles are not known yet
	configs []*config
	pending []*config // configured by this batch
	names   map[string]*call
	handles map[uint32]*call
	current *call
	got     []Entry
	want    []event // unanswered "more"
}

// Failure is a tape that did not go as it says.
type Failure struct {
	Step int // counts the tape's steps from 0, the presets' included
	Got  []Entry
	Err  error
}

func (f *Failure) Error() string { return f.Err.Error() }

// Play replays a tape on a fresh guest, then what must still work after it, and
// returns the digest of all event bytes that came. The error is a *Failure.
func Play(guest Guest, t, after *Tape, mode *Mode) (string, error) {
	p := &player{guest: guest, mode: mode, chance: newChance(t.Name, mode.number), digest: sha256.New()}
	if err := p.tape(t); err != nil {
		return "", err
	}
	if after != nil {
		p.mode = &Modes[0]
		if err := p.tape(after); err != nil {
			return "", fmt.Errorf("a good call afterwards: %w", err)
		}
	}
	return hex.EncodeToString(p.digest.Sum(nil)), nil
}

func (p *player) tape(t *Tape) error {
	p.names, p.handles, p.current, p.configs = map[string]*call{}, map[uint32]*call{}, nil, nil
	for i := range t.Steps {
		s := &t.Steps[i]
		p.got = nil
		err := p.step(s)
		p.unzipBodies()
		if err == nil {
			err = differ(s.Events, p.got)
		}
		if err != nil {
			return &Failure{Step: i, Got: p.got, Err: fmt.Errorf("%s.tape:%d: %s: %w", t.Name, s.Commands[0].Line, p.mode.Name, err)}
		}
	}
	return nil
}

func (p *player) step(s *Step) error {
	for i := range s.Commands {
		c := &s.Commands[i]
		var err error
		switch {
		case c.Kind == "raw":
			for _, t := range c.Payloads {
				p.batch = append(p.batch, t.Bytes...)
			}
		case c.Kind == "content" && !c.Flag("resume"):
			next := ""
			if i+1 < len(s.Commands) {
				next = s.Commands[i+1].Kind
			}
			err = p.content(c, next)
		case c.Kind == "content-end" && p.ended(c):
		default:
			err = p.command(c)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", c.Line, err)
		}
	}
	return p.flush()
}

// ended says whether the call that a command is for is known to be done.
func (p *player) ended(c *Entry) bool {
	k, err := p.callOf(c)
	return err == nil && k != nil && k.done
}

// content sends content as the mode wants it.
func (p *player) content(c *Entry, next string) error {
	k, err := p.callOf(c)
	if err != nil {
		return err
	}
	if k == nil {
		return p.command(c)
	}
	var whole []byte
	for _, t := range c.Payloads {
		whole = append(whole, t.Bytes...)
	}
	s := schemaNamed("content", false)
	chunks := p.mode.chunks(&p.chance, whole)
	end := uint16(0)
	if c.Flag("end") {
		end = abi.ContentEnd
		if p.mode.endApart(&p.chance) {
			chunks = append(chunks, nil)
		}
	}
	for i, b := range chunks {
		if k.done {
			return nil
		}
		last := i == len(chunks)-1
		flags := uint16(0)
		if last {
			flags = end
		}
		n := p.mode.carried(&p.chance, len(b), k.inline)
		handle, err := p.handleOf(k)
		if err != nil {
			return err
		}
		k.content = append(k.content, b...)
		p.batch = encode(p.batch, s, flags, handle, map[string]column{"length": {n: uint64(len(b))}, "data": {b: b[:n]}})
		if !last || p.mode.Name != "whole" && next != "content-end" {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// command encodes any command as it stands.
func (p *player) command(c *Entry) error {
	s := schemaNamed(c.Kind, false)
	if s == nil {
		return fmt.Errorf("unknown command %q", c.Kind)
	}
	var flags uint16
	compressed := false
	for _, name := range c.Flags {
		bit := -1
		for i, f := range s.Flags {
			if f == name {
				bit = i
			}
		}
		switch {
		case bit >= 0:
			flags |= 1 << bit
		case name == "compressed" && s.Kind == abi.CmdSend:
			compressed = true
		default:
			return fmt.Errorf("%s has no flag %q", c.Kind, name)
		}
	}
	cols := map[string]column{}
	args := map[string]string{}
	for _, a := range c.Args {
		args[a.Key] = string(a.Value.Bytes)
		if a.Key == "config" || a.Key == "call" || a.Key == "as" || a.Key == "handle" {
			continue
		}
		v, err := columnOf(s, a)
		if err != nil {
			return err
		}
		cols[a.Key] = v
	}
	if err := addLines(s, c, cols); err != nil {
		return err
	}
	var payloads []byte
	var lengths []uint32
	for _, t := range c.Payloads {
		payloads = append(payloads, t.Bytes...)
		n := uint32(len(t.Bytes))
		if compressed {
			n |= abi.Compressed
		}
		lengths = append(lengths, n)
	}
	switch s.Kind {
	case abi.CmdSend:
		cols["lengths"] = column{words: lengths}
		if c.Flag("inline") {
			cols["data"] = column{b: payloads}
		}
	case abi.CmdContent:
		if _, ok := cols["length"]; !ok {
			cols["length"] = column{n: uint64(len(payloads))}
		}
		cols["data"] = column{b: payloads}
	case abi.CmdDecompressed:
		cols["data"] = column{b: payloads}
	default:
		if len(c.Payloads) > 0 {
			return fmt.Errorf("%s takes no payload", c.Kind)
		}
	}
	handle, err := p.target(s, c, args)
	if err != nil {
		return err
	}
	if s.Kind == abi.CmdSend {
		if k, _ := p.callOf(c); k != nil && !c.Flag("inline") {
			for _, t := range c.Payloads {
				k.sends = append(k.sends, t.Bytes)
			}
		}
	}
	if s.Kind == abi.CmdResponseHead {
		if k, _ := p.callOf(c); k != nil {
			k.head = c.Lines
		}
	}
	if s.Kind == abi.CmdClose {
		if k, _ := p.callOf(c); k != nil {
			k.done = true
		}
	}
	p.batch = encode(p.batch, s, flags, handle, cols)
	return nil
}

// target finds the handle for a command, and notes what it opens.
func (p *player) target(s *abi.Schema, c *Entry, args map[string]string) (uint32, error) {
	explicit, isExplicit := args["handle"]
	number, err := uint64(0), error(nil)
	if isExplicit {
		if number, err = toNumber(c.Kind, "handle", explicit); err != nil {
			return 0, err
		}
	}
	switch s.Kind {
	case abi.CmdConfigureServer, abi.CmdConfigureClient:
		f := &config{codecs: list(args["codecs"]), coding: list(args["codings"])}
		for _, l := range c.Lines {
			f.procedures = append(f.procedures, l.Name)
		}
		p.pending = append(p.pending, f)
		return uint32(number), nil
	case abi.CmdOpenServer, abi.CmdOpenClient, abi.CmdCloseConfig:
		var f *config
		if len(p.configs) > 0 {
			f = p.configs[len(p.configs)-1]
		}
		if n, ok := args["config"]; ok {
			i, err := toNumber(c.Kind, "config", n)
			if err != nil || i >= uint64(len(p.configs)) {
				return 0, fmt.Errorf("no configuration %s: they count from 0", n)
			}
			f = p.configs[i]
		}
		if s.Kind != abi.CmdCloseConfig {
			k := &call{name: args["as"], config: f, head: c.Lines}
			p.names[k.name], p.current, p.opened = k, k, k
			p.opens = append(p.opens, k)
		}
		if isExplicit {
			return uint32(number), nil
		}
		if f == nil {
			return 0, fmt.Errorf("no configuration")
		}
		return f.handle, nil
	}
	if isExplicit {
		return uint32(number), nil
	}
	k, err := p.callOf(c)
	if err != nil {
		return 0, err
	}
	if k == nil {
		return 0, fmt.Errorf("no call is open")
	}
	return p.handleOf(k)
}

// callOf finds the call that a command is for; nil for an explicit handle.
func (p *player) callOf(c *Entry) (*call, error) {
	if _, ok := c.Arg("handle"); ok {
		return nil, nil
	}
	if name, ok := c.Arg("call"); ok {
		k := p.names[name]
		if k == nil {
			return nil, fmt.Errorf("no call %q", name)
		}
		return k, nil
	}
	return p.current, nil
}

func (p *player) handleOf(k *call) (uint32, error) {
	if k == p.opened {
		return 0, nil
	}
	if k.handle == 0 {
		return 0, fmt.Errorf("the guest has not told this call's handle yet")
	}
	return k.handle, nil
}

// flush steps the guest with the batch and answers each "more" that comes.
func (p *player) flush() error {
	for round := 0; ; round++ {
		if round > 1000 {
			return fmt.Errorf("the guest asks for more without an end")
		}
		if len(p.batch) == 0 {
			return nil
		}
		out, err := p.guest.Step(p.batch)
		if err != nil {
			return err
		}
		var size [4]byte
		binary.LittleEndian.PutUint32(size[:], uint32(len(out)))
		p.digest.Write(size[:])
		p.digest.Write(out)
		events, err := decode(out)
		if err != nil {
			return err
		}
		p.batch, p.want = nil, nil
		opens := p.opens
		for i := range events {
			if err := p.event(&events[i]); err != nil {
				return fmt.Errorf("%s: %w", events[i].schema.Name, err)
			}
		}
		p.opens, p.opened, p.pending = nil, nil, nil
		for _, k := range p.handles {
			k.sends = nil
		}
		for _, k := range opens {
			k.sends = nil
		}
		for i := range p.want {
			if err := p.resume(&p.want[i]); err != nil {
				return err
			}
		}
	}
}

// resume answers a "more" with the bytes that it asks for, as far as they came.
func (p *player) resume(e *event) error {
	k := p.handles[e.handle]
	if k.done {
		return nil
	}
	from := e.cols["offset"].n
	if from < k.released {
		return fmt.Errorf("more: asks for offset %d, and %d were given up", from, k.released)
	}
	if from > uint64(len(k.content)) {
		return fmt.Errorf("more: asks for offset %d of %d", from, len(k.content))
	}
	to := min(uint64(len(k.content)), from+e.cols["want"].n)
	if from == to {
		return nil
	}
	b := k.content[from:to]
	p.batch = encode(p.batch, schemaNamed("content", false), abi.ContentResume, k.handle,
		map[string]column{"length": {n: uint64(len(b))}, "data": {b: b}})
	return nil
}

// columnOf reads an argument as the schema wants it.
func columnOf(s *abi.Schema, a Arg) (column, error) {
	text := string(a.Value.Bytes)
	for _, c := range s.Columns {
		if c.Name != a.Key {
			continue
		}
		switch c.Type {
		case abi.U32, abi.U64:
			if c.Name == "attributes" {
				n, err := attributesOf(text)
				return column{n: n}, err
			}
			n, err := toNumber(s.Name, c.Name, text)
			return column{n: n}, err
		case abi.Bytes:
			switch c.Name {
			case "codecs", "codings":
				return column{b: []byte(strings.Join(list(text), "\x00"))}, nil
			case "native":
				var b []byte
				for _, one := range list(text) {
					n, err := toNumber(s.Name, c.Name, one)
					if err != nil {
						return column{}, err
					}
					b = append(b, byte(n))
				}
				return column{b: b}, nil
			}
			return column{b: a.Value.Bytes}, nil
		}
	}
	return column{}, fmt.Errorf("%s has no column %q that can be given like this", s.Name, a.Key)
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// attributesOf reads what a procedure is, in words.
func attributesOf(text string) (bits uint64, err error) {
	for _, w := range strings.Fields(text) {
		if w == "no-side-effects" {
			bits |= abi.NoSideEffects
			continue
		}
		n, err := toNumber("", "stream_type", w)
		if err != nil {
			return 0, err
		}
		bits |= n
	}
	return bits, nil
}

// addLines puts a command's indented lines into its columns.
func addLines(s *abi.Schema, c *Entry, cols map[string]column) error {
	var paths []string
	var attributes []byte
	for _, l := range c.Lines {
		name := map[string]string{"": "fields", "binary": "binary", "detail": "details", "procedure": "procedures"}[l.Type]
		has := false
		for _, col := range s.Columns {
			has = has || col.Name == name
		}
		if !has {
			return fmt.Errorf("%s has no %s", c.Kind, name)
		}
		if l.Type != "procedure" {
			v := cols[name]
			v.pairs = append(v.pairs, [2][]byte{[]byte(l.Name), l.Value.Bytes})
			cols[name] = v
			continue
		}
		paths = append(paths, l.Name)
		bits, err := attributesOf(string(l.Value.Bytes))
		if err != nil {
			return err
		}
		attributes = append(attributes, byte(bits))
	}
	if paths != nil {
		cols["procedures"] = column{b: []byte(strings.Join(paths, "\x00"))}
		if _, ok := cols["attributes"]; !ok {
			cols["attributes"] = column{b: attributes}
		}
	}
	return nil
}
