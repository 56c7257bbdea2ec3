package meta

import (
	"context"
	"fmt"
	"testing"
)

// left counts the records that Pebble has of an inode in the current generation.
func left(t *testing.T, d *DB, ino uint64) (n int) {
	t.Helper()
	lv := d.levels.Load()
	it, err := d.generationIter(context.Background(), lv.cur, spaceNames)
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if keyIno(it.Key()[spacePrefix:]) == ino {
			n++
		}
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// contents are the records that an inode of the tests below may have.
var contents = map[string]func(b *Batch, ino uint64){
	"nothing":     func(*Batch, uint64) {},
	"first page":  func(b *Batch, ino uint64) { b.PutPage(ino, 0, []byte("bytes")) },
	"last noted":  func(b *Batch, ino uint64) { b.PutPage(ino, 54, nil); b.PutWindow(ino, 6, extentsOf(6, []byte("b"))) },
	"just beyond": func(b *Batch, ino uint64) { b.PutPage(ino, 55, nil); b.PutWindow(ino, 7, extentsOf(7, []byte("b"))) },
	"attribute":   func(b *Batch, ino uint64) { b.PutXattr(ino, "user.a", []byte("value")) },
	"name":        func(b *Batch, ino uint64) { b.PutDirent(ino, "name", 4711, 8) },
	"deleted":     func(b *Batch, ino uint64) { b.PutPage(ino, 0, nil); b.DeletePage(ino, 0); b.DeleteXattr(ino, "user.b") },
	"again":       func(b *Batch, ino uint64) { b.PutPage(ino, 0, nil); b.RemoveInode(ino); b.PutPage(ino, 1, nil) },
}

// TestRemovalLeavesNothing removes inodes of which it is known, or not, what the generation has.
func TestRemovalLeavesNothing(t *testing.T) {
	for _, folded := range []bool{false, true} {
		for what, put := range contents {
			for _, batches := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s, folded %v, batches %d", what, folded, batches), func(t *testing.T) {
					w := newWorld(1)
					d := w.open(t)
					defer d.Close(t.Context())
					if folded {
						if _, _, err := d.Checkpoint(t.Context(), CheckpointOptions{Fold: true}); err != nil {
							t.Fatal(err)
						}
					}
					for _, ino := range []uint64{7, d.NextIno()} {
						removeFilled(t, d, ino, put, batches)
						if n := left(t, d, ino); n > 0 {
							t.Errorf("inode %x: %d records left", ino, n)
						}
					}
				})
			}
		}
	}
}

// removeFilled makes an inode and removes it, in one or two batches.
func removeFilled(t *testing.T, d *DB, ino uint64, put func(*Batch, uint64), batches int) {
	t.Helper()
	b := d.NewBatch()
	b.PutInode(&Inode{Ino: ino, Mode: 0o100644})
	put(b, ino)
	if batches == 2 {
		commitOrFail(t, d, b)
		b.Reset()
	}
	b.RemoveInode(ino)
	commitOrFail(t, d, b)
}

func commitOrFail(t *testing.T, d *DB, b *Batch) {
	t.Helper()
	if err := d.Commit(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

// TestClipOfWhatIsHeld keeps what lies before the new end.
func TestClipOfWhatIsHeld(t *testing.T) {
	d := newWorld(1).open(t)
	defer d.Close(t.Context())
	ino, b := d.NextIno(), d.NewBatch()
	b.PutInode(&Inode{Ino: ino, Mode: 0o100644})
	for p := range uint64(4) {
		b.PutPage(ino, p, []byte("bytes"))
	}
	commitOrFail(t, d, b)
	b.Reset()
	b.Clip(ino, 2*Page)
	commitOrFail(t, d, b)
	if n := left(t, d, ino); n != 3 {
		t.Errorf("%d records left, want the inode and two pages", n)
	}
}

// TestHeldForgets notes more inodes than are remembered: then nothing is known of those of before, and everything of
// later ones.
func TestHeldForgets(t *testing.T) {
	d := newWorld(1).open(t)
	defer d.Close(t.Context())
	first := d.NextIno()
	d.hold(appendPrefix(nil, first, KindInode))
	for range keptHeld {
		d.hold(appendPrefix(nil, d.NextIno(), KindInode))
	}
	if _, known := d.held.of(first); known {
		t.Error("the first inode is still known")
	}
	next := d.NextIno()
	d.hold(appendPrefix(nil, next, KindInode))
	if set, known := d.held.of(next); !known || set != 1 {
		t.Errorf("of the next inode %b is known (%v), want its own record", set, known)
	}
}
