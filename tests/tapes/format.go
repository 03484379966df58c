package tapes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// differ compares the events that a step should give with those that it gave.
func differ(want, got []Entry) error {
	for i := 0; i < len(want) || i < len(got); i++ {
		switch {
		case i >= len(want):
			return fmt.Errorf("event %d is not in the tape:\n%s", i, got[i].String())
		case i >= len(got):
			return fmt.Errorf("event %d did not come:\n%s", i, want[i].String())
		case !same(&want[i], &got[i]):
			return fmt.Errorf("event %d is not as in the tape:\nwant %s\ngot  %s", i, want[i].String(), got[i].String())
		}
	}
	return nil
}

// same compares everything. The order of flags, of columns and of fields with
// different names says nothing.
func same(want, got *Entry) bool {
	if want.Kind == "configured" && len(want.Flags) == 0 {
		return got.Kind == want.Kind // a tape that names none leaves its flags open
	}
	if want.Kind != got.Kind || len(want.Flags) != len(got.Flags) || len(want.Args) != len(got.Args) ||
		len(want.Payloads) != len(got.Payloads) || len(want.Lines) != len(got.Lines) {
		return false
	}
	for _, f := range want.Flags {
		if !got.Flag(f) {
			return false
		}
	}
	for _, a := range want.Args {
		v, ok := got.Arg(a.Key)
		if !ok || !a.Value.matches([]byte(v)) {
			return false
		}
	}
	for i, t := range want.Payloads {
		if !t.matches(got.Payloads[i].Bytes) {
			return false
		}
	}
	w, g := sorted(want.Lines), sorted(got.Lines)
	for i := range w {
		if w[i].Type != g[i].Type || w[i].Name != g[i].Name || !w[i].Value.matches(g[i].Value.Bytes) {
			return false
		}
	}
	return true
}

// sorted puts fields in the order of their names; details keep theirs.
func sorted(in []Line) []Line {
	out := append([]Line(nil), in...)
	key := func(l *Line) string {
		if l.Type == "detail" {
			return "\xff"
		}
		return l.Type + "\x00" + l.Name
	}
	sort.SliceStable(out, func(i, j int) bool { return key(&out[i]) < key(&out[j]) })
	return out
}

// matches compares bytes; in a pattern each '*' takes one byte or more.
func (t *Text) matches(b []byte) bool {
	if !t.Pattern {
		return bytes.Equal(t.Bytes, b)
	}
	parts := bytes.Split(t.Bytes, []byte("*"))
	if len(parts) == 1 {
		return bytes.Equal(t.Bytes, b)
	}
	if !bytes.HasPrefix(b, parts[0]) {
		return false
	}
	b = b[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		if len(b) == 0 {
			return false
		}
		i := bytes.Index(b[1:], part)
		if i < 0 {
			return false
		}
		b = b[1+i+len(part):]
	}
	last := parts[len(parts)-1]
	return len(b) > len(last) && bytes.HasSuffix(b, last)
}

// String writes an event as a tape would.
func (e *Entry) String() string {
	var b strings.Builder
	b.WriteString("< " + e.Kind)
	for _, f := range e.Flags {
		b.WriteString(" " + f)
	}
	for _, a := range e.Args {
		b.WriteString(" " + a.Key + "=" + bare(a.Value))
	}
	for _, t := range e.Payloads {
		if s, ok := envelopes(t.Bytes); ok && !t.Pattern {
			b.WriteString(" " + s)
		} else {
			b.WriteString(" " + quote(t))
		}
	}
	for _, l := range sorted(e.Lines) {
		switch {
		case l.Type != "":
			fmt.Fprintf(&b, "\n    %s %s = %s", l.Type, l.Name, quote(l.Value))
		case l.Value.Pattern || !plain(l.Value.Bytes):
			fmt.Fprintf(&b, "\n    %s: = %s", fieldName(l.Name), quote(l.Value))
		case len(l.Value.Bytes) == 0:
			fmt.Fprintf(&b, "\n    %s:", fieldName(l.Name))
		default:
			fmt.Fprintf(&b, "\n    %s: %s", fieldName(l.Name), l.Value.Bytes)
		}
	}
	return b.String()
}

func fieldName(s string) string {
	if s == "" || strings.ContainsAny(s, " :\"\\#\t") || !plain([]byte(s)) {
		return quote(Text{Bytes: []byte(s)})
	}
	return s
}

// plain says whether a field's value can stand as it is.
func plain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(b) == 0 || b[0] != ' ' && b[len(b)-1] != ' ' && !bytes.HasPrefix(b, []byte("= ")) && len(b) < 200
}

func bare(t Text) string {
	if t.Pattern || len(t.Bytes) == 0 || strings.ContainsAny(string(t.Bytes), " \"'~(\\") || !plain(t.Bytes) {
		return quote(t)
	}
	return string(t.Bytes)
}

func quote(t Text) string {
	tilde := ""
	if t.Pattern {
		tilde = "~"
	}
	if n := len(t.Bytes); n >= 64 && bytes.Count(t.Bytes, t.Bytes[:1]) == n {
		return fmt.Sprintf("%srepeat(%s, %d)", tilde, quote(Text{Bytes: t.Bytes[:1]}), n)
	}
	if bytes.IndexByte(t.Bytes, '"') >= 0 && bytes.IndexByte(t.Bytes, '\'') < 0 && printable(t.Bytes) {
		return tilde + "'" + string(t.Bytes) + "'"
	}
	var b strings.Builder
	b.WriteString(tilde + `"`)
	for _, c := range t.Bytes {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// envelopes writes a body that is nothing but envelopes as such.
func envelopes(b []byte) (string, bool) {
	var out []string
	for len(b) > 0 {
		if len(b) < 5 || b[0] != 0 && b[0] != 1 && b[0] != 2 && b[0] != 3 {
			return "", false
		}
		n := binary.BigEndian.Uint32(b[1:])
		if uint64(n) > uint64(len(b)-5) {
			return "", false
		}
		out = append(out, fmt.Sprintf("envelope(%d, %s)", b[0], quote(Text{Bytes: b[5 : 5+n]})))
		b = b[5+n:]
	}
	return strings.Join(out, " + "), len(out) > 0
}

// Update plays the tape whole and writes what comes out into its file, where it
// is not what the tape says already. It says whether the file has changed.
func Update(dir, name string, fresh func() (Guest, error)) (bool, error) {
	changed := false
	for range 1000 {
		t, err := Load(dir, name)
		if err != nil {
			return changed, err
		}
		g, err := fresh()
		if err != nil {
			return changed, err
		}
		_, err = Play(g, t, nil, &Modes[0])
		if err == nil {
			return changed, nil
		}
		f, ok := err.(*Failure)
		if !ok || f.Step >= len(t.Steps) || t.Steps[f.Step].preset || differ(t.Steps[f.Step].Events, f.Got) == nil {
			return changed, err
		}
		s := &t.Steps[f.Step]
		end := s.at
		if n := len(s.Events); n > 0 {
			end = s.Events[n-1].Line + len(s.Events[n-1].raw) - 1
		}
		var out []string
		for i := range f.Got {
			if i < len(s.Events) && same(&s.Events[i], &f.Got[i]) {
				out = append(out, s.Events[i].raw...)
			} else {
				out = append(out, strings.Split(f.Got[i].String(), "\n")...)
			}
		}
		lines := append(append(append([]string{}, t.lines[:s.at]...), out...), t.lines[end:]...)
		if err := os.WriteFile(filepath.Join(dir, name+".tape"), []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, fmt.Errorf("%s does not come to rest: does the guest answer differently each time?", name)
}
