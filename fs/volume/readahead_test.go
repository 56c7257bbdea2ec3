package volume

import (
	"math/rand/v2"
	"testing"
)

// asked adds up what is fetched ahead of reads of pieces of n bytes at the given
// places.
func asked(t *testing.T, size, n uint64, at []uint64) (sum uint64) {
	t.Helper()
	var p progress
	last := uint64(0)
	for _, off := range at {
		from, to := p.read(off, off+n, size)
		if from >= to {
			continue
		}
		if from < last || to > size || to > p.next+ahead {
			t.Fatalf("read at %d: fetches %d to %d, after %d", off, from, to, last)
		}
		last = to
		sum += to - from
	}
	return sum
}

// TestReadAheadInAnyOrder reads a file from one end to the other, in the order
// in which the kernel's requests may come: all but its beginning is fetched
// ahead, once.
func TestReadAheadInAnyOrder(t *testing.T) {
	const size, n = 256 << 20, 256 << 10
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for _, mixed := range []int{1, 4, 16} {
		var at []uint64
		for off := uint64(0); off < size; off += n {
			at = append(at, off)
		}
		for i := 0; i+mixed <= len(at); i += mixed {
			part := at[i : i+mixed]
			rng.Shuffle(mixed, func(a, b int) { part[a], part[b] = part[b], part[a] })
		}
		if got := asked(t, size, n, at); got < size-2*ahead || got > size {
			t.Errorf("%d at a time in any order: %d of %d bytes are fetched ahead", mixed, got, size)
		}
	}
}

// TestNoReadAhead reads here and there: nothing is fetched for that. Nor is
// anything for a file of which only the beginning is read.
func TestNoReadAhead(t *testing.T) {
	var at []uint64
	for i := range uint64(1000) {
		at = append(at, (i*7919%1000)<<24|1<<12)
	}
	if got := asked(t, 1<<40, 4096, at); got != 0 {
		t.Errorf("%d bytes are fetched ahead of reads here and there", got)
	}
	if got := asked(t, 1<<40, 4096, []uint64{0, 4096, 8192}); got != 0 {
		t.Errorf("%d bytes are fetched ahead of a look at the beginning", got)
	}
}
