package scale

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

// hasty is a disk that syncs nothing: what fills a plant need not outlive a power
// cut, and is not measured.
type hasty struct{ vfs.FS }

type hastyFile struct{ vfs.File }

func (hastyFile) Sync() error                { return nil }
func (hastyFile) SyncData() error            { return nil }
func (hastyFile) SyncTo(int64) (bool, error) { return false, nil }
func wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return hastyFile{f}, nil
}

func (h hasty) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return wrap(h.FS.Create(name, c))
}

func (h hasty) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return wrap(h.FS.OpenReadWrite(name, c, o...))
}

func (h hasty) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return wrap(h.FS.ReuseForWrite(from, to, c))
}

func (h hasty) OpenDir(name string) (vfs.File, error) { return wrap(h.FS.OpenDir(name)) }

// A forest has this many files in a directory, and this many directories in one
// above it.
const (
	perDir  = 1000
	perTop  = 1000
	perFold = 250_000 // files, after which what was filled goes into the tree
)

// filler puts records into a plant.
type filler struct {
	*plant
	batch   *meta.Batch
	tops    []uint64 // directories in the root
	dirs    []uint64 // directories of files
	stripe  uint64
	packed  int // bytes in it
	records int
}

func (p *plant) filler() *filler { return &filler{plant: p, batch: p.db.NewBatch()} }

func topName(i int) string  { return fmt.Sprintf("top-%04d", i) }
func dirName(i int) string  { return fmt.Sprintf("dir-%04d", i) }
func fileName(i int) string { return fmt.Sprintf("picture-%08d.jpg", i) }

// where says in which directory of a forest file i lies.
func (f *filler) where(i int) uint64 { return f.dirs[min(i/perDir, len(f.dirs)-1)] }

func (f *filler) dir(parent uint64, name string) uint64 {
	ino := f.db.NextIno()
	f.batch.PutInode(&meta.Inode{Ino: ino, Mode: 0o40755, Nlink: 2, Mtime: 1_800_000_000_000_000_000, Parent: parent})
	f.batch.PutDirent(parent, name, ino, 4)
	return ino
}

// forest makes n files of 64 KiB, each a chunk of its own, 64 to a stripe.
func (f *filler) forest(n int) error {
	for i := range n {
		if i%(perDir*perTop) == 0 {
			f.tops = append(f.tops, f.dir(meta.RootIno, topName(len(f.tops))))
		}
		if i%perDir == 0 {
			f.dirs = append(f.dirs, f.dir(f.tops[len(f.tops)-1], dirName(len(f.dirs)%perTop)))
		}
		if err := f.file(f.dirs[len(f.dirs)-1], fileName(i), 64<<10, 64<<10); err != nil {
			return err
		}
		if (i+1)%perFold == 0 {
			if _, _, err := f.publish(true); err != nil {
				return err
			}
		}
	}
	return f.end()
}

// archive makes n files of 1 GiB, in chunks of the usual 256 KiB.
func (f *filler) archive(n int) error {
	f.dirs = append(f.dirs, f.dir(meta.RootIno, "archive"))
	for i := range n {
		if err := f.file(f.dirs[0], fileName(i), 1<<30, 256<<10); err != nil {
			return err
		}
		if (i+1)%128 == 0 {
			if _, _, err := f.publish(true); err != nil {
				return err
			}
		}
	}
	return f.end()
}

func (f *filler) end() error {
	if err := f.commit(); err != nil {
		return err
	}
	_, _, err := f.publish(true)
	return err
}

func (f *filler) commit() error {
	err := f.db.Commit(ctx, f.batch)
	f.batch.Reset()
	f.records = 0
	return err
}

// file makes a file whose bytes nobody has.
func (f *filler) file(dir uint64, name string, size, chunk uint64) error {
	ino := f.db.NextIno()
	f.batch.PutInode(&meta.Inode{Ino: ino, Mode: 0o100644, Nlink: 1, Size: size, Blocks: size / 512, Mtime: 1_800_000_000_000_000_000, Parent: dir})
	f.batch.PutDirent(dir, name, ino, 8)
	for w := uint64(0); w*meta.Window < size; w++ {
		var extents []meta.Extent
		for off := w * meta.Window; off < min(size, (w+1)*meta.Window); off += chunk {
			r, err := f.ref(int(chunk))
			if err != nil {
				return err
			}
			extents = append(extents, meta.Extent{Off: off, Len: uint32(chunk), Ref: r})
		}
		f.batch.PutWindow(ino, w, extents)
	}
	if f.records++; f.records < 1000 && f.batch.Size() < 256<<10 {
		return nil
	}
	return f.commit()
}

// ref is a chunk of n bytes in the stripe that is being filled.
func (f *filler) ref(n int) (crypt.Ref, error) {
	if f.stripe == 0 || f.packed >= 4<<20 {
		number, err := f.db.NextStripe()
		if err != nil {
			return crypt.Ref{}, err
		}
		f.stripe, f.packed = number, 0
		if err := f.db.Placed(ctx, number, stripeRecord(number, meta.ClassData, 4<<20)); err != nil {
			return crypt.Ref{}, err
		}
	}
	r := crypt.Ref{Key: crypt.NewKey(), Suite: crypt.SuiteAES, Len: uint32(n), Stripe: f.stripe, Offset: uint32(f.packed)}
	for at := 0; at < n; at += crypt.BlockSize {
		r.Blocks = append(r.Blocks, crypt.Block{Len: uint32(min(n-at, crypt.BlockSize)) + crypt.Overhead})
	}
	f.packed += n
	return r, nil
}
