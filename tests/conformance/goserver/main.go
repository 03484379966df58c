// Command goserver is the Go host's server under test of the official
// conformance suite. The suite's runner starts it, writes a ServerCompatRequest
// to its standard input, and reads a ServerCompatResponse from its standard
// output (github.com/connectrpc/conformance, docs/testing_servers.md).
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/connectcore/connectcore/hostgo"
	"github.com/connectcore/connectcore/tests/conformance/gosuite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, orphaned := context.WithCancel(ctx)
	go watchParent(ctx, orphaned)
	if err := run(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "goserver:", err)
		os.Exit(1)
	}
}

// watchParent ends the program with its parent. `go run`, which the runner may
// have started, is ended by the runner's SIGTERM and does not pass it on.
func watchParent(ctx context.Context, orphaned context.CancelFunc) {
	parent := os.Getppid()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if os.Getppid() != parent {
				orphaned()
				return
			}
		}
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	suite, err := gosuite.Load(ctx)
	if err != nil {
		return err
	}
	request := suite.New("ServerCompatRequest")
	if err := gosuite.ReadMessage(in, request); err != nil {
		return fmt.Errorf("read the runner's request: %w", err)
	}
	dir, err := hostgo.DefaultCacheDir()
	if err != nil {
		return err
	}
	module, err := hostgo.Load(ctx, &hostgo.Options{CacheDir: dir})
	if err != nil {
		return err
	}
	if err := module.LoadCodings(); err != nil { // no case has the time to wait for it
		return err
	}
	readMax := int(request.Uint("message_receive_limit"))
	if readMax == 0 {
		readMax = noLimit
	}
	handler, err := hostgo.NewHandler(&hostgo.HandlerOptions{
		Module: module, Codecs: suite.Codecs(), ReadMax: readMax, CompressMin: -1,
		Codings: []string{"gzip", "br", "zstd", "deflate", "snappy"},
	}, procedures(suite)...)
	if err != nil {
		return err
	}
	server, err := newServer(request, handler)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	response := suite.New("ServerCompatResponse")
	response.Set("host", "127.0.0.1")
	response.Set("port", uint32(listener.Addr().(*net.TCPAddr).Port))
	if request.Bool("use_tls") {
		response.Set("pem_cert", request.Message("server_creds").Bytes("cert"))
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	if err := gosuite.WriteMessage(out, response); err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // calls that do not end are what it is for
		}
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// noLimit is what the suite expects where it names no limit.
const noLimit = 1<<31 - 1

func newServer(request gosuite.Message, handler http.Handler) (*http.Server, error) {
	var protocols http.Protocols
	switch version := request.EnumName("http_version"); version {
	case "HTTP_VERSION_1":
		protocols.SetHTTP1(true)
	case "HTTP_VERSION_2":
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
	default:
		return nil, fmt.Errorf("%s is not carried by net/http", version)
	}
	server := &http.Server{Handler: handler, Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0)}
	if !request.Bool("use_tls") {
		return server, nil
	}
	creds := request.Message("server_creds")
	certificate, err := tls.X509KeyPair(creds.Bytes("cert"), creds.Bytes("key"))
	if err != nil {
		return nil, fmt.Errorf("the server's certificate: %w", err)
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}}
	if protocols.HTTP2() {
		server.TLSConfig.NextProtos = []string{"h2"}
	}
	if trusted := request.Bytes("client_tls_cert"); len(trusted) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(trusted) {
			return nil, errors.New("the client's certificate is not PEM")
		}
		server.TLSConfig.ClientAuth, server.TLSConfig.ClientCAs = tls.RequireAndVerifyClientCert, pool
	}
	return server, nil
}
