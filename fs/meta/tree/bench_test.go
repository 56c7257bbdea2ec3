package tree

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

func million(b *testing.B) (*Store, *memNodes, Root) {
	b.Helper()
	m := &memNodes{}
	s := New(m, 256<<20)
	r, err := s.Fold(context.Background(), Root{}, sequence(0, 1_000_000, 2))
	if err != nil {
		b.Fatal(err)
	}
	return s, m, r
}

func BenchmarkGet(b *testing.B) {
	s, _, r := million(b)
	ctx, rng := context.Background(), rand.New(rand.NewPCG(1, 2))
	dst, key := make([]byte, 0, 64), make([]byte, 8)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		binary.BigEndian.PutUint64(key, uint64(rng.IntN(2_000_000)))
		if _, _, err := s.Get(ctx, r, key, dst); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFold1000(b *testing.B) {
	s, m, r := million(b)
	rng := rand.New(rand.NewPCG(1, 2))
	n0, _ := m.count()
	b.ResetTimer()
	for range b.N {
		keys := make([]int, 1000)
		for i := range keys {
			keys[i] = rng.IntN(2_000_000)
		}
		slices.Sort(keys)
		var edits []Edit
		for _, k := range keys {
			edits = append(edits, Edit{Op: Put, Key: key8(k), Value: key8(k)})
		}
		if _, err := s.Fold(context.Background(), r, listed(edits)); err != nil {
			b.Fatal(err)
		}
	}
	n1, _ := m.count()
	b.ReportMetric(float64(n1-n0)/float64(b.N), "nodes/op")
}

func BenchmarkBulkLoad(b *testing.B) {
	for range b.N {
		if _, err := New(&memNodes{}, 1<<20).Fold(context.Background(), Root{}, sequence(0, 1_000_000, 1)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1e6/b.Elapsed().Seconds(), "keys/s")
}

func BenchmarkWalk(b *testing.B) {
	s, _, r := million(b)
	b.ResetTimer()
	for range b.N {
		for it := s.Seek(context.Background(), r, nil); it.Next(); {
			_ = it.Value()
		}
	}
	b.ReportMetric(float64(b.N)*1e6/b.Elapsed().Seconds(), "keys/s")
}
