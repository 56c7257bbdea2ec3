package scale

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// changes is how many files are changed before a checkpoint is measured.
const changes = 1000

// figures is what one size of a volume costs.
type figures struct {
	files int
	bytes int64 // that the files have, in all

	start      time.Duration // from a restart to the first call
	lookup     time.Duration // of a name that is there, anywhere in the volume
	absent     time.Duration // of a name that is not
	window     time.Duration // extents and record of a stripe of a read
	create     time.Duration // create, write 4 KiB, close
	delta      time.Duration // checkpoint after 1,000 of those
	deltaBytes int64
	fold       time.Duration // the same into the tree, after 1,000 files all over it were changed
	foldBytes  int64
	status     time.Duration // figures of the records

	recover        time.Duration // from a head to the first ls of the root
	recoverBytes   int64
	recoverFetches int64

	heap int64 // bytes in use after a collection
	disk int64 // bytes of records, journal and stripes of metadata
}

// measure fills a plant and takes the figures.
func measure(dir string, files int, bytes int64, fill func(*filler) error) (f figures, err error) {
	f.files, f.bytes = files, bytes
	p := newPlant(filepath.Join(dir, "first"))
	if err := p.open(hasty{vfs.Default}, nil); err != nil {
		return f, err
	}
	fl := p.filler()
	if err := errors.Join(fill(fl), p.close()); err != nil {
		return f, err
	}
	if f.disk, err = size(p.dir); err != nil {
		return f, err
	}
	if f.start, err = timed(func() error { return p.open(vfs.Default, nil) }); err != nil {
		return f, err
	}
	fl.plant = p
	return f, errors.Join(f.take(p, fl, dir), p.close())
}

// take takes the figures of an open plant that fl has filled.
func (f *figures) take(p *plant, fl *filler, dir string) error {
	steps := []func() error{
		func() error { return f.look(p, fl) },
		func() error { return f.add(p, fl) },
		func() error { return f.scatter(p, fl) },
		func() error { return f.weigh(p) },
		func() error { return f.again(p, filepath.Join(dir, "second")) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func timed(do func() error) (time.Duration, error) {
	begun := time.Now()
	err := do()
	return time.Since(begun), err
}

// each is the mean time of n calls.
func each(n int, do func(i int) error) (time.Duration, error) {
	d, err := timed(func() error {
		for i := range n {
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	})
	return d / time.Duration(n), err
}

// look measures what reads records.
func (f *figures) look(p *plant, fl *filler) (err error) {
	const n = 2000
	rng := rand.New(rand.NewPCG(1, uint64(f.files)))
	var inodes []uint64
	f.lookup, err = each(n, func(int) error {
		i := rng.IntN(f.files)
		a, err := p.vol.Lookup(ctx, fl.where(i), fileName(i))
		inodes = append(inodes, a.Ino)
		return err
	})
	if err != nil {
		return err
	}
	f.absent, err = each(n, func(i int) error {
		at := rng.IntN(f.files)
		if _, err := p.vol.Lookup(ctx, fl.where(at), fmt.Sprint("nothing-", i, at)); !errors.Is(err, meta.ErrNotExist) {
			return fmt.Errorf("a name that is not there: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.window, err = each(n, func(i int) error {
		w := uint64(rng.Int64N(f.bytes/int64(f.files)) / meta.Window)
		extents, err := p.db.Window(ctx, inodes[i], w)
		if err != nil || len(extents) == 0 {
			return fmt.Errorf("window %d of inode %d has %d extents: %w", w, inodes[i], len(extents), err)
		}
		_, err = p.db.Record(ctx, extents[0].Ref.Stripe)
		return err
	})
	return err
}

// add makes files, and publishes them.
func (f *figures) add(p *plant, fl *filler) (err error) {
	page := make([]byte, 4096)
	f.create, err = each(changes, func(i int) error {
		_, file, err := p.vol.Create(ctx, volume.Caller{}, fl.where(i*7919%f.files), fmt.Sprint("new-", i), 0o644)
		if err != nil {
			return err
		}
		_, err = file.Write(ctx, page, 0)
		return errors.Join(err, file.Flush(ctx), file.Release(ctx))
	})
	if err != nil {
		return err
	}
	f.delta, err = timed(func() error {
		_, f.deltaBytes, err = p.publish(false)
		return err
	})
	return err
}

// scatter changes files all over the volume, and folds.
func (f *figures) scatter(p *plant, fl *filler) error {
	rng := rand.New(rand.NewPCG(2, uint64(f.files)))
	for range changes {
		i := rng.IntN(f.files)
		a, err := p.vol.Lookup(ctx, fl.where(i), fileName(i))
		if err != nil {
			return err
		}
		mode := uint32(0o600)
		if _, err := p.vol.SetAttr(ctx, a.Ino, volume.SetAttr{Mode: &mode}); err != nil {
			return err
		}
	}
	var err error
	f.fold, err = timed(func() error {
		_, f.foldBytes, err = p.publish(true)
		return err
	})
	return err
}

// weigh asks for the figures of the records, and for the memory that is in use.
func (f *figures) weigh(p *plant) (err error) {
	f.status, err = each(100, func(int) error { p.db.Stats(); return nil })
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.heap = int64(m.HeapInuse)
	return err
}

// again recovers the volume from its head, up to the first listing of the root.
func (f *figures) again(p *plant, dir string) error {
	q := p.recovered(dir)
	head := p.db.Head()
	var err error
	f.recover, err = timed(func() error {
		if err := q.open(vfs.Default, head); err != nil {
			return err
		}
		list, err := q.vol.ReadDir(ctx, meta.RootIno, 0, 1000)
		if err == nil && len(list) == 0 {
			err = errors.New("the root is empty")
		}
		for _, e := range list {
			_, errA := q.vol.GetAttr(ctx, e.Ino)
			err = errors.Join(err, errA)
		}
		return err
	})
	f.recoverBytes, f.recoverFetches = q.fetched.Load(), q.fetches.Load()
	return errors.Join(err, q.close())
}

// size is how many bytes the files below dir take.
func size(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}
