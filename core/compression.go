package core

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
	name, rest = cutAt(list, ',')
	name, weight := cutAt(name, ';')
	return trimSpace(name), parseWeight(trimSpace(weight)), rest
}

// parseWeight reads "q=" and a qvalue (RFC 9110, section 12.4.2) in thousandths;
// nothing is 1, what is malformed -1.
func parseWeight(b []byte) (q int) {
	if len(b) == 0 {
		return 1000
	}
	if len(b) < 3 || len(b) > 7 || lower(b[0]) != 'q' || b[1] != '=' || len(b) > 3 && b[3] != '.' {
		return -1
	}
	unit := 1000
	for i, c := range b[2:] {
		switch {
		case i == 1: // the point
		case c < '0' || c > '9':
			return -1
		default:
			q += int(c-'0') * unit
			unit /= 10
		}
	}
	if q > 1000 {
		return -1
	}
	return q
}
