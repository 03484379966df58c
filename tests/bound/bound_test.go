package bound

import (
	"fmt"
	"testing"
)

// watched is a testing.TB that keeps its failure.
type watched struct {
	testing.TB
	said string
}

func (w *watched) Helper()                        {}
func (w *watched) Fatalf(format string, a ...any) { w.said = fmt.Sprintf(format, a...); panic(w) }

func said(f func()) string {
	w := &watched{}
	func() {
		defer func() { _ = recover() }()
		Within(w, 1<<20, f)
	}()
	return w.said
}

var kept []byte

func TestWithin(t *testing.T) {
	if got := said(func() { kept = make([]byte, 1<<10) }); got != "" {
		t.Error(got)
	}
	if got := said(func() { kept = make([]byte, 4<<20) }); got == "" {
		t.Error("4 MiB are not seen")
	}
	if got := said(func() {
		for began := processorTime(); processorTime()-began <= Hang+Hang/10; {
		}
	}); got == "" {
		t.Error("a loop is not seen")
	}
	once := 0
	if got := said(func() {
		if once++; once == 1 {
			kept = make([]byte, 4<<20)
		}
	}); got != "" || once != 2 {
		t.Errorf("%d runs: %s", once, got)
	}
}

func BenchmarkWithin(b *testing.B) {
	for b.Loop() {
		Within(b, 1<<40, func() {})
	}
}
