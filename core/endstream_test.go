package core

import "testing"

// newFields makes fields of name, value, name, value.
func newFields(nv ...string) (f Fields) {
	for i := 0; i+1 < len(nv); i += 2 {
		f.AddString(nv[i], nv[i+1])
	}
	return f
}

// newPairs makes pairs of a, b, a, b.
func newPairs(ab ...string) (p Pairs) {
	for i := 0; i+1 < len(ab); i += 2 {
		p.Add([]byte(ab[i]), []byte(ab[i+1]))
	}
	return p
}

func sameEndStream(a, b *EndStream) bool {
	return a.Failed == b.Failed && sameError(&a.Error, &b.Error) &&
		a.Trailers.Len() == b.Trailers.Len() && string(a.Trailers.Bytes()) == string(b.Trailers.Bytes()) &&
		a.Binary.Len() == b.Binary.Len() && string(a.Binary.Bytes()) == string(b.Binary.Bytes())
}

// endStream appends an end marker with metadata as an application gives it.
func endStream(dst []byte, e *Error, text Fields, binary Pairs) []byte {
	var trailers Fields
	addMetadata(&trailers, "", text, binary, nil)
	return AppendEndStream(dst, e, trailers)
}

func dirtyEndStream() *EndStream {
	return &EndStream{Failed: true, Error: *dirty(), Trailers: newFields("old", "1"), Binary: newPairs("old-bin", "2")}
}

func TestEndStreams(t *testing.T) {
	for _, c := range []struct {
		text string
		e    *Error
		f    Fields
		b    Pairs
	}{
		{`{}`, nil, Fields{}, Pairs{}},
		{`{"error":{"code":"unavailable"}}`, newError(Unavailable, ""), Fields{}, Pairs{}},
		{`{"metadata":{"acme-operation-cost":["237"]}}`, nil, newFields("acme-operation-cost", "237"), Pairs{}},
		{`{"error":{"code":"unavailable","message":"m"},"metadata":{"a":["1"],"b":["2"]}}`,
			newError(Unavailable, "m"), newFields("a", "1", "b", "2"), Pairs{}},
		{`{"metadata":{"a":["1","","ü, x"],"b":["2"]}}`, nil, newFields("a", "1", "a", "", "a", "ü, x", "b", "2"), Pairs{}},
		{`{"metadata":{"a":["1"],"x-bin":["//4","Zg"],"y-bin":[""]}}`, nil, newFields("a", "1"),
			newPairs("x-bin", "\xff\xfe", "x-bin", "f", "y-bin", "")},
	} {
		if got := string(endStream([]byte("x"), c.e, c.f, c.b)); got != "x"+c.text {
			t.Errorf("%s is written as %s", c.text, got)
		}
		want := &EndStream{Failed: c.e != nil, Trailers: c.f, Binary: c.b}
		if c.e != nil {
			want.Error = *c.e
		}
		got := dirtyEndStream()
		if !ParseEndStream([]byte(c.text), got) || !sameEndStream(got, want) {
			t.Errorf("%s becomes %v %q %q", c.text, got.Error.Code, got.Trailers.Bytes(), got.Binary.Bytes())
		}
		for n := range len(c.text) {
			got := dirtyEndStream()
			if ParseEndStream([]byte(c.text[:n]), got) || !sameEndStream(got, new(EndStream)) {
				t.Errorf("truncated to %s: taken", c.text[:n])
			}
		}
		if ParseEndStream([]byte(c.text+"x"), got) {
			t.Errorf("%sx is taken", c.text)
		}
	}
}

func TestAppendEndStreamGroups(t *testing.T) {
	got := string(endStream(nil, &Error{Code: OK, Message: []byte("ignored")},
		newFields("b", "1", "a", "2", "b", "3", "c-bin", "already"),
		newPairs("c-bin", "x", "d-bin", "y", "c-bin", "z", "d-bin", "")))
	if want := `{"metadata":{"b":["1","3"],"a":["2"],"c-bin":["already","eA","eg"],"d-bin":["eQ",""]}}`; got != want {
		t.Errorf("%s", got)
	}
}

