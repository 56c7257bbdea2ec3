package meta

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestEveryKind writes one record of each kind, reads it through the API from the overlay and from the tree, and walks.
func TestEveryKind(t *testing.T) {
	ctx := context.Background()
	w := newWorld(9)
	d := w.open(t)
	defer d.Close(ctx)
	inode := Inode{Ino: 5, Mode: 0o120777, UID: 1, GID: 2, Nlink: 3, Rdev: 4, Size: 1 << 40, Blocks: 6, Atime: -7, Mtime: 8, Ctime: 9,
		Btime: 10, Parent: 1, Target: "to \xff\x01", Flags: 11}
	long := strings.Repeat("x", MaxXattr)
	commit(t, d, func(b *Batch) {
		b.PutInode(&Inode{Ino: 1})
		b.PutInode(&inode)
		b.PutDirent(1, "n\xfe", 5, 10)
		b.PutXattr(5, "user.a", []byte(long))
		b.PutXattr(5, "user.b", nil)
		b.PutWindow(5, 3, []Extent{ext(3*Window+7, 100, 70)})
		b.PutPage(5, 9, []byte("page"))
		b.PutOrphan(77)
	})
	for _, fold := range []bool{false, true} {
		if fold {
			checkpoint(t, d, true)
		}
		if got, err := d.Inode(ctx, 5); err != nil || got != inode {
			t.Errorf("inode %+v, %v", got, err)
		}
		if e, err := d.Lookup(ctx, 1, "n\xfe"); err != nil || e.Ino != 5 || e.Type != 10 || e.Cookie < 16 {
			t.Errorf("entry %+v, %v", e, err)
		}
		if v, err := d.Xattr(ctx, 5, "user.a"); err != nil || string(v) != long {
			t.Errorf("xattr of %d bytes, %v", len(v), err)
		}
		if names, err := d.Xattrs(ctx, 5); err != nil || !slices.Equal(names, []string{"user.a", "user.b"}) {
			t.Errorf("xattrs %q, %v", names, err)
		}
		if got := window(t, d, 5, 3); !sameExtents(got, []Extent{ext(3*Window+7, 100, 70)}) {
			t.Errorf("window %v", got)
		}
		if v, ok, err := d.Page(ctx, 5, 9, []byte("a ")); err != nil || !ok || string(v) != "a page" {
			t.Errorf("page %q, %v, %v", v, ok, err)
		}
		if list, err := d.Orphans(ctx); err != nil || !slices.Equal(list, []uint64{77}) {
			t.Errorf("orphans %v, %v", list, err)
		}
		for dir, want := range map[uint64]bool{1: false, 5: true} {
			if empty, err := d.IsEmpty(ctx, dir); err != nil || empty != want {
				t.Errorf("directory %d empty: %v, %v", dir, empty, err)
			}
		}
		walked(t, d)
	}
	absent(t, d)
}

func walked(t *testing.T, d *DB) {
	var kinds []Kind
	if err := d.Walk(context.Background(), func(r *Record) error { kinds = append(kinds, r.Kind); return nil }); err != nil {
		t.Error(err)
	}
	want := []Kind{KindOrphan, KindInode, KindDirent, KindInode, KindXattr, KindXattr, KindWindow, KindPage}
	if !slices.Equal(kinds, want) {
		t.Errorf("walked over %v", kinds)
	}
	n := 0
	if err := d.Inodes(context.Background(), func(Inode) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("%d inodes, %v", n, err)
	}
}

func absent(t *testing.T, d *DB) {
	ctx := context.Background()
	if _, err := d.Inode(ctx, 6); !errors.Is(err, ErrNotExist) {
		t.Errorf("inode that is not: %v", err)
	}
	if _, err := d.Lookup(ctx, 1, "x"); !errors.Is(err, ErrNotExist) {
		t.Errorf("name that is not: %v", err)
	}
	if _, err := d.Xattr(ctx, 5, "x"); !errors.Is(err, ErrNoXattr) {
		t.Errorf("xattr that is not: %v", err)
	}
	if list := window(t, d, 5, 0); list != nil {
		t.Errorf("window that is not: %v", list)
	}
}

// TestMistakes commits batches with mistakes of the caller: nothing of them may become visible.
func TestMistakes(t *testing.T) {
	w := newWorld(10)
	d := w.open(t)
	defer d.Close(context.Background())
	overlap := []Extent{ext(0, 100, 70), ext(50, 100, 70)}
	outside := []Extent{ext(Window-50, 100, 70)}
	more := []Extent{{Off: 0, Len: 101, Ref: fakeRef(make([]byte, 100), 1, 1)}}
	for name, fn := range map[string]func(*Batch){
		"inode zero":           func(b *Batch) { b.PutInode(&Inode{}) },
		"long target":          func(b *Batch) { b.PutInode(&Inode{Ino: 1, Target: strings.Repeat("x", MaxTarget+1)}) },
		"empty name":           func(b *Batch) { b.PutDirent(1, "", 2, 8) },
		"long name":            func(b *Batch) { b.PutDirent(1, strings.Repeat("x", 256), 2, 8) },
		"long xattr":           func(b *Batch) { b.PutXattr(1, "x", make([]byte, MaxXattr+1)) },
		"long xattr name":      func(b *Batch) { b.PutXattr(1, strings.Repeat("x", 256), nil) },
		"long page":            func(b *Batch) { b.PutPage(1, 0, make([]byte, Page+1)) },
		"page beyond any file": func(b *Batch) { b.PutPage(1, 1<<52, nil) },
		"overlapping extents":  func(b *Batch) { b.PutWindow(1, 0, overlap) },
		"extent outside":       func(b *Batch) { b.PutWindow(1, 0, outside) },
		"extent beyond chunk":  func(b *Batch) { b.PutWindow(1, 0, more) },
		"window beyond":        func(b *Batch) { b.PutWindow(1, 1<<63, outside) },
		"clip of inode zero":   func(b *Batch) { b.Clip(0, 1) },
		"removal of zero":      func(b *Batch) { b.RemoveInode(0) },
	} {
		b := d.NewBatch()
		b.PutInode(&Inode{Ino: 1})
		fn(b)
		if err := d.Commit(context.Background(), b); !errors.Is(err, ErrTooBig) && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.Inode(context.Background(), 1); !errors.Is(err, ErrNotExist) {
			t.Fatalf("%s: a part of the batch is visible", name)
		}
	}
}
