package placement

import (
	"math/rand/v2"
	"testing"

	"github.com/klauspost/reedsolomon"
)

// shardsOf is a stripe of noise in shards of 1 MiB, the spare ones empty.
func shardsOf(b *testing.B, code Code) [][]byte {
	b.Helper()
	random := rand.NewChaCha8([32]byte{1})
	shards := make([][]byte, code.N())
	for i := range shards {
		shards[i] = make([]byte, 1<<20)
		if i < code.K {
			_, _ = random.Read(shards[i]) // never fails
		}
	}
	return shards
}

func benchmarkRS(b *testing.B, code Code) {
	var c coders
	rs, err := c.get(code)
	if err != nil {
		b.Fatal(err)
	}
	shards := shardsOf(b, code)
	b.SetBytes(int64(code.K) << 20)
	for b.Loop() {
		if err := rs.Encode(shards); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRS4x2(b *testing.B)   { benchmarkRS(b, Code{4, 2}) }
func BenchmarkRS10x6(b *testing.B)  { benchmarkRS(b, Code{10, 6}) }
func BenchmarkRS20x20(b *testing.B) { benchmarkRS(b, Code{20, 20}) }

// BenchmarkBareRS4x2 is what bounds RS4x2: the library alone.
func BenchmarkBareRS4x2(b *testing.B) {
	rs, err := reedsolomon.New(4, 2)
	if err != nil {
		b.Fatal(err)
	}
	shards := shardsOf(b, Code{4, 2})
	b.SetBytes(4 << 20)
	for b.Loop() {
		if err := rs.Encode(shards); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRS4x2TwoLost computes two data shards from the four that are left.
func BenchmarkRS4x2TwoLost(b *testing.B) {
	var c coders
	rs, err := c.get(Code{4, 2})
	if err != nil {
		b.Fatal(err)
	}
	shards := shardsOf(b, Code{4, 2})
	if err := rs.Encode(shards); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(4 << 20)
	for b.Loop() {
		shards[0], shards[2] = shards[0][:0], shards[2][:0] // empty with room: computed in place
		if err := rs.ReconstructData(shards); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkShardIDs hashes the six shards of a stripe, on all cores.
func BenchmarkShardIDs(b *testing.B) {
	shards := shardsOf(b, Code{4, 2})
	b.SetBytes(6 << 20)
	for b.Loop() {
		_ = sums(shards)
	}
}
