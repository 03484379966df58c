package hostgo

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	abi "github.com/connectcore/connectcore/wasm/codings/abi"
	"github.com/connectcore/connectcore/wasm/codings/guest"
)

func loadCodings(t testing.TB, options Options) *codingsModule {
	t.Helper()
	options.CacheDir, options.Logger = testCache, quiet()
	m, err := Load(context.Background(), &options)
	if err != nil {
		t.Fatal(err)
	}
	codings := newCodings(m.runtime, embeddedCodings, &Options{
		Instances: max(options.Instances, 1), MemoryWatermark: 64 << 20, Logger: quiet(),
	})
	t.Cleanup(func() {
		codings.close()
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return codings
}

// natively does what the module does, without one.
type natively struct{ guest.Guest }

func (n *natively) put(src []byte) uint32 {
	copy(n.Reserve(uint32(len(src))), src)
	return uint32(len(src))
}

func (n *natively) compress(name string, src []byte) ([]byte, error) {
	out, fault := n.Compress(codingNumbers[name], codingLevel, n.put(src))
	return bytes.Clone(out), asError(fault)
}

func (n *natively) decompress(name string, src []byte, limit int) ([]byte, error) {
	out, fault := n.Decompress(codingNumbers[name], uint32(limit), n.put(src))
	return bytes.Clone(out), asError(fault)
}

func asError(fault uint32) error {
	switch fault {
	case 0:
		return nil
	case abi.FaultTooLarge:
		return errCodingTooLarge
	case abi.FaultMalformed:
		return errCodingMalformed
	}
	return fmt.Errorf("fault %d", fault)
}

func prose(size int) []byte {
	b, err := os.ReadFile("../wasm/ABI.md")
	if err != nil {
		panic(err)
	}
	return bytes.Repeat(b, size/len(b)+1)[:size]
}

// The module gives the bytes that its sources give natively, for every message.
func TestCodingsAgreeWithNative(t *testing.T) {
	m := loadCodings(t, Options{})
	if m.compiled != nil {
		t.Error("the module is compiled before it is used")
	}
	native := &natively{}
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	messages := [][]byte{{}, {0}, []byte("the"), prose(1000), prose(64 << 10), prose(3 << 20), noise, make([]byte, 1<<20)}
	for name := range codingNumbers {
		for _, message := range messages {
			want, err := native.compress(name, message)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.compress(name, []byte("before"), message)
			if err != nil || !bytes.Equal(got, append([]byte("before"), want...)) {
				t.Errorf("%s, %d bytes: got %d bytes and %v, want %d bytes", name, len(message), len(got), err, len(want))
			}
			back, err := m.decompress(name, []byte("before"), want, len(message))
			if err != nil || !bytes.Equal(back, append([]byte("before"), message...)) {
				t.Errorf("%s, %d bytes: got %d bytes back, and %v", name, len(message), len(back), err)
			}
			for range 100 {
				damaged := bytes.Clone(want[:min(len(want), 5000)])
				damaged[r.IntN(len(damaged))] = byte(r.Uint32())
				limit := r.IntN(2 * (len(message) + 1))
				want, wantErr := native.decompress(name, damaged, limit)
				got, err := m.decompress(name, nil, damaged, limit)
				if err != wantErr || !bytes.Equal(got, want) {
					t.Fatalf("%s, %x with limit %d: got %d bytes and %v, want %d and %v",
						name, damaged, limit, len(got), err, len(want), wantErr)
				}
			}
		}
	}
}

// listed is a line of the list that everything that decompresses is tested by.
type listed struct {
	coding, name string
	limit        int
	data         []byte
	err          error
	size, sum    string
}

func listedVerdicts(t *testing.T) (all []listed) {
	t.Helper()
	file, err := os.ReadFile("../tests/codings/verdicts.txt")
	if err != nil {
		t.Fatal(err)
	}
	errs := map[string]error{"good": nil, "large": errCodingTooLarge, "bad": errCodingMalformed}
	for line := range strings.Lines(string(file)) {
		if line[0] == '#' {
			continue
		}
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		limit, err1 := strconv.Atoi(c[2])
		data, err2 := base64.StdEncoding.DecodeString(strings.TrimSuffix(c[5], "-"))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		all = append(all, listed{c[0], c[6], limit, data, errs[c[1]], c[3], c[4]})
	}
	return all
}

func TestCodingsVerdicts(t *testing.T) {
	m := loadCodings(t, Options{})
	for _, v := range listedVerdicts(t) {
		out, err := m.decompress(v.coding, nil, v.data, v.limit)
		if err != v.err {
			t.Errorf("%s, %s: %v, want %v", v.coding, v.name, err, v.err)
		} else if err == nil && (strconv.Itoa(len(out)) != v.size || fmt.Sprintf("%08x", crc32.ChecksumIEEE(out)) != v.sum) {
			t.Errorf("%s, %s: got %d bytes, want %s", v.coding, v.name, len(out), v.size)
		}
	}
	if m.created != 1 || m.trapped != 0 {
		t.Errorf("%d instances, %d of them failed", m.created, m.trapped)
	}
}

// An instance gets a bomb again and again, or all of them in turn, in orders that have
// taken the most: what one leaves behind may not fit what another needs.
func TestCodingsBombs(t *testing.T) {
	var bombs []listed
	orders := [][]int{{2, 2, 7, 5, 3}, {7, 7, 7, 1, 4, 3}, {4, 2, 7, 5, 1, 1, 1, 0, 3}, {6, 5, 4, 6, 1, 2}}
	for _, v := range listedVerdicts(t) {
		if strings.HasPrefix(v.name, "256 MiB") {
			orders = append(orders, []int{len(bombs), len(bombs), len(bombs)})
			bombs = append(bombs, v)
		}
	}
	if len(bombs) != 8 {
		t.Fatalf("%d bombs", len(bombs))
	}
	for _, order := range orders {
		m := loadCodings(t, Options{})
		for coding := range codingNumbers {
			if _, err := m.compress(coding, nil, prose(1000)); err != nil {
				t.Fatal(err)
			}
		}
		before := m.idle[0].memory.Size()
		for _, i := range order {
			v := bombs[i]
			if _, err := m.decompress(v.coding, nil, v.data, v.limit); err != v.err {
				t.Errorf("%s, %s: %v", v.coding, v.name, err)
			}
		}
		grown := m.idle[0].memory.Size() - before
		t.Logf("%v: from %d KiB by %d KiB", order, before>>10, grown>>10)
		if grown > 24<<20 {
			t.Errorf("%v: the instance grew by %d KiB", order, grown>>10)
		}
	}
}

// What many tiny parts cost follows the bytes that they are: with the brotli library
// as it is, this takes minutes.
func TestCodingsCostFollowsSize(t *testing.T) {
	const size = 2 << 20
	var codes []byte
	for _, v := range listedVerdicts(t) {
		if v.name == "many codes, then blocks of no bytes" {
			codes = v.data
		}
	}
	codes = append(codes[:len(codes)-1], bytes.Repeat([]byte{6}, size)...)
	m := loadCodings(t, Options{})
	for name, data := range map[string][]byte{
		"br blocks of no bytes":  append(codes, 3),
		"zstd blocks of nothing": append(append([]byte("\x28\xb5\x2f\xfd\x00\x68"), make([]byte, size/3*3)...), 1, 0, 0),
	} {
		coding, _, _ := strings.Cut(name, " ")
		start := time.Now()
		if _, err := m.decompress(coding, nil, data, size); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestCodingsTogether(t *testing.T) {
	m := loadCodings(t, Options{Instances: 3})
	message := prose(50_000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				for name := range codingNumbers {
					data, err := m.compress(name, nil, message)
					if err == nil {
						data, err = m.decompress(name, nil, data, len(message))
					}
					if err != nil || !bytes.Equal(data, message) {
						t.Errorf("%s: %d bytes, %v", name, len(data), err)
					}
				}
			}
		})
	}
	wg.Wait()
	if m.created > 3 || int(m.created) != len(m.idle) {
		t.Errorf("%d instances were made, %d are left", m.created, len(m.idle))
	}
}

// An instance that fails is dropped, and the next message gets another one; so is
// one that has grown too large.
func TestCodingsHeal(t *testing.T) {
	m := loadCodings(t, Options{MemoryLimit: 32 << 20})
	message := prose(1000)
	data, err := m.compress("zstd", nil, message)
	if err != nil {
		t.Fatal(err)
	}
	good := func() {
		t.Helper()
		if back, err := m.decompress("zstd", nil, data, 1000); err != nil || !bytes.Equal(back, message) {
			t.Fatalf("%d bytes, %v", len(back), err)
		}
	}
	if _, err := m.compress("br", nil, make([]byte, 30<<20)); err == nil || m.trapped != 1 {
		t.Errorf("too large for the memory: %v, %d instances failed", err, m.trapped)
	}
	good()
	memory := m.idle[0].memory
	for at := memory.Size() / 8; at+4096 < memory.Size(); at += 4096 {
		memory.Write(at, bytes.Repeat([]byte{0xff}, 4096))
	}
	if _, err := m.compress("zstd", nil, message); err == nil || m.trapped != 2 {
		t.Errorf("damaged: %v, %d instances failed", err, m.trapped)
	}
	good()
	m.watermark = 1
	good()
	if len(m.idle) != 0 || m.replaced != 1 {
		t.Errorf("too large: %d instances are kept, %d were replaced", len(m.idle), m.replaced)
	}
	good()
	if _, err := m.compress("none", nil, message); err == nil {
		t.Error("there is no such coding")
	}
	m.close()
	if _, err := m.compress("br", nil, message); !errors.Is(err, errClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestCodingsRefuses(t *testing.T) {
	m := loadCodings(t, Options{})
	for _, test := range []struct {
		wasm []byte
		want string
	}{
		{embedded, `no function "connectcore_codings_v1" is exported`},
		{embeddedCodings[:1000], "is the file complete?"},
	} {
		other := newCodings(m.runtime, test.wasm, &Options{Instances: 1, Logger: quiet()})
		for range 2 {
			if _, err := other.compress("br", nil, nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		}
	}
}

func BenchmarkCodings(b *testing.B) {
	m := loadCodings(b, Options{})
	message := prose(64 << 10)
	for name := range codingNumbers {
		data, err := m.compress(name, nil, message)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("compress/"+name, func(b *testing.B) {
			out := make([]byte, 0, len(message))
			for b.Loop() {
				_, _ = m.compress(name, out, message)
			}
		})
		b.Run("decompress/"+name, func(b *testing.B) {
			out := make([]byte, 0, len(message))
			for b.Loop() {
				_, _ = m.decompress(name, out, data, len(message))
			}
		})
	}
}
