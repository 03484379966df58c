package core

import "bytes"

// CodingIndex returns which of codings name is: its 1-based index, 0 for identity
// or nothing, -1 for one that is not there. Names have no letter case, and
// "x-gzip" is gzip (RFC 9110, sections 8.4.1 and 8.4.1.3).
func CodingIndex(name []byte, codings []string) int {
	if name = trimSpace(name); len(name) == 0 || EqualFold(name, "identity") {
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
	return EqualFold(name, coding) || coding == "gzip" && EqualFold(name, "x-gzip")
}

// NegotiateCoding chooses from codings (the server's order of preference) one that
// the peer accepts: the highest weight, then the first of codings. It returns a
// 1-based index, or 0 for identity, which every peer accepts as the last resort
// (protocol.md, "Unary-Request") unless it gives it a higher weight than any
// other. accept is the value of an accept-encoding field in full HTTP syntax (RFC
// 9110, section 12.5.3; protocol.md allows it to servers) or the plain list of
// gRPC; a member whose weight is malformed counts as not there.
func NegotiateCoding(accept []byte, codings []string) int {
	best, bestQ := 0, 1 // weights in thousandths; what has weight 0 is refused
	if q, ok := weight(accept, "identity", false); ok {
		bestQ = max(q, 1)
	}
	for i, c := range codings {
		// Identity, the least preferred, yields to an equal weight.
		if q, ok := weight(accept, c, true); ok && (q > bestQ || q == bestQ && best == 0 && q > 0) {
			best, bestQ = i+1, q
		}
	}
	return best
}

// weight returns the weight of coding in accept, in thousandths. star says whether
// "*" speaks for what is not named.
func weight(accept []byte, coding string, star bool) (q int, ok bool) {
	for len(accept) > 0 {
		var member []byte
		if i := bytes.IndexByte(accept, ','); i >= 0 {
			member, accept = accept[:i], accept[i+1:]
		} else {
			member, accept = accept, nil
		}
		var params []byte
		if i := bytes.IndexByte(member, ';'); i >= 0 {
			member, params = member[:i], trimSpace(member[i+1:])
		}
		member = trimSpace(member)
		named := sameCoding(member, coding)
		if !named && !(star && string(member) == "*") {
			continue
		}
		v, good := parseWeight(params)
		switch {
		case !good:
		case named:
			return v, true
		default:
			q, ok = v, true
		}
	}
	return q, ok
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
