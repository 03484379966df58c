package hostgo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"
)

func load(t *testing.T, options Options) *Module {
	t.Helper()
	options.CacheDir, options.Logger = testCache, quiet()
	m, err := Load(t.Context(), &options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

func handlerOn(t *testing.T, m *Module, procedures ...Procedure) *Handler {
	t.Helper()
	h, err := NewHandler(&HandlerOptions{Module: m, Logger: quiet()}, procedures...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// post makes one call in process.
func post(h http.Handler, path, payload string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, bytes.NewReader([]byte(payload)))
	request.Header.Set("Content-Type", "application/proto")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	return w
}

// get makes one call in process by HTTP GET, which is open in an instance while
// its handler runs.
func get(h http.Handler, path, payload string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+"?connect=v1&encoding=proto&message="+payload, nil))
	return w
}

// ruin damages an instance as a trap in the middle of the guest's work would.
func ruin(t *testing.T, in *instance) {
	t.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	for at := in.memory.Size() / 8; at+4096 < in.memory.Size(); at += 4096 {
		if !in.memory.Write(at, bytes.Repeat([]byte{0xff}, 4096)) {
			t.Fatal("the instance's memory cannot be written")
		}
	}
}

// A call whose instance is damaged while its handler runs gets a legal answer
// from another instance; calls of other instances go on; the pool heals.
func TestTrapRetiresInstance(t *testing.T) {
	m := load(t, Options{Instances: 2})
	inside, proceed := make(chan struct{}), make(chan struct{})
	wait := Procedure{Path: "/test.v1.Test/Wait", NoSideEffects: true, Serve: func(_ context.Context, call *Call) error {
		payload, err := call.ReceiveBytes()
		if err != nil {
			return err
		}
		kept := bytes.Clone(payload)
		inside <- struct{}{}
		<-proceed
		return call.SendBytes(kept)
	}}
	h := handlerOn(t, m, wait, echoBytes)
	list := *m.pool.list.Load()
	if len(list) != 1 {
		t.Fatalf("%d instances before the first call, want 1", len(list))
	}
	bad := list[0]

	var wg sync.WaitGroup
	var hurt, spared *httptest.ResponseRecorder
	wg.Go(func() { hurt = get(h, wait.Path, "hurt") })
	<-inside // bound to the one instance there is
	bad.mu.Lock()
	wg.Go(func() { spared = get(h, wait.Path, "spared") }) // makes the second
	<-inside
	bad.mu.Unlock()
	ruin(t, bad)
	close(proceed)
	wg.Wait()

	if hurt.Code != http.StatusInternalServerError || !bytes.Contains(hurt.Body.Bytes(), []byte(`"internal"`)) {
		t.Errorf("the damaged instance's call got %d %s, want 500 and the code internal", hurt.Code, hurt.Body)
	}
	if spared.Code != http.StatusOK || spared.Body.String() != "spared" {
		t.Errorf("the other instance's call got %d %q", spared.Code, spared.Body)
	}
	stats := m.Stats()
	// Its answer came from another instance: the second, or a third if that was busy.
	if stats.Trapped != 1 || stats.Instances != int(stats.Created)-1 || stats.Instances > 2 || stats.Calls != 0 {
		t.Errorf("got %+v, want one trapped, the others alive, no calls", stats)
	}
	if !bad.dead {
		t.Error("the damaged instance is still alive")
	}
	if w := post(h, echoBytes.Path, "after"); w.Code != http.StatusOK || w.Body.String() != "after" {
		t.Errorf("after it, a call got %d %q", w.Code, w.Body)
	}
}

// A client's call whose instance is damaged while its request is under way ends
// as the module says, in another instance.
func TestTrapInClient(t *testing.T) {
	m := load(t, Options{Instances: 1})
	bad := (*m.pool.list.Load())[0]
	damaged := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !damaged {
			damaged = true
			ruin(t, bad)
		}
		w.Header().Set("Content-Type", "application/proto")
	}))
	t.Cleanup(server.Close)
	client, err := NewClient(server.URL, &ClientOptions{Module: m})
	if err != nil {
		t.Fatal(err)
	}
	call := func() error {
		return client.Unary(t.Context(), echoPath, wrapperspb.String("x"), &wrapperspb.StringValue{})
	}
	if err := call(); CodeOf(err) != CodeInternal || !errors.Is(err, errRetired) {
		t.Errorf("got %v, want internal for an instance that failed", err)
	}
	if err := call(); err != nil {
		t.Errorf("after it, a call got %v", err)
	}
	if stats := m.Stats(); stats.Trapped != 1 || stats.Instances != 1 || stats.Calls != 0 {
		t.Errorf("got %+v, want one trapped, another alive, no calls", stats)
	}
}

