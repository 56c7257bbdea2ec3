//go:build !cgo

package main

// outsideHeap is zero: without cgo everything lies in the heap.
const outsideHeap = 0
