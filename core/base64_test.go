package core

import (
	"bytes"
	"testing"
)

func TestBase64(t *testing.T) {
	type codec struct {
		append func(dst, src []byte) []byte
		parse  func(dst, src []byte) ([]byte, bool)
	}
	std := codec{AppendBase64, AppendDecodeBase64}
	url := codec{AppendBase64URL, AppendDecodeBase64URL}
	for _, c := range []struct {
		codec
		text, bytes string
		padded      string
	}{
		// RFC 4648, section 10.
		{std, "", "", ""},
		{std, "Zg", "f", "Zg=="},
		{std, "Zm8", "fo", "Zm8="},
		{std, "Zm9v", "foo", "Zm9v"},
		{std, "Zm9vYg", "foob", "Zm9vYg=="},
		{std, "Zm9vYmE", "fooba", "Zm9vYmE="},
		{std, "Zm9vYmFy", "foobar", "Zm9vYmFy"},
		{std, "+/+/", "\xfb\xff\xbf", "+/+/"},
		{url, "-_-_", "\xfb\xff\xbf", "-_-_"},
		{url, "_w", "\xff", "_w=="},
		{url, "AAE", "\x00\x01", "AAE="},
	} {
		if got := c.append([]byte("x"), []byte(c.bytes)); string(got) != "x"+c.text {
			t.Errorf("%q becomes %q", c.bytes, got)
		}
		for _, text := range []string{c.text, c.padded} {
			if got, ok := c.parse([]byte("x"), []byte(text)); !ok || string(got) != "x"+c.bytes {
				t.Errorf("%q becomes %q, %v", text, got, ok)
			}
			for _, more := range []string{" ", "\n", "\x00", "="} {
				if text+more == c.padded {
					continue
				}
				if got, ok := c.parse([]byte("x"), []byte(text+more)); ok || string(got) != "x" {
					t.Errorf("%q becomes %q", text+more, got)
				}
			}
		}
		// In place.
		buf := append([]byte("x"), c.padded...)
		if got, ok := c.parse(buf[:1], buf[1:]); !ok || string(got) != "x"+c.bytes {
			t.Errorf("%q in place becomes %q", c.padded, got)
		}
	}
	for _, c := range []struct {
		codec
		fault, text string
	}{
		{std, "one character", "Z"},
		{std, "five characters", "Zm9vY"},
		{std, "bits left over, two characters", "Zh"},
		{std, "bits left over, three characters", "Zm9"},
		{std, "bits left over under padding", "Zh=="},
		{std, "only padding", "="},
		{std, "only padding, two", "=="},
		{std, "only padding, four", "===="},
		{std, "half of the padding", "Zg="},
		{std, "three of padding", "Z==="},
		{std, "padding inside", "Zg==Zg=="},
		{std, "line break", "Zm9v\nYmFy"},
		{std, "carriage return", "Zm9v\r\n"},
		{std, "URL-safe characters", "-_-_"},
		{url, "standard characters", "+/+/"},
		{url, "a space", "Zm9 "},
		{std, "a high byte", "Zm9\xff"},
	} {
		if got, ok := c.parse([]byte("x"), []byte(c.text)); ok || string(got) != "x" {
			t.Errorf("%s: %q becomes %q", c.fault, c.text, got)
		}
	}
}

func TestAppendBinaryValues(t *testing.T) {
	for _, c := range []struct {
		what, field string
		values      []string
		ok          bool
	}{
		{"one", "Zm9v", []string{"foo"}, true},
		{"padded", "Zg==", []string{"f"}, true},
		{"three, with and without padding and spaces", "Zg==,Zm8 , Zm9v", []string{"f", "fo", "foo"}, true},
		{"empty", "", []string{""}, true},
		{"only spaces", "  ", []string{""}, true},
		{"empty members", ",Zg,,Zm8,", []string{"f", "fo"}, true},
		{"only a comma", ",", nil, true},
		{"not base64", "Zg,!", nil, false},
		{"URL-safe", "__8", nil, false},
	} {
		var p Pairs
		p.Add([]byte("before"), nil)
		ok := AppendBinaryValues(&p, []byte("a-bin"), []byte(c.field))
		var want Pairs
		want.Add([]byte("before"), nil)
		for _, v := range c.values {
			want.Add([]byte("a-bin"), []byte(v))
		}
		if ok != c.ok || p.Len() != want.Len() || !bytes.Equal(p.Bytes(), want.Bytes()) {
			t.Errorf("%s: %v, %q", c.what, ok, p.Bytes())
		}
	}
}
