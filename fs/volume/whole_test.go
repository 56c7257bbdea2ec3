package volume

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/fs/meta"
)

// closed makes a file of this content and closes it.
func (w *world) closed(t testing.TB, name string, p []byte) uint64 {
	t.Helper()
	f := w.create(t, Root, name)
	write(t, f, p, 0)
	release(t, f)
	return f.Ino()
}

// pagesOf is how many pages are recorded of a file.
func (w *world) pagesOf(t testing.TB, ino uint64) int {
	t.Helper()
	list, err := w.db.Pages(ctx, ino)
	must(t, err)
	return len(list)
}

// TestSmallFileAgain: a second copy of a small file needs neither pages nor
// a chunk of its own, whatever it is called, and outlives the first.
func TestSmallFileAgain(t *testing.T) {
	mem := vfs.NewCrashableMem()
	w := newWorld()
	w.fs = mem
	w.open(t)
	t.Cleanup(func() { w.close(t) })
	for i, n := range []int{1025, 4096, 9001, 60000} {
		want := random(uint64(i), n)
		first := w.closed(t, fmt.Sprint("first", i), want)
		if w.pagesOf(t, first) == 0 {
			t.Errorf("the first file of %d bytes was not left as pages", n)
		}
		must(t, w.v.WriteBack(ctx, 0))
		before := w.cache.Usage().Bytes
		again := w.closed(t, fmt.Sprint("again", i), want)
		if grown, pages := w.cache.Usage().Bytes-before, w.pagesOf(t, again); grown != 0 || pages != 0 {
			t.Errorf("the second copy of %d bytes took %d bytes and %d pages", n, grown, pages)
		}
		if a, b := w.attr(t, first), w.attr(t, again); a.Blocks != b.Blocks {
			t.Errorf("%d and %d blocks", a.Blocks, b.Blocks)
		}
		must(t, w.v.Unlink(ctx, Root, fmt.Sprint("first", i)))
		w.killed(t, mem).wantContent(t, "after the daemon was killed", again, want)
	}
}

// TestManySmallFiles: of very many small files only so many wait as pages, and
// all are there when the daemon is killed.
func TestManySmallFiles(t *testing.T) {
	mem := vfs.NewCrashableMem()
	w := newWorld()
	w.fs, w.cfg.Small = mem, 64<<10
	w.open(t)
	t.Cleanup(func() { w.close(t) })
	const files, size = 100, 5000
	var list []uint64
	pages := 0
	add := func(from int) {
		for i := from; i < from+files; i++ {
			list = append(list, w.closed(t, fmt.Sprint(i), random(uint64(i), size)))
			pages += w.pagesOf(t, list[i])
		}
	}
	add(0)
	if most := 2 * ((64<<10)/size + 1); pages == 0 || pages > most {
		t.Errorf("%d pages wait, at most %d should", pages, most)
	}
	synced := w.create(t, Root, "synced")
	write(t, synced, random(1000, size), 0)
	must(t, synced.Fsync(ctx))
	release(t, synced)
	if w.pagesOf(t, synced.Ino()) != 2 {
		t.Error("what is synced waits for a stripe")
	}
	must(t, w.v.WriteBack(ctx, 0))
	pages = 0
	add(files)
	if pages == 0 {
		t.Error("after they were written back, no others may wait")
	}
	again := w.killed(t, mem)
	for i, ino := range list {
		again.wantContent(t, fmt.Sprint("file ", i), ino, random(uint64(i), size))
	}
	for i := range list {
		must(t, w.v.Unlink(ctx, Root, fmt.Sprint(i)))
	}
	must(t, w.v.Unlink(ctx, Root, "synced"))
	if w.v.small != 0 || len(w.v.paged) != 0 {
		t.Errorf("all is removed, and %d bytes of %d files wait", w.v.small, len(w.v.paged))
	}
}

// TestSmallFileWithoutRoom: where the cache is full, a small file stays in the
// journal, and close succeeds.
func TestSmallFileWithoutRoom(t *testing.T) {
	w := newWorld()
	w.limit, w.cfg.Small = 1<<20, -1
	w.open(t)
	t.Cleanup(func() { w.close(t) })
	f := w.create(t, Root, "f")
	want := random(1, 6000)
	write(t, f, want, 0)
	for i := uint64(0); ; i++ {
		if _, err := w.cache.Put(ctx, meta.ClassData, random(10+i, 5000)); err != nil {
			wantErr(t, "fill the cache", err, ErrNoSpace)
			break
		}
	}
	release(t, f)
	w.wantContent(t, "without room in the cache", f.Ino(), want)
	if w.pagesOf(t, f.Ino()) == 0 {
		t.Error("it is not in pages")
	}
}
