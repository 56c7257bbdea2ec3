package room

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// category tells Pebble's statistics that these writes are not its own.
const category vfs.DiskWriteCategory = "hammock-ballast"

// Ballast is a file of nothing that holds room. One of size zero holds none, is always there, and can not be dropped. Safe
// for concurrent use.
type Ballast struct {
	*Gauge
	path string
	size int64

	drop   sync.Mutex // held while the file is made or removed
	here   bool       // guarded by drop
	failed time.Time  // when it could not be made at last; guarded by drop
}

// NewBallast returns the ballast of size bytes in the file of that name in dir, which is there from a former run or will be
// with the first Restore.
func NewBallast(on vfs.FS, dir, name string, size int64) *Ballast {
	b := &Ballast{Gauge: NewGauge(on, dir), path: on.PathJoin(dir, name), size: size}
	b.here = size <= 0 || b.matches()
	return b
}

// matches says whether the file holds as much as it should: so says its content, for the room of it is not in its length.
// A copy of it, as from a backup, holds nothing yet, and takes its blocks here.
func (b *Ballast) matches() bool {
	f, err := b.fs.Open(b.path)
	if err != nil {
		return false
	}
	p, err := io.ReadAll(io.LimitReader(f, int64(len(b.label()))))
	if err = errors.Join(err, f.Close()); err != nil || string(p) != b.label() {
		return false
	}
	if f, err = b.fs.OpenReadWrite(b.path, category); err != nil {
		return false
	}
	return errors.Join(f.Preallocate(0, b.size), f.Close()) == nil
}

func (b *Ballast) label() string {
	return fmt.Sprintf("hammock keeps %020d bytes of this disk free with this file\n", b.size)
}

// Drop gives the room to whoever writes next. false: it had been dropped before, or the file could not be removed.
func (b *Ballast) Drop() bool {
	b.drop.Lock()
	defer b.drop.Unlock()
	if b.size <= 0 || !b.here {
		return false
	}
	err := b.fs.Remove(b.path)
	b.here = err != nil && !errors.Is(err, fs.ErrNotExist) // somebody may have removed it by hand
	return !b.here
}

// retryAfter is how long Spare lets a disk rest on which the ballast could not be made.
const retryAfter = time.Second

// Spare is how many bytes may be written beside the ballast: none while it has been dropped. It is made again as soon as
// there is room for it.
func (b *Ballast) Spare() int64 {
	left := b.Left()
	b.drop.Lock()
	defer b.drop.Unlock()
	if !b.here && left/2 >= b.size && time.Since(b.failed) >= retryAfter {
		_ = b.restore() // whoever wants to know calls Restore
		left = b.Look()
	}
	if !b.here {
		return 0
	}
	return left
}

// Here says whether the ballast is there, to be dropped if need be.
func (b *Ballast) Here() bool {
	b.drop.Lock()
	defer b.drop.Unlock()
	return b.here
}

// Restore makes the ballast again if it was dropped and the disk has twice as much left: else it would only take from
// others what they are about to use, and be dropped at once. true: it is there.
func (b *Ballast) Restore() (bool, error) {
	b.drop.Lock()
	defer b.drop.Unlock()
	err := b.restore()
	return b.here, err
}

// restore needs drop.
func (b *Ballast) restore() error {
	if b.here || b.Look()/2 < b.size {
		return nil
	}
	err := b.make()
	if err != nil {
		b.failed = time.Now()
		return errors.Join(fmt.Errorf("keep %d bytes of the disk free: %w", b.size, err), b.fs.Remove(b.path))
	}
	b.here = true
	return nil
}

// make needs drop. The label is written last.
func (b *Ballast) make() error {
	f, err := b.fs.Create(b.path, category)
	if err != nil {
		return err
	}
	if err = fill(f, int64(len(b.label())), b.size); err == nil {
		_, err = f.WriteAt([]byte(b.label()), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// fill takes blocks of the disk for [from, size) of f. Only Linux has a call for it; elsewhere bytes are written, which do
// not compress.
func fill(f vfs.File, from, size int64) error {
	if runtime.GOOS == "linux" && f.Preallocate(0, size) == nil {
		return nil
	}
	noise := rand.NewChaCha8([32]byte{1})
	p := make([]byte, 1<<20)
	for at := from; at < size; at += int64(len(p)) {
		p = p[:min(int64(len(p)), size-at)]
		_, _ = noise.Read(p) // never fails
		if _, err := f.WriteAt(p, at); err != nil {
			return err
		}
	}
	return nil
}
