package volume

import (
	"context"
	"fmt"
	"maps"

	"github.com/hammockfs/hammock/fs/meta"
)

// crowded is how many extents of a window are so many that its record would
// grow out of hand: it is then sealed anew at once. Whole pages cannot get there;
// it takes thousands of cuts inside of pages.
const crowded = 2048

// erase makes [lo, hi) of a file read as zeros, in memory. Whole pages become
// holes. A page at an edge that was no hole stays none, as in ext4. Nothing that
// stays is read or sealed again: extents are cut, at any byte. It costs what
// exists in the range, however long that is. in.mu is held exclusively.
//
// The upper layer goes last: where it fails on the way, a byte shows what it was
// or zero, and nothing older.
func (v *Volume) erase(ctx context.Context, in *inode, lo, hi uint64) error {
	if lo >= hi {
		return nil
	}
	f := &in.file
	// What cannot be sealed is dirty again afterwards, and may be erased there.
	if err := v.applySealed(ctx, in, len(f.sealing)); err != nil && len(f.sealing) > 0 {
		return err
	}
	if err := v.loadPages(ctx, in); err != nil {
		return err
	}
	f.sealed = 0
	in.changed = true
	v.markDirty(in)
	for w := lo / meta.Window; ; w++ {
		next, ok, err := v.windowFrom(ctx, in, w)
		if err != nil {
			return fmt.Errorf("windows of inode %d: %w", in.ino, err)
		}
		if w = next; !ok || w*meta.Window >= hi {
			break
		}
		if err := v.eraseWindow(ctx, in, w, max(lo, w*meta.Window), min(hi, (w+1)*meta.Window)); err != nil {
			return err
		}
		if f.changed >= keptWindows || len(f.edits) >= windowPages {
			if err := v.recordFile(ctx, in); err != nil {
				return err
			}
		}
	}
	v.dirtyBytes.Add(-f.dirty.erase(lo, hi))
	return nil
}

// eraseWindow erases [lo, hi), which lies in the w-th window, from pages and
// extents.
func (v *Volume) eraseWindow(ctx context.Context, in *inode, w, lo, hi uint64) error {
	f := &in.file
	win, err := v.window(ctx, in, w)
	if err != nil {
		return err
	}
	edges, err := v.erasedEdges(ctx, in, lo, hi)
	if err != nil {
		return err
	}
	before := in.cover(w, win)
	if extents, cut := without(win.extents, lo, hi); cut { // from here on nothing can fail
		win.extents = extents
		f.change(w, win)
	}
	for p := pageUp(lo) / meta.Page; p < hi/meta.Page && f.pages[w] != nil; p++ {
		if f.hasPage(p) {
			f.dropPage(p)
		}
	}
	for p, data := range edges {
		f.putPage(p, data)
	}
	left := in.cover(w, win)
	for _, off := range [2]uint64{lo, hi} {
		if p := off / meta.Page; off%meta.Page != 0 && before.has(p%windowPages) && !left.has(p%windowPages) {
			f.putPage(p, []byte{}) // all zeros, and no hole
			left.set(p % windowPages)
		}
	}
	in.account(int64(before.count()), int64(left.count()))
	return v.thin(ctx, in, w, win)
}

// erasedEdges returns what remains of the pages that [lo, hi) covers in part,
// those that exist.
func (v *Volume) erasedEdges(ctx context.Context, in *inode, lo, hi uint64) (map[uint64][]byte, error) {
	var edges map[uint64][]byte
	for _, off := range [2]uint64{lo, hi} {
		p := off / meta.Page
		if off%meta.Page == 0 || !in.file.hasPage(p) || edges[p] != nil {
			continue
		}
		data := make([]byte, meta.Page)
		if err := v.page(ctx, in, p, data); err != nil {
			return nil, err
		}
		base := p * meta.Page
		clear(data[max(lo, base)-base : min(hi, base+meta.Page)-base])
		if edges == nil {
			edges = map[uint64][]byte{}
		}
		edges[p] = data[:min(meta.Page, in.attr.Size-base)]
	}
	return edges, nil
}

// thinAll looks after the windows that are to be recorded.
func (v *Volume) thinAll(ctx context.Context, in *inode) error {
	if in.file.changed == 0 {
		return nil
	}
	for w, win := range maps.Clone(in.file.windows) {
		if !win.changed {
			continue
		}
		if err := v.thin(ctx, in, w, win); err != nil {
			return err
		}
	}
	return nil
}

// thin seals a crowded window anew, in whole pages. If that cannot be done now, it
// is not worth an error until the record gets near its limit.
func (v *Volume) thin(ctx context.Context, in *inode, w uint64, win *window) error {
	if len(win.extents) <= crowded {
		return nil
	}
	b := in.cover(w, win)
	for _, sp := range pageSpans(&b, w, in.attr.Size) {
		err := v.sealSpan(ctx, in, sp, func(s *sealing) error { return v.apply(ctx, in, s) })
		if err != nil && len(win.extents) > 3*crowded {
			return fmt.Errorf("seal inode %d anew at %d: %w", in.ino, sp.lo, err)
		}
		if err != nil {
			return nil
		}
	}
	return nil
}
