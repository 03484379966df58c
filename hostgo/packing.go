package hostgo

import (
	"github.com/connectcore/connectcore/wasm/abi"
)

// packing is how the messages of a call are given to the module.
type packing struct {
	coding uint32 // this side compresses with that, 0 for none
	min    int    // bytes in the smallest message that it compresses
	inline bool   // the module must see the bytes
}

// message is one that came.
type message struct {
	payload []byte
	coding  uint32 // this side has to decompress it, 0 for none
	limit   uint32 // to at most that many bytes
}

// isNative says whether this side does a coding, and not the module.
func isNative(name string) bool {
	_, large := codingNumbers[name]
	return large || zlibPackers[name] != nil
}

// native returns a byte for each coding: whether this side does it.
func native(codings []string) []byte {
	flags := make([]byte, len(codings))
	for i, name := range codings {
		if isNative(name) {
			flags[i] = 1
		}
	}
	return flags
}

// send writes the command that sends a payload, compressed if that is this side's
// to do. The bytes go out with the batch, as l.payload.
func (l *link) send(payload []byte, p packing) {
	var compressed bool
	l.payload, compressed = l.config.pack(payload, p)
	l.s.cmd.send(l.handle, l.payload, compressed, p.inline)
}

// pack compresses a payload if that is this side's to do.
func (c *configuration) pack(payload []byte, p packing) (sent []byte, compressed bool) {
	if p.coding != 0 && len(payload) > 0 && len(payload) >= p.min {
		// If the codings' module fails, the message goes as it is.
		if packed, err := c.packers[p.coding-1].compress(nil, payload); err == nil {
			return packed, true
		}
	}
	return payload, false
}

// unpack decompresses a message that came. If it fails, the reason is what the
// module is told of the message, or 0 if that is not at fault.
func (c *configuration) unpack(m *message) (payload []byte, reason uint32, err error) {
	if m.coding == 0 || int(m.coding) > len(c.packers) || c.packers[m.coding-1] == nil {
		return nil, 0, errMalformedEvents
	}
	payload, err = c.packers[m.coding-1].decompress(nil, m.payload, int(m.limit))
	switch err {
	case nil:
		return payload, 0, nil
	case errCodingTooLarge:
		return nil, abi.RejectTooLarge, err
	case errCodingMalformed:
		return nil, abi.RejectDecompress, err
	}
	return nil, 0, err
}
