// Package scale measures how the cost of a call grows with the volume: from a
// thousand files to ten million, and from a gibibyte to ten tebibytes. It has no
// code of its own besides its tests.
//
// The model. A plant is the real journal, records, tree, cache and volume on the
// disk, with a placer that only writes records. It is filled with names, inodes,
// extents and records of stripes, as a volume of that size has them; the bytes
// of the files, to which no call that is measured here comes, are left out. Each
// figure is then taken from calls as a mount makes them. A second plant begins
// from the first one's head, as a recovery does, and fetches from the first.
//
// TestGrowth holds what does not depend on a clock: how many nodes are fetched and
// how many bytes are written. BenchmarkScale prints times, too.
package scale
