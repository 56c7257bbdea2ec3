package volume

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hammockfs/hammock/fs/meta"
)

// commit makes everything written to the inode true in the journal. in.mu is
// held exclusively.
func (v *Volume) commit(ctx context.Context, in *inode) error {
	if in.gone {
		return nil
	}
	if in.isReg() {
		if err := v.settle(ctx, in); err != nil {
			return err
		}
	}
	if err := v.recordFile(ctx, in); err != nil {
		return err
	}
	in.file.sealed = 0
	v.markClean(in)
	return nil
}

// settle turns all dirty bytes of a file into extents and pages in memory.
func (v *Volume) settle(ctx context.Context, in *inode) error {
	f := &in.file
	if err := v.applySealed(ctx, in, len(f.sealing)); err != nil {
		return err
	}
	for _, r := range slices.Clone(f.dirty.list) {
		if len(r.buf) < smallData && (f.sealed == 0 || r.off != f.sealed) {
			continue
		}
		s := &sealing{off: r.off, buf: r.buf, ends: v.cut(r.buf, true)}
		if err := v.seal(ctx, s); err != nil {
			return fmt.Errorf("seal %d bytes of inode %d at %d: %w", len(s.buf), in.ino, s.off, err)
		}
		if err := v.apply(ctx, in, s); err != nil {
			return err
		}
		f.sealed = r.end()
		v.release(in, r)
	}
	if err := v.settlePages(ctx, in); err != nil {
		return err
	}
	return v.thinAll(ctx, in)
}

// release drops a dirty run whose bytes have found another place.
func (v *Volume) release(in *inode, r *run) {
	v.dirtyBytes.Add(-int64(len(r.buf)))
	in.file.dirty.remove(slices.Index(in.file.dirty.list, r))
}

// settlePages turns the short runs into pages: where a window has many of them
// into chunks, which cost less than as many records, where it has few into small
// data.
func (v *Volume) settlePages(ctx context.Context, in *inode) error {
	f := &in.file
	if len(f.dirty.list) == 0 {
		return nil
	}
	if err := v.loadPages(ctx, in); err != nil {
		return err
	}
	few, err := v.settleScattered(ctx, in, f.dirty.touchedPages())
	if err != nil {
		return err
	}
	for _, t := range few {
		if err := v.settlePage(ctx, in, t); err != nil {
			return err
		}
	}
	f.solid = max(f.solid, f.dirty.list[len(f.dirty.list)-1].end())
	v.dirtyBytes.Add(-f.dirty.clear())
	f.eager = 0
	return nil
}

// settlePage makes small data of what a page shows.
func (v *Volume) settlePage(ctx context.Context, in *inode, t touched) error {
	data := make([]byte, meta.Page)
	if err := v.copyPage(ctx, in, t, data); err != nil {
		return err
	}
	w := t.page / windowPages
	win, err := v.window(ctx, in, w)
	if err != nil {
		return err
	}
	before := in.covered(w, win)
	in.file.putPage(t.page, data[:min(meta.Page, in.attr.Size-t.page*meta.Page)])
	in.account(before, in.covered(w, win))
	return nil
}

// commitAll commits the inodes that have been dirty since before the given
// time; all of them if it is zero. It goes on after an error and returns the
// first.
func (v *Volume) commitAll(ctx context.Context, before time.Time) error {
	v.mu.Lock()
	var list []*inode
	for _, in := range v.dirty {
		if before.IsZero() || in.seen.Before(before) {
			v.pin(in)
			list = append(list, in)
		}
	}
	v.mu.Unlock()
	var first error
	for _, in := range list {
		in.mu.Lock()
		err := v.commit(ctx, in)
		in.mu.Unlock()
		v.put(in)
		if err != nil && first == nil {
			first = err
		}
	}
	return first
}

// flusher commits what has been dirty for long.
func (v *Volume) flusher(ctx context.Context) {
	defer v.done.Done()
	tick := time.NewTicker(v.cfg.Age / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := v.commitAll(ctx, v.cfg.Now().Add(-v.cfg.Age)); err != nil && ctx.Err() == nil {
			v.log.Error("written data is still only in memory, trying again", "error", err)
		}
	}
}
