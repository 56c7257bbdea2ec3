package volume

import (
	"context"
	"fmt"
	"math/bits"
	"sort"

	"github.com/hammockfs/hammock/fs/meta"
)

// keptWindows is how many unchanged windows of one file stay in memory, and
// how many changed ones are collected before they are recorded.
const keptWindows = 32

// window is the extents of one window of a file, in order.
type window struct {
	extents []meta.Extent
	changed bool
}

// pageBits says which pages of a window exist.
type pageBits [meta.Window / meta.Page / 64]uint64

const windowPages = meta.Window / meta.Page

func (b *pageBits) has(i uint64) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b *pageBits) set(i uint64)      { b[i/64] |= 1 << (i % 64) }
func (b *pageBits) unset(i uint64)    { b[i/64] &^= 1 << (i % 64) }
func (b *pageBits) subtract(o *pageBits) {
	for i := range b {
		b[i] &^= o[i]
	}
}
func (b *pageBits) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// window returns the extents of the w-th window. in.mu is held, shared or not.
func (v *Volume) window(ctx context.Context, in *inode, w uint64) (*window, error) {
	f := &in.file
	f.cached.Lock()
	got := f.windows[w]
	f.cached.Unlock()
	if got != nil {
		return got, nil
	}
	got = &window{}
	if in.attr.Flags&flagWindows != 0 && !(f.clipped && w*meta.Window >= f.clip) {
		extents, err := v.db.Window(ctx, in.ino, w)
		if err != nil && !isNotExist(err) {
			return nil, fmt.Errorf("extents of inode %d at %d: %w", in.ino, w*meta.Window, err)
		}
		got.extents = extents
	}
	f.cached.Lock()
	defer f.cached.Unlock()
	if other := f.windows[w]; other != nil { // another reader was faster
		return other, nil
	}
	f.keep(w, got)
	return got, nil
}

// putExtent lays an extent over the file's windows, cut at their edges. in.mu is
// held exclusively.
func (v *Volume) putExtent(ctx context.Context, in *inode, e meta.Extent) error {
	for e.Len > 0 {
		w := e.Off / meta.Window
		part := e
		if room := (w+1)*meta.Window - e.Off; uint64(part.Len) > room {
			part.Len = uint32(room)
		}
		win, err := v.window(ctx, in, w)
		if err != nil {
			return err
		}
		before := in.covered(w, win)
		win.extents = overlay(win.extents, part)
		in.attr.Flags |= flagWindows
		in.file.change(w, win)
		in.account(before, in.covered(w, win))
		e.Off += uint64(part.Len)
		e.Skip += part.Len
		e.Len -= part.Len
	}
	return nil
}

// overlay lays e over extents: what it covers is cut away.
func overlay(extents []meta.Extent, e meta.Extent) []meta.Extent {
	end := e.Off + uint64(e.Len)
	n := len(extents)
	if n == 0 || extents[n-1].Off+uint64(extents[n-1].Len) <= e.Off { // the usual case
		return append(extents, e)
	}
	out := make([]meta.Extent, 0, n+2)
	for _, x := range extents {
		xend := x.Off + uint64(x.Len)
		if x.Off < e.Off {
			left := x
			left.Len = uint32(min(xend, e.Off) - x.Off)
			out = append(out, left)
		}
		if xend > end {
			right := x
			if x.Off < end {
				right.Off, right.Skip, right.Len = end, x.Skip+uint32(end-x.Off), uint32(xend-end)
			}
			out = append(out, right)
		}
	}
	i := sort.Search(len(out), func(i int) bool { return out[i].Off >= end })
	out = append(out, meta.Extent{})
	copy(out[i+1:], out[i:])
	out[i] = e
	return out
}

// without cuts [lo, hi) out of extents and says whether that changed anything.
func without(extents []meta.Extent, lo, hi uint64) ([]meta.Extent, bool) {
	first := sort.Search(len(extents), func(i int) bool { return extents[i].Off+uint64(extents[i].Len) > lo })
	if first == len(extents) || extents[first].Off >= hi {
		return extents, false
	}
	out := append(make([]meta.Extent, 0, len(extents)+1), extents[:first]...)
	for _, x := range extents[first:] {
		if left, ok := within(x, x.Off, lo); ok {
			out = append(out, left)
		}
		if right, ok := within(x, hi, x.Off+uint64(x.Len)); ok {
			out = append(out, right)
		}
	}
	return out, true
}

// within returns the part of an extent that lies in [lo, hi).
func within(x meta.Extent, lo, hi uint64) (meta.Extent, bool) {
	from, to := max(x.Off, lo), min(x.Off+uint64(x.Len), hi)
	if from >= to {
		return x, false
	}
	x.Skip += uint32(from - x.Off)
	x.Off, x.Len = from, uint32(to-from)
	return x, true
}

// trim cuts extents off at size and says whether that changed anything.
func trim(extents []meta.Extent, size uint64) ([]meta.Extent, bool) {
	n := sort.Search(len(extents), func(i int) bool { return extents[i].Off+uint64(extents[i].Len) > size })
	if n == len(extents) {
		return extents, false
	}
	out := append([]meta.Extent(nil), extents[:n]...)
	if x := extents[n]; x.Off < size {
		x.Len = uint32(size - x.Off)
		out = append(out, x)
	}
	return out, true
}

// next is the first bit at or behind i that is set, or that is not.
func (b *pageBits) next(i uint64, set bool) (uint64, bool) {
	for i < windowPages {
		word := b[i/64]
		if !set {
			word = ^word
		}
		if word >>= i % 64; word != 0 {
			return i + uint64(bits.TrailingZeros64(word)), true
		}
		i = (i/64 + 1) * 64
	}
	return 0, false
}

// setRange sets the bits [lo, hi).
func (b *pageBits) setRange(lo, hi uint64) {
	for ; lo < hi && lo%64 != 0; lo++ {
		b.set(lo)
	}
	for ; lo+64 <= hi; lo += 64 {
		b[lo/64] = ^uint64(0)
	}
	for ; lo < hi; lo++ {
		b.set(lo)
	}
}

// cover says which pages of a window are not holes in what is sealed or small:
// those that an extent touches and those that exist as pages.
func (in *inode) cover(w uint64, win *window) (all pageBits) {
	if b := in.file.pages[w]; b != nil {
		all = *b
	}
	base := w * meta.Window
	for i := range win.extents {
		lo := win.extents[i].Off - base
		hi := lo + uint64(win.extents[i].Len)
		all.setRange(lo/meta.Page, (hi+meta.Page-1)/meta.Page)
	}
	return all
}

// covered is how many pages of a window are not holes, likewise.
func (in *inode) covered(w uint64, win *window) int64 {
	all := in.cover(w, win)
	return int64(all.count())
}

// account takes a change of a window's covered pages into the inode's blocks.
func (in *inode) account(before, after int64) {
	blocks := int64(in.attr.Blocks) + (after-before)*(meta.Page/512)
	in.attr.Blocks = uint64(max(0, blocks))
}
