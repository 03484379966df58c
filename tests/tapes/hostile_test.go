package tapes

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// records cuts a batch where its records begin.
func records(batch []byte) (all [][]byte) {
	for len(batch) > 0 {
		_, rest, ok := abi.Next(batch)
		if !ok {
			return append(all, batch)
		}
		all = append(all, batch[:len(batch)-len(rest)])
		batch = rest
	}
	return all
}

// disorder leaves records of a session out, doubles them, changes their order,
// puts another session's between them, and cuts all into other batches.
func disorder(r *rand.Rand, session, other [][]byte) (out [][]byte) {
	var all [][]byte
	for _, batch := range session {
		all = append(all, records(batch)...)
	}
	for range 1 + r.IntN(4) {
		if len(all) == 0 {
			return nil
		}
		at, to := r.IntN(len(all)), r.IntN(len(all))
		switch r.IntN(4) {
		case 0:
			all = slices.Delete(all, at, at+1)
		case 1:
			all = slices.Insert(all, to, all[at])
		case 2:
			all[at], all[to] = all[to], all[at]
		default:
			all = slices.Insert(all, at, records(other[r.IntN(len(other))])...)
		}
	}
	for i, record := range all {
		if i == 0 || r.IntN(2) == 0 {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], record...)
	}
	return out
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

// toldByPython plays sessions to the module under wasmtime: the digests of what
// it answers.
func toldByPython(t *testing.T, sessions map[string][][]byte) map[string]string {
	t.Helper()
	text, err := json.Marshal(sessions)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sessions.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dumped(t, exec.Command(pythonOf(t), "test_tapes.py", "--sessions", file))
}

// Whatever a host says, in whatever order, nothing fails inside, events are
// whole records, and core, the module under wazero and the module under
// wasmtime answer the same bytes.
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
	told, digests := map[string][][]byte{}, map[string]string{}
	for round := range rounds {
		for s, session := range recorded {
			if round%3 == 2 {
				session = disorder(r, session, recorded[r.IntN(len(recorded))])
			}
			// A native guest and an instance, fresh, side by side.
			in, drop, err := m.instance()
			if err != nil {
				t.Fatal(err)
			}
			core := newNative()
			var sent [][]byte
			digest := sha256.New()
			for _, batch := range session {
				if round%3 == 1 || r.IntN(2) == 0 {
					batch = damage(r, batch)
				}
				want, _ := core.Step(batch)
				sent = append(sent, batch)
				fmt.Fprintf(digest, "%d:%s", len(want), want)
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
			name := fmt.Sprintf("round %d, session %d", round, s)
			told[name], digests[name] = sent, hex.EncodeToString(digest.Sum(nil))
		}
		for name, digest := range toldByPython(t, told) {
			if digests[name] != digest {
				t.Errorf("%s: the module under wasmtime and core differ: %x", name, told[name])
			}
			delete(told, name)
		}
		if len(told) > 0 {
			t.Fatalf("%d sessions were not played under wasmtime", len(told))
		}
	}
	t.Logf("%d damaged batches, no trap, no difference", steps)
}
