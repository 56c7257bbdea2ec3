//go:build race

package hostile

// messages is how many of each protocol a test sends. The race detector makes
// each cost ten times as much; without it there are ten thousand.
const messages = 2_000
