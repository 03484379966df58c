package guest

// A handle is mark | generation<<16 | slot, slots counted from 1. The marks
// keep the three tables apart, so that no handle fits two of them.
const (
	serverMark = 0x80000000
	clientMark = 0xc0000000
	markMask   = 0xc0000000
	genMask    = 0x3fff
)

type slot[T any] struct {
	value *T // kept when the slot is free, to be used again
	gen   uint32
	live  bool
}

// table hands out handles. A generation repeats after 16,383 uses of a slot.
type table[T any] struct {
	mark  uint32
	most  int
	slots []slot[T]
	spare []uint32 // free slots
}

// add takes a free slot, whose value may be one used before, or nil.
func (t *table[T]) add() (handle uint32, s *slot[T], ok bool) {
	var i uint32
	if n := len(t.spare); n > 0 {
		i = t.spare[n-1]
		t.spare = t.spare[:n-1]
	} else {
		if len(t.slots) == t.most {
			return 0, nil, false
		}
		i = uint32(len(t.slots))
		t.slots = append(t.slots, slot[T]{})
	}
	s = &t.slots[i]
	s.live = true
	if s.gen = (s.gen + 1) & genMask; s.gen == 0 {
		s.gen = 1
	}
	return t.mark | s.gen<<16 | (i + 1), s, true
}

func (t *table[T]) find(handle uint32) *slot[T] {
	i := handle&0xffff - 1
	if handle&markMask != t.mark || i >= uint32(len(t.slots)) {
		return nil
	}
	s := &t.slots[i]
	if !s.live || s.gen != handle>>16&genMask {
		return nil
	}
	return s
}

func (t *table[T]) get(handle uint32) *T {
	if s := t.find(handle); s != nil {
		return s.value
	}
	return nil
}

func (t *table[T]) free(handle uint32) bool {
	s := t.find(handle)
	if s == nil {
		return false
	}
	s.live = false
	t.spare = append(t.spare, handle&0xffff-1)
	return true
}
