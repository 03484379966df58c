package core

import "testing"

func TestGetQueries(t *testing.T) {
	for _, c := range []struct {
		query, codec, compression, message string
	}{
		{"connect=v1&base64=1&encoding=proto&message=", "proto", "", ""},
		{"connect=v1&base64=1&encoding=json&message=eyJuYW1lIjoiQnVmIn0", "json", "", `{"name":"Buf"}`},
		{"connect=v1&base64=1&compression=gzip&encoding=proto&message=__4", "proto", "gzip", "\xff\xfe"},
		{"connect=v1&base64=1&compression=x-%26%3D%2B%20&encoding=a%2Bb.c-d_e~F9%FC&message=AA", "a+b.c-d_e~F9\xfc", "x-&=+ ", "\x00"},
	} {
		if got := string(AppendGet([]byte("x"), c.codec, c.compression, []byte(c.message))); got != "x"+c.query {
			t.Errorf("written as %s", got[1:])
		}
		var q GetQuery
		for range 2 { // the second time in used memory
			if f := ParseGet([]byte(c.query), &q); f != GetOK || string(q.Message) != c.message || string(q.Codec) != c.codec ||
				string(q.Compression) != c.compression || !q.HasVersion {
				t.Errorf("%s: %v, %+v", c.query, f, q)
			}
		}
	}
}

func TestParseGet(t *testing.T) {
	for _, c := range []struct {
		what, query string
		fault       GetFault
		message     string
	}{
		{"percent-encoded", "message=%7B%22name%22%3A%22Buf%22%7D&encoding=json&connect=v1", GetOK, `{"name":"Buf"}`},
		{"not encoded", `encoding=json&message={"name":"Buf"}`, GetOK, `{"name":"Buf"}`},
		{"a plus is a space", `encoding=json&message={"a":+"b%2Bc"}`, GetOK, `{"a": "b+c"}`},
		{"an equals sign in a value", "encoding=json&message=a=b==", GetOK, "a=b=="},
		{"padded", "encoding=proto&base64=1&message=Zg%3D%3D", GetOK, "f"},
		{"padded, not escaped", "encoding=proto&base64=1&message=Zg==", GetOK, "f"},
		{"any order, empty parts", "&&message=Zg&&base64=1&encoding=proto&", GetOK, "f"},
		{"base64 is not one", "encoding=proto&base64=0&message=Zg", GetOK, "Zg"},
		{"base64 is true", "encoding=proto&base64=true&message=Zg", GetOK, "Zg"},
		{"empty message", "encoding=proto&message=", GetOK, ""},
		{"message without an equals sign", "encoding=proto&message", GetOK, ""},
		{"unknown parameters", "a=b&encoding=proto&a=b&utm%20x&message=x&Message=y&c=%2", GetOK, "x"},
		{"unknown parameters that are broken", "%&%zz=%zz&100%=1&encoding=proto&message=x&d=%", GetOK, "x"},
		{"escapes in a name", "enc%6fding=proto&m%65ssage=x", GetOK, "x"},
		{"JSON outside of ASCII", "encoding=json&message=%22%C3%BC%22", GetOK, `"ü"`},
		{"binary that is not in base64", "encoding=proto&message=%0A%FF", GetOK, "\n\xff"},
		{"compressed JSON", "encoding=json&compression=gzip&base64=1&message=H4s", GetOK, "\x1f\x8b"},
		{"identity", "encoding=json&compression=identity&message=%7B%7D", GetOK, "{}"},

		{"empty", "", GetNoMessage, ""},
		// Its absence is HTTP 415, before anything about the message.
		{"no codec", "message=x&connect=v1", GetOK, "x"},
		{"empty codec", "message=x&encoding=", GetOK, "x"},
		{"no message", "encoding=proto&connect=v1", GetNoMessage, ""},
		{"wrong version", "encoding=proto&message=&connect=v2", GetBadVersion, ""},
		{"version without the letter", "encoding=proto&message=&connect=1", GetBadVersion, ""},
		{"empty version", "encoding=proto&message=&connect=", GetBadVersion, ""},
		{"cut escape", "encoding=json&message=%7", GetBadEscape, ""},
		{"broken escape", "encoding=json&message=%zz", GetBadEscape, ""},
		{"broken escape in the codec", "encoding=%2&message=x", GetBadEscape, ""},
		{"broken escape in the version", "connect=%&encoding=json&message=x", GetBadEscape, ""},
		{"standard alphabet", "encoding=proto&base64=1&message=%2F%2F4", GetBadBase64, ""},
		{"a plus in base64", "encoding=proto&base64=1&message=AA+A", GetBadBase64, ""},
		{"a line break in base64", "encoding=proto&base64=1&message=Zm9v%0A", GetBadBase64, ""},
		{"half of the padding", "encoding=proto&base64=1&message=Zg%3D", GetBadBase64, ""},
		{"bits left over", "encoding=proto&base64=1&message=Zh", GetBadBase64, ""},
		{"JSON that is not UTF-8", "encoding=json&message=%22%FF%22", GetBadText, ""},
		{"JSON that is not UTF-8, in base64", "encoding=json&base64=1&message=Iv8i", GetBadText, ""},
		{"two messages", "encoding=json&message=x&message=x", GetDuplicate, ""},
		{"two codecs", "encoding=json&encoding=json&message=x", GetDuplicate, ""},
		{"two versions", "connect=v1&connect=v1&encoding=json&message=x", GetDuplicate, ""},
		{"two of base64", "base64=0&base64=1&encoding=json&message=x", GetDuplicate, ""},
		{"two compressions", "compression=&compression=gzip&encoding=json&message=x", GetDuplicate, ""},
	} {
		var q GetQuery
		f := ParseGet([]byte(c.query), &q)
		if f != c.fault || f == GetOK && string(q.Message) != c.message {
			t.Errorf("%s: %q, %q", c.what, f, q.Message)
		}
	}
}
