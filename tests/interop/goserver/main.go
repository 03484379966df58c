// Command goserver serves the interop service on a free loopback port,
// HTTP/1.1 and HTTP/2 without TLS, with this project's handler or, by
// -peer, with connect-go's; by -grpc, on a server of grpc-go's. It prints its
// URL and serves until its standard input ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"connectrpc.com/connect"

	"github.com/connectcore/connectcore/hostgo"
	"github.com/connectcore/connectcore/tests/interop"
	"github.com/connectcore/connectcore/tests/serving"
)

func main() {
	peer := flag.Bool("peer", false, "serve with connect-go")
	grpcGo := flag.Bool("grpc", false, "serve with grpc-go")
	cache := flag.String("cache", "", "the directory of the module's compiled code")
	codings := flag.String("codings", "gzip", "the compressions to offer, separated by commas")
	flag.Parse()
	var err error
	if *grpcGo {
		server := interop.TheirsGRPC()
		err = serving.On(server, server.Stop)
	} else {
		err = run(*peer, *cache, *codings)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "goserver:", err)
		os.Exit(1)
	}
}

func run(peer bool, cache, codings string) error {
	handler := interop.Theirs(connect.WithReadMaxBytes(4 << 20))
	if !peer {
		ctx := context.Background()
		module, err := hostgo.Load(ctx, &hostgo.Options{CacheDir: cache})
		if err != nil {
			return err
		}
		defer module.Close(ctx) //nolint:errcheck // the process ends
		if handler, err = interop.Ours(&hostgo.HandlerOptions{Module: module, Codings: strings.Split(codings, ",")}); err != nil {
			return err
		}
	}
	return serving.Serve(handler)
}