func TestParseEndStream(t *testing.T) {
	bad := (*EndStream)(nil)
	success := func(nv ...string) *EndStream { return &EndStream{Trailers: newFields(nv...)} }
	binary := func(ab ...string) *EndStream { return &EndStream{Binary: newPairs(ab...)} }
	failure := func(code Code, message string) *EndStream {
		return &EndStream{Failed: true, Error: *newError(code, message)}
	}
	for _, c := range []struct {
		what, text string
		want       *EndStream
	}{
		{"empty", ``, bad},
		{"null", `null`, bad},
		{"an array", `[]`, bad},
		{"text", `"{}"`, bad},
		{"empty error", `{"error":{}}`, bad},
		{"null code only", `{"error":{"code":null}}`, bad},
		{"error is text", `{"error":"unavailable"}`, bad},
		{"error is false", `{"error":false}`, bad},
		{"error is an array", `{"error":[]}`, bad},
		{"code is a number", `{"error":{"code":14}}`, bad},
		{"message is no text", `{"error":{"code":"aborted","message":["m"]}}`, bad},
		{"metadata is an array", `{"metadata":[]}`, bad},
		{"metadata is text", `{"metadata":"a"}`, bad},
		{"values are text", `{"metadata":{"a":"1"}}`, bad},
		{"values are null", `{"metadata":{"a":null}}`, bad},
		{"a value is a number", `{"metadata":{"a":["1",2]}}`, bad},
		{"a value is null", `{"metadata":{"a":[null]}}`, bad},
		{"empty name", `{"metadata":{"":["1"]}}`, bad},
		{"name with a space", `{"metadata":{"a b":["1"]}}`, bad},
		{"name with a NUL", `{"metadata":{"a\u0000":["1"]}}`, bad},
		{"name without values is still checked", `{"metadata":{"a b":[]}}`, bad},
		{"value with a NUL", `{"metadata":{"a":["1\u0000b\u00002"]}}`, bad},
		{"value with a line break", `{"metadata":{"a":["1\r\nb: 2"]}}`, bad},
		{"malformed member that is not read", `{"x":[}`, bad},
		{"101 deep", `{"x":` + nestedArrays(100) + `}`, bad},

		{"100 deep", `{"x":` + nestedArrays(99) + `}`, success()},
		{"unknown members", `{"x":[1,{"error":null}],"code":"aborted"}`, success()},
		{"null error", `{"error":null}`, success()},
		{"null metadata", `{"metadata":null}`, success()},
		{"empty metadata", `{"metadata":{}}`, success()},
		{"name without values", `{"metadata":{"a":[],"b":["1"]}}`, success("b", "1")},
		{"upper case", `{"metadata":{"Acme-Cost":["1"],"acme-cost":["2"]}}`, success("acme-cost", "1", "acme-cost", "2")},
		{"escapes", `{"metadata":{"\u0041":["\u0031"]}}`, success("a", "1")},
		{"high bytes", `{"metadata":{"a":["ü"]}}`, success("a", "ü")},
		{"the protocol's own", `{"metadata":{"connect-x":["1"],"Connect-Timeout-Ms":["1"],"grpc-status":["0"],"content-type":["x"],"a":["1"]}}`, success("a", "1")},
		{"binary values of which one is not base64", `{"metadata":{"A-Bin":["Zg","!","Zm8"]}}`,
			&EndStream{Trailers: newFields("a-bin", "!"), Binary: newPairs("a-bin", "f", "a-bin", "fo")}},
		{"a joined binary value of which half is not base64", `{"metadata":{"a-bin":["Zg,!"]}}`, success("a-bin", "Zg,!")},
		{"the protocol's own, binary", `{"metadata":{"grpc-status-details-bin":["!"]}}`, success()},
		{"last metadata wins", `{"metadata":{"a":["1"],"b-bin":["Zg"]},"metadata":{"c":["2"]}}`, success("c", "2")},
		{"last error wins", `{"error":{"code":"aborted"},"error":null}`, success()},
		{"binary, upper case, padded, joined", `{"metadata":{"A-Bin":["Zg==,Zm8","Zm9v"]}}`, binary("a-bin", "f", "a-bin", "fo", "a-bin", "foo")},
		{"missing code", `{"error":{"message":"oops"}}`, failure(Unknown, "oops")},
		{"null code", `{"error":{"code":null,"message":"oops"}}`, failure(Unknown, "oops")},
		{"unknown code", `{"error":{"code":"foobar","message":"oops"}}`, failure(Unknown, "oops")},
		{"ok for a code", `{"error":{"code":"ok"}}`, failure(Unknown, "")},
	} {
		got := dirtyEndStream()
		ok := ParseEndStream([]byte(c.text), got)
		want := c.want
		if want == nil {
			want = new(EndStream)
		}
		if ok != (c.want != nil) || !sameEndStream(got, want) {
			t.Errorf("%s: %v, failed %v, %v %q, %q %q", c.what, ok, got.Failed, got.Error.Code, got.Error.Message,
				got.Trailers.Bytes(), got.Binary.Bytes())
		}
	}
}

func nestedArrays(n int) string {
	b := make([]byte, 2*n)
	for i := range n {
		b[i], b[2*n-1-i] = '[', ']'
	}
	return string(b)
}
