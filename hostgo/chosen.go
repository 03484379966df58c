package hostgo

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
)

// The environment may name another file than the embedded module, with its
// hash: one that was audited, say, for all hosts. The Python host knows the same
// variables.
const (
	moduleVariable = "CONNECTCORE_MODULE"
	pinVariable    = "CONNECTCORE_MODULE_SHA256"
)

// chosen returns the module that the environment names, or the embedded one.
func chosen() ([]byte, error) {
	path := os.Getenv(moduleVariable)
	if path == "" {
		return embedded, nil
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("connectcore: the module that %s names: %w", moduleVariable, err)
	}
	found, wanted := fmt.Sprintf("%x", sha256.Sum256(wasm)), strings.ToLower(os.Getenv(pinVariable))
	switch wanted {
	case found:
		return wasm, nil
	case "":
		return nil, fmt.Errorf("connectcore: %s, which %s names, needs its hash: set %s to %s if you trust it",
			path, moduleVariable, pinVariable, found)
	}
	return nil, fmt.Errorf("connectcore: %s is not the module that %s pins: its SHA-256 is %s, %s is wanted",
		path, pinVariable, found, wanted)
}
