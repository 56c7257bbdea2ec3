package volume

import (
	"context"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
)

// Unlink removes a name of an inode that is no directory, and the inode with
// its last name; who has the file open goes on using it.
func (v *Volume) Unlink(ctx context.Context, dir uint64, name string) error {
	return v.remove(ctx, dir, name, false)
}

// Rmdir removes an empty directory.
func (v *Volume) Rmdir(ctx context.Context, dir uint64, name string) error {
	return v.remove(ctx, dir, name, true)
}

func (v *Volume) remove(ctx context.Context, dir uint64, name string, wantDir bool) error {
	if err := v.writable(); err != nil {
		return err
	}
	d, err := v.dir(ctx, dir)
	if err != nil {
		return err
	}
	defer v.put(d)
	v.tree.RLock()
	defer v.tree.RUnlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	in, err := v.child(ctx, dir, name)
	if err != nil {
		return err
	}
	defer v.put(in)
	switch {
	case wantDir && !in.isDir():
		return ErrNotDir
	case !wantDir && in.isDir():
		return ErrIsDir
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	b := v.db.NewBatch()
	defer b.Recycle()
	b.DeleteDirent(dir, name)
	parent := d.attr
	v.touchDir(&parent)
	drop, err := v.drop(ctx, b, in, &parent)
	if err != nil {
		return err
	}
	b.PutInode(&parent)
	if err := v.db.Commit(ctx, b); err != nil {
		return fmt.Errorf("record the removal of inode %d from directory %d: %w", in.ino, dir, err)
	}
	v.names.remove(dir, name)
	d.attr = parent
	drop()
	return nil
}

// child returns the pinned state of what a name in a directory stands for.
func (v *Volume) child(ctx context.Context, dir uint64, name string) (*inode, error) {
	ino, err := v.entry(ctx, dir, name)
	if err != nil {
		return nil, err
	}
	in, err := v.get(ctx, ino)
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", ino, err)
	}
	return in, nil
}

// drop puts into the batch what the loss of one name does to an inode and to
// the directory that had it, and returns what to do in memory once the batch
// is committed. in.mu is held.
func (v *Volume) drop(ctx context.Context, b *meta.Batch, in *inode, parent *meta.Inode) (func(), error) {
	attr := in.attr
	attr.Ctime = v.now()
	if in.isDir() {
		empty, known := v.names.empty(in.ino)
		if !known {
			var err error
			if empty, err = v.db.IsEmpty(ctx, in.ino); err != nil {
				return nil, err
			}
		}
		if !empty {
			return nil, ErrNotEmpty
		}
		attr.Nlink = 0
		parent.Nlink--
	} else {
		attr.Nlink--
	}
	switch {
	case attr.Nlink > 0:
		in.record(b, attr)
		return func() { in.attr = attr }, nil
	case in.opens > 0 && !in.isDir():
		in.record(b, attr)
		b.PutOrphan(in.ino)
		return func() { in.attr, in.orphan = attr, true }, nil
	}
	if err := v.haunt(ctx, in); err != nil {
		return nil, err
	}
	b.RemoveInode(in.ino)
	return func() {
		in.attr, in.gone = attr, true
		v.names.end(in.ino)
		v.discard(in)
	}, nil
}

// discard forgets what was written to a removed inode and not committed. in.mu
// is held.
func (v *Volume) discard(in *inode) {
	v.dirtyBytes.Add(-in.file.drain() - in.file.dirty.clear())
	in.changed = false
	v.unpaged(in.ino)
	v.markClean(in)
}

// reap removes an inode that was unlinked while open and is open no more.
// in.mu is held.
func (v *Volume) reap(ctx context.Context, in *inode) error {
	b := v.db.NewBatch()
	defer b.Recycle()
	b.RemoveInode(in.ino)
	b.DeleteOrphan(in.ino)
	if err := v.db.Commit(ctx, b); err != nil {
		return fmt.Errorf("remove inode %d, unlinked while open: %w", in.ino, err)
	}
	in.orphan, in.gone = false, true
	v.discard(in)
	return nil
}
