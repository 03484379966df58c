package core

import "testing"

// newError makes an error; details are type, value, type, value.
func newError(code Code, message string, details ...string) *Error {
	e := &Error{Code: code, Message: []byte(message)}
	for i := 0; i+1 < len(details); i += 2 {
		e.Details.Add([]byte(details[i]), []byte(details[i+1]))
	}
	return e
}

func sameError(a, b *Error) bool {
	return a.Code == b.Code && string(a.Message) == string(b.Message) &&
		a.Details.Len() == b.Details.Len() && string(a.Details.Bytes()) == string(b.Details.Bytes())
}

// dirty is an error with something in every field, to be reset.
func dirty() *Error { return newError(DataLoss, "old", "old.Type", "old value") }

func TestConnectErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		e    *Error
	}{
		{`{"code":"unavailable"}`, newError(Unavailable, "")},
		{`{"code":"unavailable","message":"overloaded: back off and retry","details":[{"type":"google.rpc.RetryInfo","value":"CgIIPA"}]}`,
			newError(Unavailable, "overloaded: back off and retry", "google.rpc.RetryInfo", "\n\x02\b<")},
		{`{"code":"canceled","message":"\"ü\"\n"}`, newError(Canceled, "\"ü\"\n")},
		{`{"code":"unknown","details":[{"type":"a.B","value":""},{"type":"a.B","value":"//4"}]}`,
			newError(Unknown, "", "a.B", "", "a.B", "\xff\xfe")},
	} {
		if got := string(AppendError([]byte("x"), c.e)); got != "x"+c.text {
			t.Errorf("%s is written as %s", c.text, got)
		}
		for _, space := range []string{"", " \r\n\t"} {
			got := dirty()
			if !ParseError([]byte(space+c.text+space), Internal, got) || !sameError(got, c.e) {
				t.Errorf("%s becomes %v %q %q", c.text, got.Code, got.Message, got.Details.Bytes())
			}
		}
		for n := range len(c.text) {
			got := dirty()
			if ParseError([]byte(c.text[:n]), Internal, got) || !sameError(got, new(Error)) {
				t.Errorf("truncated to %s: taken", c.text[:n])
			}
		}
		for _, more := range []string{"x", "{}", "\x00", ","} {
			if ParseError([]byte(c.text+more), Internal, dirty()) {
				t.Errorf("%s%q: taken", c.text, more)
			}
		}
	}
}

