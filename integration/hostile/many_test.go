//go:build !race

package hostile

// messages is how many of each protocol a test sends.
const messages = 10_000
