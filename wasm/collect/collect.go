// Package collect has a module's garbage collected between its calls.
//
// Left to itself, Go collects while a program runs: a goroutine marks what is in
// use, and whoever allocates meanwhile has to mark some of it, too. In a module
// that goroutine gets no turn, because an export returns to the host first. And a
// little marking near a cycle's end may count as help for the next 64 MiB, after
// which nobody marks: the cycle stays open, and so does all that is allocated
// until then, since nothing that is new is garbage in an open cycle.
package collect

import "runtime"

// garbage is how much is allocated between two collections at least, in bytes: less
// than what has Go begin one. Where more than twice that is in use it is half of it, so
// that marking stays in proportion.
const garbage = 2 << 20

var (
	stats runtime.MemStats
	due   uint64 = garbage // what will have been allocated, in all, at the next collection
)

// Garbage collects if there may be enough garbage. To ask costs a few microseconds.
func Garbage() {
	runtime.ReadMemStats(&stats)
	if stats.TotalAlloc < due {
		return
	}
	runtime.GC() // ends a cycle that is open, too
	runtime.ReadMemStats(&stats)
	due = stats.TotalAlloc + max(garbage, stats.HeapAlloc/2)
}
