package core

import (
	"fmt"
	"testing"
)

// A prepared answer holds for every head with the same names and the same values
// where a bit of Matters is set: whatever the other values are.
func TestPreparedDependsOnWhatMatters(t *testing.T) {
	s := testServer(t, true)
	names := []string{
		"content-type", "content-length", "host", "te", "traceparent", "accept-encoding", "grpc-accept-encoding", "grpc-encoding",
		"connect-protocol-version", "grpc-message-type", "user-agent", "x-a", "x-b-bin", "x-a", "cookie", "connect-unknown",
	}
	// What a value may be; the second is as good as the first.
	values := map[string][2]string{
		"content-length": {"7", "12"}, "accept-encoding": {"gzip", "br"}, "grpc-accept-encoding": {"identity", "gzip"},
		"grpc-encoding": {"identity", "gzip"}, "connect-protocol-version": {"1", "1"}, "x-b-bin": {"AAA", "//8"},
	}
	for _, contentType := range []string{"application/proto", "application/grpc+proto", "application/grpc-web+json"} {
		open := func(changed int) (e [2]Event, all string) {
			var f Fields
			for i, name := range names {
				v, ok := values[name]
				if !ok {
					v = [2]string{"one", "another value"}
				}
				if name == "content-type" {
					v = [2]string{contentType, contentType + "; charset=utf-8"}
				}
				value := v[0]
				if i == changed {
					value = v[1]
				}
				f.AddString(name, value)
			}
			events := s.Open(new(ServerCall), &RequestHead{Method: []byte("POST"), Path: []byte("/s/Unary"), Fields: f},
				Capabilities{Trailers: true, Prepare: true}, false)
			if len(events) != 3 || events[1].Kind != EventPrepared {
				t.Fatalf("%s: nothing is prepared: %v", contentType, events)
			}
			return [2]Event(events[:2]), fmt.Sprintf("%+v", events)
		}
		e, want := open(-1)
		marked := 0
		for i, name := range names {
			if e[1].Matters[i/8]>>(i%8)&1 != 0 {
				marked++
				continue
			}
			if _, got := open(i); got != want {
				t.Errorf("%s: the value of %s changes the answer, and does not matter:\n%s\n%s", contentType, name, want, got)
			}
		}
		if marked > 6 {
			t.Errorf("%s: %d values matter: few heads are alike", contentType, marked)
		}
	}
}
