package tapes

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/connectcore/connectcore/wasm/abi"
)

// Hostile batches: those that tapes make, damaged. Whatever they are, the
// module does not trap, its events are whole records, and it says what core
// says natively, byte for byte.

// recording is a guest that keeps the batches it was given.
type recording struct {
	Guest
	batches [][]byte
}

func (r *recording) Step(batch []byte) ([]byte, error) {
	if len(batch) < 1<<12 {
		r.batches = append(r.batches, bytes.Clone(batch))
	}
	return r.Guest.Step(batch)
}

// sessions are the batches of every tape, a session each.
func sessions(t testing.TB) [][][]byte {
	names, err := All(".")
	if err != nil {
		t.Fatal(err)
	}
	var out [][][]byte
	for _, name := range names {
		tape, err := Load(".", name)
		if err != nil {
			t.Fatal(err)
		}
		r := &recording{Guest: newNative()}
		if _, err := Play(r, tape, nil, &Modes[len(out)%len(Modes)]); err != nil {
			continue // a tape that fails has its own test
		}
		if len(r.batches) > 1 {
			out = append(out, r.batches)
		}
	}
	if len(out) < 100 {
		t.Fatalf("only %d tapes could be recorded", len(out))
	}
	return out
}

// damage changes a batch in one of the ways in which hosts and peers do.
func damage(r *rand.Rand, batch []byte) []byte {
	b := bytes.Clone(batch)
	for range 1 + r.IntN(3) {
		if len(b) == 0 {
			return b
		}
		i := r.IntN(len(b))
		switch r.IntN(6) {
		case 0:
			b[i] ^= 1 << r.IntN(8)
		case 1:
			b[i] = []byte{0, 1, 0x0a, 0x0d, 0x7f, 0x80, 0xff, '%', '"', '{', ',', '-'}[r.IntN(12)]
		case 2:
			b = b[:i]
		case 3: // a column's length or a handle
			b[i&^3] = byte(r.IntN(256))
		case 4:
			n := min(len(b)-i, 1+r.IntN(16))
			b = append(b[:i:i], append(bytes.Clone(b[i:i+n]), b[i:]...)...)
		default:
			n := min(len(b)-i, 1+r.IntN(16))
			b = append(b[:i:i], b[i+n:]...)
		}
	}
	return b
}

func wholeRecords(t *testing.T, events []byte) {
	for len(events) > 0 {
		r, rest, ok := abi.Next(events)
		if !ok || !r.Known() {
			t.Fatal("the events are not whole records")
		}
		if r.Kind == abi.EvFault && r.U32() == abi.FaultPanic {
			t.Fatal("the guest failed")
		}
		events = rest
	}
}

func TestHostileBatches(t *testing.T) {
	rounds := 3
	if more, err := strconv.Atoi(os.Getenv("HOSTILE_ROUNDS")); err == nil {
		rounds = more // 200 take four minutes: two and a half million batches
	}
	ctx := t.Context()
	m, err := openModule(ctx, "../../hostgo/connectcore.wasm")
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	recorded := sessions(t)
	r := rand.New(rand.NewPCG(7, 11))
	steps := 0
	for round := range rounds {
		for s, session := range recorded {
			// A native guest and an instance, fresh, side by side.
			in, drop, err := m.instance()
			if err != nil {
				t.Fatal(err)
			}
			core := newNative()
			for _, batch := range session {
				if round > 0 || r.IntN(2) == 0 {
					batch = damage(r, batch)
				}
				want, _ := core.Step(batch)
				wholeRecords(t, want)
				got, err := in.Step(batch)
				if err != nil {
					t.Fatalf("session %d: the module trapped: %v\n%x", s, err, batch)
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("session %d: the module and core differ:\n%x\n%x\n%x", s, batch, got, want)
				}
				steps++
			}
			drop()
		}
	}
	t.Logf("%d damaged batches, no trap, no difference", steps)
}
