// Package bound holds what a fuzz target runs to its cost: any input takes little time
// and little memory, in proportion to its size and within the limits.
package bound

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// Hang is the processor time after which an input counts as one that hangs. It is that of
// the thread: what else the machine does is not in it.
const Hang = 100 * time.Millisecond

// tries is how often an input must be over a bound to be: a page that is fetched, or the
// runtime's own work, makes one run dear, and not each.
const tries = 3

// Within runs f and fails t where f takes longer than Hang, or allocates more than most
// bytes in all, those that are free again included.
func Within(t testing.TB, most uint64, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for try := 1; ; try++ {
		had, began := allocated(), processorTime()
		f()
		took, more := processorTime()-began, allocated()-had
		switch {
		case took <= Hang && more <= most:
			return
		case try < tries:
			runtime.GC()
		case took > Hang:
			t.Fatalf("it takes %v of processor time, and %v are too much", took, Hang)
		default:
			t.Fatalf("it allocates %d bytes, and may allocate %d", more, most)
		}
	}
}

func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}