// Each way in which a guest can fail ends its instance, and only it.
func TestGuestFailures(t *testing.T) {
	for _, test := range []struct {
		name string
		code []byte
	}{
		{"trap", codeTrap}, {"events outside of memory", codeLost},
		{"reported panic", codePanic}, {"malformed events", codeGarbage},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := LoadBytes(t.Context(), tiny{version: goodVersion, step: test.code}.bytes(), &Options{Logger: quiet(), Instances: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close(context.Background()) //nolint:errcheck // the calls' outcome is what counts
			h := handlerOn(t, m, echoBytes)
			for round := uint64(1); round <= 3; round++ {
				aborted := func() (aborted bool) {
					defer func() { aborted = recover() == http.ErrAbortHandler }()
					post(h, echoBytes.Path, "x")
					return false
				}()
				if !aborted {
					t.Fatalf("round %d: the response ended well", round)
				}
				if got := m.Stats().Trapped; got != 2*round {
					t.Errorf("round %d: %d instances trapped, want %d", round, got, 2*round)
				}
			}
			client, err := NewClient("http://127.0.0.1:1", &ClientOptions{Module: m})
			if err != nil {
				t.Fatal(err)
			}
			err = client.Unary(t.Context(), echoPath, wrapperspb.String("x"), &wrapperspb.StringValue{})
			if err == nil || !strings.Contains(err.Error(), "the call failed inside") {
				t.Errorf("the client got %v, want that the call failed inside", err)
			}
		})
	}
}

// An instance that grew past the watermark takes no more calls and goes with
// its last one.
func TestWatermarkReplacesInstance(t *testing.T) {
	m := load(t, Options{Instances: 1})
	h, err := NewHandler(&HandlerOptions{Module: m, Logger: quiet(), Codings: []string{"snappy"}}, echoBytes)
	if err != nil {
		t.Fatal(err)
	}
	first := (*m.pool.list.Load())[0]
	m.pool.watermark = int64(first.memory.Size()) // the next page is one too many
	request := httptest.NewRequest(http.MethodPost, echoBytes.Path, bytes.NewReader(bytes.Repeat([]byte{7}, 3<<20)))
	request.Header.Set("Content-Type", "application/proto")
	request.Header.Set("Accept-Encoding", "snappy") // the guest has to hold and compress it
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request)
	if w.Code != http.StatusOK || w.Header().Get("Content-Encoding") != "snappy" {
		t.Fatalf("status %d, coding %q", w.Code, w.Header().Get("Content-Encoding"))
	}
	stats := m.Stats()
	if stats.Replaced == 0 || stats.Trapped != 0 {
		t.Fatalf("got %+v, want instances replaced and none trapped", stats)
	}
	if !first.dead {
		t.Error("the grown instance is still alive without calls")
	}
	if w := post(h, echoBytes.Path, "after"); w.Body.String() != "after" {
		t.Errorf("after it, a call got %d %q", w.Code, w.Body)
	}
}

// Many calls at once: every instance has one owner at a time (run panics
// otherwise), no answer is another call's.
func TestConcurrency(t *testing.T) {
	m := load(t, Options{Instances: 4})
	h := handlerOn(t, m, echoBytes)
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := range 100 {
				want := fmt.Sprintf("worker %d call %d", worker, i)
				if w := post(h, echoBytes.Path, want); w.Body.String() != want {
					t.Errorf("got %d %q, want %q", w.Code, w.Body, want)
					return
				}
			}
		})
	}
	wg.Wait()
	stats := m.Stats()
	if stats.Calls != 0 || stats.Trapped != 0 || stats.Instances > 4 {
		t.Errorf("got %+v, want no calls, none trapped, 4 instances at most", stats)
	}
}

func TestClosedModule(t *testing.T) {
	m, err := Load(t.Context(), &Options{CacheDir: testCache, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	h := handlerOn(t, m, echoBytes)
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("a call of a closed module ended well")
		}
	}()
	post(h, echoBytes.Path, "x")
}
