// Package serving is how the test servers in Go serve.
package serving

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// Serve serves a handler on a free loopback port, HTTP/1.1 and HTTP/2 without
// TLS. It prints its URL and serves until standard input ends.
func Serve(handler http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: protocols}
	return On(server, func() { _ = server.Close() })
}

// On has any server serve on a free loopback port. It prints its URL, and
// calls stop when standard input ends.
func On(server interface{ Serve(net.Listener) error }, stop func()) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
