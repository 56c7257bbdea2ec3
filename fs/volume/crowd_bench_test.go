package volume

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/fs/meta"
)

// publishEach is after how many files the benchmarks of a crowd publish, about
// as often as a node does while a program makes files as fast as it can.
const publishEach = 50_000

// crowd is a directory that gets b.N files, on the disk.
func crowd(b *testing.B) (*world, uint64) {
	w := newWorld()
	w.fs, w.dir, w.memory, w.log = vfs.Default, b.TempDir()+"/", 96<<20, 64<<20
	w.cfg.Age = time.Second
	w.open(b)
	b.Cleanup(func() { w.close(b) })
	return w, w.mkdir(b, Root, "crowd")
}

func crowdName(i int) string { return fmt.Sprintf("file-%07d", i) }

func fillCrowd(b *testing.B, w *world, dir uint64, from, to int) {
	page := random(1, 4096)
	for i := from; i < to; i++ {
		name := crowdName(i)
		if _, err := w.v.Lookup(ctx, dir, name); err == nil { // as the kernel does first
			b.Fatal("it is there already")
		}
		f := w.create(b, dir, name)
		if i%2 == 0 {
			copy(page, name)
			write(b, f, page, 0)
		}
		release(b, f)
		if (i+1)%publishEach == 0 {
			w.publish(b)
		}
	}
}

func (w *world) publish(t testing.TB) {
	must(t, w.v.WriteBack(ctx, 0))
	_, _, err := w.db.Checkpoint(ctx, meta.CheckpointOptions{})
	must(t, err)
}

// processor is the processor time that this process has had, threads in the
// background included.
func processor(b *testing.B) time.Duration {
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tenths does b.N things in ten parts and reports what processor time one took
// in the first, the fifth and the last.
func tenths(b *testing.B, do func(from, to int)) {
	b.ResetTimer()
	for i := range 10 {
		from, to, begun := b.N*i/10, b.N*(i+1)/10, processor(b)
		do(from, to)
		if i == 0 || i == 4 || i == 9 {
			b.ReportMetric(float64((processor(b)-begun).Microseconds())/float64(max(1, to-from)), fmt.Sprintf("cpu-µs/%d", i+1))
		}
	}
	b.StopTimer()
}

// BenchmarkCrowd fills one directory, lists it, looks names up and empties it.
// Run it with -benchtime 1000000x.
func BenchmarkCrowd(b *testing.B) {
	b.Run("create", func(b *testing.B) {
		w, dir := crowd(b)
		tenths(b, func(from, to int) { fillCrowd(b, w, dir, from, to) })
	})
	b.Run("use", func(b *testing.B) {
		w, dir := crowd(b)
		fillCrowd(b, w, dir, 0, b.N)
		w.publish(b)
		w.forget()
		r := rand.New(rand.NewPCG(1, 2))
		b.Run("lookup", func(b *testing.B) { crowdLookup(b, w, dir, func(n int) int { return r.IntN(n) }) })
		b.Run("absent", func(b *testing.B) { crowdLookup(b, w, dir, func(n int) int { return n + r.IntN(n) }) })
		b.Run("list", func(b *testing.B) { crowdList(b, w, dir, func(Entry) {}) })
		b.Run("remove", func(b *testing.B) {
			crowdList(b, w, dir, func(e Entry) { must(b, w.v.Unlink(ctx, dir, e.Name)) })
			must(b, w.v.Rmdir(ctx, Root, "crowd"))
		})
	})
}

func crowdLookup(b *testing.B, w *world, dir uint64, which func(n int) int) {
	tenths(b, func(from, to int) {
		for range to - from {
			i := which(b.N)
			if _, err := w.v.Lookup(ctx, dir, crowdName(i)); (err == nil) != (i < b.N) {
				b.Fatal(i, err)
			}
		}
	})
}

func crowdList(b *testing.B, w *world, dir uint64, do func(Entry)) {
	var batch []Entry
	var after uint64
	tenths(b, func(from, to int) {
		for range to - from {
			if len(batch) == 0 {
				var err error
				batch, err = w.v.ReadDir(ctx, dir, after, 128)
				must(b, err)
				after = batch[len(batch)-1].Cookie
			}
			do(batch[0])
			batch = batch[1:]
		}
	})
}
