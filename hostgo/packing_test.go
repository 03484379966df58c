package hostgo

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/tetratelabs/wazero/api"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// packers compress as peers do, with the usual libraries.
var packers = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"snappy":  func(w io.Writer) io.WriteCloser { return snappy.NewBufferedWriter(w) },
	"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, 3) },
	"zstd": func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		return z
	},
}

var allCodings = []string{"gzip", "deflate", "snappy", "br", "zstd"}

// packed compresses size bytes of zero.
func packed(t *testing.T, coding string, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := packers[coding](&b)
	for zeros := make([]byte, 1<<20); size > 0; size -= len(zeros) {
		if _, err := w.Write(zeros[:min(size, len(zeros))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// flagged is an envelope with flags.
func flagged(flags byte, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(payload))), payload...)
}

// checkBounded looks at what a module's instances have grown to.
func checkBounded(t *testing.T, m *Module) {
	t.Helper()
	var all []api.Memory
	for _, in := range m.pool.living() {
		all = append(all, in.memory)
	}
	for _, in := range m.codings.idle {
		all = append(all, in.memory)
	}
	for _, memory := range all {
		if size := memory.Size(); size > 24<<20 {
			t.Errorf("an instance has %d bytes", size)
		}
	}
	if stats := m.Stats(); stats.Trapped > 0 || stats.Calls > 0 {
		t.Errorf("got %+v, want that no instance failed and no call is open", stats)
	}
}

// A message that inflates to 256 MiB, or that is not what its coding says, in every
// place of a request where one can be.
func TestBadPackingInRequests(t *testing.T) {
	one, many := echoBytes, echoAll
	one.NoSideEffects = true
	for _, coding := range allCodings {
		m := load(t, Options{Instances: 1}) // each coding shows what it takes
		h, err := NewHandler(&HandlerOptions{Module: m, Logger: quiet(), Codings: allCodings}, one, many)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		bad := []byte("this is not what it says it is")
		for what, payload := range map[string][]byte{"bomb": packed(t, coding, 256<<20), "bad": bad, "good": packed(t, coding, 1<<20)} {
			want := map[string]string{"bomb": "resource_exhausted", "bad": "invalid_argument"}[what]
			payload = payload[:min(len(payload), 1<<20)] // snappy makes 12 MiB of the bomb; this is 22 MiB of it
			check := func(place string, request *http.Request, header ...string) {
				t.Helper()
				for i := 0; i < len(header); i += 2 {
					request.Header.Set(header[i], header[i+1])
				}
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close() //nolint:errcheck // read to its end
				content, err := io.ReadAll(response.Body)
				answer := string(content)
				switch status := response.Trailer.Get("Grpc-Status"); {
				case status == "8" || strings.Contains(answer, "grpc-status: 8"):
					answer = "resource_exhausted"
				case status == "3" || strings.Contains(answer, "grpc-status: 3"):
					answer = "invalid_argument"
				}
				if err != nil || !strings.Contains(answer, want) || want == "" && len(content) < 1<<20 {
					t.Errorf("%s, %s, %s: got %d %.100q (%v), want %s", coding, what, place, response.StatusCode, answer, err, want)
				}
			}
			post := func(path string, content []byte) *http.Request {
				return httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(content))
			}
			for _, to := range []struct {
				place, path string
				content     []byte
				header      []string
			}{
				{"unary", one.Path, payload, []string{"Content-Type", "application/proto", "Content-Encoding", coding}},
				{"stream", many.Path, flagged(1, payload), []string{"Content-Type", streamType, "Connect-Content-Encoding", coding}},
				{"gRPC", one.Path, flagged(1, payload), []string{"Content-Type", grpcType, "Grpc-Encoding", coding, "Te", "trailers"}},
				{"gRPC stream", many.Path, flagged(1, payload), []string{"Content-Type", grpcType, "Grpc-Encoding", coding, "Te", "trailers"}},
				{"gRPC-Web", one.Path, flagged(1, payload), []string{"Content-Type", "application/grpc-web+proto", "Grpc-Encoding", coding}},
			} {
				request := post(to.path, to.content)
				request.RequestURI = ""
				request.URL, err = url.Parse(server.URL + to.path)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Accept-Encoding", "identity")
				request.Header.Set("Grpc-Accept-Encoding", "identity")
				request.Header.Set("Connect-Accept-Encoding", "identity")
				check(to.place, request, to.header...)
			}
			if len(payload) < 600_000 {
				target := server.URL + one.Path + "?connect=v1&encoding=proto&base64=1&compression=" + coding + "&message=" +
					base64.RawURLEncoding.EncodeToString(payload)
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Accept-Encoding", "identity")
				check("GET", request)
			}
		}
		checkBounded(t, m)
	}
}

