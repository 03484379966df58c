package tapes

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The small language of values: "text with \x00 escapes", 'text as it is',
// NAME(…) and '+' between them; '~' in front makes a pattern of it.

type scanner struct {
	dir string
	s   string
	i   int
}

func (p *scanner) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
}

func (p *scanner) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *scanner) expect(c byte) error {
	p.space()
	if p.peek() != c {
		return fmt.Errorf("expected %q at %q", c, p.s[p.i:])
	}
	p.i++
	return nil
}

// word takes letters, digits, '_' and '-'.
func (p *scanner) word() string {
	start := p.i
	for p.i < len(p.s) {
		c := p.s[p.i]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			break
		}
		p.i++
	}
	return p.s[start:p.i]
}

// startsExpr says whether a value begins here, rather than a bare word.
func (p *scanner) startsExpr() bool {
	switch p.peek() {
	case '"', '\'', '~':
		return true
	}
	at := p.i
	defer func() { p.i = at }()
	return functions[p.word()] && p.peek() == '('
}

func (p *scanner) text() (t Text, err error) {
	if p.peek() == '~' {
		t.Pattern = true
		p.i++
	}
	t.Bytes, err = p.sum()
	return t, err
}

func (p *scanner) sum() ([]byte, error) {
	out, err := p.atom()
	for err == nil {
		at := p.i
		p.space()
		if p.peek() != '+' {
			p.i = at
			break
		}
		p.i++
		p.space()
		var b []byte
		b, err = p.atom()
		out = append(out, b...)
	}
	return out, err
}

func (p *scanner) atom() ([]byte, error) {
	switch p.peek() {
	case '\'':
		end := strings.IndexByte(p.s[p.i+1:], '\'')
		if end < 0 {
			return nil, fmt.Errorf("no closing quote in %q", p.s[p.i:])
		}
		b := []byte(p.s[p.i+1 : p.i+1+end])
		p.i += end + 2
		return b, nil
	case '"':
		return p.quoted()
	}
	name := p.word()
	if !functions[name] {
		return nil, fmt.Errorf("not a value: %q", p.s[p.i-len(name):])
	}
	if err := p.expect('('); err != nil {
		return nil, err
	}
	p.space()
	out, err := p.call(name)
	if err != nil {
		return nil, err
	}
	return out, p.expect(')')
}

func (p *scanner) quoted() ([]byte, error) {
	var out []byte
	for p.i++; p.i < len(p.s); p.i++ {
		c := p.s[p.i]
		if c == '"' {
			p.i++
			return out, nil
		}
		if c != '\\' {
			out = append(out, c)
			continue
		}
		p.i++
		switch c = p.peek(); c {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case '0':
			out = append(out, 0)
		case '\\', '"':
			out = append(out, c)
		case 'x':
			if p.i+2 >= len(p.s) {
				return nil, fmt.Errorf("short \\x escape")
			}
			n, err := strconv.ParseUint(p.s[p.i+1:p.i+3], 16, 8)
			if err != nil {
				return nil, fmt.Errorf("bad escape \\x%s", p.s[p.i+1:p.i+3])
			}
			out = append(out, byte(n))
			p.i += 2
		default:
			return nil, fmt.Errorf("unknown escape \\%c", c)
		}
	}
	return nil, fmt.Errorf("no closing quote in %q", p.s)
}

var functions = map[string]bool{
	"hex": true, "repeat": true, "envelope": true, "u32be": true, "file": true,
	"base64": true, "gzip": true, "deflate": true, "snappy": true,
}

func (p *scanner) call(name string) ([]byte, error) {
	switch name {
	case "hex":
		end := strings.IndexByte(p.s[p.i:], ')')
		if end < 0 {
			return nil, fmt.Errorf("hex( without )")
		}
		digits := strings.ReplaceAll(p.s[p.i:p.i+end], " ", "")
		p.i += end
		return hex.DecodeString(digits)
	case "file":
		end := strings.IndexByte(p.s[p.i:], ')')
		if end < 0 {
			return nil, fmt.Errorf("file( without )")
		}
		path := filepath.Join(p.dir, "data", p.s[p.i:p.i+end])
		p.i += end
		return os.ReadFile(path)
	case "repeat":
		b, err := p.sum()
		if err != nil {
			return nil, err
		}
		if err := p.expect(','); err != nil {
			return nil, err
		}
		n, err := p.number(1 << 26)
		return bytes.Repeat(b, int(n)), err
	case "envelope":
		flags, err := p.number(255)
		if err != nil {
			return nil, err
		}
		if err := p.expect(','); err != nil {
			return nil, err
		}
		p.space()
		b, err := p.sum()
		return append(binary.BigEndian.AppendUint32([]byte{byte(flags)}, uint32(len(b))), b...), err
	case "u32be":
		n, err := p.number(1<<32 - 1)
		return binary.BigEndian.AppendUint32(nil, uint32(n)), err
	}
	b, err := p.sum()
	switch name {
	case "base64":
		return base64.StdEncoding.AppendEncode(nil, b), err
	case "deflate":
		return storedZlib(b), err
	case "snappy":
		return storedSnappy(b), err
	}
	return storedGzip(b), err
}

