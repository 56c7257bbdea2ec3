// Package compare measures the chunker beside two others, on the same input and sizes. It is a module of its own, so
// that theirs are no dependencies of hammock: run its benchmarks from inside this folder.
package compare
