package core

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestImports: the package is pure and small. Each name on the list either does
// no I/O and weighs little in the module, or is not imported.
func TestImports(t *testing.T) {
	allowed := map[string]bool{
		"bytes": true, "encoding/base64": true, "encoding/binary": true, "errors": true, "hash/adler32": true, "hash/crc32": true,
		// Small, and nothing but bytes to bytes.
		"github.com/golang/snappy": true, "math/bits": true, "slices": true, "strconv": true, "unicode/utf8": true,
	}
	files, err := parser.ParseDir(token.NewFileSet(), ".", func(i fs.FileInfo) bool {
		return !strings.HasSuffix(i.Name(), "_test.go")
	}, parser.ImportsOnly)
	if err != nil || len(files["core"].Files) < 10 {
		t.Fatalf("%v", err)
	}
	for name, file := range files["core"].Files {
		for _, i := range file.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); !allowed[path] {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
	if _, err := os.Stat("testdata/fuzz"); err != nil {
		t.Error("the fuzz functions have no corpus")
	}
}
