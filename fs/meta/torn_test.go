package meta

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/hammockfs/hammock/crypt"
)

func commit(t failer, d *DB, fn func(*Batch)) {
	b := d.NewBatch()
	fn(b)
	if err := d.Commit(context.Background(), b); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func ext(off uint64, n uint32, stripe uint64) Extent {
	return Extent{Off: off, Len: n, Ref: fakeRef(make([]byte, n), stripe, uint32(off))}
}

func window(t failer, d *DB, ino, w uint64) []Extent {
	list, err := d.Window(context.Background(), ino, w)
	if err != nil {
		t.Fatalf("window: %v", err)
	}
	return list
}

func sameExtents(a, b []Extent) bool {
	return slices.EqualFunc(a, b, func(x, y Extent) bool {
		return x.Off == y.Off && x.Len == y.Len && x.Skip == y.Skip && x.Ref.Stripe == y.Ref.Stripe
	})
}

// TestTorn overwrites the middle of a window, tears the stripe of the new extent, and expects the old bytes there, whether
// the old window is in the overlay or in the tree.
func TestTorn(t *testing.T) {
	for _, folded := range []bool{false, true} {
		w := newWorld(1)
		var torn uint64
		w.cfg.ValidRef = func(r *crypt.Ref) (bool, error) { return r.Stripe != torn, nil }
		d := w.open(t)
		old, err := d.NextStripe()
		if err != nil {
			t.Fatal(err)
		}
		torn = old + 1
		commit(t, d, func(b *Batch) {
			b.PutInode(&Inode{Ino: 1, Mode: 0o40755})
			b.PutInode(&Inode{Ino: 5, Parent: 1})
			b.PutDirent(1, "file", 5, 8)
			b.PutWindow(5, 0, []Extent{ext(0, 10000, old)})
			b.PutWindow(5, 1, []Extent{ext(Window, 10000, old)})
		})
		if folded {
			if _, _, err := d.Checkpoint(context.Background(), CheckpointOptions{Fold: true}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		lost := ext(4000, 1000, torn)
		if err := d.AddChunk(lost.Ref.DedupID(), &lost.Ref); err != nil {
			t.Fatal(err)
		}
		tail := ext(5000, 5000, old)
		commit(t, d, func(b *Batch) { b.PutWindow(5, 0, []Extent{ext(0, 4000, old), lost, tail}) })
		commit(t, d, func(b *Batch) { b.Clip(5, Window); b.PutWindow(5, 1, []Extent{ext(Window+100, 100, torn)}) })
		d = w.cut(t, d, 100)

		want := []Extent{ext(0, 4000, old), {Off: 4000, Len: 1000, Skip: 4000, Ref: ext(0, 10000, old).Ref}, tail}
		if got := window(t, d, 5, 0); !sameExtents(got, want) {
			t.Errorf("folded %v: %v", folded, got)
		}
		if got := window(t, d, 5, 1); len(got) != 0 {
			t.Errorf("folded %v: what a truncation had removed is back: %v", folded, got)
		}
		if _, ok := d.FindChunk(lost.Ref.DedupID()); ok {
			t.Error("the torn chunk can still be found")
		}
		if p := d.Path(context.Background(), 5); p != "/file" {
			t.Errorf("path %q", p)
		}
		if len(d.torn) != 0 {
			t.Error("torn windows are left")
		}
		d.Close(context.Background())
	}
}

// TestReadersDuringFolds commits, folds and reads at the same time: a reader never misses a record that is there all the
// while, nor sees an older one than it has seen.
func TestReadersDuringFolds(t *testing.T) {
	ctx := context.Background()
	w := newWorld(2)
	d := w.open(t)
	defer d.Close(ctx)
	const files = 50
	commit(t, d, func(b *Batch) {
		for i := uint64(1); i <= files; i++ {
			b.PutInode(&Inode{Ino: i})
			b.PutDirent(1, string(rune('a'+i)), i, 8)
		}
	})
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() { readAll(t, d, stop, files) })
	}
	group.Go(func() {
		defer close(stop)
		for i := range 8 {
			for n := uint64(1); n <= files; n++ {
				commit(t, d, func(b *Batch) { b.RemoveInode(n + 1000); b.PutInode(&Inode{Ino: n, Size: uint64(i + 1)}) })
			}
			if _, _, err := d.Checkpoint(ctx, CheckpointOptions{Fold: i%2 == 0}); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
}

func readAll(t *testing.T, d *DB, stop chan struct{}, files uint64) {
	ctx := context.Background()
	sizes := make([]uint64, files+1)
	for {
		select {
		case <-stop:
			return
		default:
		}
		for n := uint64(1); n <= files; n++ {
			i, err := d.Inode(ctx, n)
			if err != nil || i.Size < sizes[n] {
				t.Errorf("inode %d: size %d after %d, %v", n, i.Size, sizes[n], err)
				return
			}
			sizes[n] = i.Size
		}
		if list, err := d.ReadDir(ctx, 1, 0, 1000); err != nil || len(list) != int(files) {
			t.Errorf("directory of %d names: %v", len(list), err)
			return
		}
	}
}

func TestWrongState(t *testing.T) {
	ctx := context.Background()
	w := newWorld(3)
	d := w.open(t)
	commit(t, d, func(b *Batch) { b.PutInode(&Inode{Ino: 1}) })
	head, _, err := d.Checkpoint(ctx, CheckpointOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(ctx, d.NewBatch()); err != nil {
		t.Errorf("an empty batch after Close: %v", err)
	}
	cfg := w.cfg
	cfg.FS = w.fs
	if _, err := Restore(ctx, cfg, head); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("restore into a state in use: %v", err)
	}
	cfg.Volume = crypt.Sum([]byte("another"))
	if _, err := Open(ctx, cfg); err == nil {
		t.Error("opened the state of another volume")
	}
	cfg = w.cfg
	cfg.FS, cfg.AtRest = w.fs, crypt.NewKey()
	if _, err := Open(ctx, cfg); err == nil {
		t.Error("opened a state under a wrong key")
	}
}

// TestOldSessions keeps what cites stripes of sessions long synced, without looking: they may have been evicted.
func TestOldSessions(t *testing.T) {
	w := newWorld(4)
	asked := false
	w.cfg.ValidRef = func(*crypt.Ref) (bool, error) { asked = true; return false, nil }
	d := w.open(t)
	old, err := d.NextStripe()
	must(t, err)
	must(t, d.Close(context.Background()))
	d = w.open(t)
	must(t, d.flush(context.Background()))
	must(t, d.settle())
	commit(t, d, func(b *Batch) { b.PutWindow(5, 0, []Extent{ext(0, 100, old)}) })
	d = w.cut(t, d, 100)
	if got := window(t, d, 5, 0); len(got) != 1 || asked {
		t.Errorf("%d extents, asked %v", len(got), asked)
	}
	// A crash before the first flush leaves two sessions to be looked at.
	now, err := d.NextStripe()
	must(t, err)
	d = w.cut(t, d, 100)
	commit(t, d, func(b *Batch) { b.PutWindow(6, 0, []Extent{ext(0, 100, now)}) })
	d = w.cut(t, d, 100)
	if got := window(t, d, 6, 0); len(got) != 0 || !asked {
		t.Errorf("%d extents, asked %v", len(got), asked)
	}
	must(t, d.Close(context.Background()))
}
