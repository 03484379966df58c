package guest_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/connectcore/connectcore/tests/bound"
	"github.com/connectcore/connectcore/wasm/abi"
	"github.com/connectcore/connectcore/wasm/guest"
)

// fields joins names and values as ABI.md section 2 says.
func fields(pairs ...string) (int, []byte) {
	return len(pairs) / 2, []byte(strings.Join(pairs, "\x00"))
}

// host is the least that drives a guest: it writes batches and reads kinds.
type host struct {
	g *guest.Guest
	w abi.Writer
}

func (h *host) step() []byte {
	copy(h.g.Reserve(len(h.w.B)), h.w.B)
	n := len(h.w.B)
	h.w.B = h.w.B[:0]
	return h.g.Step(n)
}

func (h *host) configureServer() uint32 {
	h.w.Begin(abi.CmdConfigureServer, 0, 0)
	h.w.U32(0)
	h.w.U32(0)
	h.w.U32(0)
	h.w.U64(0)
	h.w.Bytes([]byte("proto\x00json"))
	h.w.Bytes([]byte("gzip"))
	h.w.Bytes([]byte{1})
	h.w.Bytes([]byte("/greet.v1.GreetService/Greet\x00/greet.v1.GreetService/GreetMany\x00/greet.v1.GreetService/Chat"))
	h.w.Bytes([]byte{abi.Unary | abi.NoSideEffects, abi.ServerStream, abi.BidiStream})
	h.w.End()
	r, _, _ := abi.Next(h.step())
	return r.Handle
}

var post, path = []byte("POST"), []byte("/greet.v1.GreetService/Greet")

func (h *host) openUnary(config uint32, n int, f []byte, content []byte) {
	h.w.Begin(abi.CmdOpenServer, 0, config)
	h.w.Bytes(post)
	h.w.Bytes(path)
	h.w.Bytes(nil)
	h.w.Counted(n, f)
	h.w.End()
	h.w.Begin(abi.CmdContent, abi.ContentEnd, 0)
	h.w.U32(uint32(len(content)))
	h.w.Bytes(content)
	h.w.End()
}

func (h *host) reply(call uint32, size uint32, words []uint32) {
	words[0] = size
	h.w.Begin(abi.CmdSend, 0, call)
	h.w.Words(words)
	h.w.Bytes(nil)
	h.w.End()
	h.w.Begin(abi.CmdEnd, 0, call)
	h.w.U32(0)
	h.w.Bytes(nil)
	h.w.Counted(0, nil)
	h.w.Counted(0, nil)
	h.w.Counted(0, nil)
	h.w.End()
}

func kinds(events []byte) (out []abi.Kind) {
	for len(events) > 0 {
		r, rest, ok := abi.Next(events)
		if !ok {
			return append(out, 0)
		}
		out = append(out, r.Kind)
		events = rest
	}
	return out
}

func equal(a, b []abi.Kind) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestUnaryServerCallIsTwoSteps(t *testing.T) {
	h := &host{g: guest.New()}
	config := h.configureServer()
	n, f := fields("host", "x", "content-type", "application/proto", "x-a", "b")
	h.openUnary(config, n, f, []byte("\x08\x01"))
	events := h.step()
	want := []abi.Kind{abi.EvRequest, abi.EvMessages, abi.EvReceived}
	if got := kinds(events); !equal(got, want) {
		t.Fatalf("step 1 gave %v, want %v", got, want)
	}
	r, _, _ := abi.Next(events)
	h.reply(r.Handle, 9, make([]uint32, 1))
	events = h.step()
	want = []abi.Kind{abi.EvResponseHead, abi.EvBody, abi.EvDone}
	if got := kinds(events); !equal(got, want) {
		t.Fatalf("step 2 gave %v, want %v", got, want)
	}
	r, _, _ = abi.Next(events)
	if status := r.U32(); status != 200 {
		t.Errorf("status %d", status)
	}
	if _, b := r.Counted(); !bytes.Equal(b, []byte("content-type\x00application/proto\x00content-length\x009")) {
		t.Errorf("fields %q", b)
	}
}

// The issue of a steady state: a call costs no allocation.
func BenchmarkUnaryServer(b *testing.B) {
	h := &host{g: guest.New()}
	config := h.configureServer()
	n, f := fields("host", "127.0.0.1:8080", "user-agent", "bench", "accept", "*/*", "accept-encoding", "gzip",
		"content-type", "application/proto", "content-length", "52", "connect-protocol-version", "1",
		"connect-timeout-ms", "5000", "x-request-id", "0123456789")
	content := make([]byte, 52)
	words := make([]uint32, 1)
	b.ReportAllocs()
	for b.Loop() {
		h.openUnary(config, n, f, content)
		r, _, _ := abi.Next(h.step())
		h.reply(r.Handle, 52, words)
		h.step()
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if r := testing.Benchmark(BenchmarkUnaryServer); r.AllocsPerOp() != 0 {
		t.Errorf("%d allocations a call, want 0", r.AllocsPerOp())
	}
}

// Invariant: two batches of any bytes are events or a fault, never a panic, and events are whole records
// (ABI.md, section 1).
func FuzzStep(f *testing.F) {
	h := &host{g: guest.New()}
	config := h.configureServer()
	n, fs := fields("content-type", "application/proto", "connect-timeout-ms", "10")
	h.openUnary(config, n, fs, []byte("\x08\x01"))
	f.Add(append([]byte(nil), h.w.B...), []byte{})
	h.reply(0x10001, 3, make([]uint32, 1))
	f.Add(append([]byte(nil), h.w.B...), []byte("\x00"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		bound.Within(t, 4<<20+4000*uint64(len(first)+len(second)), func() {
			h := &host{g: guest.New()}
			h.configureServer()
			for _, batch := range [][]byte{first, second} {
				copy(h.g.Reserve(len(batch)), batch)
				events := h.g.Step(len(batch))
				for len(events) > 0 {
					r, rest, ok := abi.Next(events)
					if !ok {
						t.Fatal("the events are not whole records")
					}
					if r.Kind == abi.EvFault && r.U32() == abi.FaultPanic {
						t.Fatal("the guest failed")
					}
					events = rest
				}
			}
		})
	})
}
