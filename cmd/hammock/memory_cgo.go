//go:build cgo

package main

// outsideHeap is what Pebble takes from C for its memtables and blocks when the
// program is built with cgo, in bytes: the runtime's limit does not see it.
const outsideHeap = 112 << 20
