// Command load calls one server as fast as that answers, on a fixed number of
// connections, each with one call at a time. Its standard input is a plan in
// JSON on the first line, then a line "PORT MILLISECONDS" for each run; to each
// it answers "CALLS NANOSECONDS CPU", the last of them its own part, or
// "cannot: " and why.
//
// Requests are made once, beforehand, and of answers no more is read than has
// to be, so that the server is what is measured: this takes 5 to 10 us a call.
// The first answer of a run is compared in full, the others by their lengths.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A plan says what is sent, and what is to come back.
type plan struct {
	HTTP2             bool
	Path, ContentType string
	Fields            [][2]string
	Content, Reply    []byte
	Messages          int // that Content has; each is sent in a chunk or a frame of its own, as clients do
	Length            bool
	Connections       int
}

// An answer is what came back. Its content is kept where `whole` asks for it.
type answer struct {
	size    int
	content []byte
	status  string // grpc-status, of the trailers
}

// A caller makes calls on a connection of its own.
type caller interface {
	call(whole bool) (answer, error)
	close()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run() error {
	in := bufio.NewReader(os.Stdin)
	var p plan
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p)
	}
	if err != nil {
		return err
	}
	for {
		var port, milliseconds int
		if _, err := fmt.Fscanln(in, &port, &milliseconds); err != nil {
			return nil
		}
		before := spent()
		calls, took, err := load(&p, fmt.Sprintf("127.0.0.1:%d", port), time.Duration(milliseconds)*time.Millisecond)
		if err != nil {
			fmt.Printf("cannot: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println(calls, took.Nanoseconds(), spent()-before)
		}
	}
}

// spent is the nanoseconds of CPU that this process has used.
func spent() int64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// load makes calls for a while, and waits for those that have begun.
func load(p *plan, address string, period time.Duration) (int64, time.Duration, error) {
	dial := dialHTTP1
	if p.HTTP2 {
		dial = dialHTTP2
	}
	callers := make([]caller, p.Connections)
	for i := range callers {
		c, err := dial(p, address)
		if err != nil {
			return 0, 0, err
		}
		defer c.close()
		callers[i] = c
	}
	first, err := callers[0].call(true)
	if err == nil {
		err = p.check(first)
	}
	if err != nil {
		return 0, 0, err
	}
	var calls atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, len(callers))
	start := time.Now()
	for _, c := range callers {
		all.Go(func() {
			for time.Since(start) < period {
				got, err := c.call(false)
				if err == nil && (got.size != first.size || got.status != first.status) {
					err = fmt.Errorf("%d bytes and status %q, after %d and %q", got.size, got.status, first.size, first.status)
				}
				if err != nil {
					errs <- err
					return
				}
				calls.Add(1)
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return 0, 0, err
	default:
		return calls.Load(), took, nil
	}
}

// check compares an answer with the one that is wanted.
func (p *plan) check(a answer) error {
	content := a.content
	if zipped, err := gzip.NewReader(bytes.NewReader(content)); err == nil { // a contender may compress what is small
		if content, err = io.ReadAll(zipped); err != nil {
			return err
		}
	}
	end, found := bytes.CutPrefix(content, p.Reply)
	ok := found
	switch {
	case strings.HasPrefix(p.ContentType, "application/grpc-web"):
		ok = ok && bytes.Contains(bytes.ReplaceAll(end, []byte(": "), []byte(":")), []byte("grpc-status:0\r\n"))
	case strings.HasPrefix(p.ContentType, "application/grpc"):
		ok = ok && len(end) == 0 && a.status == "0"
	case strings.HasPrefix(p.ContentType, "application/connect"):
		ok = ok && string(end) == "\x02\x00\x00\x00\x02{}"
	default:
		ok = ok && len(end) == 0
	}
	if !ok {
		return fmt.Errorf("a wrong answer: %d bytes where %d are wanted, status %q: %.80q", len(a.content), len(p.Reply), a.status, a.content)
	}
	return nil
}

// pieces are the content's messages.
func (p *plan) pieces() [][]byte {
	size := len(p.Content) / p.Messages
	pieces := make([][]byte, p.Messages)
	for i := range pieces {
		pieces[i] = p.Content[i*size : (i+1)*size]
	}
	return pieces
}
