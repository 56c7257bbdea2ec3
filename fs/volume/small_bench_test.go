package volume

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// smallDirs is over how many folders the benchmarks of small files spread them,
// and smallRound how many they make before they remove them.
const (
	smallDirs  = 10
	smallRound = 1000
)

// smallWorld is a volume on the disk with empty folders.
func smallWorld(b *testing.B) (*world, []uint64) {
	w := newWorld()
	w.fs, w.dir, w.memory, w.log = vfs.Default, b.TempDir()+"/", 96<<20, 64<<20
	w.cfg.Age = time.Second
	w.open(b)
	b.Cleanup(func() { w.close(b) })
	dirs := make([]uint64, smallDirs)
	for i := range dirs {
		dirs[i] = w.mkdir(b, Root, fmt.Sprint("d", i))
	}
	return w, dirs
}

func smallName(i int) string { return fmt.Sprintf("f%07d", i%smallRound) }

// makeSmall does what open(2) with O_CREAT, write(2) of 4 KiB and close(2) do.
func makeSmall(b *testing.B, w *world, dir uint64, name string, page []byte) {
	if _, err := w.v.Lookup(ctx, dir, name); err == nil {
		b.Fatal("it is there already")
	}
	f := w.create(b, dir, name)
	write(b, f, page, 0)
	must(b, f.Flush(ctx))
	release(b, f)
}

// removeRound removes the files of the round that ends with file i.
func removeRound(b *testing.B, w *world, dirs []uint64, i int) {
	for j := range i%smallRound + 1 {
		must(b, w.v.Unlink(ctx, dirs[j%smallDirs], smallName(j)))
	}
}

// BenchmarkSmallCreate makes files of 4 KiB, each of new bytes. That they are
// removed at times is not measured.
func BenchmarkSmallCreate(b *testing.B) {
	w, dirs := smallWorld(b)
	page := random(1, 4096)
	b.ReportAllocs()
	begun := processor(b)
	for i := 0; b.Loop(); i++ {
		copy(page, fmt.Sprintf("%08d", i))
		makeSmall(b, w, dirs[i%smallDirs], smallName(i), page)
		if i%smallRound == smallRound-1 {
			b.StopTimer()
			pause := processor(b)
			removeRound(b, w, dirs, i)
			begun += processor(b) - pause
			b.StartTimer()
		}
	}
	b.ReportMetric(float64((processor(b)-begun).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// BenchmarkSmallRemove removes files of 4 KiB.
func BenchmarkSmallRemove(b *testing.B) {
	w, dirs := smallWorld(b)
	page := random(1, 4096)
	b.ReportAllocs()
	var used time.Duration
	for done := 0; done < b.N; done += smallRound {
		b.StopTimer()
		n := min(smallRound, b.N-done)
		for i := range n {
			copy(page, smallName(i))
			makeSmall(b, w, dirs[i%smallDirs], smallName(i), page)
		}
		begun := processor(b)
		b.StartTimer()
		removeRound(b, w, dirs, n-1)
		used += processor(b) - begun
	}
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op")
}
