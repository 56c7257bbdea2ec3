package cache

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
)

// onDisk puts a rig on the real file system, without dedup.
func onDisk(b *testing.B) *rig {
	dir := b.TempDir()
	return newRig(b, func(c *Config) {
		c.FS, c.Dir, c.Index, c.Memory = vfs.Default, dir, nil, 64<<20
		c.Target = func(uint8) int { return 4 << 20 }
	})
}

func BenchmarkPut(b *testing.B) {
	for _, n := range []int{4 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			r := onDisk(b)
			p := random(1, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				_, _ = r.Put(ctx, ClassData, p)
			}
		})
	}
	b.Run("256KiB/parallel", func(b *testing.B) {
		r := onDisk(b)
		var seed atomic.Uint64
		b.SetBytes(256 << 10)
		b.RunParallel(func(pb *testing.PB) {
			p := random(seed.Add(1), 256<<10)
			for pb.Next() {
				_, _ = r.Put(ctx, ClassData, p)
			}
		})
	})
}

func BenchmarkReadAt(b *testing.B) {
	for _, n := range []int{4 << 10, 128 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			r := onDisk(b)
			var refs []crypt.Ref
			for i := range 256 {
				refs = append(refs, r.put(ClassData, random(uint64(i), 1<<20)))
			}
			p := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				ref := &refs[rand.IntN(len(refs))]
				if err := r.ReadAt(ctx, ref, p, rand.IntN((1<<20-n)/4096+1)*4096); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