func (p *scanner) number(limit uint64) (uint64, error) {
	p.space()
	w := p.word()
	n, err := strconv.ParseUint(w, 0, 64)
	if err != nil || n > limit {
		return 0, fmt.Errorf("not a number up to %d: %q", limit, w)
	}
	return n, nil
}

// What follows compresses without making anything smaller: the same bytes in
// every language.

// storedGzip is a gzip member (RFC 1952).
func storedGzip(b []byte) []byte {
	out := storedBlocks([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}, b)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(b))
	return binary.LittleEndian.AppendUint32(out, uint32(len(b)))
}

// storedZlib is a zlib stream (RFC 1950).
func storedZlib(b []byte) []byte {
	return binary.BigEndian.AppendUint32(storedBlocks([]byte{0x78, 0x01}, b), adler32.Checksum(b))
}

// storedBlocks appends b in stored blocks of DEFLATE (RFC 1951, 3.2.4).
func storedBlocks(out, b []byte) []byte {
	for rest := b; ; {
		n := min(len(rest), 65535)
		last := byte(0)
		if n == len(rest) {
			last = 1
		}
		out = append(out, last, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		out = append(out, rest[:n]...)
		if rest = rest[n:]; last == 1 {
			return out
		}
	}
}

// storedSnappy is a stream of uncompressed chunks (framing_format.txt of snappy).
func storedSnappy(b []byte) []byte {
	out := []byte("\xff\x06\x00\x00sNaPpY")
	for len(b) > 0 {
		n := min(len(b), 65536)
		sum := crc32.Checksum(b[:n], crc32.MakeTable(crc32.Castagnoli))
		out = binary.LittleEndian.AppendUint32(out, 1|uint32(n+4)<<8)
		out = binary.LittleEndian.AppendUint32(out, (sum>>15|sum<<17)+0xa282ead8)
		out = append(out, b[:n]...)
		b = b[n:]
	}
	return out
}

// parseEntry reads what stands behind '>' or '<'.
func parseEntry(dir, s string) (Entry, error) {
	p := &scanner{dir: dir, s: s}
	p.space()
	e := Entry{Kind: p.word()}
	if e.Kind == "" {
		return e, fmt.Errorf("no kind in %q", s)
	}
	for {
		p.space()
		if p.i >= len(p.s) {
			return e, nil
		}
		if p.startsExpr() {
			t, err := p.text()
			if err != nil {
				return e, err
			}
			e.Payloads = append(e.Payloads, t)
			continue
		}
		w := p.word()
		if w == "" {
			return e, fmt.Errorf("cannot read %q", p.s[p.i:])
		}
		if p.peek() != '=' {
			e.Flags = append(e.Flags, w)
			continue
		}
		p.i++
		var t Text
		var err error
		if p.startsExpr() {
			t, err = p.text()
		} else {
			start := p.i
			for p.i < len(p.s) && p.s[p.i] != ' ' && p.s[p.i] != '\t' {
				p.i++
			}
			t.Bytes = []byte(p.s[start:p.i])
		}
		if err != nil {
			return e, err
		}
		e.Args = append(e.Args, Arg{w, t})
	}
}

// parseLine reads an indented line; "repeat N" in front makes N of it.
func parseLine(dir, s string) ([]Line, error) {
	p := &scanner{dir: dir, s: s}
	if rest, ok := strings.CutPrefix(s, "repeat "); ok {
		p.i = len(s) - len(rest)
		n, err := p.number(1 << 20)
		if err != nil {
			return nil, err
		}
		p.space()
		one, err := parseLine(dir, p.s[p.i:])
		if err != nil {
			return nil, err
		}
		var out []Line
		for range n {
			out = append(out, one...)
		}
		return out, nil
	}
	for _, kind := range []string{"binary", "detail", "procedure"} {
		rest, ok := strings.CutPrefix(s, kind+" ")
		if !ok {
			continue
		}
		name, value, ok := strings.Cut(rest, " = ")
		if !ok {
			return nil, fmt.Errorf("expected %s NAME = VALUE", kind)
		}
		t, err := fieldValue(dir, "= "+value)
		return []Line{{kind, name, t}}, err
	}
	var name string
	if p.peek() == '"' {
		b, err := p.quoted()
		if err != nil {
			return nil, err
		}
		name = string(b)
	} else {
		end := strings.IndexByte(s, ':')
		if end <= 0 {
			return nil, fmt.Errorf("expected name: value in %q", s)
		}
		name, p.i = s[:end], end
	}
	if err := p.expect(':'); err != nil {
		return nil, err
	}
	t, err := fieldValue(dir, strings.TrimLeft(p.s[p.i:], " \t"))
	return []Line{{"", name, t}}, err
}

// fieldValue is the text as it stands, or after "= " a value of the language.
func fieldValue(dir, s string) (Text, error) {
	rest, ok := strings.CutPrefix(s, "= ")
	if !ok {
		return Text{Bytes: []byte(s)}, nil
	}
	p := &scanner{dir: dir, s: rest}
	p.space()
	t, err := p.text()
	if err != nil {
		return t, err
	}
	p.space()
	if p.i < len(p.s) {
		return t, fmt.Errorf("cannot read %q", p.s[p.i:])
	}
	return t, nil
}
