package tapes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"testing"

	"github.com/connectcore/connectcore/wasm/abi"
)

// prober plays to core, and for each request that is opened asks a second
// instance, which has the same configurations, what it would prepare: that must
// be what the first one then does (ABI.md, "A prepared call").
type prober struct {
	guest, twin Guest
	promises    map[uint32]*promise
	handle      uint32 // of the call whose events come now
	kept        int    // promises that a plain success was compared with
}

// promise is what the twin said about a call.
type promise struct {
	request  event
	prepared *event
	plain    bool // the application gave no metadata, and no error
}

func (p *prober) Step(batch []byte) ([]byte, error) {
	var opened []*promise
	current := (*promise)(nil)
	for rest := batch; len(rest) > 0; {
		r, next, ok := abi.Next(rest)
		if !ok || !r.Known() {
			break
		}
		record := rest[:len(rest)-len(next)]
		rest = next
		switch r.Kind {
		case abi.CmdConfigureServer, abi.CmdConfigureClient, abi.CmdCloseConfig:
			if _, err := p.twin.Step(record); err != nil {
				return nil, err
			}
		case abi.CmdOpenServer:
			current = p.ask(record)
			opened = append(opened, current)
		case abi.CmdHeaders, abi.CmdEnd:
			of := p.promises[r.Handle]
			if r.Handle == 0 {
				of = current
			}
			if of != nil {
				of.plain = of.plain && !speaks(&r)
			}
		}
	}
	out, err := p.guest.Step(batch)
	if err != nil {
		return nil, err
	}
	events, err := decode(out)
	if err != nil {
		return nil, err
	}
	return out, p.check(events, opened)
}

// speaks says whether a headers or end command carries anything.
func speaks(r *abi.Record) bool {
	if r.Kind == abi.CmdEnd {
		code, message := r.U32(), r.Bytes()
		details, _ := r.Counted()
		if code != 0 || len(message) > 0 || details > 0 || r.Flags != 0 {
			return true
		}
	}
	fields, _ := r.Counted()
	pairs, _ := r.Counted()
	return fields+pairs > 0
}

// ask opens the call on the twin, with the flag, and closes it again; nil where
// the twin answers it, or does not know the configuration.
func (p *prober) ask(record []byte) *promise {
	probe := bytes.Clone(record)
	binary.LittleEndian.PutUint16(probe[2:], binary.LittleEndian.Uint16(probe[2:])|abi.OpenPrepare)
	probe = encode(probe, schemaNamed("close", false), 0, 0, nil)
	out, err := p.twin.Step(probe)
	if err != nil {
		return nil
	}
	events, err := decode(out)
	if err != nil || len(events) == 0 || events[0].schema.Kind != abi.EvRequest {
		return nil
	}
	made := &promise{request: events[0], plain: true}
	if len(events) > 1 && events[1].schema.Kind == abi.EvPrepared {
		made.prepared = &events[1]
	}
	return made
}

func (p *prober) check(events []event, opened []*promise) error {
	for i := range events {
		e := &events[i]
		switch e.schema.Kind {
		case abi.EvRequest:
			for len(opened) > 0 && opened[0] == nil {
				opened = opened[1:]
			}
			if len(opened) == 0 {
				return fmt.Errorf("a request for a call that the twin does not take")
			}
			made := opened[0]
			opened = opened[1:]
			p.promises[e.handle] = made
			if made.request.flags != e.flags || fmt.Sprint(made.request.cols) != fmt.Sprint(e.cols) {
				return fmt.Errorf("with prepare the request is %v, without it %v", made.request.cols, e.cols)
			}
		case abi.EvMessages:
			made := p.promises[e.handle]
			if made != nil && made.prepared != nil {
				size, limit := e.cols["spans"].words[1], made.prepared.cols["limit"].n
				if uint64(size&^abi.Compressed) > limit {
					return fmt.Errorf("a message of %d bytes, and the prepared limit is %d", size&^abi.Compressed, limit)
				}
				if coding := made.prepared.cols["coding"].n; size&abi.Compressed != 0 && coding != e.cols["coding"].n {
					return fmt.Errorf("a message is compressed with coding %d, and %d was prepared", e.cols["coding"].n, coding)
				}
			}
		case abi.EvResponseHead:
			made := p.promises[e.handle]
			if made == nil || made.prepared == nil || !made.plain || e.cols["status"].n != made.prepared.cols["status"].n {
				continue
			}
			if err := p.same(e, events[i+1:], made.prepared); err != nil {
				return err
			}
		}
	}
	return nil
}

// same compares a plain success with what was prepared.
func (p *prober) same(head *event, behind []event, prepared *event) error {
	fields, want := head.cols["fields"].pairs, prepared.cols["fields"].pairs
	for _, f := range fields {
		if string(f[0]) == "content-encoding" { // the message was compressed
			packed := prepared.cols["packed"].pairs
			if len(packed) == 0 {
				return nil // by the module: not a plain success
			}
			want = append(want[:len(want):len(want)], packed...)
		}
	}
	if name := prepared.cols["length"].b; len(name) > 0 {
		last := fields[len(fields)-1]
		if _, err := strconv.ParseUint(string(last[1]), 10, 64); err != nil || !bytes.Equal(last[0], name) {
			return fmt.Errorf("the last field is %s: %s, and %s was prepared", last[0], last[1], name)
		}
		fields = fields[:len(fields)-1]
	}
	if fmt.Sprint(fields) != fmt.Sprint(want) {
		return fmt.Errorf("the head is %s, and %s was prepared", fields, want)
	}
	body := behind[0]
	if body.schema.Kind != abi.EvBody && !head.flag("end") {
		return nil // an error over the head of the handler
	}
	prefix, data := int(prepared.cols["prefix"].n), prepared.cols["data"].b
	if prefix > 0 {
		got := body.cols["data"].b
		if len(got) > 0 && got[0] != 0 {
			return nil // a compressed message, or an error without one
		}
		if len(got) < prefix || !bytes.HasSuffix(got[prefix:], data) {
			return fmt.Errorf("the content has %x around its message, and a prefix of %d and %x were prepared", got, prefix, data)
		}
	}
	if prepared.flag("trailers") != (len(behind) > 1 && behind[1].schema.Kind == abi.EvTrailers) {
		return fmt.Errorf("trailers were prepared: %v", prepared.flag("trailers"))
	}
	if prepared.flag("trailers") {
		if got := behind[1].cols["fields"].pairs; fmt.Sprint(got) != fmt.Sprint(prepared.cols["trailers"].pairs) {
			if string(got[0][1]) != "0" {
				return nil // an error
			}
			return fmt.Errorf("the trailers are %s, and %s were prepared", got, prepared.cols["trailers"].pairs)
		}
	}
	p.kept++
	return nil
}

func TestPrepared(t *testing.T) {
	kept := 0
	for _, name := range names(t) {
		p := &prober{guest: newNative(), twin: newNative(), promises: map[uint32]*promise{}}
		if _, err := Play(p, load(t, name), nil, &Modes[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		kept += p.kept
	}
	if kept < 10 && *only == "" {
		t.Errorf("only %d plain successes were compared", kept)
	}
	t.Logf("%d plain successes were as prepared", kept)
}
