package wire_test

import (
	"fmt"
	"testing"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
)

// networks are where the benchmarks run.
var networks = map[string]func(testing.TB) *world{"memory": inMemory, "loopback": onLoopback}

func benchSizes(b *testing.B, run func(b *testing.B, w *world, data []byte)) {
	for name, mk := range networks {
		for _, size := range []int{256 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				w := mk(b).serve(b, unlimited())
				data := randomBytes(1, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				run(b, w, data)
			})
		}
	}
}

func unlimited() wire.Limits {
	l := wire.DefaultLimits()
	l.Requests, l.Burst = 1e9, 1e9
	return l
}

func BenchmarkPut(b *testing.B) {
	benchSizes(b, func(b *testing.B, w *world, data []byte) {
		p := wire.Put{Shard: crypt.Sum(data)}
		for b.Loop() {
			check(b, w.bobPeer().Put(b.Context(), p, data))
		}
	})
}

func BenchmarkPutParallel(b *testing.B) {
	benchSizes(b, func(b *testing.B, w *world, data []byte) {
		p := wire.Put{Shard: crypt.Sum(data)}
		b.SetParallelism(2)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := w.bobPeer().Put(b.Context(), p, data); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkGet(b *testing.B) {
	benchSizes(b, func(b *testing.B, w *world, data []byte) {
		p := wire.Put{Shard: crypt.Sum(data)}
		check(b, w.bobPeer().Put(b.Context(), p, data))
		dst := make([]byte, 0, len(data))
		for b.Loop() {
			_, err := w.bobPeer().ReadRange(b.Context(), p.Shard, int64(len(data)), 0, int64(len(data)), dst)
			check(b, err)
		}
	})
}

// A read of 4 KiB brings one group of 16 KiB and its proof.
func BenchmarkGet4KiB(b *testing.B) {
	benchSizes(b, func(b *testing.B, w *world, data []byte) {
		p := wire.Put{Shard: crypt.Sum(data)}
		check(b, w.bobPeer().Put(b.Context(), p, data))
		b.SetBytes(4096)
		dst := make([]byte, 0, 32<<10)
		for b.Loop() {
			_, err := w.bobPeer().ReadRange(b.Context(), p.Shard, int64(len(data)), 5000, 4096, dst)
			check(b, err)
		}
	})
}

// A has is 42 bytes there and about as many back.
func BenchmarkRoundTrip(b *testing.B) {
	for name, mk := range networks {
		w := mk(b).serve(b, unlimited())
		p := wire.Put{Shard: crypt.Sum([]byte("x"))}
		check(b, w.bobPeer().Put(b.Context(), p, []byte("x")))
		b.Run(name+"/alone", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _, err := w.bobPeer().Has(b.Context(), p.Shard)
				check(b, err)
			}
		})
		b.Run(name+"/16 at once", func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, _, err := w.bobPeer().Has(b.Context(), p.Shard); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
