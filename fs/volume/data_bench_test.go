package volume

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// onDisk is a world whose files lie on the disk, with the budgets of a node.
func onDisk(b *testing.B) *world {
	w := newWorld()
	w.fs, w.dir, w.memory, w.log, w.limit = vfs.Default, b.TempDir()+"/", 96<<20, 64<<20, 64<<30
	w.cfg.Age, w.cfg.Dirty = 5*time.Second, 48<<20
	w.open(b)
	b.Cleanup(func() { w.close(b) })
	return w
}

// filled makes a file of n bytes that do not compress and are on the disk.
func (w *world) filled(b *testing.B, name string, n int) *File {
	f := w.create(b, Root, name)
	b.Cleanup(func() { release(b, f) })
	for off := 0; off < n; off += 1 << 20 {
		write(b, f, random(uint64(off>>20), 1<<20), int64(off))
	}
	must(b, f.Fsync(ctx))
	return f
}

// timed measures do, with the processor time that one of n things takes beside
// the time on the clock.
func timed(b *testing.B, n int, do func()) {
	b.ReportAllocs()
	begun := processor(b)
	b.ResetTimer()
	do()
	b.StopTimer()
	b.ReportMetric(float64((processor(b)-begun).Nanoseconds())/float64(n)/1000, "cpu-µs/op")
}

// BenchmarkRandomWrite writes 4 KiB at random places of a file of 64 MiB, with
// an fsync at the end. Run it with -benchtime 100000x: what is not committed is
// no work yet.
func BenchmarkRandomWrite(b *testing.B) {
	w := onDisk(b)
	const pages = 64 << 20 / 4096
	f := w.filled(b, "file", pages*4096)
	r, p := rand.New(rand.NewPCG(1, 2)), random(9, 4096)
	b.SetBytes(4096)
	timed(b, b.N, func() {
		for range b.N {
			at := r.IntN(pages)
			p[0], p[1], p[2] = byte(at), byte(at>>8), byte(r.Uint32())
			write(b, f, p, int64(at)*4096)
		}
		must(b, f.Fsync(ctx))
	})
}

// BenchmarkSequentialWrite writes what does not compress in requests of 128 KiB,
// with an fsync at the end.
func BenchmarkSequentialWrite(b *testing.B) {
	w := onDisk(b)
	f := w.filled(b, "file", 1<<20)
	p := random(9, 128<<10)
	b.SetBytes(int64(len(p)))
	timed(b, b.N, func() {
		for i := range b.N {
			for j := 0; j < len(p); j += 4096 {
				p[j], p[j+1], p[j+2], p[j+3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
			}
			write(b, f, p, int64(i)*int64(len(p)))
		}
		must(b, f.Fsync(ctx))
	})
}

// BenchmarkFsync overwrites 4 KiB and syncs it, as a database does.
func BenchmarkFsync(b *testing.B) {
	w := onDisk(b)
	f := w.filled(b, "file", 1<<20)
	r, p := rand.New(rand.NewPCG(1, 2)), random(9, 4096)
	timed(b, b.N, func() {
		for range b.N {
			write(b, f, p, int64(r.IntN(256))*4096)
			must(b, f.Fsync(ctx))
		}
	})
}

// BenchmarkRandomRead reads 4 KiB at random places of a file of 64 MiB.
func BenchmarkRandomRead(b *testing.B) {
	w := onDisk(b)
	f := w.filled(b, "file", 64<<20)
	r, p := rand.New(rand.NewPCG(1, 2)), make([]byte, 4096)
	b.SetBytes(4096)
	timed(b, b.N, func() {
		for range b.N {
			_, err := f.Read(ctx, p, int64(r.IntN(64<<20/4096))*4096)
			must(b, err)
		}
	})
}

// BenchmarkSequentialRead reads a file of 64 MiB through in requests of 1 MiB.
func BenchmarkSequentialRead(b *testing.B) {
	w := onDisk(b)
	f := w.filled(b, "file", 64<<20)
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(p)))
	timed(b, b.N, func() {
		for i := range b.N {
			_, err := f.Read(ctx, p, int64(i%64)<<20)
			must(b, err)
		}
	})
}
