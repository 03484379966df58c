package guest

import (
	"testing"

	"github.com/connectcore/connectcore/core"
	"github.com/connectcore/connectcore/wasm/abi"
)

// What core decides and hosts do, too, is one number.
func TestSharedNumbers(t *testing.T) {
	for _, pair := range [][2]int{{core.MaxMembers, abi.MaxMembers}, {core.DefaultReadMax, abi.DefaultReadMax}} {
		if pair[0] != pair[1] {
			t.Errorf("core says %d, and wasm/abi %d", pair[0], pair[1])
		}
	}
}
