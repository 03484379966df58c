package core

import (
	"bytes"
	"encoding/binary"
)

// list is what Fields and Pairs have in common: n entries, one behind the other
// in the form in which they cross the module's interface.
type list struct {
	b []byte
	n int
}

// Reset empties the list and keeps its memory.
func (l *list) Reset() { l.b, l.n = l.b[:0], 0 }

// Truncate goes back to an earlier state: what Len and len(Bytes()) were then.
func (l *list) Truncate(count, size int) { l.b, l.n = l.b[:size], count }

// Len returns the number of entries.
func (l list) Len() int { return l.n }

// Bytes returns the list in the form in which it crosses the interface, a view.
func (l list) Bytes() []byte { return l.b }

// Fields is an ordered list of HTTP fields, names in lower case:
//
//	name NUL value NUL name NUL value
//
// The zero value is an empty list. Neither names nor values may hold a NUL;
// those who add check with ValidFieldName and ValidFieldValue.
type Fields struct{ list }

// FieldsOf takes b, which it keeps a view of, as count fields. It is false if b
// does not have exactly 2*count-1 NULs: a smuggled NUL breaks the count.
func FieldsOf(count int, b []byte) (Fields, bool) {
	if count <= 0 || count > len(b) {
		return Fields{}, count == 0 && len(b) == 0
	}
	if bytes.Count(b, nul) != 2*count-1 {
		return Fields{}, false
	}
	return Fields{list{b[:len(b):len(b)], count}}, true
}

var nul = []byte{0}

// Add adds a field.
func (f *Fields) Add(name, value []byte) {
	f.separate()
	f.b = append(append(append(f.b, name...), 0), value...)
	f.n++
}

// AddString adds a field.
func (f *Fields) AddString(name, value string) {
	f.Begin(name)
	f.b = append(f.b, value...)
}

// Begin adds a field; what is appended to the list's bytes is its value.
func (f *Fields) Begin(name string) {
	f.separate()
	f.b = append(append(f.b, name...), 0)
	f.n++
}

// beginLower adds a field of that name in lower case, as Begin does, and returns
// the name, a view.
func (f *Fields) beginLower(name []byte) []byte {
	f.Add(name, nil)
	end := len(f.b) - 1
	name = f.b[end-len(name) : end]
	for i, c := range name {
		name[i] = lower(c)
	}
	return name
}

// AppendBase64 adds b in unpadded base64 to the value of the field begun last.
func (f *Fields) AppendBase64(b []byte) { f.b = AppendBase64(f.b, b) }

// addUint adds a field whose value is a decimal number.
func (f *Fields) addUint(name string, n uint64) {
	f.Begin(name)
	f.b = appendDecimal(f.b, n)
}

// addAll adds all fields of g.
func (f *Fields) addAll(g Fields) {
	if g.n > 0 {
		f.separate()
		f.b = append(f.b, g.b...)
		f.n += g.n
	}
}

// separate adds what stands between two fields.
func (f *Fields) separate() {
	if f.n > 0 {
		f.b = append(f.b, 0)
	}
}

// All goes through the fields in order; names and values are views.
func (f Fields) All(yield func(name, value []byte) bool) {
	for f.n > 0 && yield(f.cut()) {
	}
}

// cut takes the first field off; there is one.
func (f *Fields) cut() (name, value []byte) {
	name, rest := cutAt(f.b, 0)
	value, f.b = cutAt(rest, 0)
	f.n--
	return name, value
}

// Get returns the value of the first field of that name, a view.
func (f Fields) Get(name string) (value []byte, ok bool) {
	for f.n > 0 {
		if n, v := f.cut(); string(n) == name {
			return v, true
		}
	}
	return nil, false
}

// Pairs is an ordered list of pairs of byte strings (binary metadata: name and
// value; error details: type name and value), for each pair
//
//	u32 size of a, u32 size of b, a, b     (little-endian)
//
// The zero value is an empty list.
type Pairs struct{ list }

// pairHead is the size of what stands before a pair's bytes.
const pairHead = 8

// PairsOf takes b, which it keeps a view of, as count pairs. It is false if b is
// not exactly that.
func PairsOf(count int, b []byte) (Pairs, bool) {
	rest, ok := b, count >= 0 && count <= len(b)/pairHead
	for i := 0; ok && i < count; i++ {
		_, _, rest, ok = cutPair(rest)
	}
	if !ok || len(rest) > 0 {
		return Pairs{}, false
	}
	return Pairs{list{b[:len(b):len(b)], count}}, true
}

// All goes through the pairs in order; a and b are views.
func (p Pairs) All(yield func(a, b []byte) bool) {
	for p.n > 0 && yield(p.cut()) {
	}
}

// cut takes the first pair off; there is one.
func (p *Pairs) cut() (a, b []byte) {
	a, b, p.b, _ = cutPair(p.b)
	p.n--
	return a, b
}

// cutPair takes the first pair off a list; ok says that there is one.
func cutPair(list []byte) (a, b, rest []byte, ok bool) {
	if len(list) < pairHead {
		return nil, nil, nil, false
	}
	na := uint64(binary.LittleEndian.Uint32(list))
	end := na + uint64(binary.LittleEndian.Uint32(list[4:]))
	if list = list[pairHead:]; end > uint64(len(list)) {
		return nil, nil, nil, false
	}
	return list[:na:na], list[na:end:end], list[end:], true
}

// Add adds a pair.
func (p *Pairs) Add(a, b []byte) {
	p.b = binary.LittleEndian.AppendUint32(p.b, uint32(len(a)))
	p.b = binary.LittleEndian.AppendUint32(p.b, uint32(len(b)))
	p.b = append(append(p.b, a...), b...)
	p.n++
}

// addBase64 adds the pair of a and of what text stands for. If that is not base64
// nothing is added, and the result is false.
func (p *Pairs) addBase64(a, text []byte) (ok bool) {
	at := len(p.b)
	p.Add(a, nil)
	b := len(p.b)
	if p.b, ok = AppendDecodeBase64(p.b, text); !ok {
		p.Truncate(p.n-1, at)
		return false
	}
	binary.LittleEndian.PutUint32(p.b[at+4:], uint32(len(p.b)-b))
	return true
}

// addAll adds all pairs of q.
func (p *Pairs) addAll(q Pairs) {
	p.b = append(p.b, q.b...)
	p.n += q.n
}
