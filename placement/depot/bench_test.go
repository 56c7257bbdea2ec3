package depot

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hammockfs/hammock/crypt"
)

func benchmarkPut(b *testing.B, size, callers int) {
	cfg := small(vfs.Default, &clock{})
	cfg.Dir, cfg.Capacity, cfg.SegmentSize = b.TempDir()+"/depot", 1<<40, 0
	d := open(b, cfg)
	defer d.Close()
	var n atomic.Uint64
	b.SetBytes(int64(size))
	b.SetParallelism(callers)
	b.RunParallel(func(pb *testing.PB) {
		data := shard(n.Add(1), size)
		for pb.Next() {
			i := n.Add(1)
			for j := range 8 {
				data[j] = byte(i >> (8 * j))
			}
			if err := store(d, announce(owner(1), data, i, 1), data); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkPut1MiB(b *testing.B)         { benchmarkPut(b, 1<<20, 1) }
func BenchmarkPut1MiBEight(b *testing.B)    { benchmarkPut(b, 1<<20, 8) }
func BenchmarkPut64KiBSixteen(b *testing.B) { benchmarkPut(b, 64<<10, 16) }

func BenchmarkSlice16KiB(b *testing.B)  { benchmarkSlice(b, 5*crypt.GroupSize, crypt.GroupSize) }
func BenchmarkSlice256KiB(b *testing.B) { benchmarkSlice(b, 5*crypt.GroupSize, 256<<10) }
func BenchmarkSlice1MiB(b *testing.B)   { benchmarkSlice(b, 0, 1<<20) }
func BenchmarkQuote1MiB(b *testing.B)   { benchmarkRead(b, (*Depot).Quote, 0, 1<<20) }

func benchmarkSlice(b *testing.B, off, n int64) { benchmarkRead(b, (*Depot).Slice, off, n) }

// reader is Depot.Slice or the like.
type reader func(d *Depot, ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (int64, []byte, error)

func benchmarkRead(b *testing.B, read reader, off, n int64) {
	cfg := small(vfs.Default, &clock{})
	cfg.Dir, cfg.Capacity = b.TempDir()+"/depot", 1<<30
	d := open(b, cfg)
	defer d.Close()
	data := shard(1, 1<<20)
	mustStore(b, d, owner(1), data, 1)
	id := crypt.Sum(data)
	b.SetBytes(n)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := read(d, ctx, owner(1), id, off, n, nil); err != nil {
			b.Fatal(err)
		}
	}
}
