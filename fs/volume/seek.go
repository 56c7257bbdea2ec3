package volume

import (
	"context"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
)

// Where a file has data and where holes. As in ext4, the unit is a page of
// 4 KiB: one that has had a byte written to it is data, until all of it is cut
// off or punched out, zeros or not. The end of a file is a hole.

// SeekData returns the first offset at or behind off where there is data:
// ErrNoData if there is none, or if off is not in the file.
func (f *File) SeekData(ctx context.Context, off int64) (int64, error) {
	f.in.mu.RLock()
	defer f.in.mu.RUnlock()
	if off < 0 || uint64(off) >= f.in.attr.Size {
		return 0, ErrNoData
	}
	if f.in.solidly() {
		return off, nil
	}
	at, err := f.v.seekData(ctx, f.in, uint64(off))
	if err != nil {
		return 0, fmt.Errorf("look for data of inode %d behind %d: %w", f.in.ino, off, err)
	}
	return int64(at), nil
}

// SeekHole returns the first offset at or behind off where there is a hole, which
// is the end of the file at the latest: ErrNoData if off is not in the file.
func (f *File) SeekHole(ctx context.Context, off int64) (int64, error) {
	f.in.mu.RLock()
	defer f.in.mu.RUnlock()
	if off < 0 || uint64(off) >= f.in.attr.Size {
		return 0, ErrNoData
	}
	if f.in.solidly() {
		return int64(f.in.attr.Size), nil
	}
	at, err := f.v.seekHole(ctx, f.in, uint64(off))
	if err != nil {
		return 0, fmt.Errorf("look for a hole of inode %d behind %d: %w", f.in.ino, off, err)
	}
	return int64(at), nil
}

// solidly says whether the blocks of a file leave no room for holes: most files
// are answered by this, however large.
func (in *inode) solidly() bool {
	return in.attr.Blocks >= pageUp(in.attr.Size)/512
}

func (v *Volume) seekData(ctx context.Context, in *inode, off uint64) (uint64, error) {
	if err := v.loadPages(ctx, in); err != nil {
		return 0, err
	}
	page := off / meta.Page
	for {
		w, ok, err := v.windowFrom(ctx, in, page/windowPages)
		if err != nil {
			return 0, err
		}
		if page = max(page, w*windowPages); !ok || page*meta.Page >= in.attr.Size {
			return 0, ErrNoData
		}
		b, err := v.present(ctx, in, w)
		if err != nil {
			return 0, err
		}
		if p, ok := b.next(page%windowPages, true); ok {
			if at := max(off, (w*windowPages+p)*meta.Page); at < in.attr.Size {
				return at, nil
			}
			return 0, ErrNoData
		}
		page = (w + 1) * windowPages
	}
}

func (v *Volume) seekHole(ctx context.Context, in *inode, off uint64) (uint64, error) {
	if err := v.loadPages(ctx, in); err != nil {
		return 0, err
	}
	for page := off / meta.Page; page*meta.Page < in.attr.Size; {
		w := page / windowPages
		b, err := v.present(ctx, in, w)
		if err != nil {
			return 0, err
		}
		if p, ok := b.next(page%windowPages, false); ok {
			return min(in.attr.Size, max(off, (w*windowPages+p)*meta.Page)), nil
		}
		page = (w + 1) * windowPages
	}
	return in.attr.Size, nil
}

// present says which pages of a window are not holes, in any layer. in.mu is
// held, shared or not; loadPages has been called.
func (v *Volume) present(ctx context.Context, in *inode, w uint64) (pageBits, error) {
	if err := ctx.Err(); err != nil {
		return pageBits{}, err
	}
	win, err := v.window(ctx, in, w)
	if err != nil {
		return pageBits{}, err
	}
	all := in.cover(w, win)
	f := &in.file
	mark := func(lo, hi uint64) {
		base := w * meta.Window
		if lo, hi = max(lo, base), min(hi, base+meta.Window); lo < hi {
			all.setRange((lo-base)/meta.Page, (pageUp(hi)-base)/meta.Page)
		}
	}
	for i := f.dirty.touching(w * meta.Window); i < len(f.dirty.list) && f.dirty.list[i].off < (w+1)*meta.Window; i++ {
		mark(f.dirty.list[i].off, f.dirty.list[i].end())
	}
	for _, s := range f.sealing {
		for _, r := range s.taken.list {
			mark(r.off, r.end())
		}
	}
	return all, nil
}

// windowFrom returns the number of the first window at or behind w that may have
// something in any layer; false if there is none. It costs what exists, however
// far apart that is. in.mu is held, shared or not; loadPages has been called.
func (v *Volume) windowFrom(ctx context.Context, in *inode, w uint64) (uint64, bool, error) {
	f := &in.file
	next, ok := f.windowInMemory(w)
	if ok && next == w || in.attr.Flags&flagWindows == 0 {
		return next, ok, nil
	}
	recorded, is, err := v.db.NextWindow(ctx, in.ino, w)
	if err != nil {
		return 0, false, err
	}
	if is && !(f.clipped && recorded*meta.Window >= f.clip) && (!ok || recorded < next) {
		return recorded, true, nil
	}
	return next, ok, nil
}

// windowInMemory is windowFrom for what need not be looked up.
func (f *content) windowInMemory(w uint64) (next uint64, ok bool) {
	see := func(x uint64) {
		if x >= w && (!ok || x < next) {
			next, ok = x, true
		}
	}
	reach := func(off, end uint64) {
		if end > w*meta.Window {
			see(max(w, off/meta.Window))
		}
	}
	for i := f.dirty.touching(w*meta.Window + 1); i < len(f.dirty.list) && !ok; i++ {
		reach(f.dirty.list[i].off, f.dirty.list[i].end())
	}
	for _, s := range f.sealing {
		for _, r := range s.taken.list {
			reach(r.off, r.end())
		}
	}
	for x := range f.pages {
		see(x)
	}
	f.cached.Lock()
	defer f.cached.Unlock()
	for x, win := range f.windows {
		if len(win.extents) > 0 {
			see(x)
		}
	}
	return next, ok
}
