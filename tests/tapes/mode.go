package tapes

import (
	"hash/fnv"

	"github.com/connectcore/connectcore/tests/sequences"
)

// Mode is one way to replay a tape: how the content is cut, and how much of it
// is carried in the records rather than only announced.
type Mode struct {
	Name   string
	cut    string // "whole", "bytes", "random"
	carry  string // "all", "none", "random"
	number uint32
}

// Modes are all of them, in order.
var Modes = []Mode{
	{"whole", "whole", "all", 0},
	{"whole-announced", "whole", "none", 1},
	{"bytes", "bytes", "all", 2},
	{"bytes-announced", "bytes", "none", 3},
	{"random-1", "random", "random", 4},
	{"random-2", "random", "random", 5},
	{"random-3", "random", "random", 6},
	{"random-4", "random", "random", 7},
}

// newChance is seeded by the tape's name and the mode: every runner makes the same choices.
func newChance(tape string, mode uint32) sequences.Chance {
	h := fnv.New32a()
	h.Write([]byte(tape))
	if x := h.Sum32() ^ mode*0x9e3779b9; x != 0 {
		return sequences.Chance(x)
	}
	return 1
}

// chunks cuts content. Past 1,024 chunks the rest goes in few pieces, so that
// big content stays fast: what is decided, is decided early or at the end.
func (m *Mode) chunks(c *sequences.Chance, b []byte) [][]byte {
	if m.cut == "whole" || len(b) == 0 {
		return [][]byte{b}
	}
	var out [][]byte
	for i := 0; len(b) > 0; i++ {
		n := 1
		switch {
		case i >= 1024:
			n = len(b)/8 + 1
		case m.cut == "random" && c.Below(2) == 0:
			n = 1 + c.Below(len(b))
		case m.cut == "random":
			n = 1 + c.Below(min(len(b), 16))
		}
		out = append(out, b[:n])
		b = b[n:]
	}
	return out
}

// carried says how many of a chunk's n bytes go into the record.
func (m *Mode) carried(c *sequences.Chance, n int, inline bool) int {
	if m.carry == "all" || inline {
		return n
	}
	if m.carry == "none" {
		return 0
	}
	switch c.Below(3) {
	case 0:
		return n
	case 1:
		return 0
	}
	return c.Below(n + 1)
}

// endApart says whether the end of the content comes in a record of its own.
func (m *Mode) endApart(c *sequences.Chance) bool {
	return m.cut == "bytes" || m.cut == "random" && c.Below(2) == 1
}
