package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hammockfs/hammock/fs/meta"
)

const (
	// inlineData is the largest file, in bytes, whose only page stays a
	// record of its own instead of becoming a chunk.
	inlineData = 1 << 10
	// manyExtents is how many extents of a window, short ones made of pages,
	// are too many: the window is then cut into chunks anew.
	manyExtents = 64
)

// paged says since when an inode has had pages that wait for WriteBack, and of a
// small file how long it is.
type paged struct {
	since time.Time
	small int64
}

// notePaged notes that an inode has pages. in.mu is held.
func (v *Volume) notePaged(in *inode) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wait(in.ino, in.attr.Size)
}

// wait notes that an inode of this size has pages. v.mu is held.
func (v *Volume) wait(ino, size uint64) {
	p := paged{since: v.cfg.Now()}
	if size > inlineData && size < smallData {
		p.small = int64(size)
	}
	v.small += p.small - v.paged[ino].small
	v.paged[ino] = p
}

// WriteBack commits everything that is dirty and moves the pages of files that
// have not been written to for quiet into chunks: what is published should
// carry references, not contents. A file that is written to all the time keeps
// its pages.
func (v *Volume) WriteBack(ctx context.Context, quiet time.Duration) error {
	if err := v.commitAll(ctx, time.Time{}); err != nil {
		return err
	}
	limit := v.cfg.Now().Add(-quiet)
	v.mu.Lock()
	var list []uint64
	for ino, p := range v.paged {
		if !p.since.After(limit) {
			list = append(list, ino)
		}
	}
	v.mu.Unlock()
	slices.Sort(list) // neighbours in the records, and from now on in their stripes, too
	for group := range slices.Chunk(list, groupInodes) {
		if err := v.writeBackGroup(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

// groupInodes is how many inodes WriteBack moves with one sync of stripes.
const groupInodes = 256

// writeBackGroup seals the pages of some inodes, syncs what was sealed, and
// then moves them: that finds the chunks sealed, and need not sync for each.
func (v *Volume) writeBackGroup(ctx context.Context, list []uint64) error {
	for _, ino := range list {
		if err := v.preseal(ctx, ino); err != nil {
			break // the move finds out what it is
		}
	}
	if err := v.cache.Sync(ctx); err != nil {
		return fmt.Errorf("sync small data that is moved into chunks: %w", err)
	}
	for _, ino := range list {
		err := v.writeBack(ctx, ino)
		switch {
		case errors.Is(err, ErrNoSpace): // it is safe where it is
			v.log.Warn("small data stays in the journal: the cache is full", "inode", ino, "error", err)
		case err != nil && !isNotExist(err):
			return fmt.Errorf("move small data of inode %d into chunks: %w", ino, err)
		}
	}
	return nil
}

// preseal makes chunks of what writeBack will move, and changes nothing.
func (v *Volume) preseal(ctx context.Context, ino uint64) error {
	in, err := v.get(ctx, ino)
	if err != nil {
		return err
	}
	defer v.put(in)
	in.mu.RLock()
	defer in.mu.RUnlock()
	if !in.movable() {
		return nil
	}
	return v.eachSpan(ctx, in, func(*sealing) error { return nil })
}

// movable says whether an inode's pages are to become chunks. in.mu is held.
func (in *inode) movable() bool {
	return !in.gone && in.isReg() && in.attr.Size > inlineData
}

func (v *Volume) writeBack(ctx context.Context, ino uint64) error {
	in, err := v.get(ctx, ino)
	if err != nil {
		v.unpaged(ino)
		return err
	}
	defer v.put(in)
	in.mu.Lock()
	defer in.mu.Unlock()
	v.unpaged(ino)
	if !in.movable() {
		return nil
	}
	v.markDirty(in)
	err = v.eachSpan(ctx, in, func(s *sealing) error { return v.apply(ctx, in, s) })
	if err != nil {
		v.notePaged(in)
	}
	return errors.Join(err, v.commit(ctx, in))
}

// eachSpan seals every part of a file that WriteBack moves and hands it to do.
// in.mu is held, exclusively if do changes the file.
func (v *Volume) eachSpan(ctx context.Context, in *inode, do func(*sealing) error) error {
	if err := v.loadPages(ctx, in); err != nil {
		return err
	}
	for _, w := range slices.Sorted(maps.Keys(in.file.pages)) {
		spans, err := v.spans(ctx, in, w)
		if err != nil {
			return err
		}
		for _, sp := range spans {
			if err := v.sealSpan(ctx, in, sp, do); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *Volume) unpaged(ino uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.small -= v.paged[ino].small
	delete(v.paged, ino)
}

// spans returns which parts of a window become chunks: each run of
// neighbouring pages, or, if the window is in many pieces already, all of it
// that is not a hole, anew.
func (v *Volume) spans(ctx context.Context, in *inode, w uint64) ([]span, error) {
	win, err := v.window(ctx, in, w)
	if err != nil {
		return nil, err
	}
	spans := pageSpans(in.file.pages[w], w, in.attr.Size)
	if len(win.extents)+len(spans) > manyExtents {
		spans = joinSpans(win.extents, spans)
	}
	return spans, nil
}

// span is a range [lo, hi) of a file.
type span struct{ lo, hi uint64 }

// pageSpans returns the runs of neighbouring pages of a window, within size.
func pageSpans(b *pageBits, w, size uint64) (spans []span) {
	for i := uint64(0); i < windowPages; i++ {
		if !b.has(i) {
			continue
		}
		lo := (w*windowPages + i) * meta.Page
		hi := min(lo+meta.Page, size)
		if n := len(spans); n > 0 && spans[n-1].hi == lo {
			spans[n-1].hi = hi
		} else if lo < hi {
			spans = append(spans, span{lo, hi})
		}
	}
	return spans
}

// joinSpans returns the parts of a window that are not holes, each as long as
// it goes on.
func joinSpans(extents []meta.Extent, pages []span) (joined []span) {
	all := slices.Clone(pages)
	for i := range extents {
		all = append(all, span{extents[i].Off, extents[i].Off + uint64(extents[i].Len)})
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	for _, sp := range all {
		if n := len(joined); n > 0 && joined[n-1].hi >= sp.lo {
			joined[n-1].hi = max(joined[n-1].hi, sp.hi)
		} else {
			joined = append(joined, sp)
		}
	}
	return joined
}

// sealSpan cuts a part of a file into chunks anew, from what is recorded of it.
func (v *Volume) sealSpan(ctx context.Context, in *inode, sp span, do func(*sealing) error) error {
	s := &sealing{off: sp.lo, buf: newBuf(int(sp.hi - sp.lo))}
	defer freeBuf(s.buf)
	r := reading{v: v, ctx: ctx, in: in}
	r.recorded(s.buf, sp.lo)
	if err := r.open(); err != nil {
		return err
	}
	s.ends = v.cut(s.buf, true)
	if err := v.seal(ctx, s); err != nil {
		return err
	}
	return do(s)
}
