package tapes

import "hash/fnv"

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

// chance is xorshift32, seeded by the tape's name and the mode: every runner
// makes the same choices.
type chance uint32

func newChance(tape string, mode uint32) chance {
	h := fnv.New32a()
	h.Write([]byte(tape))
	if x := h.Sum32() ^ mode*0x9e3779b9; x != 0 {
		return chance(x)
	}
	return 1
}

// below is a number in [0, n).
func (c *chance) below(n int) int {
	x := uint32(*c)
	x ^= x << 13
	x ^= x >> 17
	x ^= x << 5
	*c = chance(x)
	return int(x % uint32(n))
}

// chunks cuts content. Past 1,024 chunks the rest goes in few pieces, so that
// big content stays fast: what is decided, is decided early or at the end.
func (m *Mode) chunks(c *chance, b []byte) [][]byte {
	if m.cut == "whole" || len(b) == 0 {
		return [][]byte{b}
	}
	var out [][]byte
	for i := 0; len(b) > 0; i++ {
		n := 1
		switch {
		case i >= 1024:
			n = len(b)/8 + 1
		case m.cut == "random" && c.below(2) == 0:
			n = 1 + c.below(len(b))
		case m.cut == "random":
			n = 1 + c.below(min(len(b), 16))
		}
		out = append(out, b[:n])
		b = b[n:]
	}
	return out
}

// carried says how many of a chunk's n bytes go into the record.
func (m *Mode) carried(c *chance, n int, inline bool) int {
	if m.carry == "all" || inline {
		return n
	}
	if m.carry == "none" {
		return 0
	}
	switch c.below(3) {
	case 0:
		return n
	case 1:
		return 0
	}
	return c.below(n + 1)
}

// endApart says whether the end of the content comes in a record of its own.
func (m *Mode) endApart(c *chance) bool {
	return m.cut == "bytes" || m.cut == "random" && c.below(2) == 1
}
