package tapes

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Damaged content: what tapes give as content, changed at random. Whatever is said
// about it whole must be said about it in every other mode: core's rule 11.

// damaged copies a tape with other content, and without the events that it expects;
// nil where what it says behind content, in one batch, hangs on how that goes.
func damaged(r *rand.Rand, t *Tape) *Tape {
	out := *t
	out.Steps = nil
	for _, s := range t.Steps {
		step := Step{Commands: append([]Entry(nil), s.Commands...), preset: s.preset}
		for i := range step.Commands {
			c := &step.Commands[i]
			if i > 0 && step.Commands[i-1].Kind == "content" && !strings.HasPrefix(c.Kind, "content") {
				return nil
			}
			if c.Kind != "content" || len(c.Payloads) == 0 || c.Flag("resume") {
				continue
			}
			var b []byte
			for _, p := range c.Payloads {
				b = append(b, p.Bytes...)
			}
			if len(b) < 1<<16 {
				b = damage(r, b)
			}
			c.Payloads = []Text{{Bytes: b}}
		}
		out.Steps = append(out.Steps, step)
	}
	return &out
}

// record plays the tape whole and takes what comes for what it expects; false
// where it cannot be played on, because the damage has ended a call early.
func record(t *Tape) bool {
	p := &player{guest: newNative(), mode: &Modes[0], chance: newChance(t.Name, 0), digest: sha256.New()}
	p.names, p.handles = map[string]*call{}, map[uint32]*call{}
	for i := range t.Steps {
		p.got = nil
		if err := p.step(&t.Steps[i]); err != nil {
			return false
		}
		p.unzipBodies()
		for _, e := range p.got {
			if e.Kind == "fault" {
				return false
			}
			for j := range e.Payloads {
				e.Payloads[j].Bytes = bytes.Clone(e.Payloads[j].Bytes)
			}
			t.Steps[i].Events = append(t.Steps[i].Events, e)
		}
	}
	return true
}

func TestDamagedContentIsTheSameInEveryMode(t *testing.T) {
	rounds := 2
	if more, err := strconv.Atoi(os.Getenv("HOSTILE_ROUNDS")); err == nil {
		rounds = more
	}
	r := rand.New(rand.NewPCG(5, 13))
	played := 0
	for range rounds {
		for _, name := range names(t) {
			if strings.Contains(name, "many-messages") || strings.Contains(name, "inflating") {
				continue // slow
			}
			tape := damaged(r, load(t, name))
			if tape == nil || !record(tape) {
				continue
			}
			played++
			for i := range Modes[1:] {
				if _, err := Play(newNative(), tape, nil, &Modes[i+1]); err != nil {
					t.Errorf("%v", err)
					break
				}
			}
		}
	}
	if played < 100*rounds && *only == "" {
		t.Errorf("only %d tapes could be played", played)
	}
}
