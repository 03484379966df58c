package hostgo

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The standard library's codings say of data what the module says of it.
func TestZlibPackers(t *testing.T) {
	const text = "what is compressed here comes back, comes back, comes back"
	for name, p := range zlibPackers {
		whole, err := p.compress([]byte("kept"), []byte(text))
		if err != nil || !bytes.HasPrefix(whole, []byte("kept")) {
			t.Fatalf("%s: compress: got %q, %v", name, whole, err)
		}
		whole = whole[len("kept"):]
		other := packed(t, name, 100_000)
		check := func(what string, data []byte, limit int, want string, wantErr error) {
			t.Helper()
			got, err := p.decompress([]byte("kept"), data, limit)
			if err != wantErr || err == nil && string(got) != "kept"+want || err != nil && string(got) != "kept" {
				t.Errorf("%s, %s: got %.80q, %v, want %.80q, %v", name, what, got, err, want, wantErr)
			}
		}
		check("whole", whole, 1<<20, text, nil)
		check("at the limit", whole, len(text), text, nil)
		check("over the limit", whole, len(text)-1, "", errCodingTooLarge)
		check("nothing at all allowed", whole, 0, "", errCodingTooLarge)
		check("another's", other, 100_000, strings.Repeat("\x00", 100_000), nil)
		check("another's, over the limit", other, 99_999, "", errCodingTooLarge)
		check("nothing", nil, 100, "", errCodingMalformed)
		for n := range whole {
			check(fmt.Sprintf("cut off after %d", n), whole[:n], 1<<20, "", errCodingMalformed)
		}
		check("one byte behind it", append(slices.Clone(whole), 0), 1<<20, "", errCodingMalformed)
		check("many bytes behind it", append(slices.Clone(whole), make([]byte, 100)...), 1<<20, "", errCodingMalformed)
		for _, at := range []int{0, 1, len(whole) - 1} {
			damaged := slices.Clone(whole)
			damaged[at] ^= 0x40
			check(fmt.Sprintf("byte %d damaged", at), damaged, 1<<20, "", errCodingMalformed)
		}
		twice := append(slices.Clone(whole), whole...)
		if name == "gzip" {
			check("twice", twice, 1<<20, text+text, nil) // RFC 1952, section 2.2
			check("twice, over the limit", twice, 2*len(text)-1, "", errCodingTooLarge)
			twice[len(whole)+3] |= 0x20
			check("reserved flags in the second", twice, 1<<20, "", errCodingMalformed)
			whole[3] |= 0x80
			check("reserved flags", whole, 1<<20, "", errCodingMalformed)
		} else {
			check("twice", twice, 1<<20, "", errCodingMalformed)
			dictionary := slices.Clone(whole)
			dictionary[0], dictionary[1] = 0x78, 0xbb
			check("with a dictionary", dictionary, 1<<20, "", errCodingMalformed)
		}
	}
}
