package core

import (
	"strings"
	"testing"
)

func TestStatuses(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		wire string
		e    *Error
	}{
		{"", newError(OK, "")},
		{"\x08\x05", newError(NotFound, "")},
		{"\x08\x05\x12\x03abc", newError(NotFound, "abc")},
		{"\x08\x10\x12\xc8\x01" + long, newError(Unauthenticated, long)},
		{"\x08\x02\x1a\x1d\x0a\x17type.googleapis.com/a.B\x12\x02\xff\x00", newError(Unknown, "", "a.B", "\xff\x00")},
		{"\x08\x02\x1a\x19\x0a\x17type.googleapis.com/a.B\x1a\x19\x0a\x17type.googleapis.com/c.D", newError(Unknown, "", "a.B", "", "c.D", "")},
	} {
		if got := string(AppendStatus([]byte("x"), c.e)); got != "x"+c.wire {
			t.Errorf("%q is written as %q", c.wire, got)
		}
		got := dirty()
		if !ParseStatus([]byte(c.wire), got) || !sameError(got, c.e) {
			t.Errorf("%q becomes %v %q %q", c.wire, got.Code, got.Message, got.Details.Bytes())
		}
	}
}

func TestParseStatus(t *testing.T) {
	for _, c := range []struct {
		what, wire string
		e          *Error // nil: no status
	}{
		{"field number zero", "\x00\x01", nil},
		{"field number too large", "\xf8\xff\xff\xff\xff\x01\x00", nil},
		{"tag cut", "\x88", nil},
		{"number cut", "\x08\x85", nil},
		{"number over 64 bits", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", nil},
		{"number of eleven bytes", "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", nil},
		{"message cut", "\x12\x04abc", nil},
		{"size of 2^63", "\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", nil},
		{"detail cut", "\x1a\x05\x0a", nil},
		{"detail malformed inside", "\x1a\x02\x0a\x05", nil},
		{"detail's value cut", "\x1a\x02\x12\x05", nil},
		{"fixed64 cut", "\x21\x00\x00\x00\x00\x00\x00\x00", nil},
		{"fixed32 cut", "\x25\x00\x00\x00", nil},
		{"wire type 6", "\x26", nil},
		{"wire type 7", "\x27", nil},
		{"end of a group that is not open", "\x24", nil},
		{"group never ends", "\x23\x08\x01", nil},
		{"group ends with another number", "\x23\x2c", nil},
		{"101 groups deep", strings.Repeat("\x23", 101) + strings.Repeat("\x24", 101), nil},

		{"code 17", "\x08\x11", newError(Unknown, "")},
		{"negative code", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", newError(Unknown, "")},
		{"code 2^32", "\x08\x80\x80\x80\x80\x10", newError(Unknown, "")},
		{"code in too many bytes", "\x08\x85\x80\x00", newError(NotFound, "")},
		{"last code and message win", "\x08\x05\x08\x06\x12\x01a\x12\x01b", newError(AlreadyExists, "b")},
		{"code of another wire type", "\x0d\x05\x00\x00\x00\x08\x03", newError(InvalidArgument, "")},
		{"unknown fields", "\x20\x01\x08\x05\x22\x01x\x25\x00\x00\x00\x00\x21\x00\x00\x00\x00\x00\x00\x00\x00", newError(NotFound, "")},
		{"a group", "\x08\x05\x23\x08\x01\x12\x01x\x2b\x2c\x24\x12\x01m", newError(NotFound, "m")},
		{"100 groups deep", strings.Repeat("\x23", 100) + strings.Repeat("\x24", 100), newError(OK, "")},
		{"message is not UTF-8", "\x08\x05\x12\x02a\xff", newError(NotFound, "a\ufffd")},
		{"detail without type", "\x08\x05\x1a\x03\x12\x01x", newError(NotFound, "")},
		{"detail with an empty type", "\x08\x05\x1a\x04\x0a\x02a/", newError(NotFound, "")},
		{"detail whose type is not UTF-8", "\x08\x05\x1a\x03\x0a\x01\xff", newError(NotFound, "")},
		{"detail with another prefix", "\x08\x05\x1a\x08\x0a\x06x/y/a.", newError(NotFound, "", "a.", "")},
		{"detail without prefix", "\x08\x05\x1a\x05\x0a\x03a.B", newError(NotFound, "", "a.B", "")},
		{"detail with unknown fields", "\x08\x05\x1a\x07\x18\x01\x0a\x03a.B", newError(NotFound, "", "a.B", "")},
	} {
		got := dirty()
		ok := ParseStatus([]byte(c.wire), got)
		want := c.e
		if want == nil {
			want = new(Error)
		}
		if ok != (c.e != nil) || !sameError(got, want) {
			t.Errorf("%s: %v, %v %q %q", c.what, ok, got.Code, got.Message, got.Details.Bytes())
		}
	}
	if got := string(AppendStatus(nil, newError(NotFound, "a\xffb\xe2\x82"))); got != "\x08\x05\x12\x0ba\ufffdb\ufffd\ufffd" {
		t.Errorf("text that is not UTF-8: %q", got)
	}
}

func TestGRPCMessages(t *testing.T) {
	for _, c := range []struct{ text, wire string }{
		{"", ""},
		{"plain text, with ~ and !", "plain text, with ~ and !"},
		{"100%", "100%25"},
		{"line\r\nbreak\t", "line%0D%0Abreak%09"},
		{"ü€😀", "%C3%BC%E2%82%AC%F0%9F%98%80"},
		{"\x00\x7f", "%00%7F"},
		{" spaces at the ends ", "%20spaces at the ends%20"},
		{" ", "%20"},
	} {
		if got := string(AppendGRPCMessage([]byte("x"), []byte(c.text))); got != "x"+c.wire {
			t.Errorf("%q is written as %q", c.text, got)
		}
		if got := string(AppendDecodeGRPCMessage([]byte("x"), []byte(c.wire))); got != "x"+c.text {
			t.Errorf("%q becomes %q", c.wire, got)
		}
	}
	for _, c := range []struct{ what, wire, text string }{
		{"lower case", "%c3%bc", "ü"},
		{"bytes that need no escape", "%41%20", "A "},
		{"raw UTF-8", "ü%21", "ü!"},
		{"cut escape", "a%2", "a%2"},
		{"only a percent", "%", "%"},
		{"not hexadecimal", "%zz%20", "%zz%20"},
		{"half hexadecimal", "%2g", "%2g"},
		{"decodes to what is not UTF-8", "a%FF", "a%FF"},
		{"decodes to half a character", "%C3", "%C3"},
		{"raw bytes that are not UTF-8", "a\xff", "a\ufffd"},
		{"a plus is a plus", "a+b", "a+b"},
		{"double escape", "%2525", "%25"},
	} {
		if got := string(AppendDecodeGRPCMessage([]byte("x"), []byte(c.wire))); got != "x"+c.text {
			t.Errorf("%s: %q becomes %q", c.what, c.wire, got)
		}
	}
}
