package hostgo

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/connectcore/connectcore/wasm/abi"
)

// choose lets the environment name a module; pin "" stands for its hash.
func choose(t *testing.T, wasm []byte, pin string) (hash string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "module.wasm")
	if err := os.WriteFile(path, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	hash = fmt.Sprintf("%x", sha256.Sum256(wasm))
	if pin == "" {
		pin = strings.ToUpper(hash)
	}
	t.Setenv("CONNECTCORE_MODULE", path)
	t.Setenv("CONNECTCORE_MODULE_SHA256", pin)
	return hash
}

func TestChosenModuleIsLoaded(t *testing.T) {
	choose(t, tiny{version: abi.Major<<16 | (abi.Minor + 7)}.bytes(), "")
	m, err := Load(t.Context(), &Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestChosenModuleIsRefused(t *testing.T) {
	good := tiny{version: goodVersion}.bytes()
	refused := func(name string, want ...string) {
		t.Helper()
		m, err := Load(t.Context(), &Options{Logger: quiet()})
		if err == nil {
			t.Fatalf("%s: loaded, and closed with %v", name, m.Close(t.Context()))
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %q, want %q in it", name, err, part)
			}
		}
	}

	other := strings.Repeat("0", 64)
	hash := choose(t, good, other)
	refused("another hash", "is not the module that CONNECTCORE_MODULE_SHA256 pins", hash, other+" is wanted")

	t.Setenv("CONNECTCORE_MODULE_SHA256", "")
	refused("no hash", "set CONNECTCORE_MODULE_SHA256 to "+hash)

	t.Setenv("CONNECTCORE_MODULE", filepath.Join(t.TempDir(), "none.wasm"))
	refused("no file", "the module that CONNECTCORE_MODULE names", "none.wasm")

	choose(t, tiny{version: 2 << 16}.bytes(), "")
	refused("another interface", "interface is 2.0, this package needs 1.0")
}
