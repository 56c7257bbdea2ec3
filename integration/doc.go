// Package integration holds the tests of the whole: the real binary, the
// kernel's mount, peers in processes of their own, and real programs on the
// folder. It has no code of its own besides its tests.
package integration
