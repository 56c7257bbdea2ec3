package volume

import (
	"context"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
)

const (
	// copyWindows is how many windows of the source one step of a copy takes.
	copyWindows = 8
	// copySmall is how many bytes of pages one step takes, about.
	copySmall = 4 << 20
)

// excerpt is [off, off+n) of a file at one moment: the chunks that it is in, and
// on top of them what is small data.
type excerpt struct {
	off, n  uint64
	extents []meta.Extent
	small   runs
}

// CopyRange makes [to, to+n) of dst show what [off, off+n) of f does, and returns
// how many bytes that are: fewer at the end of f, or where something failed on the
// way. Chunks are cited once more, not copied; only small data, and what shares a
// page with bytes that stay, is. Holes stay holes. The ranges must not overlap
// (ErrInvalid).
//
// A step takes an excerpt under the lock of the one file and lays it down under
// that of the other, so no two are ever locked at a time; the chunks in it never
// change. Each step is recorded when it is done. A chunk that is cited once more
// is as safe as one that a Put has just found again: whatever syncs the records
// syncs all stripes first.
func (f *File) CopyRange(ctx context.Context, off int64, dst *File, to, n int64) (int64, error) {
	if err := f.v.writable(); err != nil {
		return 0, err
	}
	switch {
	case off < 0 || to < 0 || n < 0:
		return 0, ErrInvalid
	case n > 0 && to == MaxSize:
		return 0, ErrTooBig
	}
	n = min(n, MaxSize-to, max(0, f.size()-off)) // within one file, the end moves while bytes are copied
	if f.in == dst.in && off < to+n && to < off+n {
		return 0, ErrInvalid
	}
	done := int64(0)
	for done < n {
		took, err := f.v.copyStep(ctx, f.in, uint64(off+done), dst.in, uint64(to+done), uint64(n-done))
		done += int64(took)
		switch {
		case err != nil && done == 0:
			return 0, fmt.Errorf("copy %d bytes of inode %d at %d to inode %d at %d: %w", n, f.in.ino, off, dst.in.ino, to, err)
		case err != nil || took == 0:
			return done, nil
		}
	}
	return done, nil
}

func (f *File) size() int64 {
	f.in.mu.RLock()
	defer f.in.mu.RUnlock()
	return int64(f.in.attr.Size)
}

// copyStep copies as much as one excerpt holds, and returns how much that was.
func (v *Volume) copyStep(ctx context.Context, src *inode, off uint64, dst *inode, to, n uint64) (uint64, error) {
	x, err := v.excerpt(ctx, src, off, n)
	defer x.small.clear()
	if err != nil || x.n == 0 {
		return 0, err
	}
	n = uint64(x.small.bytes) + 2*meta.Page
	v.promised.Add(int64(n))
	defer v.promised.Add(-int64(n))
	if err := v.relieve(ctx, dst); err != nil {
		return 0, err
	}
	dst.mu.Lock()
	defer dst.mu.Unlock()
	if err := v.lay(ctx, dst, &x, to); err != nil {
		return 0, err
	}
	return x.n, nil
}

// excerpt takes what a file shows in [off, off+n), or in the beginning of that.
// It has nothing at the end of the file. Its small data must be cleared.
func (v *Volume) excerpt(ctx context.Context, in *inode, off, n uint64) (excerpt, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	x := excerpt{off: off}
	if off >= in.attr.Size {
		return x, nil
	}
	if in.file.pending() > 0 {
		if err := v.commit(ctx, in); err != nil {
			return x, err
		}
	}
	if err := v.loadPages(ctx, in); err != nil {
		return x, err
	}
	end := min(off+n, in.attr.Size)
	w := off / meta.Window
	for range copyWindows {
		next, ok, err := v.windowFrom(ctx, in, w)
		if err != nil {
			return x, err
		}
		if !ok || next*meta.Window >= end {
			x.n = end - off // holes to the end
			return x, nil
		}
		if err := v.excerptWindow(ctx, in, next, max(off, next*meta.Window), min(end, (next+1)*meta.Window), &x); err != nil {
			return x, err
		}
		w = next + 1
		if x.small.bytes >= copySmall {
			break
		}
	}
	x.n = min(end, w*meta.Window) - off
	return x, nil
}

// excerptWindow adds [lo, hi), which lies in the w-th window.
func (v *Volume) excerptWindow(ctx context.Context, in *inode, w, lo, hi uint64, x *excerpt) error {
	win, err := v.window(ctx, in, w)
	if err != nil {
		return err
	}
	for _, e := range win.extents {
		if part, ok := within(e, lo, hi); ok {
			x.extents = append(x.extents, part)
		}
	}
	b := in.file.pages[w]
	if b == nil {
		return nil
	}
	data := make([]byte, meta.Page)
	for i, ok := b.next(0, true); ok; i, ok = b.next(i+1, true) {
		base := w*meta.Window + i*meta.Page
		from, to := max(lo, base), min(hi, base+meta.Page)
		if from >= to {
			continue
		}
		if err := v.page(ctx, in, base/meta.Page, data); err != nil {
			return err
		}
		x.small.write(data[from-base:to-base], from)
	}
	return nil
}

// lay makes dst show an excerpt at to, and commits that. dst.mu is held
// exclusively.
func (v *Volume) lay(ctx context.Context, dst *inode, x *excerpt, to uint64) error {
	if err := v.loadPages(ctx, dst); err != nil {
		return err
	}
	end, size := to+x.n, dst.attr.Size
	small, err := v.edges(ctx, dst, x, to)
	if err != nil {
		return err
	}
	if err := v.killCaps(ctx, dst); err != nil {
		return err
	}
	defer small.clear()
	hi := end
	if hi >= size {
		hi = pageUp(size) // what is behind is not there: the last page goes whole
	}
	if err := v.erase(ctx, dst, to, max(to, hi)); err != nil {
		return err
	}
	dst.lengthen(end)
	v.modified(dst)
	for _, e := range x.extents {
		e.Off += to - x.off
		if err := v.putExtent(ctx, dst, e); err != nil {
			return err
		}
	}
	dst.file.solid = max(dst.file.solid, end)
	for _, list := range [][]*run{x.small.list, small.list} {
		for _, r := range list {
			grown, _ := dst.file.dirty.write(r.buf, r.off+to-x.off)
			v.dirtyBytes.Add(grown)
		}
	}
	return v.commit(ctx, dst)
}

// edges reads those bytes of an excerpt that will share a page with others of
// dst: a page may hide extents there. Their offsets are those of the excerpt.
func (v *Volume) edges(ctx context.Context, dst *inode, x *excerpt, to uint64) (small runs, err error) {
	end := to + x.n
	for _, off := range [2]uint64{to, end} {
		if off%meta.Page == 0 || off == end && end >= dst.attr.Size {
			continue
		}
		b, err := v.present(ctx, dst, off/meta.Window)
		if err != nil {
			return small, err
		}
		if !b.has(off / meta.Page % windowPages) {
			continue
		}
		from := max(to, pageDown(off))
		p := make([]byte, min(end, pageDown(off)+meta.Page)-from)
		if err := v.readExcerpt(ctx, x, p, from-to+x.off); err != nil {
			return small, err
		}
		small.write(p, from-to+x.off)
	}
	return small, nil
}

// readExcerpt fills p with what an excerpt shows at off.
func (v *Volume) readExcerpt(ctx context.Context, x *excerpt, p []byte, off uint64) error {
	r := reading{v: v, ctx: ctx}
	x.small.read(p, off, func(p []byte, off uint64) { r.extents(x.extents, p, off) })
	return r.open()
}
