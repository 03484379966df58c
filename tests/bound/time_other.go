//go:build !linux

package bound

import "time"

var began = time.Now()

// processorTime is time that passes: no other can be asked for here.
func processorTime() time.Duration { return time.Since(began) }
