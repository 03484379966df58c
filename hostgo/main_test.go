package hostgo

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// testCache keeps compiled code between test runs, in the repository's ignored
// cache directory.
var testCache = filepath.Join("..", ".cache", "wazero-test")

func TestMain(m *testing.M) {
	ctx := context.Background()
	module, err := Load(ctx, &Options{CacheDir: testCache})
	if err != nil {
		panic(err)
	}
	defaultOnce.Do(func() { defaultModule = module })
	code := m.Run()
	if err := module.Close(ctx); err != nil {
		panic(err)
	}
	os.Exit(code)
}