func TestParseError(t *testing.T) {
	for _, c := range []struct {
		what, text string
		e          *Error // nil: not an error at all
	}{
		// protocol.md, "Error and EndStreamResponse": these two are invalid.
		{"nothing in it", `{}`, nil},
		{"null code", `{"code":null}`, nil},
		{"empty", ``, nil},
		{"null", `null`, nil},
		{"text", `"unavailable"`, nil},
		{"an array", `[{"code":"unavailable"}]`, nil},
		{"HTML", `<html>502 Bad Gateway</html>`, nil},
		{"code is a number", `{"code":14}`, nil},
		{"code is an object", `{"code":{}}`, nil},
		{"message is a number", `{"code":"unavailable","message":5}`, nil},
		{"message is an object", `{"code":"unavailable","message":{"a":"b"}}`, nil},
		{"message is not UTF-8", "{\"code\":\"unavailable\",\"message\":\"\xff\"}", nil},
		{"only an empty message", `{"message":""}`, nil},
		{"only details", `{"details":[{"type":"a.B","value":""}]}`, nil},
		{"malformed in what is not read", `{"code":"unavailable","x":[1,]}`, nil},

		{"missing code", `{"message":"oops"}`, newError(DataLoss, "oops")},
		{"null code, message", `{"code":null,"message":"oops"}`, newError(DataLoss, "oops")},
		{"unknown code", `{"code":"foobar","message":"oops"}`, newError(DataLoss, "oops")},
		{"unknown code alone", `{"code":"foobar"}`, newError(DataLoss, "")},
		{"ok", `{"code":"ok","message":"oops"}`, newError(DataLoss, "oops")},
		{"upper case", `{"code":"UNAVAILABLE"}`, newError(DataLoss, "")},
		{"code in escapes", `{"\u0063ode":"abort\u0065d"}`, newError(Aborted, "")},
		{"null message", `{"code":"aborted","message":null}`, newError(Aborted, "")},
		{"wrong case of a key", `{"Code":"aborted","message":"m"}`, newError(DataLoss, "m")},
		{"unknown members", `{"a":[{}],"code":"aborted","b":null,"code_":1}`, newError(Aborted, "")},
		{"last code wins", `{"code":"aborted","code":"internal"}`, newError(Internal, "")},
		{"last code wins, unknown", `{"code":"aborted","code":"x"}`, newError(DataLoss, "")},
		{"last code wins, null", `{"code":"aborted","code":null,"message":"m"}`, newError(DataLoss, "m")},
		{"last message wins", `{"code":"aborted","message":"long one","message":"m"}`, newError(Aborted, "m")},
		{"last details win", `{"code":"aborted","details":[{"type":"a.B","value":""}],"details":[]}`, newError(Aborted, "")},

		{"null details", `{"code":"aborted","details":null}`, newError(Aborted, "")},
		{"details are an object", `{"code":"aborted","details":{"type":"a.B","value":""}}`, newError(Aborted, "")},
		{"debug is ignored", `{"code":"aborted","details":[{"type":"a.B","value":"Zg","debug":"garbage","frob":[1]}]}`, newError(Aborted, "", "a.B", "f")},
		{"padded", `{"code":"aborted","details":[{"value":"Zg==","type":"a.B"}]}`, newError(Aborted, "", "a.B", "f")},
		{"value in escapes", `{"code":"aborted","details":[{"type":"a\u002eB","value":"\/\/4"}]}`, newError(Aborted, "", "a.B", "\xff\xfe")},
		{"a whole type URL", `{"code":"aborted","details":[{"type":"type.googleapis.com/a.B","value":"Zg"}]}`, newError(Aborted, "", "a.B", "f")},
		{"last type wins", `{"code":"aborted","details":[{"type":"x","value":"Zg","type":"a.B"}]}`, newError(Aborted, "", "a.B", "f")},
		{"malformed ones left out",
			`{"code":"aborted","details":[1,null,"x",[],{},{"type":"t"},{"value":"Zg"},{"type":5,"value":"Zg"},{"type":"t","value":5},` +
				`{"type":"t","value":null},{"type":"","value":"Zg"},{"type":"t/","value":"Zg"},{"type":"t","value":"_w"},{"type":"t","value":"Zg="},{"type":"t","type":5,"value":"Zg"},` +
				`{"type":"a.B","value":"Zg"},{"type":"t","value":"Zg","value":1}]}`, newError(Aborted, "", "a.B", "f")},
	} {
		got := dirty()
		ok := ParseError([]byte(c.text), DataLoss, got)
		switch {
		case c.e == nil && (ok || !sameError(got, new(Error))):
			t.Errorf("%s: taken for %v %q", c.what, got.Code, got.Message)
		case c.e != nil && (!ok || !sameError(got, c.e)):
			t.Errorf("%s: %v, %v %q %q", c.what, ok, got.Code, got.Message, got.Details.Bytes())
		}
	}
}

func TestAppendErrorHasAlwaysAName(t *testing.T) {
	for _, code := range []Code{OK, 17, ^Code(0)} {
		if got := string(AppendError(nil, &Error{Code: code})); got != `{"code":"unknown"}` {
			t.Errorf("%d: %s", code, got)
		}
	}
	if got := string(AppendError(nil, newError(Aborted, "a\xffb"))); got != "{\"code\":\"aborted\",\"message\":\"a\ufffdb\"}" {
		t.Error(got)
	}
}
