package volume

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestFullCache writes until the cache is full of what is nowhere else: the
// write fails, and nothing is left waiting in memory that could not be kept.
func TestFullCache(t *testing.T) {
	w := newWorld()
	w.limit = 24 << 20
	w.open(t)
	defer w.close(t)
	f := w.create(t, Root, "f")
	var size int64
	var err error
	for ; size < 64<<20; size += 1 << 20 {
		if _, err = f.Write(ctx, random(uint64(size>>20), 1<<20), size); err != nil {
			break
		}
	}
	wantErr(t, "the write that does not fit", err, ErrNoSpace)
	if size < 20<<20 || size > 24<<20 {
		t.Errorf("%d bytes went in", size)
	}
	for range 100 { // a program that does not give up
		if _, err := f.Write(ctx, random(99, 1<<20), size); !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
	}
	if n := w.v.dirtyBytes.Load(); n > 4<<20 {
		t.Errorf("%d bytes wait in memory", n)
	}
	must(t, f.Flush(ctx)) // what was taken is kept
	if a := w.attr(t, f.Ino()); a.Size != uint64(size) {
		t.Errorf("size %d, want %d", a.Size, size)
	}
	must(t, f.Release(ctx))
	must(t, w.v.WriteBack(ctx, 0))
	must(t, w.v.Unlink(ctx, Root, "f")) // room or not, what is there can be removed
}

// TestWriteWaitsForRoom writes more than the cache holds while stripes leave it
// one by one, whenever the write asks for that: the last of those that are there
// may have left when it hears that none does.
func TestWriteWaitsForRoom(t *testing.T) {
	w := newWorld()
	w.limit = 24 << 20
	asked := 0
	w.cfg.Leaving = func() bool {
		asked++
		for _, s := range w.cache.Closed() {
			if s.Pinned {
				w.cache.Unpin(s.Number)
				return asked%2 == 0
			}
		}
		return false
	}
	w.open(t)
	defer w.close(t)
	f := w.create(t, Root, "f")
	for off := int64(0); off < 64<<20; off += 1 << 20 {
		write(t, f, random(uint64(off>>20), 1<<20), off)
	}
	must(t, f.Flush(ctx))
	if asked == 0 {
		t.Error("no write has waited")
	}
	release(t, f)
}

// TestWaitForRoomEnds gives up a write that waits while nothing becomes free.
func TestWaitForRoomEnds(t *testing.T) {
	w := newWorld()
	w.limit = 24 << 20
	waits := make(chan struct{})
	var once sync.Once
	w.cfg.Leaving = func() bool {
		once.Do(func() { close(waits) })
		return true
	}
	w.open(t)
	defer w.close(t)
	f := w.create(t, Root, "f")
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { <-waits; cancel() }()
	var err error
	for off := int64(0); off < 64<<20 && err == nil; off += 1 << 20 {
		_, err = f.Write(own, random(uint64(off>>20), 1<<20), off)
	}
	wantErr(t, "the write that waited", err, context.Canceled)
	must(t, f.Release(ctx))
}

// TestSealFails lets the disk be full under the cache: the bytes stay readable,
// the newest on top, and are committed when there is room again.
func TestSealFails(t *testing.T) {
	w := newWorld()
	var full atomic.Bool
	w.fs = errorfs.Wrap(w.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWriteAt {
			return ErrNoSpace
		}
		return nil
	}))
	w.open(t)
	defer w.close(t)
	f := w.create(t, Root, "f")
	want := random(1, 9<<20)
	write(t, f, want[:1000], 0)
	must(t, f.Flush(ctx))
	full.Store(true)
	for round := range 3 { // overlapping runs are being sealed and fail
		copy(want, random(uint64(10+round), 5<<20))
		for at := 0; at < 5<<20; at += 256 << 10 {
			insist(t, f, want[at:at+256<<10], int64(at))
		}
	}
	insist(t, f, want[5<<20:], 5<<20)
	same := func(when string) {
		t.Helper()
		p := make([]byte, len(want)+1)
		if n, err := f.Read(ctx, p, 0); err != nil || !bytes.Equal(p[:n], want) {
			t.Fatalf("%s: %d bytes, %v", when, n, err)
		}
	}
	same("while nothing can be sealed")
	wantErr(t, "flush", f.Flush(ctx), ErrNoSpace)
	same("after a failed flush")
	full.Store(false)
	must(t, f.Flush(ctx))
	w.wantContent(t, "after a flush", f.Ino(), want)
	release(t, f)
	w.forget()
	w.wantContent(t, "from records", f.Ino(), want)
}

// insist writes again while a write fails because what was written before it
// could not be sealed: that is put back then.
func insist(t *testing.T, f *File, p []byte, off int64) {
	t.Helper()
	for range 10 {
		_, err := f.Write(ctx, p, off)
		if err == nil {
			return
		}
		wantErr(t, "write", err, ErrNoSpace)
	}
	t.Fatal("nothing can be written")
}

