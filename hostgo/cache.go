package hostgo

import (
	"fmt"
	"os"
	"path/filepath"
)

// DefaultCacheDir returns the user's directory for compiled code, for
// [Options.CacheDir].
func DefaultCacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("connectcore: no cache directory for this user: %w", err)
	}
	return filepath.Join(dir, "connectcore", "wazero"), nil
}

// ownCacheDir makes the directory, or checks that it is the user's alone:
// whoever can write to it chooses the native code that runs here.
func ownCacheDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return checkOwner(dir, info)
}
