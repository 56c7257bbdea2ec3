package volume

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
)

// smallWaiting is how many bytes of small files may wait as pages, unless
// Config.Small says otherwise. A page is written to the journal, to a table of
// records, and to a stripe in the end: that is right for what is soon written again,
// synced or removed, and too dear for thousands of files of a tree that is copied.
const smallWaiting = 512 << 10

// settleWhole makes a chunk of a small file that was just made and is being
// closed, if a chunk with its content is there already or if very many small files
// wait as pages. Else it leaves the file as it is. in.mu is held exclusively.
func (v *Volume) settleWhole(ctx context.Context, in *inode) error {
	if !in.wholeSmall() {
		return nil
	}
	r := in.file.dirty.list[0]
	ref, ok, err := v.wholeChunk(ctx, r.buf)
	if err != nil {
		return fmt.Errorf("seal %d bytes of inode %d: %w", len(r.buf), in.ino, err)
	}
	if !ok {
		return nil
	}
	s := sealing{buf: r.buf, ends: []int{len(r.buf)}, refs: []crypt.Ref{ref}}
	if err := v.apply(ctx, in, &s); err != nil {
		return err
	}
	v.release(in, r)
	return nil
}

// wholeChunk returns the chunk of a small file, if there is to be one.
func (v *Volume) wholeChunk(ctx context.Context, buf []byte) (ref crypt.Ref, ok bool, err error) {
	if !v.crowded() {
		ref, ok = v.cache.Find(buf)
		return ref, ok, nil
	}
	ref, err = v.cache.Put(ctx, classData, buf)
	if errors.Is(err, ErrNoSpace) {
		return ref, false, nil // there is room in the journal
	}
	return ref, err == nil, err
}

// wholeSmall says whether an inode is a small file of which nothing is recorded,
// too large for a record, and all of it has been written in one piece. in.mu is held.
func (in *inode) wholeSmall() bool { return in.movable() && in.allDirty() }

// allDirty says whether an inode is a small file of which nothing is recorded, and
// all of it has been written in one piece. in.mu is held.
func (in *inode) allDirty() bool {
	f := &in.file
	if in.gone || !in.isReg() || in.attr.Size >= smallData || in.attr.Flags&(flagPages|flagWindows) != 0 {
		return false
	}
	if f.changed > 0 || len(f.edits) > 0 || f.clipped || len(f.sealing) > 0 || len(f.dirty.list) != 1 {
		return false
	}
	r := f.dirty.list[0]
	return r.off == 0 && r.end() == in.attr.Size
}

// crowded says whether more small files wait as pages than should.
func (v *Volume) crowded() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.small >= v.cfg.Small
}
