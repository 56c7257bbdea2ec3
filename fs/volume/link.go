package volume

import (
	"context"
	"fmt"
)

// Link gives an inode that is no directory a further name, or its first: to a
// file of Tmpfile, or one that was unlinked and is open (which the kernel
// refuses by itself).
func (v *Volume) Link(ctx context.Context, ino, dir uint64, name string) (Attr, error) {
	if err := v.growable(); err != nil {
		return Attr{}, err
	}
	if err := checkName(name); err != nil {
		return Attr{}, err
	}
	d, err := v.dir(ctx, dir)
	if err != nil {
		return Attr{}, err
	}
	defer v.put(d)
	in, err := v.get(ctx, ino)
	if err != nil {
		return Attr{}, err
	}
	defer v.put(in)
	if in.isDir() {
		return Attr{}, ErrPerm
	}
	v.tree.RLock()
	defer v.tree.RUnlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := v.vacant(ctx, d, name); err != nil {
		return Attr{}, err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return v.link(ctx, in, d, name)
}

// link records a further name of an inode; both locks are held.
func (v *Volume) link(ctx context.Context, in, d *inode, name string) (Attr, error) {
	if in.gone || in.attr.Nlink == 0 && !in.orphan {
		return Attr{}, ErrNotExist
	}
	if in.attr.Nlink >= MaxLinks {
		return Attr{}, ErrTooManyLinks
	}
	attr, parent := in.attr, d.attr
	attr.Nlink++
	attr.Ctime = v.now()
	v.touchDir(&parent)
	b := v.db.NewBatch()
	defer b.Recycle()
	if in.orphan {
		attr.Parent = d.ino
		b.DeleteOrphan(in.ino)
	}
	in.record(b, attr)
	b.PutDirent(d.ino, name, in.ino, uint8(attr.Mode>>12))
	b.PutInode(&parent)
	defer d.absent.end(name)
	if err := v.db.Commit(ctx, b); err != nil {
		return Attr{}, fmt.Errorf("record a link to inode %d: %w", in.ino, err)
	}
	v.names.put(d.ino, name, in.ino)
	in.attr, d.attr, in.orphan = attr, parent, false
	return v.stat(ctx, in), nil
}
