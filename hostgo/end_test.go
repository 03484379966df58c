package hostgo

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// endingCodec fails to decode as a json.Decoder does that has nothing to read, and
// to encode what is nil.
type endingCodec struct{}

func (endingCodec) Name() string { return "ending" }

func (endingCodec) Append(b []byte, message any) ([]byte, error) {
	if message == nil {
		return nil, io.EOF
	}
	return append(b, 'x'), nil
}

func (endingCodec) Unmarshal([]byte, any) error { return io.EOF }

// io.EOF says that all messages came: a failure that has it in its chain would be
// taken for that. Connections that the peer closes fail with it, and codecs may.
func TestFailuresAreNoEnd(t *testing.T) {
	checked := func(what string, err error, code Code) {
		t.Helper()
		if CodeOf(err) != code || errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v, which is io.EOF: %v; want %v, which is not", what, err, errors.Is(err, io.EOF), code)
		}
	}
	var received error
	own, err := NewHandler(&HandlerOptions{Module: defaultModule, Logger: quiet(), Codecs: []Codec{endingCodec{}}},
		Procedure{Path: bidiPath, Type: StreamTypeBidi, Serve: func(_ context.Context, call *Call) error {
			if metadata := call.RequestMetadata(); metadata.Get("x-answers") != "" {
				return call.SendBytes([]byte("x"))
			}
			received = call.Receive(new(string))
			return received
		}})
	if err != nil {
		t.Fatal(err)
	}
	closing := func(response string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, response)
			_ = conn.Close()
		}
	}
	var answers Metadata
	answers.Add("x-answers", "yes")
	for _, test := range []struct {
		what     string
		h        http.Handler
		metadata Metadata
		message  any
		code     Code
	}{
		{"no response", closing(""), Metadata{}, "x", CodeUnavailable},
		{"half a response", closing("HTTP/1.1 200 OK\r\nContent-Type: application/connect+ending\r\nTransfer-Encoding: chunked\r\n\r\n"),
			Metadata{}, "x", CodeUnavailable},
		{"a response that does not decode", own, answers, "x", CodeInternal},
		{"a request that does not encode", own, answers, nil, CodeInternal},
		{"a request that does not decode", own, Metadata{}, "x", CodeInvalidArgument},
	} {
		server := httptest.NewServer(test.h)
		client, err := NewClient(server.URL, &ClientOptions{Module: defaultModule, Codec: endingCodec{}})
		if err != nil {
			t.Fatal(err)
		}
		stream, err := client.BidiStream(t.Context(), bidiPath, WithMetadata(test.metadata))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(test.message); test.message == nil {
			checked(test.what, err, test.code)
		}
		_ = stream.CloseSend() // receiving says why it fails
		checked(test.what, stream.Receive(new(string)), test.code)
		stream.Close()
		server.Close()
	}
	checked("at the server", received, CodeInvalidArgument)
}
