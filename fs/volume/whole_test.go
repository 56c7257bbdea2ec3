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

// TestAttributesWithBytes does with a file what who copies one does: its times and its mode are set when it is written
// and not closed. All of it takes one commit, and what is set is there whatever happens then.
func TestAttributesWithBytes(t *testing.T) {
	for _, n := range []int{10, 4096, 60000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			w := newWorld()
			w.fs = mem
			w.open(t)
			t.Cleanup(func() { w.close(t) })
			want := random(uint64(n), n)
			f := w.create(t, Root, "f")
			write(t, f, want, 0)
			before := w.db.Stats().JournalBytes
			mtime, mode := int64(4711), uint32(0o640)
			_, err := w.v.SetAttr(ctx, f.Ino(), SetAttr{Mtime: &mtime})
			must(t, err)
			if now := w.db.Stats().JournalBytes; now != before {
				t.Errorf("times alone took %d bytes of the journal", now-before)
			}
			_, err = w.v.SetAttr(ctx, f.Ino(), SetAttr{Mode: &mode})
			must(t, err)
			set := w.db.Stats().JournalBytes
			w.killed(t, mem).wantCopy(t, "before the close", f.Ino(), want, mtime, mode)
			must(t, f.Flush(ctx))
			if now := w.db.Stats().JournalBytes; now != set {
				t.Errorf("the close took %d bytes of the journal", now-set)
			}
			_, err = w.v.SetAttr(ctx, f.Ino(), SetAttr{Mtime: &mtime})
			must(t, err)
			if w.db.Stats().JournalBytes == set {
				t.Error("times that are set when no bytes wait are not recorded")
			}
			release(t, f)
		})
	}
}

// wantCopy fails if a file is not what was made of it.
func (w *world) wantCopy(t *testing.T, when string, ino uint64, want []byte, mtime int64, mode uint32) {
	t.Helper()
	w.wantContent(t, when, ino, want)
	if a := w.attr(t, ino); a.Mtime != mtime || a.Mode&modePerm != mode {
		t.Errorf("%s: mtime %d, mode %o, want %d, %o", when, a.Mtime, a.Mode, mtime, mode)
	}
}

// TestTimesWaitForClose: times that were set while bytes waited are there with the bytes.
func TestTimesWaitForClose(t *testing.T) {
	mem := vfs.NewCrashableMem()
	w := newWorld()
	w.fs = mem
	w.open(t)
	t.Cleanup(func() { w.close(t) })
	want := random(1, 200_000)
	f := w.create(t, Root, "f")
	write(t, f, want, 0)
	mtime := int64(4711)
	_, err := w.v.SetAttr(ctx, f.Ino(), SetAttr{Mtime: &mtime})
	must(t, err)
	mode := w.attr(t, f.Ino()).Mode & modePerm
	must(t, f.Flush(ctx))
	w.killed(t, mem).wantCopy(t, "after the close", f.Ino(), want, mtime, mode)
	release(t, f)
}
