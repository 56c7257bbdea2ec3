package volume

import (
	"context"

	"github.com/hammockfs/hammock/fs/meta"
)

// statWindows is in how many windows a stat looks up which written bytes cover
// holes. Those of further windows are all taken to: a file with so many places
// of bytes to commit may show too many blocks until they are.
const statWindows = 256

// stat is the inode's attributes with the blocks that the bytes not committed
// yet will take. in.mu is held, shared or not.
func (v *Volume) stat(ctx context.Context, in *inode) Attr {
	a := in.attr
	if in.file.pending() > 0 {
		a.Blocks += v.fresh(ctx, in) * (meta.Page / 512)
	}
	return a
}

// fresh is how many pages have written bytes where nothing else is.
func (v *Volume) fresh(ctx context.Context, in *inode) (n uint64) {
	f := &in.file
	known := v.loadPages(ctx, in) == nil
	looked := 0
	for w, b := range f.waiting() {
		if looked++; known && looked <= statWindows {
			if win, err := v.window(ctx, in, w); err == nil {
				old := in.cover(w, win)
				b.subtract(&old)
			}
		}
		n += uint64(b.count())
	}
	return n
}

// waiting says which pages of which windows have bytes that are not in pages or
// windows yet.
func (f *content) waiting() map[uint64]*pageBits {
	all := map[uint64]*pageBits{}
	mark := func(lo, hi uint64) {
		for lo < hi {
			w := lo / meta.Window
			if all[w] == nil {
				all[w] = &pageBits{}
			}
			base, end := w*meta.Window, min(hi, (w+1)*meta.Window)
			all[w].setRange((lo-base)/meta.Page, (pageUp(end)-base)/meta.Page)
			lo = end
		}
	}
	for _, r := range f.dirty.list {
		mark(r.off, r.end())
	}
	for _, s := range f.sealing {
		for _, r := range s.taken.list {
			mark(r.off, r.end())
		}
	}
	return all
}

// pageDown and pageUp round an offset to a whole page.
func pageDown(off uint64) uint64 { return off &^ (meta.Page - 1) }
func pageUp(off uint64) uint64   { return (off + meta.Page - 1) &^ (meta.Page - 1) }
