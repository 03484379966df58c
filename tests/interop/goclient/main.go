// Command goclient calls the interop service with connect-go and grpc-go. It
// reads and writes what js/run.mjs does. Its speech is {library: "connect-go"
// or "grpc-go", protocol: "connect", "grpc" or "grpc-web", http: "1.1" or "2",
// json, get, coding: "gzip"}.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type speech struct {
	Library, Protocol, HTTP, Coding string
	JSON, Get                       bool
}

type asked struct {
	Procedure    string
	Requests     []string
	Metadata     map[string]string // binary values in base64
	TimeoutMs    int
	Conversation bool // each request is sent when the one before it was answered
	AtOnce       []string
	Sleeps       bool
	CancelAfter  *int
}

func (a *asked) path() string {
	return "/interop.v1.Interop/" + strings.ToUpper(a.Procedure[:1]) + a.Procedure[1:]
}

type result struct {
	Responses    []string          `json:"responses"`
	Header       map[string]string `json:"header"`
	Trailer      map[string]string `json:"trailer"`
	Error        *failure          `json:"error"`
	Compressed   int64             `json:"compressed"`
	Decompressed int64             `json:"decompressed"`
	Began        string            `json:"began"`
	Ended        string            `json:"ended"`
}

type failure struct {
	Code     string            `json:"code"`
	Message  string            `json:"message"`
	Details  [][2]string       `json:"details"`
	Metadata map[string]string `json:"metadata"`
}

// A caller makes one call, and tells of each response. It fills in all of the
// result but what the server told of sleeping.
type caller func(ctx context.Context, one *asked, arrived func()) *result

// used counts how often a coding was used, as it cannot be seen otherwise that
// it was.
var used struct{ compressed, decompressed atomic.Int64 }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "goclient:", err)
		os.Exit(1)
	}
}

func run() error {
	var plan struct {
		URL    string
		Speech speech
		Cases  []*asked
	}
	if err := json.NewDecoder(os.Stdin).Decode(&plan); err != nil {
		return err
	}
	connect := connectGo
	if plan.Speech.Library == "grpc-go" {
		connect = grpcGo
	}
	call, err := connect(plan.URL, &plan.Speech)
	if err != nil {
		return err
	}
	results := make([]any, len(plan.Cases))
	for i, one := range plan.Cases {
		used.compressed.Store(0)
		used.decompressed.Store(0)
		results[i] = play(call, one)
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func play(call caller, one *asked) any {
	if one.AtOnce == nil {
		return playOne(call, one)
	}
	results := make([]*result, len(one.AtOnce))
	var all sync.WaitGroup
	for i, text := range one.AtOnce {
		all.Go(func() {
			each := *one
			each.Requests = []string{text}
			results[i] = playOne(call, &each)
		})
	}
	all.Wait()
	return results
}

func playOne(call caller, one *asked) *result {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !one.Sleeps {
		return timed(ctx, call, one, func() {})
	}
	// The server tells when the call's handler has begun to sleep, and what has
	// ended that.
	enough := make(chan struct{})
	count := 0
	done := make(chan *result)
	go func() {
		done <- timed(ctx, call, one, func() {
			if count++; one.CancelAfter != nil && count == *one.CancelAfter {
				close(enough)
			}
		})
	}()
	ask := func(what string) string {
		answer := timed(context.Background(), call, &asked{Procedure: "unary", Requests: []string{what}, TimeoutMs: 20_000}, func() {})
		return strings.Join(answer.Responses, "")
	}
	began := ask("began")
	if one.CancelAfter != nil {
		if *one.CancelAfter > 0 {
			<-enough
		}
		cancel()
	}
	answer := <-done
	answer.Began, answer.Ended = began, ask("ended")
	return answer
}

func timed(ctx context.Context, call caller, one *asked, arrived func()) *result {
	if one.TimeoutMs > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(one.TimeoutMs)*time.Millisecond)
		defer cancel()
	}
	answer := call(ctx, one, arrived)
	answer.Compressed, answer.Decompressed = used.compressed.Load(), used.decompressed.Load()
	return answer
}

func newResult() *result {
	return &result{Responses: []string{}, Header: map[string]string{}, Trailer: map[string]string{}}
}

var ours = regexp.MustCompile("^x-(lead|trail|error)")

// note keeps fields that are the service's own metadata.
func note(to map[string]string, fields map[string][]string, binary func(string) ([]byte, error)) {
	for name, values := range fields {
		name = strings.ToLower(name)
		if !ours.MatchString(name) {
			continue
		}
		shown := make([]string, len(values))
		for i, value := range values {
			shown[i] = value
			if strings.HasSuffix(name, "-bin") {
				data, err := binary(value)
				if err != nil {
					panic(err)
				}
				shown[i] = base64.StdEncoding.EncodeToString(data)
			}
		}
		to[name] = strings.Join(shown, ", ")
	}
}
