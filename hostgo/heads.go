package hostgo

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"net/http"
	"slices"
	"sync/atomic"
)

// heads keeps the verdicts on heads that came more than once, so that the call
// of a client whose heads are alike needs no step to open. Heads are alike if
// they have the same shape, which is all but the values of their fields, and the
// same values where the module says that they matter.
//
// It holds at most as many as it has places, of heads of at most mostHead bytes; a
// later one takes the place of an earlier one.
type heads struct {
	once   [1024]atomic.Uint32 // hashes of heads that came once
	shapes [256]atomic.Pointer[keptHead]
	kept   [256]atomic.Pointer[keptHead]
}

// keptHead is a verdict and the head that it is on: its shape and then the values
// that matter.
type keptHead struct {
	key     []byte
	shape   int // bytes of the key
	verdict *verdict
}

const mostHead = 4 << 10

var headSeed = maphash.MakeSeed()

// headKey is what is known of a head while its verdict is looked for.
type headKey struct {
	names []string // of the fields, in order
	key   []byte   // the shape; then also the values that matter
	shape int
	size  int // bytes of names and values
}

// read takes a request's head. The order of names is the one in which the module
// gets them. lead is what stands in front of them.
func (k *headKey) read(h http.Header, flags byte, lead ...string) {
	k.names, k.key, k.size = sortedNames(k.names, h), append(k.key[:0], flags), 0
	for _, part := range lead {
		k.add(part)
	}
	for _, name := range k.names {
		for _, value := range h[name] {
			k.add(name)
			k.size += len(name) + len(value)
		}
	}
	k.shape = len(k.key)
}

func (k *headKey) add(part string) {
	k.key = append(binary.AppendUvarint(k.key, uint64(len(part))), part...)
}

// sortedNames appends the names of a header section to names[:0], in order.
func sortedNames(names []string, h http.Header) []string {
	names = names[:0]
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// addValues adds the values that matter.
func (k *headKey) addValues(h http.Header, matters []byte) {
	i := 0
	for _, name := range k.names {
		for _, value := range h[name] {
			if i/8 < len(matters) && matters[i/8]&(1<<(i%8)) != 0 {
				k.add(value)
			}
			i++
		}
	}
}

func hashOf(b []byte) uint32 { return uint32(maphash.Bytes(headSeed, b)) }

// find returns the verdict on the head, nil if none is kept.
func (h *heads) find(k *headKey, fields http.Header) *verdict {
	of := h.shapes[hashOf(k.key)%uint32(len(h.shapes))].Load()
	if of == nil || !bytes.Equal(of.key[:of.shape], k.key) {
		return nil
	}
	k.addValues(fields, of.verdict.prepared.matters)
	found := h.kept[hashOf(k.key)%uint32(len(h.kept))].Load()
	if found == nil || k.size > found.verdict.prepared.headMax || !bytes.Equal(found.key, k.key) {
		return nil
	}
	return found.verdict
}

// saw keeps the verdict on the head, if it comes for the second time.
func (h *heads) saw(k *headKey, fields http.Header, v *verdict) {
	k.key = k.key[:k.shape]
	shape := hashOf(k.key)
	k.addValues(fields, v.prepared.matters)
	hash := hashOf(k.key)
	if len(k.key) > mostHead || h.once[hash%uint32(len(h.once))].Swap(hash) != hash {
		return
	}
	kept := &keptHead{bytes.Clone(k.key), k.shape, v.clone()}
	h.shapes[shape%uint32(len(h.shapes))].Store(kept)
	h.kept[hash%uint32(len(h.kept))].Store(kept)
}
