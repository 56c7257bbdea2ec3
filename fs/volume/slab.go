package volume

import (
	"context"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

const (
	// slabPages is how many written pages of one window are enough to become
	// chunks: as many bytes as a run must have.
	slabPages = smallData / meta.Page
	// slabChunk is how many pages one chunk takes.
	slabChunk = 256
	// slabSize is how many pages are sealed at a time, by all cores.
	slabSize = sealAt / meta.Page
)

// touched is a page that has written bytes, and a run that has some of them.
type touched struct {
	page uint64
	run  *run
}

// touchedPages lists the pages of the dirty runs, each once, in order.
func (d *runs) touchedPages() []touched {
	list := make([]touched, 0, len(d.list)+int(d.bytes/meta.Page))
	for _, r := range d.list {
		p, last := r.off/meta.Page, (r.end()-1)/meta.Page
		if n := len(list); n > 0 && list[n-1].page == p {
			p++ // made with the run before
		}
		for ; p <= last; p++ {
			list = append(list, touched{p, r})
		}
	}
	return list
}

// slab is pages from here and there in a file on their way into chunks that hold
// nothing else. Each chunk keeps to one window, so that who reads a part of the
// file needs few of them.
type slab struct {
	pages []touched
	s     sealing
}

// settleScattered lays the pages of windows that have many of them into chunks,
// and returns the others.
func (v *Volume) settleScattered(ctx context.Context, in *inode, list []touched) (few []touched, err error) {
	var b slab
	for len(list) > 0 {
		n := ofOneWindow(list)
		if n < slabPages {
			few = append(few, list[:n]...)
		} else if err := v.addToSlab(ctx, in, &b, list[:n]); err != nil {
			return nil, err
		}
		list = list[n:]
	}
	return few, v.settleSlab(ctx, in, &b)
}

// ofOneWindow is how many of the first pages are of the same window.
func ofOneWindow(list []touched) int {
	n := 1
	for w := list[0].page / windowPages; n < len(list) && list[n].page/windowPages == w; {
		n++
	}
	return n
}

// addToSlab adds pages of one window, and settles what was there before them if it
// would be too much.
func (v *Volume) addToSlab(ctx context.Context, in *inode, b *slab, pages []touched) error {
	if len(b.pages)+len(pages) > slabSize {
		if err := v.settleSlab(ctx, in, b); err != nil {
			return err
		}
	}
	b.add(pages)
	return nil
}

// add adds pages of one window.
func (b *slab) add(pages []touched) {
	for len(pages) > 0 {
		n := min(len(pages), slabChunk)
		b.pages = append(b.pages, pages[:n]...)
		b.s.ends = append(b.s.ends, len(b.pages)*meta.Page)
		pages = pages[n:]
	}
}

// settleSlab seals the pages of a slab, makes extents of them, and empties it.
func (v *Volume) settleSlab(ctx context.Context, in *inode, b *slab) error {
	if len(b.pages) == 0 {
		return nil
	}
	b.s.buf = newBuf(len(b.pages) * meta.Page)
	defer func() {
		freeBuf(b.s.buf)
		*b = slab{pages: b.pages[:0]}
	}()
	for i, t := range b.pages {
		if err := v.copyPage(ctx, in, t, b.s.buf[i*meta.Page:][:meta.Page]); err != nil {
			return err
		}
	}
	if err := v.seal(ctx, &b.s); err != nil {
		return fmt.Errorf("seal %d pages of inode %d: %w", len(b.pages), in.ino, err)
	}
	return v.layOut(ctx, in, b)
}

// copyPage fills dst with what a page shows: zeros behind the end of the file.
func (v *Volume) copyPage(ctx context.Context, in *inode, t touched, dst []byte) error {
	lo := t.page * meta.Page
	n := min(meta.Page, in.attr.Size-lo)
	clear(dst[n:])
	if t.run.off <= lo && t.run.end() >= lo+n {
		copy(dst[:n], t.run.buf[lo-t.run.off:])
		return nil
	}
	return v.readLayers(ctx, in, dst[:n], lo)
}

// layOut lets a sealed slab be seen, window by window.
func (v *Volume) layOut(ctx context.Context, in *inode, b *slab) error {
	var laid []meta.Extent
	for i, at := 0, 0; i < len(b.s.ends); i++ {
		end := b.s.ends[i] / meta.Page
		laid = in.chunkExtents(laid, b.pages[at:end], &b.s.refs[i])
		w := b.pages[at].page / windowPages
		if at = end; at < len(b.pages) && b.pages[at].page/windowPages == w {
			continue // another chunk of this window
		}
		if err := v.putExtents(ctx, in, w, laid); err != nil {
			return err
		}
		laid = laid[:0]
	}
	for _, t := range b.pages {
		if in.file.hasPage(t.page) {
			in.file.dropPage(t.page)
		}
	}
	return nil
}

// chunkExtents appends the extents of a chunk that is made of these pages.
func (in *inode) chunkExtents(laid []meta.Extent, pages []touched, ref *crypt.Ref) []meta.Extent {
	for i, t := range pages {
		off := t.page * meta.Page
		n := uint32(min(meta.Page, in.attr.Size-off))
		if i > 0 && pages[i-1].page == t.page-1 {
			laid[len(laid)-1].Len += n
			continue
		}
		laid = append(laid, meta.Extent{Off: off, Len: n, Skip: uint32(i * meta.Page), Ref: *ref})
	}
	return laid
}

// putExtents lays extents, which are in order and do not overlap, over the w-th
// window. in.mu is held exclusively.
func (v *Volume) putExtents(ctx context.Context, in *inode, w uint64, laid []meta.Extent) error {
	win, err := v.window(ctx, in, w)
	if err != nil {
		return err
	}
	before := in.covered(w, win)
	win.extents = overlayAll(win.extents, laid)
	in.attr.Flags |= flagWindows
	in.file.change(w, win)
	in.account(before, in.covered(w, win))
	return nil
}

// overlayAll is overlay for many at once.
func overlayAll(old, laid []meta.Extent) []meta.Extent {
	out := make([]meta.Extent, 0, len(old)+2*len(laid))
	var x meta.Extent
	next := func() (ok bool) {
		if ok = len(old) > 0; ok {
			x, old = old[0], old[1:]
		}
		return ok
	}
	more := next()
	for _, e := range laid {
		end := e.Off + uint64(e.Len)
		for more && x.Off < end {
			if left, ok := within(x, x.Off, e.Off); ok {
				out = append(out, left)
			}
			if right, ok := within(x, end, x.Off+uint64(x.Len)); ok {
				x = right
				break
			}
			more = next()
		}
		out = append(out, e)
	}
	for ; more; more = next() {
		out = append(out, x)
	}
	return out
}
