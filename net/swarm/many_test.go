//go:build !race

package swarm

// floods is how many hostile hellos a flood has.
const floods = 10_000
