package core

// NoTimeout stands for "no timeout was given".
const NoTimeout = ^uint64(0)

// Digits that a timeout may have: protocol.md, "Timeout-Milliseconds";
// PROTOCOL-HTTP2.md, "TimeoutValue".
const (
	connectTimeoutDigits = 10
	grpcTimeoutDigits    = 8
	connectTimeoutMax    = 9_999_999_999
	grpcTimeoutMax       = 99_999_999
)

// ParseConnectTimeout reads a Connect timeout: 1 to 10 digits, milliseconds
// (protocol.md, "Timeout-Milliseconds"). It returns microseconds. Zero is a
// deadline that has passed; anything but digits is false (ours, rule 3).
func ParseConnectTimeout(v []byte) (us uint64, ok bool) {
	n, ok := parseDigits(v, connectTimeoutDigits)
	return n * 1000, ok
}

// grpcUnits are the units of a gRPC timeout but nanoseconds, the finest first.
var grpcUnits = [...]struct {
	name byte
	us   uint64
}{{'u', 1}, {'m', 1000}, {'S', 1_000_000}, {'M', 60_000_000}, {'H', 3_600_000_000}}

// ParseGRPCTimeout reads a gRPC timeout: 1 to 8 digits and a unit
// (PROTOCOL-HTTP2.md, "Timeout"). It returns microseconds; nanoseconds are
// rounded up, so that only a zero is zero.
func ParseGRPCTimeout(v []byte) (us uint64, ok bool) {
	last := max(len(v), 1) - 1
	n, ok := parseDigits(v[:last], grpcTimeoutDigits)
	if !ok {
		return 0, false
	}
	if v[last] == 'n' {
		return divUp(n, 1000), true
	}
	for _, u := range grpcUnits {
		if v[last] == u.name {
			return n * u.us, true
		}
	}
	return 0, false
}

// AppendConnectTimeout appends the milliseconds of a timeout in microseconds,
// rounded up: a timeout that has not passed is never sent as zero. What does not
// fit 10 digits is sent as the longest that does.
func AppendConnectTimeout(dst []byte, us uint64) []byte {
	return appendDecimal(dst, min(divUp(us, 1000), connectTimeoutMax))
}

// AppendGRPCTimeout appends a timeout in microseconds in the finest unit that
// takes 8 digits, rounded up. What does not fit is sent as the longest that does.
func AppendGRPCTimeout(dst []byte, us uint64) []byte {
	u, n := grpcUnits[0], us
	for _, u = range grpcUnits {
		if n = divUp(us, u.us); n <= grpcTimeoutMax {
			break
		}
	}
	return append(appendDecimal(dst, min(n, grpcTimeoutMax)), u.name)
}

// divUp divides and rounds up.
func divUp(n, by uint64) uint64 { return n/by + min(n%by, 1) }

// parseDigits reads 1 to most decimal digits and nothing else.
func parseDigits(v []byte, most int) (n uint64, ok bool) {
	if len(v) == 0 || len(v) > most {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