// The same in every place of a response. Where the module itself has to read what
// is compressed, a good one is read.
func TestBadPackingInResponses(t *testing.T) {
	var answer func(w http.ResponseWriter)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answer(w)
	}))
	t.Cleanup(server.Close)
	for _, coding := range allCodings {
		m := load(t, Options{Instances: 1})
		small := func(text string) []byte {
			var b bytes.Buffer
			w := packers[coding](&b)
			_, _ = io.WriteString(w, text)
			_ = w.Close()
			return b.Bytes()
		}
		bomb := packed(t, coding, 256<<20)
		bad := []byte("this is not what it says it is")
		clients := map[Protocol]*Client{}
		for _, protocol := range []Protocol{ProtocolConnect, ProtocolGRPC, ProtocolGRPCWeb} {
			client, err := NewClient(server.URL, &ClientOptions{Module: m, Protocol: protocol, Codings: []string{coding},
				HTTPClient: &http.Client{Transport: &http.Transport{}}})
			if err != nil {
				t.Fatal(err)
			}
			clients[protocol] = client
		}
		for _, test := range []struct {
			place    string
			protocol Protocol
			t        StreamType
			status   int
			header   []string
			content  func(b []byte) []byte
			good     []byte // what stands for a good one
			code     Code   // of that
			failing  bool   // a bomb is as bad as what does not decompress: an error is made of the status
		}{
			{"unary", ProtocolConnect, StreamTypeUnary, 200, []string{"Content-Type", "application/proto", "Content-Encoding", coding},
				func(b []byte) []byte { return b }, small(""), 0, false},
			{"error", ProtocolConnect, StreamTypeUnary, 404, []string{"Content-Type", "application/json", "Content-Encoding", coding},
				func(b []byte) []byte { return b }, small(`{"code":"aborted"}`), CodeAborted, true},
			{"stream", ProtocolConnect, StreamTypeServer, 200, []string{"Content-Type", streamType, "Connect-Content-Encoding", coding},
				func(b []byte) []byte { return append(flagged(1, b), flagged(2, []byte("{}"))...) }, small(""), 0, false},
			{"end marker", ProtocolConnect, StreamTypeServer, 200, []string{"Content-Type", streamType, "Connect-Content-Encoding", coding},
				func(b []byte) []byte { return flagged(3, b) }, small(`{"error":{"code":"aborted"}}`), CodeAborted, false},
			{"gRPC", ProtocolGRPC, StreamTypeServer, 200, []string{"Content-Type", grpcType, "Grpc-Encoding", coding},
				func(b []byte) []byte { return flagged(1, b) }, small(""), 0, false},
			{"gRPC-Web", ProtocolGRPCWeb, StreamTypeServer, 200, []string{"Content-Type", "application/grpc-web+proto", "Grpc-Encoding", coding},
				func(b []byte) []byte { return append(flagged(1, b), flagged(0x80, []byte("grpc-status: 0\r\n"))...) }, small(""), 0, false},
			{"trailers", ProtocolGRPCWeb, StreamTypeServer, 200, []string{"Content-Type", "application/grpc-web+proto", "Grpc-Encoding", coding},
				func(b []byte) []byte { return flagged(0x81, b) }, small("grpc-status: 10\r\n"), CodeAborted, false},
		} {
			for what, payload := range map[string][]byte{"bomb": bomb, "bad": bad, "good": test.good} {
				want := map[string]Code{"bomb": CodeResourceExhausted, "bad": CodeInternal, "good": test.code}[what]
				answer = func(w http.ResponseWriter) {
					for i := 0; i < len(test.header); i += 2 {
						w.Header().Set(test.header[i], test.header[i+1])
					}
					w.WriteHeader(test.status)
					_, _ = w.Write(test.content(payload)) // the client may not read all of it
					_ = http.NewResponseController(w).Flush()
					w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
				}
				err := callOnce(t.Context(), clients[test.protocol], test.t)
				if code := CodeOf(err); code != want && !(test.failing && what != "good" && err != nil) {
					t.Errorf("%s, %s, %s: got %v, want %v", coding, what, test.place, err, want)
				}
			}
		}
		checkBounded(t, m)
	}
}

func callOnce(ctx context.Context, client *Client, t StreamType) error {
	if t == StreamTypeUnary {
		return client.Unary(ctx, echoPath, wrapperspb.String("x"), &wrapperspb.StringValue{})
	}
	stream, err := client.ServerStream(ctx, echoPath, wrapperspb.String("x"))
	if err != nil {
		return err
	}
	defer stream.Close()
	for err == nil {
		_, err = stream.ReceiveBytes()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Without a working module for br and zstd, what is compressed with them is not
// read, and nothing is compressed.
func TestCodingsModuleFails(t *testing.T) {
	m := load(t, Options{Instances: 1})
	m.codings = newCodings(m.runtime, []byte("no module"), &Options{Instances: 1, Logger: quiet()})
	h, err := NewHandler(&HandlerOptions{Module: m, Logger: quiet(), Codings: []string{"br"}, CompressMin: -1},
		Unary(echoPath, echo))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client, err := NewClient(server.URL, &ClientOptions{Module: m, Codings: []string{"br"}, SendCoding: "br", CompressMin: -1})
	if err != nil {
		t.Fatal(err)
	}
	var response wrapperspb.StringValue
	if err := client.Unary(t.Context(), echoPath, wrapperspb.String("x"), &response); err != nil || response.GetValue() != "echo x" {
		t.Errorf("got %q, %v", response.GetValue(), err)
	}
	request := httptest.NewRequest(http.MethodPost, echoPath, bytes.NewReader(packed(t, "br", 100)))
	request.Header.Set("Content-Type", "application/proto")
	request.Header.Set("Content-Encoding", "br")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"internal"`) {
		t.Errorf("a request that is compressed got %d %s", w.Code, w.Body)
	}
	packedServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/proto")
		w.Header().Set("Content-Encoding", "br")
		_, _ = w.Write(packed(t, "br", 100))
	}))
	t.Cleanup(packedServer.Close)
	if client, err = NewClient(packedServer.URL, &ClientOptions{Module: m, Codings: []string{"br"}}); err != nil {
		t.Fatal(err)
	}
	if err := client.Unary(t.Context(), echoPath, wrapperspb.String("x"), &response); CodeOf(err) != CodeInternal {
		t.Errorf("a response that is compressed got %v", err)
	}
	if stats := m.Stats(); stats.Calls != 0 || stats.Trapped != 0 {
		t.Errorf("got %+v, want no call left open", stats)
	}
}
