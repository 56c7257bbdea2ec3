package volume

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/hammockfs/hammock/fs/meta"
)

// filledDisk is a file system that somebody else fills. A write to one of its
// folders finds room then only once the ballast of that folder is gone.
type filledDisk struct {
	vfs.FS
	full atomic.Bool
}

func newFilledDisk(below vfs.FS) *filledDisk {
	d := &filledDisk{}
	d.FS = errorfs.Wrap(below, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpFilePreallocate:
		default:
			return nil
		}
		folder, _, _ := strings.Cut(op.Path, "/")
		if _, err := below.Stat(folder + "/ballast"); d.full.Load() && (err == nil || strings.HasSuffix(op.Path, "ballast")) {
			return syscall.ENOSPC
		}
		return nil
	}))
	return d
}

func (d *filledDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if d.full.Load() {
		return vfs.DiskUsage{TotalBytes: 1 << 40}, nil
	}
	return vfs.DiskUsage{TotalBytes: 1 << 40, AvailBytes: 1 << 39}, nil
}

// TestFilledDisk fills the disk below a volume while bytes of it wait in memory.
// Those find their place, removals do, and nothing else is taken: a write fails
// at once, and not when the file is closed. With room again all goes on.
func TestFilledDisk(t *testing.T) {
	w := newWorld()
	d := newFilledDisk(w.fs)
	w.fs, w.reserve = d, 1<<20
	w.open(t)
	defer w.close(t)
	tend := func() {
		w.cache.Tick(ctx)
		must(t, w.db.Tend(ctx))
	}
	tend()
	f, small := w.create(t, Root, "large"), w.create(t, Root, "small")
	want := random(1, 7<<20)
	write(t, f, want, 0)
	write(t, small, want[:100], 0)
	w.mkdir(t, Root, "old")
	d.full.Store(true)

	awaitFull(t, f, want[:10])
	refused := func() {
		t.Helper()
		_, err := w.v.Mkdir(ctx, Caller{}, Root, "new", 0o755)
		wantErr(t, "mkdir", err, ErrNoSpace)
		_, err = small.Write(ctx, want, 0)
		wantErr(t, "write", err, ErrNoSpace)
		wantErr(t, "setxattr", w.v.SetXattr(ctx, small.Ino(), "user.x", want[:50], 0), ErrNoSpace)
	}
	refused()
	must(t, small.Fsync(ctx))
	must(t, f.Fsync(ctx))
	refused() // the ballasts are for what was taken
	must(t, w.v.Rmdir(ctx, Root, "old"))
	truncate(t, w, f.Ino(), 5<<20)
	if w.db.Room() != 0 || w.cache.Room() != 0 {
		t.Errorf("room for %d bytes of data and %d of records on a full disk", w.cache.Room(), w.db.Room())
	}
	tend() // and nothing comes of it
	refused()

	d.full.Store(false)
	tend()
	w.mkdir(t, Root, "new")
	write(t, small, want[:200], 0)
	must(t, w.v.SetXattr(ctx, small.Ino(), "user.x", want[:50], 0))
	must(t, small.Flush(ctx))
	w.forget()
	w.wantContent(t, "large", f.Ino(), want[:5<<20])
	w.wantContent(t, "small", small.Ino(), want[:200])
	release(t, f)
	release(t, small)
}

// awaitFull writes again what is there until the disk is known to be full: that
// is looked at now and then.
func awaitFull(t *testing.T, f *File, p []byte) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		_, err := f.Write(ctx, p, 0)
		switch {
		case errors.Is(err, ErrNoSpace):
			return
		case err != nil:
			t.Fatal(err)
		case time.Now().After(end):
			t.Fatal("writes are taken on a full disk")
		}
	}
}

// TestFilledDiskOfRecords has the disk full below the records only, for as many
// removals as take several segments of the journal and a flush of the overlay.
func TestFilledDiskOfRecords(t *testing.T) {
	w := newWorld()
	d := newFilledDisk(w.fs)
	w.fs, w.reserve, w.log = d, 1<<20, 256<<10
	w.open(t)
	must(t, w.db.Tend(ctx))
	const n = 3000
	name := func(i int) string {
		return "f" + string(bytes.Repeat([]byte{'a' + byte(i%26)}, 100)) + string(rune('0'+i))
	}
	for i := range n {
		release(t, w.create(t, Root, name(i)))
	}
	d.full.Store(true)
	for i := range n {
		must(t, w.v.Unlink(ctx, Root, name(i)))
	}
	must(t, w.v.Sync(ctx))
	if w.db.Room() != 0 {
		t.Error("the ballast was not needed")
	}
	w.close(t)
	w.open(t) // on a full disk, too
	a := w.attr(t, Root)
	if a.Size != 0 && a.Nlink != 2 {
		t.Errorf("%+v", a)
	}
	if _, err := w.v.Lookup(ctx, Root, name(7)); !errors.Is(err, meta.ErrNotExist) {
		t.Errorf("a removed file: %v", err)
	}
	d.full.Store(false)
	must(t, w.db.Tend(ctx))
	w.mkdir(t, Root, "new")
	w.close(t)
}
