package meta

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// benchDB has 10,000 files in one directory, folded into the tree or in the overlay. Its files are on the disk.
func benchDB(b *testing.B, folded bool) *DB {
	w := newWorld(1)
	w.cfg.FS, w.cfg.Dir, w.cfg.Memory, w.cfg.Journal = vfs.Default, b.TempDir(), 64<<20, 64<<20
	d, err := Open(context.Background(), w.cfg)
	if err != nil {
		b.Fatal(err)
	}
	w.attach(b, d)
	b.Cleanup(func() { _ = d.Close(context.Background()) })
	batch := d.NewBatch()
	for i := range uint64(10_000) {
		batch.PutInode(&Inode{Ino: 2 + i, Mode: 0o100644, Size: i, Mtime: 1_800_000_000_000_000_000, Parent: 1})
		batch.PutDirent(1, fmt.Sprint("file-", i), 2+i, 8)
	}
	if err := d.Commit(context.Background(), batch); err != nil {
		b.Fatal(err)
	}
	if folded {
		if _, _, err := d.Checkpoint(context.Background(), CheckpointOptions{Fold: true}); err != nil {
			b.Fatal(err)
		}
	}
	return d
}

func BenchmarkInode(b *testing.B) {
	for _, folded := range []bool{false, true} {
		b.Run(fmt.Sprint("tree=", folded), func(b *testing.B) {
			d := benchDB(b, folded)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				if _, err := d.Inode(b.Context(), 2+i%10_000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	d := benchDB(b, false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Lookup(b.Context(), 1, "file-4711"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookupAbsent(b *testing.B) {
	d := benchDB(b, true)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Lookup(b.Context(), 1, "no such file"); err == nil {
			b.Fatal("found")
		}
	}
}

func BenchmarkReadDir(b *testing.B) {
	for _, folded := range []bool{false, true} {
		b.Run(fmt.Sprint("tree=", folded), func(b *testing.B) {
			d := benchDB(b, folded)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				list, err := d.ReadDir(b.Context(), 1, 0, 10_000)
				if err != nil {
					b.Fatal(err)
				}
				n += len(list)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkCommit is what making a small file costs: an inode, a name, a page, the directory.
func BenchmarkCommit(b *testing.B) {
	d := benchDB(b, false)
	batch, page := d.NewBatch(), make([]byte, 4000)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		ino := d.NextIno()
		batch.Reset()
		batch.PutInode(&Inode{Ino: ino, Mode: 0o100644, Size: 4000, Parent: 1})
		batch.PutDirent(1, fmt.Sprint("new-", i), ino, 8)
		batch.PutInode(&Inode{Ino: 1, Mode: 0o40755})
		batch.PutPage(ino, 0, page)
		if err := d.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRemove(b *testing.B) {
	d := benchDB(b, true)
	batch := d.NewBatch()
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		batch.RemoveInode(d.NextIno())
		if err := d.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
