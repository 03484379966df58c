// Command goclient is the Go host's client under test of the official
// conformance suite. The suite's runner writes ClientCompatRequests to its
// standard input and reads ClientCompatResponses from its standard output
// (github.com/connectrpc/conformance, docs/testing_clients.md).
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/connectcore/connectcore/hostgo"
	"github.com/connectcore/connectcore/tests/conformance/gosuite"
)

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "goclient:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	suite, err := gosuite.Load(ctx)
	if err != nil {
		return err
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
	c := &caller{suite: suite, module: module}
	var (
		input = bufio.NewReader(in)
		write sync.Mutex
		wait  sync.WaitGroup
		slots = make(chan struct{}, 4*runtime.GOMAXPROCS(0))
		fault error // of writing; guarded by write
	)
	for {
		request := suite.New("ClientCompatRequest")
		if err := gosuite.ReadMessage(input, request); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read a request of the runner: %w", err)
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			response := suite.New("ClientCompatResponse")
			response.Set("test_name", request.String("test_name"))
			if result, err := c.call(ctx, request); err != nil {
				response.Mutable("error").Set("message", err.Error())
			} else {
				response.SetMessage("response", result)
			}
			write.Lock()
			defer write.Unlock()
			if err := gosuite.WriteMessage(out, response); err != nil && fault == nil {
				fault = err
			}
		})
	}
	wait.Wait()
	return fault
}
