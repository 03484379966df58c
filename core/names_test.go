package core

import "testing"

func TestValidFieldName(t *testing.T) {
	for _, name := range []string{"a", "x-custom", "a_b.c", "0", "!#$%&'*+-.^_`|~"} {
		if !ValidFieldName([]byte(name)) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{"", "A", "x-Custom", "a b", "a:", ":a", "a\x00", "a\n", "ü", "a(", "\x7f"} {
		if ValidFieldName([]byte(name)) {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestValidFieldValue(t *testing.T) {
	for _, v := range []string{"", "a", " a ", "\t", "a\tb", "\x80\xff", "ü", "~"} {
		if !ValidFieldValue([]byte(v)) {
			t.Errorf("%q is refused", v)
		}
	}
	for _, v := range []string{"\x00", "a\rb", "a\nb", "a\r\nb: c", "\x01", "\x1f", "\x7f", "\x1b[0m"} {
		if ValidFieldValue([]byte(v)) {
			t.Errorf("%q is taken", v)
		}
	}
}

func TestIsBinaryName(t *testing.T) {
	for name, want := range map[string]bool{"a-bin": true, "-bin": true, "bin": false, "a-bin ": false, "a-bins": false, "": false} {
		if IsBinaryName([]byte(name)) != want {
			t.Errorf("%q", name)
		}
	}
}

func TestReservedNames(t *testing.T) {
	const request, response, trailer = 1, 2, 4
	const all = request | response | trailer
	for name, where := range map[string]int{
		// The protocols' own.
		"": all, ":path": all, ":status": all, ":": all,
		"connect-protocol-version": all, "connect-timeout-ms": all, "connect-content-encoding": all,
		"connect-accept-encoding": all, "connect-anything": all, "connect-": all,
		"grpc-timeout": all, "grpc-encoding": all, "grpc-accept-encoding": all, "grpc-message-type": all,
		"grpc-status": all, "grpc-message": all, "grpc-status-details-bin": all, "grpc-future": all,
		// HTTP's.
		"content-type": all, "content-encoding": all, "content-length": all, "accept-encoding": all,
		"te": all, "trailer": all, "transfer-encoding": all, "connection": all, "keep-alive": all,
		"upgrade": all, "proxy-connection": all,
		"host": request | trailer, "expect": request, "http2-settings": request,
		// The user's.
		"user-agent": 0, "authorization": 0, "cookie": 0, "set-cookie": 0, "accept": 0, "accept-language": 0,
		"origin": 0, "referer": 0, "x-forwarded-for": 0, "forwarded": 0, "via": 0, "date": 0, "server": 0,
		"vary": 0, "cache-control": 0, "etag": 0, "x-user-agent": 0, "traceparent": 0, "content-language": 0,
		"connect": 0, "connector": 0, "grpc": 0, "grpcx": 0, "t": 0, "trailer-x": 0, "x": 0, "x-grpc-web": 0,
	} {
		got := 0
		if ReservedRequest([]byte(name)) {
			got |= request
		}
		if ReservedResponse([]byte(name)) {
			got |= response
		}
		if ReservedTrailer([]byte(name)) {
			got |= trailer
		}
		if got != where {
			t.Errorf("%q: %03b, want %03b", name, got, where)
		}
	}
}

func TestEqualFold(t *testing.T) {
	for _, c := range []struct {
		b, s string
		want bool
	}{
		{"", "", true}, {"gzip", "gzip", true}, {"GZip", "gzip", true}, {"gzip", "GZIP", true},
		{"gzi", "gzip", false}, {"gzip ", "gzip", false}, {"a[", "a{", false}, {"@", "`", false}, {"\xc3", "\xe3", false},
	} {
		if EqualFold([]byte(c.b), c.s) != c.want {
			t.Errorf("%q and %q", c.b, c.s)
		}
	}
}
