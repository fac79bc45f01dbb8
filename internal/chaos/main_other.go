//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "chaos: it stops processes and mounts disks as Linux does")
	os.Exit(2)
}
