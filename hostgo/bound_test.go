package hostgo

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

// most is what a call may hold: 4,096 messages, and 1 MiB of decompressed bytes
// besides the message that exceeds them (the interface document, section 4).
const (
	mostMessages = 4_096
	mostInflated = 1<<20 + 4<<20
)

// counting receives all messages, and says how many there were and how many
// bytes they had. It looks at what the call holds meanwhile.
func counting(t *testing.T, path string, streamType StreamType) Procedure {
	return Procedure{Path: path, Type: streamType, Serve: func(_ context.Context, call *Call) error {
		messages, size, held := 0, 0, 0
		for {
			payload, err := call.ReceiveBytes()
			if errors.Is(err, io.EOF) {
				return call.SendBytes(fmt.Appendf(nil, "%d messages, %d bytes", messages, size))
			}
			if err != nil {
				return err
			}
			messages, size = messages+1, size+len(payload)
			call.mu.Lock()
			in := &call.s.in
			if waiting := len(in.queue) - in.next; waiting > mostMessages || len(in.inlined) > mostInflated {
				t.Errorf("%d messages and %d bytes wait", waiting, len(in.inlined))
			}
			if held = max(held, cap(in.buf)); held > 4<<20 {
				t.Errorf("%d bytes of content are held", held)
			}
			call.mu.Unlock()
		}
	}}
}

// What comes out of one step is bounded, whatever a peer sends at once; the rest
// comes when it is asked for, and until then nothing more is read.
func TestBoundedStep(t *testing.T) {
	m := load(t, Options{Instances: 1})
	h, err := NewHandler(&HandlerOptions{Module: m, Logger: quiet(), Codings: []string{"gzip", "snappy"}},
		counting(t, "/test.v1.Test/Client", StreamTypeClient), counting(t, bidiPath, StreamTypeBidi))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	inflating := func(coding string) []byte { return bytes.Repeat(flagged(1, packed(t, coding, 4<<20-1)), 32) }
	inflated := fmt.Sprintf("32 messages, %d bytes", 32*(4<<20-1))
	for _, test := range []struct {
		name, coding, want string
		content            []byte
	}{
		{"100,000 empty messages", "gzip", "100000 messages, 0 bytes", make([]byte, 5*100_000)},
		{"32 messages that inflate here", "gzip", inflated, inflating("gzip")},
		{"32 messages that inflate in the module", "snappy", inflated, inflating("snappy")},
	} {
		for _, path := range []string{"/test.v1.Test/Client", bidiPath} {
			t.Run(test.name+path, func(t *testing.T) {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, bytes.NewReader(test.content))
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Content-Type", streamType)
				request.Header.Set("Connect-Content-Encoding", test.coding)
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close() //nolint:errcheck // all of it is read
				if payload, _, err := readEnvelope(response.Body); err != nil || payload != test.want {
					t.Errorf("got %q (%v), want %q", payload, err, test.want)
				}
				if payload, end, err := readEnvelope(response.Body); !end || payload != "{}" {
					t.Errorf("the end: got %q (%v)", payload, err)
				}
			})
		}
	}
	if stats := m.Stats(); stats.Trapped+stats.Replaced != 0 || stats.Calls != 0 {
		t.Errorf("got %+v, want that no instance failed or grew too large", stats)
	}
}

// A client's call holds no more either.
func TestBoundedStepOfClient(t *testing.T) {
	m := load(t, Options{Instances: 1})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/proto")
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		_, _ = zip.Write(make([]byte, 64<<20)) // the client does not read all of it
		_ = zip.Close()
	}))
	t.Cleanup(server.Close)
	client, err := NewClient(server.URL, &ClientOptions{Module: m})
	if err != nil {
		t.Fatal(err)
	}
	err = client.Unary(t.Context(), echoPath, wrapperspb.String("x"), &wrapperspb.StringValue{})
	if CodeOf(err) != CodeResourceExhausted {
		t.Errorf("got %v, want resource exhausted", err)
	}
	if stats := m.Stats(); stats.Trapped+stats.Replaced != 0 {
		t.Errorf("got %+v, want that no instance failed or grew too large", stats)
	}
}

// Over HTTP/1.0 an answer cannot come before the request has ended: the messages
// of a bidi call come when it has.
func TestHalfDuplex(t *testing.T) {
	h := handlerOn(t, load(t, Options{Instances: 1}), echoAll)
	var content []byte
	var want []string
	for i := range 10_000 {
		want = append(want, strings.Repeat("x", i%50))
		content = envelope(content, want[i])
	}
	request := httptest.NewRequest(http.MethodPost, bidiPath, bytes.NewReader(content))
	request.Proto, request.ProtoMajor, request.ProtoMinor = "HTTP/1.0", 1, 0
	request.Header.Set("Content-Type", streamType)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	for i := range want {
		if payload, _, err := readEnvelope(w.Body); err != nil || payload != want[i] {
			t.Fatalf("message %d: got %.40q (%v), want %.40q", i, payload, err, want[i])
		}
	}
	if payload, end, err := readEnvelope(w.Body); !end || payload != "{}" || err != nil {
		t.Errorf("the end: got %q, %v, %v", payload, end, err)
	}
}
