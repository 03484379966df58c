// Command goown is the Go host's server and client of the example service:
//
//	goown serve
//	goown [-grpc | -web | -text] [-h2] URL greet NAME | many NAME COUNT | group NAME... | chat LINE...
//
// It serves on a free loopback port, HTTP/1.1 and HTTP/2 without TLS, prints its URL,
// and ends with its standard input. A call prints what came back as goclient does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/connectcore/connectcore/hostgo"
	"github.com/connectcore/connectcore/wasm/abi"
)

func main() {
	grpc := flag.Bool("grpc", false, "speak gRPC, and so HTTP/2")
	web := flag.Bool("web", false, "speak gRPC-Web")
	text := flag.Bool("text", false, "speak gRPC-Web as text")
	http2 := flag.Bool("h2", false, "speak HTTP/2 without TLS")
	flag.Parse()
	var err error
	switch options := (hostgo.ClientOptions{}); {
	case flag.NArg() == 1 && flag.Arg(0) == "serve":
		err = serve()
	case flag.NArg() < 3:
		flag.Usage()
		os.Exit(2)
	default:
		switch {
		case *grpc:
			options.Protocol = hostgo.ProtocolGRPC
		case *web, *text:
			options.Protocol, options.Text = hostgo.ProtocolGRPCWeb, *text
		}
		if *http2 {
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetUnencryptedHTTP2(true)
			options.HTTPClient = &http.Client{Transport: transport}
		}
		err = call(&options, flag.Arg(0), flag.Arg(1), flag.Args()[2:])
	}
	if rpc, ok := errors.AsType[*hostgo.Error](err); ok {
		fmt.Printf("error: %s: %s\n", abi.Codes[rpc.Code], rpc.Message)
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "goown:", err)
		os.Exit(1)
	}
}

// load keeps the compiled module, so that each start but the first takes no time.
func load(ctx context.Context) (*hostgo.Module, error) {
	dir, err := hostgo.DefaultCacheDir()
	if err != nil {
		return nil, err
	}
	return hostgo.Load(ctx, &hostgo.Options{CacheDir: dir})
}

func call(options *hostgo.ClientOptions, url, what string, args []string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if options.Module, err = load(ctx); err != nil {
		return err
	}
	client, err := hostgo.NewClient(url, options)
	if err != nil {
		return err
	}
	return calls(ctx, client, what, args)
}
