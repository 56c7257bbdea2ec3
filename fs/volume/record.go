package volume

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hammockfs/hammock/fs/meta"
)

// batchBytes is how much one batch of the journal carries, about. What is more
// goes into several, and a crash may come between them.
const batchBytes = 4 << 20

// recording is what has changed of one file on its way into the journal. The
// order is what makes a crash harmless: a clip first, with what it goes through, so
// that it hits nothing new; windows before the pages that hide them go; and before those, the sync
// of what the windows cite. For a power cut may keep the batch and tear the
// chunks: what a window showed before comes back then, but no deleted page.
type recording struct {
	ctx  context.Context
	v    *Volume
	in   *inode
	b    *meta.Batch
	attr meta.Inode // as recorded
}

// recordFile commits the changed windows, pages and attributes of an inode. If
// it fails, all of them are still to be recorded. in.mu is held exclusively.
func (v *Volume) recordFile(ctx context.Context, in *inode) error {
	f := &in.file
	if !in.changed && f.changed == 0 && len(f.edits) == 0 && !f.clipped {
		return nil
	}
	r := recording{ctx: ctx, v: v, in: in, b: v.db.NewBatch(), attr: in.attr}
	defer r.b.Recycle()
	r.attr.Size = in.bearableSize()
	if err := r.run(); err != nil {
		return fmt.Errorf("record inode %d: %w", in.ino, err)
	}
	for _, win := range f.windows {
		win.changed = false
	}
	if f.hasPages() {
		v.notePaged(in)
	}
	in.attr.Flags = r.attr.Flags
	f.size, f.blocks = r.attr.Size, r.attr.Blocks
	if f.pending() == 0 {
		f.solid = r.attr.Size // however it came to be: later bytes that wait do not make it smaller
	}
	f.changed, f.edits, f.clipped, in.changed = 0, nil, false, false
	return nil
}

func (r *recording) run() error {
	f := &r.in.file
	if f.clipped {
		r.b.Clip(r.in.ino, f.clip)
		r.edge()
	}
	if err := r.windows(); err != nil {
		return err
	}
	if err := r.pages(); err != nil {
		return err
	}
	if f.known && !f.hasPages() {
		r.attr.Flags &^= flagPages
	}
	return r.commit()
}

// edge puts what is left of the window and the page that the clip goes through
// beside the clip. A crash between this batch and the next would leave them whole,
// with bytes behind the new end, which a later, larger size would show.
func (r *recording) edge() {
	f := &r.in.file
	w, p := f.clip/meta.Window, f.clip/meta.Page
	if win := f.windows[w]; win != nil && win.changed {
		r.b.PutWindow(r.in.ino, w, win.extents)
	}
	if data := f.edits[p]; data != nil {
		r.b.PutPage(r.in.ino, p, data)
		r.attr.Flags |= flagPages
	}
}

func (r *recording) windows() error {
	f := &r.in.file
	if f.changed == 0 {
		return nil
	}
	for _, w := range slices.Sorted(maps.Keys(f.windows)) {
		if win := f.windows[w]; win.changed {
			r.b.PutWindow(r.in.ino, w, win.extents)
			if err := r.split(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *recording) pages() error {
	f := &r.in.file
	if len(f.edits) == 0 {
		return nil
	}
	list := slices.Sorted(maps.Keys(f.edits))
	for _, p := range list {
		data := f.edits[p]
		if data == nil {
			continue
		}
		r.b.PutPage(r.in.ino, p, data)
		r.attr.Flags |= flagPages
		if err := r.split(); err != nil {
			return err
		}
	}
	synced := false
	for _, p := range list {
		if f.edits[p] != nil {
			continue
		}
		if !synced {
			if err := r.syncCited(); err != nil {
				return err
			}
			synced = true
		}
		r.b.DeletePage(r.in.ino, p)
		if err := r.split(); err != nil {
			return err
		}
	}
	return nil
}

// syncCited syncs the stripes that the changed windows cite.
func (r *recording) syncCited() error {
	var stripes []uint64
	for _, win := range r.in.file.windows {
		for i := range win.extents {
			if win.changed {
				stripes = append(stripes, win.extents[i].Ref.Stripe)
			}
		}
	}
	slices.Sort(stripes)
	if stripes = slices.Compact(stripes); len(stripes) == 0 {
		return nil
	}
	return r.v.cache.Sync(r.ctx, stripes...)
}

// split commits what is in the batch if it is full.
func (r *recording) split() error {
	if r.b.Size() < batchBytes {
		return nil
	}
	defer r.b.Reset()
	return r.commit()
}

func (r *recording) commit() error {
	r.b.PutInode(&r.attr)
	return r.v.db.Commit(r.ctx, r.b)
}
