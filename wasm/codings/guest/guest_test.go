package guest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/connectcore/connectcore/wasm/codings/abi"
)

var codings = map[string]uint32{"br": abi.Br, "zstd": abi.Zstd}

// compress and decompress run a call as a host does.
func (g *Guest) put(data []byte) uint32 {
	copy(g.Reserve(uint32(len(data))), data)
	return uint32(len(data))
}

func (g *Guest) compressed(coding uint32, level int, data []byte) ([]byte, uint32) {
	return g.Compress(coding, level, g.put(data))
}

func (g *Guest) decompressed(coding, limit uint32, data []byte) ([]byte, uint32) {
	return g.Decompress(coding, limit, g.put(data))
}

func text(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "line %d of a text that is to be compressed, squared %d\n", i, i*i)
	}
	return b.Bytes()[:size]
}

func noise(size int) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

var messages = map[string][]byte{
	"nothing": {}, "a byte": {7}, "a word": []byte("the"), "1 KiB": text(1 << 10), "64 KiB": text(64 << 10), "64 KiB and a byte": text(64<<10 + 1),
	"200 KiB": text(200 << 10), "noise": noise(100 << 10), "zeros": make([]byte, 300<<10),
}

// What was compressed before changes no result, and every message comes back.
func TestRoundTrip(t *testing.T) {
	levels := map[string][]int{"br": {-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99}, "zstd": {-7, 0, 1, 3, 6, 10, 22, 99}}
	used := map[uint32]*Guest{abi.Br: {}, abi.Zstd: {}}
	for coding, number := range codings {
		for _, level := range levels[coding] {
			for name, message := range messages {
				fresh := &Guest{}
				want, fault := fresh.compressed(number, level, message)
				if fault != 0 {
					t.Fatalf("%s, level %d, %s: fault %d", coding, level, name, fault)
				}
				got, _ := used[number].compressed(number, level, message)
				if !bytes.Equal(got, want) {
					t.Errorf("%s, level %d, %s: %d bytes after other messages, %d as the first one", coding, level, name, len(got), len(want))
				}
				back, fault := used[number].decompressed(number, uint32(len(message)), bytes.Clone(got))
				if fault != 0 || !bytes.Equal(back, message) {
					t.Errorf("%s, level %d, %s: got %d bytes back, fault %d", coding, level, name, len(back), fault)
				}
			}
		}
	}
}

func TestCompressesText(t *testing.T) {
	for coding, number := range codings {
		g := &Guest{}
		for _, level := range []int{1, 3, 9} {
			out, _ := g.compressed(number, level, text(64<<10))
			if len(out) > 8<<10 {
				t.Errorf("%s, level %d: %d bytes", coding, level, len(out))
			}
		}
	}
}

// The verdicts are those that Python's libraries and the module must give, too.
func TestVerdicts(t *testing.T) {
	file, err := os.ReadFile("../../../tests/codings/verdicts.txt")
	if err != nil {
		t.Fatal(err)
	}
	faults := map[string]uint32{"good": 0, "large": abi.FaultTooLarge, "bad": abi.FaultMalformed}
	g := &Guest{}
	for line := range strings.Lines(string(file)) {
		if line[0] == '#' {
			continue
		}
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		coding, verdict, size, sum, name := c[0], c[1], c[3], c[4], c[6]
		limit, _ := strconv.Atoi(c[2])
		data, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(c[5], "-"))
		if err != nil {
			t.Fatal(err)
		}
		out, fault := g.decompressed(codings[coding], uint32(limit), data)
		if fault != faults[verdict] {
			t.Errorf("%s, %s: fault %d, want %d", coding, name, fault, faults[verdict])
		} else if fault == 0 && (strconv.Itoa(len(out)) != size || fmt.Sprintf("%08x", crc32.ChecksumIEEE(out)) != sum) {
			t.Errorf("%s, %s: got %d bytes, want %s", coding, name, len(out), size)
		}
	}
}
