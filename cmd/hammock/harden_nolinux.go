//go:build unix && !linux

package main

import (
	"fmt"
	"os"
)

// noDumps keeps this process's memory out of files.
func noDumps() {
	if err := noCores(); err != nil {
		fmt.Fprintln(os.Stderr, "hammock: core dumps could not be limited:", err)
	}
}
