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

// paged says since when an inode has had pages that wait for WriteBack.
type paged struct {
	since time.Time
}

// notePaged notes that an inode has pages.
func (v *Volume) notePaged(ino uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.paged[ino] = paged{since: v.cfg.Now()}
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
	if in.gone || !in.isReg() || in.attr.Size <= inlineData {
		return nil
	}
	v.markDirty(in)
	err = v.sealAllPages(ctx, in)
	if err != nil {
		v.notePaged(ino)
	}
	return errors.Join(err, v.commit(ctx, in))
}

func (v *Volume) sealAllPages(ctx context.Context, in *inode) error {
	if err := v.loadPages(ctx, in); err != nil {
		return err
	}
	for _, w := range slices.Collect(maps.Keys(in.file.pages)) {
		if err := v.sealPages(ctx, in, w); err != nil {
			return err
		}
	}
	return nil
}

func (v *Volume) unpaged(ino uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.paged, ino)
}

// sealPages makes chunks of the pages of a window: each run of neighbours is one
// span; if the window is in many pieces already, all of it that is not a hole is
// cut anew.
func (v *Volume) sealPages(ctx context.Context, in *inode, w uint64) error {
	win, err := v.window(ctx, in, w)
	if err != nil {
		return err
	}
	spans := pageSpans(in.file.pages[w], w, in.attr.Size)
	if len(win.extents)+len(spans) > manyExtents {
		spans = joinSpans(win.extents, spans)
	}
	for _, sp := range spans {
		if err := v.sealSpan(ctx, in, sp); err != nil {
			return err
		}
	}
	return nil
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
func (v *Volume) sealSpan(ctx context.Context, in *inode, sp span) error {
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
	return v.apply(ctx, in, s)
}
