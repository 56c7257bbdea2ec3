package volume

import (
	"context"
	"sort"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
)

// readers is how many chunks of one read are opened at a time.
const readers = 4

// piece is a part of a read that comes from a sealed chunk.
type piece struct {
	ref  *crypt.Ref
	skip int
	dst  []byte
}

// reading collects the pieces of one read.
type reading struct {
	v      *Volume
	ctx    context.Context
	in     *inode
	pieces []piece
	err    error
}

// read fills p with the file's bytes at off and returns how many there are
// before its end.
func (v *Volume) read(ctx context.Context, in *inode, p []byte, off uint64) (int, error) {
	in.mu.RLock()
	if off >= in.attr.Size {
		in.mu.RUnlock()
		return 0, nil
	}
	p = p[:min(uint64(len(p)), in.attr.Size-off)]
	r := reading{v: v, ctx: ctx, in: in}
	r.layers(p, off)
	next := v.readAhead(ctx, in, off, len(p))
	in.mu.RUnlock() // chunks never change, so they are opened without the lock
	if len(next) > 0 {
		v.cache.Prefetch(next)
	}
	if err := r.open(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// nobodyWaits is the context of what is only done if nothing must be fetched.
var nobodyWaits = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Offer hands all bytes of the file to take, if they fit buf and can be had now:
// are on this machine, and nobody changes the file. It says whether they were. The
// file cannot change before take returns.
func (f *File) Offer(buf []byte, take func(p []byte) bool) bool {
	in := f.in
	if !in.mu.TryRLock() { // whoever has it may wait for stores
		return false
	}
	defer in.mu.RUnlock()
	size := in.attr.Size
	if size == 0 || size > uint64(len(buf)) {
		return false
	}
	return f.v.readLayers(nobodyWaits, in, buf[:size], 0) == nil && take(buf[:size])
}

// readLayers fills p like read, while in.mu is held.
func (v *Volume) readLayers(ctx context.Context, in *inode, p []byte, off uint64) error {
	r := reading{v: v, ctx: ctx, in: in}
	r.layers(p, off)
	return r.open()
}

// layers copies what is in memory and notes what is in chunks.
func (r *reading) layers(p []byte, off uint64) {
	if err := r.v.loadPages(r.ctx, r.in); err != nil {
		r.err = err
		return
	}
	f := &r.in.file
	f.dirty.read(p, off, func(p []byte, off uint64) { r.sealing(len(f.sealing)-1, p, off) })
}

// sealing reads from the i-th run that is being sealed and those below it.
func (r *reading) sealing(i int, p []byte, off uint64) {
	if i < 0 {
		r.recorded(p, off)
		return
	}
	s := r.in.file.sealing[i]
	s.taken.read(p, off, func(p []byte, off uint64) { r.sealing(i-1, p, off) })
}

// recorded reads from pages and windows.
func (r *reading) recorded(p []byte, off uint64) {
	f := &r.in.file
	if !f.hasPages() {
		r.windows(p, off)
		return
	}
	for len(p) > 0 && r.err == nil {
		page := off / meta.Page
		n := int(min(uint64(len(p)), (page+1)*meta.Page-off))
		if f.hasPage(page) {
			r.page(page, p[:n], off)
		} else {
			for n < len(p) && !f.hasPage((off+uint64(n))/meta.Page) {
				n = min(len(p), n+meta.Page)
			}
			r.windows(p[:n], off)
		}
		p, off = p[n:], off+uint64(n)
	}
}

func (r *reading) page(page uint64, p []byte, off uint64) {
	var data [meta.Page]byte
	if err := r.v.page(r.ctx, r.in, page, data[:]); err != nil {
		r.err = err
		return
	}
	copy(p, data[off-page*meta.Page:])
}

// windows notes the chunks that hold [off, off+len(p)) and clears the holes.
func (r *reading) windows(p []byte, off uint64) {
	for len(p) > 0 && r.err == nil {
		w := off / meta.Window
		n := min(uint64(len(p)), (w+1)*meta.Window-off)
		win, err := r.v.window(r.ctx, r.in, w)
		if err != nil {
			r.err = err
			return
		}
		r.extents(win.extents, p[:n], off)
		p, off = p[n:], off+n
	}
}

func (r *reading) extents(extents []meta.Extent, p []byte, off uint64) {
	i := sort.Search(len(extents), func(i int) bool { return extents[i].Off+uint64(extents[i].Len) > off })
	for ; i < len(extents) && len(p) > 0; i++ {
		x := &extents[i]
		if x.Off >= off+uint64(len(p)) {
			break
		}
		if x.Off > off {
			clear(p[:x.Off-off])
			p, off = p[x.Off-off:], x.Off
		}
		n := min(uint64(len(p)), x.Off+uint64(x.Len)-off)
		ref := x.Ref
		r.pieces = append(r.pieces, piece{ref: &ref, skip: int(x.Skip) + int(off-x.Off), dst: p[:n]})
		p, off = p[n:], off+n
	}
	clear(p)
}

// open reads the noted chunks.
func (r *reading) open() error {
	if r.err != nil {
		return r.err
	}
	if len(r.pieces) == 1 {
		return r.v.cache.ReadAt(r.ctx, r.pieces[0].ref, r.pieces[0].dst, r.pieces[0].skip)
	}
	g, ctx := errgroup.WithContext(r.ctx)
	var taken atomic.Int64
	for range min(readers, len(r.pieces)) { // not one for each piece: of scattered pages there are hundreds
		g.Go(func() error {
			for i := taken.Add(1) - 1; i < int64(len(r.pieces)); i = taken.Add(1) - 1 {
				x := &r.pieces[i]
				if err := r.v.cache.ReadAt(ctx, x.ref, x.dst, x.skip); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
