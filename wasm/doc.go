//go:build !wasip1

// Command wasm is the module; it is built for wasip1 only (see `make wasm`).
package main

import "fmt"

func main() {
	fmt.Println("this is the module: build it with `make wasm`; see wasm/ABI.md")
}
