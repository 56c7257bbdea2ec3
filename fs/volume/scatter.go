package volume

import (
	"cmp"
	"context"
	"slices"

	"github.com/hammockfs/hammock/fs/meta"
)

// eagerStep is how many more bytes must be written before pages are looked for again, where none were found.
const eagerStep = 1 << 20

// maxScatters is how many times pages of here and there are sealed at a time: more would only wait for one another.
const maxScatters = 2

// startScattered hands pages that were written here and there to the background, while the program goes on: when three
// quarters of what may wait in memory do, for until then a page may be written again, and a write that finds no room
// would wait for all of them. in.mu is held exclusively.
func (v *Volume) startScattered(in *inode) {
	f := &in.file
	if f.dirty.bytes < max(f.eager, v.cfg.Dirty/4) || v.dirtyBytes.Load() < v.cfg.Dirty/4*3 {
		return
	}
	select {
	case v.scatters <- struct{}{}:
	default:
		return
	}
	if !v.takeScattered(in) {
		<-v.scatters
	}
}

// takeScattered says whether it has begun to seal pages of a file, which gives the token back.
func (v *Volume) takeScattered(in *inode) bool {
	f := &in.file
	f.eager = f.dirty.bytes + eagerStep
	s := &sealing{done: make(chan struct{}), hurry: true}
	s.taken, f.hand = f.dirty.takeScattered(f.hand, f.solid)
	if len(s.taken.list) == 0 {
		return false
	}
	f.eager = 0
	var b slab
	for list := s.taken.touchedPages(); len(list) > 0; {
		n := ofOneWindow(list)
		b.add(list[:n])
		list = list[n:]
	}
	s.off, s.pages, s.ends = s.taken.list[0].off, b.pages, b.s.ends
	f.sealing = append(f.sealing, s)
	v.done.Add(1)
	go func() {
		defer v.done.Done()
		s.buf = newBuf(len(s.pages) * meta.Page)
		for i, t := range s.pages {
			copy(s.buf[i*meta.Page:(i+1)*meta.Page], t.run.buf[t.page*meta.Page-t.run.off:])
		}
		s.err = v.seal(v.background, s)
		<-v.scatters
		close(s.done)
	}()
	return true
}

// applyScattered makes extents of pages that are sealed. in.mu is held exclusively.
func (v *Volume) applyScattered(ctx context.Context, in *inode, s *sealing) error {
	if err := v.loadPages(ctx, in); err != nil {
		return err
	}
	return v.layOut(ctx, in, &slab{pages: s.pages, s: *s})
}

// takeScattered takes short runs of whole pages below solid out of the windows that have many of them, from the window
// of an offset on and round, as many as make a slab. It returns them, and the window to go on with.
func (d *runs) takeScattered(from, solid uint64) (taken runs, next uint64) {
	first := d.touching(from)
	for seen := 0; seen < len(d.list); {
		i := (first + seen) % len(d.list)
		w := d.list[i].off / meta.Window
		next = (w + 1) * meta.Window
		var some runs
		for ; i < len(d.list) && d.list[i].off < next && seen < len(d.list); i++ {
			if r := d.list[i]; r.wholePages() && r.end() <= min(next, solid) {
				some.list = append(some.list, r)
				some.bytes += int64(len(r.buf))
			}
			seen++
		}
		if taken.bytes+some.bytes > slabSize*meta.Page {
			next = w * meta.Window
			break
		}
		if some.bytes >= slabPages*meta.Page {
			taken.list = append(taken.list, some.list...)
			taken.bytes += some.bytes
		}
	}
	d.without(&taken)
	return taken, next
}

// wholePages says whether a run is of few pages, all of them whole.
func (r *run) wholePages() bool {
	return r.off%meta.Page == 0 && len(r.buf)%meta.Page == 0 && len(r.buf) < smallData
}

// without drops runs that are used elsewhere, and puts those in order.
func (d *runs) without(taken *runs) {
	if len(taken.list) == 0 {
		return
	}
	slices.SortFunc(taken.list, func(a, b *run) int { return cmp.Compare(a.off, b.off) })
	rest := taken.list
	d.list = slices.DeleteFunc(d.list, func(r *run) bool {
		if gone := len(rest) > 0 && rest[0] == r; gone {
			rest = rest[1:]
			return true
		}
		return false
	})
	d.bytes -= taken.bytes
}
