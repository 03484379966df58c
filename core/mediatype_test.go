package core

import "testing"

func TestContentTypes(t *testing.T) {
	const connect, grpc, web = ProtocolConnect, ProtocolGRPC, ProtocolGRPCWeb
	for _, c := range []struct {
		text           string
		protocol       Protocol // 0: refused
		stream, text64 bool
		codec          string
		written        string // what is appended for it, "" for the text itself
	}{
		{"application/proto", connect, false, false, "proto", ""},
		{"application/json", connect, false, false, "json", ""},
		{"application/vnd.acme.v1+json", connect, false, false, "vnd.acme.v1+json", ""},
		{"application/connect+proto", connect, true, false, "proto", ""},
		{"application/connect+json", connect, true, false, "json", ""},
		{"application/connect+a+b", connect, true, false, "a+b", ""},
		{"application/connect", connect, false, false, "connect", ""},
		{"application/grpc", grpc, true, false, "proto", "application/grpc+proto"},
		{"application/grpc+proto", grpc, true, false, "proto", ""},
		{"application/grpc+json", grpc, true, false, "json", ""},
		{"application/grpc-web", web, true, false, "proto", "application/grpc-web+proto"},
		{"application/grpc-web+json", web, true, false, "json", ""},
		{"application/grpc-web-text", web, true, true, "proto", "application/grpc-web-text+proto"},
		{"application/grpc-web-text+proto", web, true, true, "proto", ""},
		{"application/grpcx", connect, false, false, "grpcx", ""},
		{"application/grpc-webx+proto", connect, false, false, "grpc-webx+proto", ""},

		{"Application/JSON", connect, false, false, "json", "application/json"},
		{"APPLICATION/CONNECT+PROTO", connect, true, false, "proto", "application/connect+proto"},
		{"application/GRPC+Proto", grpc, true, false, "proto", "application/grpc+proto"},

		{"application/json;charset=utf-8", connect, false, false, "json", "application/json"},
		{"application/json; charset=UTF-8", connect, false, false, "json", "application/json"},
		{"application/json ; Charset=\"utf-8\"", connect, false, false, "json", "application/json"},
		{"application/json; charset=utf8", connect, false, false, "json", "application/json"},
		{"application/json;", connect, false, false, "json", "application/json"},
		{"application/json;; a=b;", connect, false, false, "json", "application/json"},
		{"application/json; a=\"\\\"; charset=latin1\"", connect, false, false, "json", "application/json"},
		{"application/proto; charset=latin1", connect, false, false, "proto", "application/proto"},
		{" application/proto\t", connect, false, false, "proto", "application/proto"},
		{"application/grpc; a=b", grpc, true, false, "proto", "application/grpc+proto"},

		{"application/json; charset=latin1", 0, false, false, "", ""},
		{"application/json; charset=\"utf-16\"", 0, false, false, "", ""},
		{"application/json; a=b; CHARSET=latin1", 0, false, false, "", ""},
		{"application/connect+json; charset=latin1", 0, false, false, "", ""},
		{"application/grpc+json; charset=latin1", 0, false, false, "", ""},
		{"application/json; charset", 0, false, false, "", ""},
		{"application/json; charset=", 0, false, false, "", ""},
		{"application/proto; a=", 0, false, false, "", ""},
		{"application/proto; a=;b=c", 0, false, false, "", ""},
		{"application/json; =utf-8", 0, false, false, "", ""},
		{"application/json; a=\"b", 0, false, false, "", ""},
		{"application/json; a=\"b\\", 0, false, false, "", ""},
		{"application/json; a=\"b\" c", 0, false, false, "", ""},
		{"application/json; a=b c", 0, false, false, "", ""},
		{"application/json, application/proto", 0, false, false, "", ""},
		{"application/json x", 0, false, false, "", ""},
		{"", 0, false, false, "", ""},
		{"application", 0, false, false, "", ""},
		{"application/", 0, false, false, "", ""},
		{"application/;a=b", 0, false, false, "", ""},
		{"application/connect+", 0, false, false, "", ""},
		{"application/grpc+", 0, false, false, "", ""},
		{"application/grpc-web+", 0, false, false, "", ""},
		{"application/a/b", 0, false, false, "", ""},
		{"application/a b", 0, false, false, "", ""},
		{"application/\xff", 0, false, false, "", ""},
		{"text/plain", 0, false, false, "", ""},
		{"image/jpeg", 0, false, false, "", ""},
		{"xapplication/json", 0, false, false, "", ""},
	} {
		ct, ok := ParseContentType([]byte(c.text))
		if !ok {
			if c.protocol != 0 {
				t.Errorf("%q is refused", c.text)
			}
			continue
		}
		if ct.Protocol != c.protocol || ct.Stream != c.stream || ct.Text != c.text64 || !EqualFold(ct.Codec, c.codec) {
			t.Errorf("%q: protocol %d, stream %v, text %v, codec %q", c.text, ct.Protocol, ct.Stream, ct.Text, ct.Codec)
		}
		if c.written == "" {
			c.written = c.text
		}
		if got := string(ct.dialect.appendType([]byte("x"), c.codec)); got != "x"+c.written {
			t.Errorf("%q is written as %q", c.text, got)
		}
	}
}
