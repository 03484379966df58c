package core

import (
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	for _, c := range []struct {
		what   string
		fields [][2]string
		wire   string
	}{
		{"none", nil, ""},
		{"one", [][2]string{{"a", "1"}}, "a\x001"},
		{"an empty value", [][2]string{{"a", ""}}, "a\x00"},
		{"empty value first", [][2]string{{"a", ""}, {"b", "2"}}, "a\x00\x00b\x002"},
		{"empty value last", [][2]string{{"a", "1"}, {"b", ""}}, "a\x001\x00b\x00"},
		{"the same name", [][2]string{{"a", "1"}, {"a", "2"}, {"b", "\xff"}}, "a\x001\x00a\x002\x00b\x00\xff"},
	} {
		var f, g, h Fields
		for _, nv := range c.fields {
			f.Add([]byte(nv[0]), []byte(nv[1]))
			g.AddString(nv[0], nv[1])
			h.Begin(nv[0])
			h.b = append(h.b, nv[1]...)
		}
		for _, x := range []Fields{f, g, h} {
			if string(x.Bytes()) != c.wire || x.Len() != len(c.fields) {
				t.Errorf("%s: %d of %q", c.what, x.Len(), x.Bytes())
			}
		}
		back, ok := FieldsOf(len(c.fields), []byte(c.wire))
		if !ok {
			t.Errorf("%s: FieldsOf refuses %q", c.what, c.wire)
		}
		i := 0
		for name, value := range back.All {
			if string(name) != c.fields[i][0] || string(value) != c.fields[i][1] {
				t.Errorf("%s: field %d is %q: %q", c.what, i, name, value)
			}
			i++
		}
		if i != len(c.fields) {
			t.Errorf("%s: %d fields", c.what, i)
		}
		for _, n := range []int{-1, len(c.fields) - 1, len(c.fields) + 1, 1 << 62} {
			if _, ok := FieldsOf(n, []byte(c.wire)); ok {
				t.Errorf("%s: taken for %d", c.what, n)
			}
		}
		if len(c.fields) > 0 {
			if _, ok := FieldsOf(len(c.fields), []byte(c.wire+"\x00")); ok {
				t.Errorf("%s: a smuggled NUL is not seen", c.what)
			}
		}
	}
}

func TestFieldsAppendDoesNotWriteIntoAView(t *testing.T) {
	arena := []byte("a\x001 what follows")
	f, ok := FieldsOf(1, arena[:3])
	if !ok {
		t.Fatal("refused")
	}
	f.AddString("b", "2")
	if string(arena) != "a\x001 what follows" || string(f.Bytes()) != "a\x001\x00b\x002" {
		t.Errorf("%q, %q", arena, f.Bytes())
	}
}

func TestFieldsBuild(t *testing.T) {
	var f Fields
	f.addUint("n", 0)
	f.addUint("m", 18446744073709551615)
	f.AddString("s", "a, ")
	f.AppendBase64([]byte("\xff\xfe"))
	if got := string(f.Bytes()); got != "n\x000\x00m\x0018446744073709551615\x00s\x00a, //4" {
		t.Errorf("%q", got)
	}
	count, size := f.Len(), len(f.Bytes())
	f.AddString("x", "y")
	f.Truncate(count, size)
	if v, ok := f.Get("s"); !ok || string(v) != "a, //4" {
		t.Errorf("s is %q", v)
	}
	if _, ok := f.Get("x"); ok {
		t.Error("x is still there")
	}
	if _, ok := f.Get("a"); ok {
		t.Error("a value was taken for a name")
	}
	f.Reset()
	if f.Len() != 0 || len(f.Bytes()) != 0 {
		t.Error("not empty after Reset")
	}
}

func TestPairs(t *testing.T) {
	for _, c := range []struct {
		what  string
		pairs [][2]string
		wire  string
	}{
		{"none", nil, ""},
		{"one", [][2]string{{"ab", "c"}}, "\x02\x00\x00\x00\x01\x00\x00\x00abc"},
		{"both empty", [][2]string{{"", ""}}, "\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"two, with NULs", [][2]string{{"a", "\x00"}, {"\x00", ""}},
			"\x01\x00\x00\x00\x01\x00\x00\x00a\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"a large one", [][2]string{{"x", strings.Repeat("y", 300)}},
			"\x01\x00\x00\x00\x2c\x01\x00\x00x" + strings.Repeat("y", 300)},
	} {
		var p Pairs
		for _, ab := range c.pairs {
			p.Add([]byte(ab[0]), []byte(ab[1]))
		}
		if string(p.Bytes()) != c.wire || p.Len() != len(c.pairs) {
			t.Errorf("%s: %d of %q", c.what, p.Len(), p.Bytes())
		}
		back, ok := PairsOf(len(c.pairs), []byte(c.wire))
		if !ok {
			t.Errorf("%s: PairsOf refuses it", c.what)
		}
		i := 0
		for a, b := range back.All {
			if string(a) != c.pairs[i][0] || string(b) != c.pairs[i][1] {
				t.Errorf("%s: pair %d is %q, %q", c.what, i, a, b)
			}
			i++
		}
		if i != len(c.pairs) {
			t.Errorf("%s: %d pairs", c.what, i)
		}
		for _, n := range []int{-1, len(c.pairs) + 1, len(c.pairs) - 1, 1 << 62} {
			if _, ok := PairsOf(n, []byte(c.wire)); ok {
				t.Errorf("%s: taken for %d", c.what, n)
			}
		}
		if _, ok := PairsOf(len(c.pairs), []byte(c.wire+"x")); ok {
			t.Errorf("%s: trailing bytes are not seen", c.what)
		}
		for n := range len(c.wire) {
			if _, ok := PairsOf(len(c.pairs), []byte(c.wire[:n])); ok {
				t.Errorf("%s: truncated to %d bytes it is taken", c.what, n)
			}
		}
	}
	for _, huge := range []string{
		"\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\x01\x00\x00\x00", "\x00\x00\x00\x00\xff\xff\xff\xff",
	} {
		if _, ok := PairsOf(1, []byte(huge)); ok {
			t.Errorf("%q is taken", huge)
		}
		for a, b := range (Pairs{list{[]byte(huge), 1}}).All {
			if a != nil || b != nil {
				t.Errorf("All of %q: %q, %q", huge, a, b)
			}
		}
	}
}

// A count that is wrong, as in RawFields, gives fields that are empty.
func TestTooLargeCounts(t *testing.T) {
	f, p := RawFields(3, []byte("a\x001")), Pairs{list{make([]byte, 8), 3}}
	n := 0
	for range f.All {
		n++
	}
	for range p.All {
		n++
	}
	if n != 6 {
		t.Error(n)
	}
}
