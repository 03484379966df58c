package hostgo

import (
	"fmt"
	"iter"
	"strings"
)

// Metadata is the user's part of a header or trailer section: an ordered list
// of names and values. A value is text or, if the name ends in "-bin",
// bytes; bytes are kept decoded, unless they came as what does not decode. Names are case-insensitive and stored in lower
// case. The zero value is empty and ready to use. What is legal on the wire is
// checked when it is sent.
type Metadata struct {
	entries []entry
}

type entry struct {
	name, value string
	binary      bool
}

// Add appends a text value.
func (m *Metadata) Add(name, value string) {
	m.entries = append(m.entries, entry{strings.ToLower(name), value, false})
}

// Set replaces all values of a name by one text value.
func (m *Metadata) Set(name, value string) {
	m.Delete(name)
	m.Add(name, value)
}

// AddBinary appends a value of bytes. The name has to end in "-bin".
func (m *Metadata) AddBinary(name string, value []byte) {
	m.entries = append(m.entries, entry{strings.ToLower(name), string(value), true})
}

// Delete removes all values of a name.
func (m *Metadata) Delete(name string) {
	kept := m.entries[:0]
	for _, e := range m.entries {
		if !strings.EqualFold(e.name, name) {
			kept = append(kept, e)
		}
	}
	clear(m.entries[len(kept):])
	m.entries = kept
}

// Get returns the first text value of a name, "" if there is none.
func (m *Metadata) Get(name string) string {
	for i := range m.entries {
		if e := &m.entries[i]; !e.binary && strings.EqualFold(e.name, name) {
			return e.value
		}
	}
	return ""
}

// Values returns all text values of a name, in order.
func (m *Metadata) Values(name string) []string {
	var values []string
	for i := range m.entries {
		if e := &m.entries[i]; !e.binary && strings.EqualFold(e.name, name) {
			values = append(values, e.value)
		}
	}
	return values
}

// Binary returns all values of bytes of a name, in order. It fails if one of them
// came as text that does not decode: Values returns such a value as it is.
func (m *Metadata) Binary(name string) ([][]byte, error) {
	var values [][]byte
	for i := range m.entries {
		e := &m.entries[i]
		if !strings.EqualFold(e.name, name) {
			continue
		}
		if !e.binary {
			return nil, fmt.Errorf("connectcore: metadata %q: a value is text and no bytes", e.name)
		}
		values = append(values, []byte(e.value))
	}
	return values, nil
}

// Len returns the number of values.
func (m *Metadata) Len() int { return len(m.entries) }

// All returns the names and text values, in order.
func (m *Metadata) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, e := range m.entries {
			if !e.binary && !yield(e.name, e.value) {
				return
			}
		}
	}
}

// AllBinary returns the names and values of bytes, in order.
func (m *Metadata) AllBinary() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, e := range m.entries {
			if e.binary && !yield(e.name, []byte(e.value)) {
				return
			}
		}
	}
}

// Clone returns a copy that shares nothing with the original.
func (m *Metadata) Clone() Metadata {
	return Metadata{entries: append([]entry(nil), m.entries...)}
}
