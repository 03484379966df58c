package guest

// frame is what can be known of a zstd frame without decompressing it (RFC 8878,
// section 3.1).
type frame struct {
	size      int    // bytes of the frame: all that there are where it does not end
	content   uint64 // the most bytes that its blocks can hold
	declared  uint64 // how many bytes its head says that it stands for,
	declares  bool   // if it says so
	skippable bool
}

const (
	frameMagic     = 0xfd2fb528
	skippableMagic = 0x184d2a50 // and the 15 numbers after it

	frameSingle   = 1 << 5 // no window is declared: it is the content
	frameChecksum = 1 << 2

	maxBlock = 128 << 10
)

// parseFrame reads the head of the frame that b starts with, and goes over its
// blocks from one head to the next. What else may be wrong with the frame is left
// to what decompresses it.
func parseFrame(b []byte) (f frame, ok bool) {
	if len(b) < 5 {
		return f, false
	}
	magic := little(b[:4])
	if magic&^15 == skippableMagic {
		if len(b) < 8 || little(b[4:8]) > uint64(len(b)-8) {
			return f, false
		}
		return frame{size: 8 + int(little(b[4:8])), skippable: true}, true
	}
	if magic != frameMagic {
		return f, false
	}
	flags, at := b[4], 5
	if flags&frameSingle == 0 {
		at++ // the window
	}
	at += [...]int{0, 1, 2, 4}[flags&3] // the dictionary
	width := [...]int{0, 2, 4, 8}[flags>>6]
	if width == 0 && flags&frameSingle != 0 {
		width = 1
	}
	if len(b) < at+width {
		return f, false
	}
	f.size, f.declared, f.declares = len(b), little(b[at:at+width]), width > 0
	if width == 2 {
		f.declared += 256
	}
	for at += width; len(b)-at >= 3; {
		head := little(b[at : at+3])
		last, kind, size := head&1 != 0, head>>1&3, head>>3
		at += 3
		switch kind {
		case 0: // as it is
			f.content += size
		case 1: // one byte, many times
			f.content += size
			size = 1
		default:
			f.content += maxBlock
		}
		if size > uint64(len(b)-at) {
			break // it is cut short
		}
		at += int(size)
		if last {
			if flags&frameChecksum != 0 {
				at += 4
			}
			f.size = min(at, len(b))
			break
		}
	}
	return f, true
}

// little reads a number of up to 8 bytes, the lowest first.
func little(b []byte) (n uint64) {
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	return n
}
