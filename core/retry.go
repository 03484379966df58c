package core

// What the server says about another try of a call (gRPC proposal A6, "Retry
// Design"; RFC 9110, section 10.2.3). Whether and when one is made is the host's
// to decide: the core has no clock and no chance.

// again is what a call knows of that.
type again struct {
	asked       bool
	tries       uint32 // that came before this one
	unprocessed bool   // the server has done no work
	never       bool   // it wants no other try
	told        bool   // how long to wait
	wait        uint64 // microseconds
}

// note looks for what a section of the response says. A wait that is no number
// asks for no other try (A6, "Pushback"); an HTTP date is none, since reading one
// takes a clock (ours, rule 15).
func (a *again) note(d *dialect, fields Fields) {
	if !a.asked {
		return
	}
	for name, value := range fields.All {
		unit := uint64(0)
		switch {
		case len(d.pushback) > 0 && string(name) == d.pushback:
			unit = 1000
		case string(name) == "retry-after":
			unit = 1_000_000
		default:
			continue
		}
		n, ok := parseDigits(value, retryDigits)
		a.told, a.never = a.told || ok, a.never || !ok
		a.wait = max(a.wait, n*unit)
	}
}

const retryDigits = 10

// tell says it in an event. unavailable is the code of what may be gone the next
// time (statuscodes.md); a server that says how long to wait thinks so, too.
func (a *again) tell(e *Event, code Code) {
	e.Unprocessed, e.Never, e.Told, e.Wait = a.unprocessed, a.never, a.told, a.wait
	e.Transient = code == Unavailable || a.told
}
