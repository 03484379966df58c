package core

import "testing"

func TestKnownFields(t *testing.T) {
	for f := fieldNone + 1; f < fieldCount; f++ {
		name := fieldNames[f]
		if got := knownField([]byte(name)); got != f {
			t.Errorf("%q is taken for %q: two names have one slot, choose another fieldSlot", name, fieldNames[got])
		}
		for _, other := range []string{name[1:], name + "x", "x" + name, name[:len(name)-1]} {
			if got := knownField([]byte(other)); got != fieldNone {
				t.Errorf("%q is taken for %q", other, fieldNames[got])
			}
		}
	}
	for _, other := range []string{"", "\x00", "\xff\xff", "Content-Type", "x-request-id"} {
		if got := knownField([]byte(other)); got != fieldNone {
			t.Errorf("%q is taken for %q", other, fieldNames[got])
		}
	}
}
