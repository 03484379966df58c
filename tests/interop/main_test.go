package interop

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/connectcore/connectcore/hostgo"
)

var cacheDir = filepath.Join("..", "..", ".cache", "wazero-test")

// module is shared by all tests; its compiled code is kept between runs.
var module *hostgo.Module

func TestMain(m *testing.M) {
	ctx := context.Background()
	var err error
	module, err = hostgo.Load(ctx, &hostgo.Options{CacheDir: cacheDir})
	if err != nil {
		panic(err)
	}
	code := m.Run()
	if stats := module.Stats(); stats.Trapped > 0 {
		println("interop: instances of the module failed:", stats.Trapped)
		code = 1
	}
	if err := module.Close(ctx); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// version is a version of HTTP, with the client and server that speak it.
type version struct {
	name  string
	http2 bool
}

var versions = []version{{"HTTP1", false}, {"HTTP2", true}}

func (v version) protocols() *http.Protocols {
	var p http.Protocols
	if v.http2 {
		p.SetUnencryptedHTTP2(true)
	} else {
		p.SetHTTP1(true)
	}
	return &p
}

// serve starts a server on a free loopback port and gives its URL.
func (v version) serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = v.protocols()
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

func (v version) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: v.protocols(), DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func ours(t *testing.T, options hostgo.HandlerOptions) http.Handler {
	t.Helper()
	options.Module, options.Logger, options.CompressMin = module, slog.New(slog.DiscardHandler), -1
	h, err := Ours(&options)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
