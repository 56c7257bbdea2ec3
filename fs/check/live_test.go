package check

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// TestWhileWritten checks a volume again and again while programs change everything about it: nothing may be found.
func TestWhileWritten(t *testing.T) {
	w := newWorld(t)
	writing, stop := context.WithCancel(ctx)
	var writers sync.WaitGroup
	for i := range 3 {
		dir := w.mkdir(volume.Root, fmt.Sprint("writer ", i))
		writers.Go(func() {
			x := writer{v: w.v, dir: dir, rng: rand.New(rand.NewPCG(uint64(i), 2))}
			for writing.Err() == nil {
				if err := x.step(); err != nil {
					t.Errorf("writer %d: %v", i, err)
					return
				}
			}
		})
	}
	writers.Go(func() { // what moves pages into chunks, and publishes, behind a mount
		for writing.Err() == nil {
			_, _, err := w.db.Checkpoint(ctx, meta.CheckpointOptions{})
			if err = errors.Join(w.v.WriteBack(ctx, 0), err); err != nil {
				t.Errorf("checkpoint: %v", err)
				return
			}
		}
	})
	for i := range 16 {
		change := []func(*Config){}
		if i%4 == 3 {
			change = append(change, w.data, fix)
		}
		must(t, w.v.Sync(ctx))
		w.wantClean(change...)
	}
	stop()
	writers.Wait()
	must(t, w.v.Sync(ctx))
	w.wantClean(w.data)
}

// writer changes a directory of its own at random.
type writer struct {
	v   *volume.Volume
	dir uint64
	rng *rand.Rand
	buf [200_000]byte
}

func (x *writer) name() string { return fmt.Sprint("n", x.rng.IntN(8)) }

// step does one thing. What cannot be done (a name that is there, or is not) is no error.
func (x *writer) step() error {
	var err error
	switch x.rng.IntN(8) {
	case 0, 1:
		err = x.write()
	case 2:
		err = x.v.Unlink(ctx, x.dir, x.name())
	case 3:
		err = x.v.Rename(ctx, x.dir, x.name(), x.dir, x.name(), 0)
	case 4:
		var a volume.Attr
		if a, err = x.v.Lookup(ctx, x.dir, x.name()); err == nil {
			_, err = x.v.Link(ctx, a.Ino, x.dir, x.name())
		}
	case 5:
		_, err = x.v.Mkdir(ctx, volume.Caller{}, x.dir, x.name(), 0o755)
	case 6:
		err = x.v.Rmdir(ctx, x.dir, x.name())
	case 7:
		var a volume.Attr
		size := uint64(x.rng.IntN(400_000))
		if a, err = x.v.Lookup(ctx, x.dir, x.name()); err == nil && a.Mode>>12 == typeReg {
			_, err = x.v.SetAttr(ctx, a.Ino, volume.SetAttr{Size: &size})
		}
	}
	for _, usual := range []error{
		volume.ErrExist, volume.ErrNotExist, volume.ErrIsDir, volume.ErrNotDir, volume.ErrNotEmpty, volume.ErrPerm,
	} {
		if errors.Is(err, usual) {
			return nil
		}
	}
	return err
}

// write writes many small pieces into a file, or some large ones, and sometimes removes it while it is open.
func (x *writer) write() error {
	name := x.name()
	_, f, err := x.v.Create(ctx, volume.Caller{}, x.dir, name, 0o644)
	if err != nil {
		return err
	}
	n := 1 << x.rng.IntN(18)
	for range x.rng.IntN(20) {
		p := x.buf[:n]
		for i := 0; i < len(p); i += 512 {
			p[i] = byte(x.rng.Uint32())
		}
		if _, err := f.Write(ctx, p, int64(x.rng.IntN(5<<20))); err != nil {
			return errors.Join(err, f.Release(ctx))
		}
	}
	if x.rng.IntN(4) == 0 {
		_ = x.v.Unlink(ctx, x.dir, name) // by now it may be another's name
	}
	return errors.Join(f.Flush(ctx), f.Release(ctx))
}

// TestBlocked wants what programs would notice left alone while the volume is used, and the rest mended.
func TestBlocked(t *testing.T) {
	w := newWorld(t)
	w.edit("link", func(in *meta.Inode) { in.Nlink = 3 })
	ref := w.ref("large")
	ref.Key[0]++
	ref.Offset += 1 << 30
	must(t, w.db.AddChunk(ref.DedupID(), &ref))
	list, r := w.check(fix)
	if len(list) != 2 || r.Fixed != 1 || r.Left != 1 || r.Blocked != 1 {
		t.Errorf("%+v of %v", r, texts(list))
	}
	w.unmount()
	if list, r := w.check(fix); len(list) != 1 || r.Fixed != 1 || r.Left != 0 {
		t.Errorf("unmounted: %+v of %v", r, texts(list))
	}
	w.wantClean(w.data)
}

// TestHalfRecorded looks at a file between two batches that record it: it is looked at again once both are there.
func TestHalfRecorded(t *testing.T) {
	w := newWorld(t)
	w.edit("large", func(in *meta.Inode) { in.Size, in.Blocks = in.Size/2, in.Blocks/2 })
	looked := 0
	w.wantClean(func(c *Config) {
		c.Settled = func(_ context.Context, ino uint64, fn func() error) error {
			if looked++; ino != w.inos["large"] {
				t.Errorf("inode %d is doubted", ino)
			}
			w.edit("large", func(in *meta.Inode) { in.Size, in.Blocks = in.Size*2, in.Blocks*2 })
			return fn()
		}
	})
	if looked != 1 {
		t.Errorf("the file was looked at again %d times", looked)
	}
}
