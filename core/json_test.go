package core

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestJSONText(t *testing.T) {
	nest := func(open, inner, closing string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(closing, n)
	}
	for _, c := range []struct {
		fault string // "" for none
		text  string
	}{
		{"", "{}"}, {"", "[]"}, {"", "0"}, {"", "-0"}, {"", "-1.5e+10"}, {"", "1E5"}, {"", "0.0e-0"}, {"", "true"},
		{"", "false"}, {"", "null"}, {"", `""`}, {"", `"a\"\\\/\b\f\n\r\tA\u00e9"`}, {"", `"é€😀"`}, {"", `"\ud83d\ude00"`},
		{"", `"\ud800"`}, {"", " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n"}, {"", `[[],{},[{}],"a"]`},
		{"", `{"":{"":{"":[]}}}`}, {"", "\"\x7f\""}, {"", nest("[", "", "]", 100)}, {"", nest(`{"a":`, "1", "}", 100)},

		{"empty", ""}, {"white space", "  "}, {"trailing comma", "[1,]"}, {"trailing comma in an object", `{"a":1,}`},
		{"leading comma", "[,1]"}, {"no comma", "[1 2]"}, {"no colon", `{"a" 1}`}, {"no value", `{"a":}`},
		{"no key", "{:1}"}, {"number for a key", "{1:1}"}, {"bare word for a key", "{a:1}"}, {"single quotes", "'a'"},
		{"wrong bracket", "[1}"}, {"wrong brace", `{"a":1]`}, {"open array", "[1"}, {"open object", `{"a":1`},
		{"only an opening", "{"}, {"only a closing", "}"}, {"comment", "[1/**/]"}, {"two values", "1 2"}, {"trailing garbage", "{}x"},
		{"trailing NUL", "{}\x00"}, {"NUL", "\x00"}, {"byte order mark", "\ufeff{}"}, {"leading zero", "01"}, {"leading plus", "+1"}, {"only a minus", "-"},
		{"no integer", ".5"}, {"no fraction", "1."}, {"no exponent", "1e"}, {"only an exponent's sign", "1e+"}, {"hexadecimal", "0x1"}, {"NaN", "NaN"}, {"Infinity", "Infinity"},
		{"capital literal", "True"}, {"cut literal", "nul"}, {"long literal", "nullx"}, {"unknown escape", `"\x"`}, {"capital escape", `"\U0041"`},
		{"short escape", `"\u004"`}, {"bad hex", `"\u00g0"`}, {"cut escape", `"\`}, {"open string", `"a`}, {"escaped end", `"a\"`},
		{"raw line break", "\"a\nb\""}, {"raw tab", "\"\t\""}, {"raw NUL", "\"\x00\""}, {"not UTF-8", "\"\xff\""},
		{"overlong UTF-8", "\"\xc0\x80\""}, {"surrogate in UTF-8", "\"\xed\xa0\x80\""}, {"cut UTF-8", "\"\xe2\x82\""}, {"not UTF-8 in a key", "{\"\xff\":1}"},
		{"not UTF-8 next to an escape", "\"\\n\xff\""}, {"101 deep", nest("[", "", "]", 101)}, {"101 objects deep", nest(`{"a":`, "1", "}", 101)},
		{"10,000 deep", nest("[", "", "]", 10000)}, {"a million open", strings.Repeat("[", 1_000_000)},
	} {
		r := jsonReader{b: []byte(c.text)}
		r.skip()
		if got := r.end(); got != (c.fault == "") {
			t.Errorf("%s %.60q: %v", c.fault, c.text, got)
		}
		if c.fault == "" && r.depth != 0 {
			t.Errorf("%q leaves depth %d", c.text, r.depth)
		}
		// The standard library must agree, where it is as strict.
		switch {
		case strings.Contains(c.fault, "UTF-8"), strings.Contains(c.fault, "deep"):
		case json.Valid([]byte(c.text)) != (c.fault == ""):
			t.Errorf("%s %q: the standard library disagrees", c.fault, c.text)
		}
		for n := range min(len(c.text), 100) {
			r := jsonReader{b: []byte(c.text[:n])}
			r.skip()
			if r.end() && !json.Valid([]byte(c.text[:n])) {
				t.Errorf("%q is taken", c.text[:n])
			}
		}
	}
}

func TestJSONStrings(t *testing.T) {
	for _, c := range []struct{ raw, text, written string }{
		{`""`, "", ""},
		{`"plain"`, "plain", ""},
		{`"\"\\\n\r\t"`, "\"\\\n\r\t", ""},
		{`"\b\f\/"`, "\b\f/", `"\u0008\u000c/"`},
		{`"\u0000\u001f\u007f"`, "\x00\x1f\x7f", "\"\\u0000\\u001f\x7f\""},
		{`"é"`, "é", ""},
		{`"\u00E9\u20ac"`, "é€", `"é€"`},
		{`"\ud83d\ude00"`, "😀", `"😀"`},
		{`"\ud83d"`, "\ufffd", "\"\ufffd\""},
		{`"\ud83dx"`, "\ufffdx", "\"\ufffdx\""},
		{`"\ude00\ud83d"`, "\ufffd\ufffd", "\"\ufffd\ufffd\""},
		{`"\ud83d\ud83d\ude00"`, "\ufffd😀", "\"\ufffd😀\""},
		{`"\u0041\ude00"`, "A\ufffd", "\"A\ufffd\""},
		{`"\ud83d\n"`, "\ufffd\n", "\"\ufffd\\n\""},
		{`"<>&"`, "<>&", ""},
		{"\"\u2028\"", "\u2028", ""},
	} {
		r := jsonReader{b: []byte(c.raw)}
		got := r.text([]byte("x"))
		if string(got) != "x"+c.text || !r.end() {
			t.Errorf("%s: %q, failed %v", c.raw, got, r.failed)
		}
		if c.written == "" {
			c.written = c.raw
		}
		if got := string(AppendJSONString([]byte("x"), []byte(c.text))); got != "x"+c.written {
			t.Errorf("%q is written as %s", c.text, got[1:])
		}
		r = jsonReader{b: []byte("{" + c.raw + ":1}")}
		if r.open('{'); !r.more('}') {
			t.Fatal("no member")
		}
		if key := r.key(); r.failed || string(key) != c.text {
			t.Errorf("%s as a key: %q", c.raw, key)
		}
	}
}

func TestJSONStringReplacesWhatIsNotUTF8(t *testing.T) {
	for text, want := range map[string]string{
		"\xff":            "\"\ufffd\"",
		"a\xffb":          "\"a\ufffdb\"",
		"\xe2\x82":        "\"\ufffd\ufffd\"",
		"\xed\xa0\x80":    "\"\ufffd\ufffd\ufffd\"",
		"\"\xc3\"":        "\"\\\"\ufffd\\\"\"",
		"\ufffd":          "\"\ufffd\"",
		"é\x80€":          "\"é\ufffd€\"",
		"\xf4\x90\x80é":   "\"\ufffd\ufffd\ufffdé\"",
		"end\xf0\x9f\x98": "\"end\ufffd\ufffd\ufffd\"",
	} {
		if got := string(AppendJSONString(nil, []byte(text))); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestJSONTextIsAString(t *testing.T) {
	for _, s := range []string{"1", "null", "{}", "", "x"} {
		r := jsonReader{b: []byte(s)}
		if got := r.text([]byte("x")); !r.failed || !bytes.Equal(got, []byte("x")) {
			t.Errorf("%q: %q", s, got)
		}
	}
}
