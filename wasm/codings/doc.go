//go:build !wasip1

// Command codings is the module of the codings that are too large for the first
// one; it is built for wasip1 only (see `make wasm`).
package main

import "fmt"

func main() {
	fmt.Println("this is the codings' module: build it with `make wasm`; see wasm/ABI.md")
}
