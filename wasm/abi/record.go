package abi

import "encoding/binary"

// fixedSize holds, by kind, the size of a record's fixed block; -1 where the
// kind is unknown.
var fixedSize = func() (t [256]int) {
	for i := range t {
		t[i] = -1
	}
	for i := range Schemas {
		n := 0
		for _, c := range Schemas[i].Columns {
			switch c.Type {
			case U32, Bytes, Words:
				n += 4
			case U64, Fields, Pairs:
				n += 8
			}
		}
		t[Schemas[i].Kind] = n
	}
	return t
}()

// Writer appends records to B. Call Begin, then a method per column in the
// order of the schema, then End. The bytes given to a column are copied by End.
type Writer struct {
	B     []byte
	start int
	parts [8][]byte
	words []uint32
	at    int // the part that words stand for
	n     int
}

// Begin starts a record.
func (w *Writer) Begin(kind Kind, flags uint16, handle uint32) {
	w.start, w.n, w.at = len(w.B), 0, -1
	w.B = binary.LittleEndian.AppendUint16(w.B, uint16(kind))
	w.B = binary.LittleEndian.AppendUint16(w.B, flags)
	w.B = append(w.B, 0, 0, 0, 0)
	w.B = binary.LittleEndian.AppendUint32(w.B, handle)
}

// U32 writes a u32 column.
func (w *Writer) U32(v uint32) { w.B = binary.LittleEndian.AppendUint32(w.B, v) }

// U64 writes a u64 column.
func (w *Writer) U64(v uint64) { w.B = binary.LittleEndian.AppendUint64(w.B, v) }

// Bytes writes a bytes column.
func (w *Writer) Bytes(b []byte) {
	w.U32(uint32(len(b)))
	w.part(b)
}

// Counted writes a fields or a pairs column from its bytes.
func (w *Writer) Counted(count int, b []byte) {
	w.U32(uint32(count))
	w.Bytes(b)
}

// Words writes a words column. A record has at most one; its numbers stand
// after the bytes of the columns before it.
func (w *Writer) Words(v []uint32) {
	w.U32(uint32(len(v)))
	w.words, w.at = v, w.n
	w.part(nil)
}

func (w *Writer) part(b []byte) {
	w.parts[w.n] = b
	w.n++
}

// End completes the record and sets its size.
func (w *Writer) End() {
	for i := range w.n {
		if i == w.at {
			for _, v := range w.words {
				w.B = binary.LittleEndian.AppendUint32(w.B, v)
			}
			w.words = nil
			continue
		}
		w.B = append(w.B, w.parts[i]...)
		w.parts[i] = nil
	}
	binary.LittleEndian.PutUint32(w.B[w.start+4:], uint32(len(w.B)-w.start))
}

// Record is one record of a batch, a view into it. Read its columns in the
// order of the schema; Whole says afterwards whether it held exactly them.
type Record struct {
	Kind   Kind
	Flags  uint16
	Handle uint32
	fixed  []byte
	tail   []byte
	bad    bool
}

// Next takes the first record off a batch. ok is false where the batch does
// not start with a whole record; for an unknown kind the record is whole but
// without columns, and Known is false.
func Next(batch []byte) (r Record, rest []byte, ok bool) {
	if len(batch) < HeaderSize {
		return r, batch, false
	}
	size := binary.LittleEndian.Uint32(batch[4:])
	if size < HeaderSize || uint64(size) > uint64(len(batch)) {
		return r, batch, false
	}
	r.Kind = Kind(binary.LittleEndian.Uint16(batch))
	r.Flags = binary.LittleEndian.Uint16(batch[2:])
	r.Handle = binary.LittleEndian.Uint32(batch[8:])
	body := batch[HeaderSize:size:size]
	if r.Known() {
		n := fixedSize[r.Kind]
		if n > len(body) {
			return r, batch, false
		}
		r.fixed, r.tail = body[:n], body[n:]
	}
	return r, batch[size:], true
}

// Known says whether this version knows the record's kind.
func (r *Record) Known() bool { return r.Kind < 256 && fixedSize[r.Kind] >= 0 }

// U32 reads a u32 column.
func (r *Record) U32() uint32 {
	if len(r.fixed) < 4 {
		r.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint32(r.fixed)
	r.fixed = r.fixed[4:]
	return v
}

// U64 reads a u64 column.
func (r *Record) U64() uint64 {
	if len(r.fixed) < 8 {
		r.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint64(r.fixed)
	r.fixed = r.fixed[8:]
	return v
}

// Bytes reads a bytes column: a view into the batch.
func (r *Record) Bytes() []byte {
	if len(r.fixed) >= 4 {
		n := uint64(binary.LittleEndian.Uint32(r.fixed))
		r.fixed = r.fixed[4:]
		if n <= uint64(len(r.tail)) {
			b := r.tail[:n:n]
			r.tail = r.tail[n:]
			return b
		}
	}
	r.bad = true
	return nil
}

// Counted reads a fields or a pairs column: its count and its bytes. Whether
// the count is right is for the reader of the bytes to check.
func (r *Record) Counted() (count int, b []byte) {
	n := r.U32()
	return int(n), r.Bytes()
}

// Words reads a words column into dst.
func (r *Record) Words(dst []uint32) []uint32 {
	n := 4 * uint64(r.U32())
	if n > uint64(len(r.tail)) {
		r.bad = true
		return dst
	}
	b := r.tail[:n]
	r.tail = r.tail[n:]
	for ; len(b) >= 4; b = b[4:] {
		dst = append(dst, binary.LittleEndian.Uint32(b))
	}
	return dst
}

// Whole says, after all columns were read, that the record held exactly them.
func (r *Record) Whole() bool { return !r.bad && len(r.fixed) == 0 && len(r.tail) == 0 }
