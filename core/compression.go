package core

import "bytes"

// CodingIndex returns which of codings name is: its 1-based index, 0 for identity
// or nothing, -1 for one that is not there. Names have no letter case, and
// "x-gzip" is gzip (RFC 9110, sections 8.4.1 and 8.4.1.3).
func CodingIndex(name []byte, codings []string) int {
	if name = trimSpace(name); len(name) == 0 || EqualFold(name, identity) {
		return 0
	}
	for i, c := range codings {
		if sameCoding(name, c) {
			return i + 1
		}
	}
	return -1
}

func sameCoding(name []byte, coding string) bool {
	if EqualFold(name, coding) {
		return true
	}
	own := codingNamed(coding)
	return own != nil && own.alias != "" && EqualFold(name, own.alias)
}

// NegotiateCoding chooses what to send with from codings (the server's order of
// preference): the coding of the highest weight, and among equals the one that
// accept names first, since the list is ordered by the client's preference
// (protocol.md, "Unary-Request"); "*" speaks for codings that are not named, in
// the server's order. Identity yields to an equal weight: gRPC clients name it
// first without meaning to. It returns a 1-based index, or 0 for identity, which
// every peer accepts as the last resort. accept is the value of an accept-encoding
// field in full HTTP syntax (RFC 9110, section 12.5.3) or the plain list of
// gRPC; a member whose weight is malformed counts as not there.
func NegotiateCoding(accept []byte, codings []string) int {
	best, bestQ, star := 0, 0, 0
	for rest := accept; len(rest) > 0; {
		var name []byte
		var q int
		name, q, rest = nextMember(rest)
		if string(name) == "*" {
			star = max(star, q)
		} else if i := CodingIndex(name, codings); i >= 0 && len(name) > 0 && (q > bestQ || q == bestQ && q > 0 && best == 0) {
			best, bestQ = i, q
		}
	}
	if star > bestQ || star > 0 && star == bestQ && best == 0 {
		for i, c := range codings {
			if c != identity && !names(accept, c) {
				return i + 1
			}
		}
	}
	return best
}

// names says whether accept has a member for coding, whatever its weight.
func names(accept []byte, coding string) bool {
	for len(accept) > 0 {
		var name []byte
		if name, _, accept = nextMember(accept); sameCoding(name, coding) {
			return true
		}
	}
	return false
}

// nextMember takes the first member off an accept-encoding list: its name, and
// its weight in thousandths, -1 where that is malformed.
func nextMember(list []byte) (name []byte, q int, rest []byte) {
	name = list
	if i := bytes.IndexByte(list, ','); i >= 0 {
		name, rest = list[:i], list[i+1:]
	}
	q = 1000
	if i := bytes.IndexByte(name, ';'); i >= 0 {
		var ok bool
		if q, ok = parseWeight(trimSpace(name[i+1:])); !ok {
			q = -1
		}
		name = name[:i]
	}
	return trimSpace(name), q, rest
}

// parseWeight reads "q=" and a qvalue (RFC 9110, section 12.4.2); nothing is 1.
func parseWeight(b []byte) (thousandths int, ok bool) {
	if len(b) == 0 {
		return 1000, true
	}
	if len(b) < 3 || lower(b[0]) != 'q' || b[1] != '=' {
		return 0, false
	}
	b = b[2:]
	whole := b[0]
	if len(b) > 5 || whole != '0' && whole != '1' || len(b) > 1 && b[1] != '.' {
		return 0, false
	}
	q, unit := int(whole-'0')*1000, 100
	for i := 2; i < len(b); i++ {
		if b[i] < '0' || b[i] > '9' {
			return 0, false
		}
		q += int(b[i]-'0') * unit
		unit /= 10
	}
	return q, q <= 1000
}
