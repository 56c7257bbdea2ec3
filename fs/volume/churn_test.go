package volume

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// churn does many things with few names that others use as well. What it knows
// of its own file must hold; the errors that a race of others explains are no
// failures.
func (w *world) churn(t *testing.T, id int, dirs []uint64) {
	rng := rand.New(rand.NewPCG(uint64(id), 5))
	own := w.create(t, Root, fmt.Sprintf("own %d", id))
	var want []byte
	for range 120 {
		n, off := 1+rng.IntN(90_000), rng.IntN(1+min(len(want), 400_000))
		p := random(rng.Uint64(), n)
		if _, err := own.Write(ctx, p, int64(off)); err != nil {
			t.Error(err)
			return
		}
		want = append(want, make([]byte, max(0, off+n-len(want)))...)
		copy(want[off:], p)
		got := make([]byte, len(want)+1)
		if k, err := own.Read(ctx, got, 0); err != nil || !bytes.Equal(got[:k], want) {
			t.Errorf("worker %d reads back %d bytes of %d, %v", id, k, len(want), err)
			return
		}
		if err := w.disturb(rng, dirs); err != nil && !expected(err) {
			t.Error(err)
			return
		}
	}
	if err := errors.Join(own.Flush(ctx), own.Release(ctx)); err != nil {
		t.Error(err)
	}
}

func expected(err error) bool {
	for _, e := range []error{ErrNotExist, ErrExist, ErrNotEmpty, ErrIsDir, ErrNotDir, ErrLoop, ErrPerm} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// disturb does one thing to names that everybody uses.
func (w *world) disturb(rng *rand.Rand, dirs []uint64) error {
	dir, other := dirs[rng.IntN(len(dirs))], dirs[rng.IntN(len(dirs))]
	name, to := fmt.Sprint(rng.IntN(6)), fmt.Sprint(rng.IntN(6))
	switch rng.IntN(10) {
	case 0, 1:
		return w.shared(rng, dir, name)
	case 2:
		return w.v.Rename(ctx, dir, name, other, to, uint32(rng.IntN(3)))
	case 3:
		return w.v.Unlink(ctx, dir, name)
	case 4:
		_, err := w.v.Mkdir(ctx, Caller{}, dir, name, 0o755)
		return err
	case 5:
		return w.v.Rmdir(ctx, dir, name)
	case 6:
		a, err := w.v.Lookup(ctx, dir, name)
		if err != nil {
			return err
		}
		_, err = w.v.Link(ctx, a.Ino, other, to)
		return err
	case 7:
		return w.share(rng, dir, name, other, to)
	case 8:
		list, err := w.v.ReadDir(ctx, dir, 0, 100)
		for _, e := range list {
			if _, err := w.v.GetAttr(ctx, e.Ino); err != nil && !expected(err) {
				return err
			}
		}
		return err
	}
	return w.v.SetXattr(ctx, dir, "user.x", []byte(name), 0)
}

// share copies a range of one file into another, which somebody may be copying
// the other way, and punches both.
func (w *world) share(rng *rand.Rand, dir uint64, name string, other uint64, to string) error {
	var files [2]*File
	for i, at := range []struct {
		dir  uint64
		name string
	}{{dir, name}, {other, to}} {
		a, err := w.v.Lookup(ctx, at.dir, at.name)
		if err != nil {
			return err
		}
		if files[i], err = w.v.Open(ctx, a.Ino, false); err != nil {
			return err
		}
		defer files[i].Release(ctx)
	}
	_, err := files[0].CopyRange(ctx, int64(rng.IntN(100_000)), files[1], 100_000+int64(rng.IntN(100_000)), int64(rng.IntN(100_000)))
	if errors.Is(err, ErrInvalid) && files[0].in == files[1].in {
		err = nil // the file may end so late that the ranges overlap
	}
	for _, f := range files {
		err = errors.Join(err, f.Allocate(ctx, int64(rng.IntN(200_000)), 50_000, AllocPunchHole|AllocKeepSize))
		if _, serr := f.SeekHole(ctx, 0); serr != nil && !errors.Is(serr, ErrNoData) {
			err = errors.Join(err, serr)
		}
	}
	return err
}

// shared makes or opens a file that others use, and writes, reads, cuts it.
func (w *world) shared(rng *rand.Rand, dir uint64, name string) error {
	_, f, err := w.v.Create(ctx, Caller{}, dir, name, 0o644)
	if errors.Is(err, ErrExist) {
		a, err := w.v.Lookup(ctx, dir, name)
		if err != nil {
			return err
		}
		if f, err = w.v.Open(ctx, a.Ino, rng.IntN(3) == 0); err != nil {
			if errors.Is(err, ErrInvalid) {
				return nil
			}
			return err
		}
	} else if err != nil {
		return err
	}
	_, err = f.Write(ctx, random(rng.Uint64(), rng.IntN(120_000)), int64(rng.IntN(200_000)))
	_, rerr := f.Read(ctx, make([]byte, 100_000), int64(rng.IntN(200_000)))
	size := uint64(rng.IntN(200_000))
	_, serr := w.v.SetAttr(ctx, f.Ino(), SetAttr{Size: &size})
	var ferr error
	if rng.IntN(2) == 0 {
		ferr = f.Fsync(ctx)
	}
	return errors.Join(err, rerr, serr, ferr, f.Flush(ctx), f.Release(ctx))
}
