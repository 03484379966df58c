package hostgo

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/connectcore/connectcore/wasm/abi"
)

// configured counts the configurations that a module's instances keep.
func configured(m *Module) (n int) {
	for _, in := range m.pool.living() {
		in.mu.Lock()
		n += len(in.configs)
		in.mu.Unlock()
	}
	return n
}

// An instance keeps 2,048 configurations of a role. A program may have more
// handlers and clients than that, one after the other or at once, closed or
// forgotten.
func TestManyConfigurations(t *testing.T) {
	const many = 3_000
	m := load(t, Options{Instances: 1})
	server := httptest.NewServer(handlerOn(t, m, Unary(echoPath, echo), echoBytes))
	t.Cleanup(server.Close)
	for name, keep := range map[string]func(interface{ Close() }) bool{
		"closed":    func(owner interface{ Close() }) bool { owner.Close(); return false },
		"forgotten": func(interface{ Close() }) bool { return false },
		"at once":   func(interface{ Close() }) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			var kept []interface{ Close() }
			for range many {
				h := handlerOn(t, m, echoBytes)
				if w := post(h, echoBytes.Path, "x"); w.Code != http.StatusOK {
					t.Fatalf("got %d %s", w.Code, w.Body)
				}
				client, err := NewClient(server.URL, &ClientOptions{Module: m})
				if err != nil {
					t.Fatal(err)
				}
				if err := client.Unary(t.Context(), echoPath, wrapperspb.String("x"), &wrapperspb.StringValue{}); err != nil {
					t.Fatal(err)
				}
				for _, owner := range []interface{ Close() }{h, client} {
					if keep(owner) {
						kept = append(kept, owner)
					}
				}
			}
			for _, owner := range kept {
				if h, ok := owner.(*Handler); ok {
					if w := post(h, echoBytes.Path, "x"); w.Code != http.StatusOK {
						t.Fatalf("again: got %d %s", w.Code, w.Body)
					}
				}
			}
			if n := configured(m); n > abi.MaxConfigs {
				t.Errorf("%d configurations are kept", n)
			}
			runtime.KeepAlive(kept)
		})
	}
	if stats := m.Stats(); stats.Trapped+stats.Replaced != 0 || stats.Calls != 0 {
		t.Errorf("got %+v, want that no instance failed or was replaced", stats)
	}
}

// A configuration goes with its owner, closed or forgotten.
func TestConfigurationGoesWithItsOwner(t *testing.T) {
	m := load(t, Options{Instances: 1})
	make2 := func() (*Handler, *Client) {
		client, err := NewClient("http://127.0.0.1:1", &ClientOptions{Module: m})
		if err != nil {
			t.Fatal(err)
		}
		return handlerOn(t, m, echoBytes), client
	}
	h, client := make2()
	if n := configured(m); n != 2 {
		t.Fatalf("%d configurations, want 2", n)
	}
	h.Close()
	client.Close()
	h.Close() // a second time changes nothing
	if n := configured(m); n != 0 {
		t.Errorf("%d configurations after Close, want none", n)
	}
	make2()
	for end := time.Now().Add(20 * time.Second); configured(m) > 0; runtime.GC() {
		if time.Now().After(end) {
			t.Fatalf("%d configurations of owners that were forgotten", configured(m))
		}
	}
	// The instance was told, too: what it closed has no handle any more.
	h, _ = make2()
	if w := post(h, echoBytes.Path, "x"); w.Code != http.StatusOK {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
