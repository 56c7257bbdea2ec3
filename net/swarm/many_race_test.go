//go:build race

package swarm

// floods is fewer under the race detector.
const floods = 400
