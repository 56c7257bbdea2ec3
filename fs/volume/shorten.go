package volume

import (
	"context"

	"github.com/hammockfs/hammock/fs/meta"
)

// cutOff drops what a file has at or behind size, in memory. The page that size
// is in stays one, if it was none of a hole. in.mu is held exclusively.
func (v *Volume) cutOff(ctx context.Context, in *inode, size uint64) error {
	if err := v.loadPages(ctx, in); err != nil {
		return err
	}
	w, page := size/meta.Window, size/meta.Page%windowPages
	had, err := v.present(ctx, in, w)
	if err != nil {
		return err
	}
	if err := v.shorten(ctx, in, size); err != nil {
		return err
	}
	v.dirtyBytes.Add(-in.file.dirty.cut(size))
	if size%meta.Page == 0 || !had.has(page) {
		return nil
	}
	// It has been shortened; that a hole is shown where there was no byte left
	// would be no reason to fail.
	if left, err := v.present(ctx, in, w); err == nil && !left.has(page) {
		in.file.putPage(size/meta.Page, []byte{})
		in.account(0, 1)
	}
	return nil
}

// shorten drops the extents and pages of a file at or behind size, in memory.
// in.mu is held exclusively.
func (v *Volume) shorten(ctx context.Context, in *inode, size uint64) error {
	f := &in.file
	if err := v.loadPages(ctx, in); err != nil {
		return err
	}
	w := size / meta.Window
	win, err := v.window(ctx, in, w)
	if err != nil {
		return err
	}
	before := in.covered(w, win)
	if size > 0 {
		behind, err := v.coveredBehind(ctx, in, w)
		if err != nil {
			return err
		}
		before += behind
	}
	if err := v.shortenPages(ctx, in, size); err != nil {
		return err
	}
	f.clipTo(size) // from here on nothing can fail
	if extents, cut := trim(win.extents, size); cut {
		win.extents = extents
		f.change(w, win)
	}
	f.dropWindows(w)
	in.account(before, in.covered(w, win))
	if size == 0 {
		in.attr.Blocks = 0
	}
	return nil
}

// dropWindows forgets the windows behind the w-th.
func (f *content) dropWindows(w uint64) {
	for other, x := range f.windows {
		if other <= w {
			continue
		}
		if x.changed {
			f.changed--
		}
		delete(f.windows, other)
	}
}

// coveredBehind is how many pages of the windows behind the w-th are not holes.
func (v *Volume) coveredBehind(ctx context.Context, in *inode, w uint64) (n int64, err error) {
	behind := map[uint64]bool{}
	for other := range in.file.windows {
		behind[other] = other > w
	}
	for other := range in.file.pages {
		behind[other] = other > w
	}
	if in.attr.Flags&flagWindows != 0 {
		recorded, err := v.db.Windows(ctx, in.ino)
		if err != nil {
			return 0, err
		}
		for _, other := range recorded {
			behind[other] = other > w
		}
	}
	for other, is := range behind {
		if !is {
			continue
		}
		win, err := v.window(ctx, in, other)
		if err != nil {
			return 0, err
		}
		n += in.covered(other, win)
	}
	return n, nil
}

// shortenPages drops the pages behind size and cuts the one that size is in.
func (v *Volume) shortenPages(ctx context.Context, in *inode, size uint64) error {
	f := &in.file
	if !f.hasPages() {
		return nil
	}
	if p := size / meta.Page; size%meta.Page != 0 && f.hasPage(p) {
		data := make([]byte, meta.Page)
		if err := v.page(ctx, in, p, data); err != nil {
			return err
		}
		f.putPage(p, data[:size%meta.Page])
	}
	first := (size + meta.Page - 1) / meta.Page // the first page that goes whole
	for w, b := range f.pages {
		for i := uint64(0); i < windowPages && (w+1)*windowPages > first; i++ {
			if w*windowPages+i >= first {
				b.unset(i)
			}
		}
		if b.count() == 0 {
			delete(f.pages, w)
		}
	}
	for p := range f.edits {
		if p >= first {
			delete(f.edits, p) // the clip deletes what is recorded
		}
	}
	return nil
}