// TestCancelledSeal: a flush that its caller gives up writes no empty refs.
func TestCancelledSeal(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	want := random(1, 3<<20)
	write(t, f, want, 0)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	wantErr(t, "flush", f.Flush(gone), context.Canceled)
	w.wantContent(t, "after the flush", f.Ino(), want)
	release(t, f)
	w.forget()
	w.wantContent(t, "from records", f.Ino(), want)
	size := uint64(10)
	_, err := w.v.SetAttr(gone, f.Ino(), SetAttr{Size: &size})
	if err == nil {
		t.Error("a cancelled caller's change of attributes was recorded")
	}
	w.forget()
	got := w.content(t, f.Ino(), 1<<20)
	if n := len(got); n != 10 && n != len(want) {
		t.Errorf("%d bytes after a truncation that was given up", n)
	}
}

// TestClipSurvivesAFailedCommit: what a truncation dropped stays dropped, also
// if it could not be recorded at once.
func TestClipSurvivesAFailedCommit(t *testing.T) {
	w := newWorld()
	var full atomic.Bool
	w.fs = errorfs.Wrap(w.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWriteAt || op.Kind == errorfs.OpFileWrite) {
			return ErrNoSpace
		}
		return nil
	}))
	w.open(t)
	defer w.close(t)
	f := w.create(t, Root, "f")
	want := random(1, 9<<20)
	write(t, f, want, 0)
	write(t, f, []byte("a page"), 12<<20)
	must(t, f.Flush(ctx))
	full.Store(true)
	size := uint64(1 << 20)
	if _, err := w.v.SetAttr(ctx, f.Ino(), SetAttr{Size: &size}); err == nil {
		t.Fatal("the truncation was recorded on a full disk")
	}
	full.Store(false)
	truncate(t, w, f.Ino(), 13<<20)
	want = append(want[:size:size], make([]byte, 12<<20)...)
	w.wantContent(t, "after growing again", f.Ino(), want)
	release(t, f)
	w.forget()
	w.wantContent(t, "from records", f.Ino(), want)
	if a := w.attr(t, f.Ino()); a.Blocks != size/512 {
		t.Errorf("%d blocks, want %d", a.Blocks, size/512)
	}
}

// TestAge commits what has been dirty for long, and nothing else.
func TestAge(t *testing.T) {
	w := start(t)
	old, young := w.create(t, Root, "old"), w.create(t, Root, "young")
	write(t, old, []byte("nobody closes this"), 0)
	w.clock.advance(time.Hour)
	write(t, young, []byte("just written"), 0)
	must(t, w.v.commitAll(ctx, w.clock.Now().Add(-time.Minute)))
	for f, want := range map[*File]uint64{old: 18, young: 0} {
		if a, err := w.db.Inode(ctx, f.Ino()); err != nil || a.Size != want {
			t.Errorf("recorded size %d, want %d, %v", a.Size, want, err)
		}
		release(t, f)
	}
}

// TestBudget writes more than may wait in memory, in many files.
func TestBudget(t *testing.T) {
	w := newWorld()
	w.cfg.Dirty = 2 << 20
	w.open(t)
	defer w.close(t)
	var files []*File
	for i := range 20 {
		f := w.create(t, Root, string(rune('a'+i)))
		files = append(files, f)
		for at := range 4 {
			write(t, f, random(uint64(i), 100_000), int64(at)*100_000)
			if n := w.v.dirtyBytes.Load(); n > 2<<20+100_000 {
				t.Fatalf("%d bytes wait in memory", n)
			}
		}
	}
	for i, f := range files {
		p := random(uint64(i), 100_000)
		w.wantContent(t, "file", f.Ino(), append(append(append(append([]byte{}, p...), p...), p...), p...))
		release(t, f)
	}
}

// TestManyAtOnce lets writers, readers, renamers and removers at one tree, with
// the work behind them going on; then everything must fit together.
func TestManyAtOnce(t *testing.T) {
	w := newWorld()
	w.cfg.Inodes, w.cfg.Dirty, w.cfg.Age = 4, 4<<20, 5*time.Millisecond // states come and go
	w.cfg.Small = 8 << 10
	w.open(t)
	dirs := []uint64{Root, w.mkdir(t, Root, "d1"), w.mkdir(t, Root, "d2")}
	var workers, behind sync.WaitGroup
	stop := make(chan struct{})
	behind.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			w.clock.advance(time.Second)
			if err := w.v.WriteBack(ctx, 0); err != nil {
				t.Error(err)
			}
			if err := w.v.Sync(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	for id := range 6 {
		workers.Go(func() { w.churn(t, id, dirs) })
	}
	workers.Wait()
	close(stop)
	behind.Wait()
	must(t, fsck(w))
	w.reopen(t)
	must(t, fsck(w))
	w.close(t)
}
