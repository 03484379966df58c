package core

import "bytes"

// gRPC-Web's text mode (PROTOCOL-WEB.md, "Protocol differences"): the content is
// base64 of what the binary mode has, made piece by piece, so that padding may
// stand anywhere between two groups of four characters.

// textStep is how many characters are decoded at a time: 3 KiB wait at most.
const textStep = 4096

// next returns bytes of envelopes that are at hand: of the content, or of what
// its base64 stands for; use then takes some of them. Where there are none and
// should be, it asks for want of them.
func (c *call) next(want uint64) []byte {
	if !c.base64 {
		return c.at(want)
	}
	for len(c.plain) == 0 {
		if c.notText {
			c.receiveFailed(c.malformed, "the content is not base64")
			return nil
		}
		b := c.at(want + want/3 + 4)
		if b == nil && !(c.contentEnded && c.pos == c.announced && c.nquad > 1) {
			return nil
		}
		b = b[:min(len(b), textStep)]
		c.pos += uint64(len(b))
		c.plainBuf = c.plainBuf[:0]
		c.notText = !c.decodeText(b)
		c.plain = c.plainBuf
	}
	return c.plain
}

func (c *call) use(n int) {
	if c.base64 {
		c.plain = c.plain[n:]
	} else {
		c.pos += uint64(n)
	}
}

// decodeText decodes characters, and at the end of the content the last group,
// whose padding may be left out. Where it is false, what comes before the first
// bad group is decoded all the same (ours, rule 9).
func (c *call) decodeText(b []byte) (ok bool) {
	last := len(b) == 0
	for ok = true; ok && (len(b) > 0 || last); {
		if c.nquad == 0 {
			whole := len(b)
			if i := bytes.IndexByte(b, '='); i >= 0 {
				whole = i
			}
			whole -= whole % 4
			if c.plainBuf, ok = AppendDecodeBase64(c.plainBuf, b[:whole]); !ok {
				for ok = true; ok; b = b[4:] {
					c.plainBuf, ok = AppendDecodeBase64(c.plainBuf, b[:4])
				}
				return false
			}
			b = b[whole:]
		}
		n := copy(c.quad[c.nquad:], b)
		c.nquad += n
		b = b[n:]
		if c.nquad == len(c.quad) || last {
			c.plainBuf, ok = AppendDecodeBase64(c.plainBuf, c.quad[:c.nquad])
			c.nquad, last = 0, false
		}
	}
	return ok
}

// encodeText turns what an event writes into base64, with padding.
func (c *call) encodeText(e *Event) {
	c.encoded = AppendPaddedBase64(c.encoded[:0], e.Data)
	e.Data = c.encoded
}
