package core

import "bytes"

// Fields is an ordered list of HTTP fields, names in lower case, in the form in
// which they cross the module's interface:
//
//	name NUL value NUL name NUL value
//
// The zero value is an empty list. Neither names nor values may hold a NUL;
// those who add check with ValidFieldName and ValidFieldValue.
type Fields struct {
	b []byte
	n int
}

// FieldsOf takes b, which it keeps a view of, as count fields. It is false if b
// does not have exactly 2*count-1 NULs: a smuggled NUL breaks the count.
func FieldsOf(count int, b []byte) (Fields, bool) {
	if count <= 0 || count > len(b) {
		return Fields{}, count == 0 && len(b) == 0
	}
	if bytes.Count(b, nul) != 2*count-1 {
		return Fields{}, false
	}
	return Fields{b: b[:len(b):len(b)], n: count}, true
}

var nul = []byte{0}

// Begin starts a field; AppendValue and its like then add to its value.
func (f *Fields) Begin(name string) {
	if f.n > 0 {
		f.b = append(f.b, 0)
	}
	f.b = append(append(f.b, name...), 0)
	f.n++
}

// BeginBytes is Begin for a name in bytes.
func (f *Fields) BeginBytes(name []byte) {
	if f.n > 0 {
		f.b = append(f.b, 0)
	}
	f.b = append(append(f.b, name...), 0)
	f.n++
}

// AppendValue adds to the value of the field begun last.
func (f *Fields) AppendValue(b []byte) { f.b = append(f.b, b...) }

// AppendValueString adds to the value of the field begun last.
func (f *Fields) AppendValueString(s string) { f.b = append(f.b, s...) }

// AppendUint adds a decimal number to the value of the field begun last.
func (f *Fields) AppendUint(n uint64) { f.b = appendDecimal(f.b, n) }

// AppendBase64 adds b in unpadded base64 to the value of the field begun last.
func (f *Fields) AppendBase64(b []byte) { f.b = AppendBase64(f.b, b) }

// Add adds a field.
func (f *Fields) Add(name, value []byte) {
	f.BeginBytes(name)
	f.b = append(f.b, value...)
}

// AddString adds a field.
func (f *Fields) AddString(name, value string) {
	f.Begin(name)
	f.b = append(f.b, value...)
}

// addAll adds all fields of g.
func (f *Fields) addAll(g Fields) {
	if g.n == 0 {
		return
	}
	if f.n > 0 {
		f.b = append(f.b, 0)
	}
	f.b = append(f.b, g.b...)
	f.n += g.n
}

// addBytes adds a field.
func (f *Fields) addBytes(name string, value []byte) {
	f.Begin(name)
	f.b = append(f.b, value...)
}

// addUint adds a field whose value is a decimal number.
func (f *Fields) addUint(name string, n uint64) {
	f.Begin(name)
	f.b = appendDecimal(f.b, n)
}

// Reset empties the list and keeps its memory.
func (f *Fields) Reset() { f.b, f.n = f.b[:0], 0 }

// Truncate goes back to an earlier state: what Len and len(Bytes()) were then.
func (f *Fields) Truncate(count, size int) { f.b, f.n = f.b[:size], count }

// Len returns the number of fields.
func (f Fields) Len() int { return f.n }

// Bytes returns the list in its wire form, a view.
func (f Fields) Bytes() []byte { return f.b }

// Next returns the field at pos, 0 for the first, as views, and the position of
// the one after it. The caller loops Len times.
func (f Fields) Next(pos int) (name, value []byte, next int) {
	if pos < 0 || pos > len(f.b) {
		return nil, nil, len(f.b)
	}
	b := f.b[pos:]
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return b, nil, len(f.b)
	}
	name, b = b[:i], b[i+1:]
	if j := bytes.IndexByte(b, 0); j >= 0 {
		return name, b[:j], pos + i + j + 2
	}
	return name, b, len(f.b)
}

// Get returns the value of the first field of that name, a view.
func (f Fields) Get(name string) (value []byte, ok bool) {
	for i, pos := 0, 0; i < f.n; i++ {
		var n, v []byte
		if n, v, pos = f.Next(pos); string(n) == name {
			return v, true
		}
	}
	return nil, false
}

// Pairs is an ordered list of pairs of byte strings (binary metadata: name and
// value; error details: type name and value) in the form in which they cross
// the module's interface, for each pair
//
//	u32 size of a, u32 size of b, a, b     (little-endian)
//
// The zero value is an empty list.
type Pairs struct {
	b []byte
	n int
}

// pairHead is the size of what stands before a pair's bytes.
const pairHead = 8

// PairsOf takes b, which it keeps a view of, as count pairs. It is false if b is
// not exactly that.
func PairsOf(count int, b []byte) (Pairs, bool) {
	if count < 0 || count > len(b)/pairHead {
		return Pairs{}, false
	}
	rest := b
	for range count {
		if len(rest) < pairHead {
			return Pairs{}, false
		}
		size := uint64(le32(rest)) + uint64(le32(rest[4:]))
		if rest = rest[pairHead:]; size > uint64(len(rest)) {
			return Pairs{}, false
		}
		rest = rest[size:]
	}
	if len(rest) != 0 {
		return Pairs{}, false
	}
	return Pairs{b: b[:len(b):len(b)], n: count}, true
}

// Add adds a pair.
func (p *Pairs) Add(a, b []byte) {
	at := p.begin()
	p.b = append(append(p.b, a...), b...)
	p.end(at, len(a))
}

// begin reserves a pair's head; the caller appends a and b to p.b and then calls
// end, or drop to take it back.
func (p *Pairs) begin() (at int) {
	at = len(p.b)
	p.b = append(p.b, 0, 0, 0, 0, 0, 0, 0, 0)
	return at
}

func (p *Pairs) end(at, sizeA int) {
	putLE32(p.b[at:], uint32(sizeA))
	putLE32(p.b[at+4:], uint32(len(p.b)-at-pairHead-sizeA))
	p.n++
}

func (p *Pairs) drop(at int) { p.b = p.b[:at] }

// Reset empties the list and keeps its memory.
func (p *Pairs) Reset() { p.b, p.n = p.b[:0], 0 }

// Truncate goes back to an earlier state: what Len and len(Bytes()) were then.
func (p *Pairs) Truncate(count, size int) { p.b, p.n = p.b[:size], count }

// Len returns the number of pairs.
func (p Pairs) Len() int { return p.n }

// Bytes returns the list in its wire form, a view.
func (p Pairs) Bytes() []byte { return p.b }

// Next returns the pair at pos, 0 for the first, as views, and the position of
// the one after it. The caller loops Len times.
func (p Pairs) Next(pos int) (a, b []byte, next int) {
	if pos < 0 || pos > len(p.b)-pairHead {
		return nil, nil, len(p.b)
	}
	r := p.b[pos:]
	na, nb := uint64(le32(r)), uint64(le32(r[4:]))
	if r = r[pairHead:]; na+nb > uint64(len(r)) {
		return nil, nil, len(p.b)
	}
	return r[:na:na], r[na : na+nb : na+nb], pos + pairHead + int(na+nb)
}

// Get returns the second half of the first pair whose first half is name.
func (p Pairs) Get(name string) (value []byte, ok bool) {
	for i, pos := 0, 0; i < p.n; i++ {
		var a, b []byte
		if a, b, pos = p.Next(pos); string(a) == name {
			return b, true
		}
	}
	return nil, false
}

func le32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func putLE32(b []byte, v uint32) {
	_ = b[3]
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}
