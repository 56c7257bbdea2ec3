package volume

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
)

// Caller is who asks for a new inode.
type Caller struct {
	UID, GID uint32
	Umask    uint32 // applied to the mode, unless the directory has a default access control list
}

// maxTarget is the longest target of a symbolic link, in bytes, as PATH_MAX.
const maxTarget = 4095

// Mknod makes a regular file, a FIFO, a socket or a device, as the type in mode
// says; a mode without a type makes a regular file.
func (v *Volume) Mknod(ctx context.Context, c Caller, dir uint64, name string, mode, rdev uint32) (Attr, error) {
	kind := mode & modeType
	switch kind {
	case 0:
		kind = modeReg
	case modeReg, modeFIFO, modeSocket:
	case modeChar, modeBlock:
		return v.make(ctx, c, dir, name, Attr{Mode: kind | mode&modePerm, Rdev: rdev, Nlink: 1})
	default:
		return Attr{}, ErrInvalid
	}
	return v.make(ctx, c, dir, name, Attr{Mode: kind | mode&modePerm, Nlink: 1})
}

// Mkdir makes an empty directory.
func (v *Volume) Mkdir(ctx context.Context, c Caller, dir uint64, name string, mode uint32) (Attr, error) {
	return v.make(ctx, c, dir, name, Attr{Mode: modeDir | mode&modePerm, Nlink: 2})
}

// Symlink makes a symbolic link to target.
func (v *Volume) Symlink(ctx context.Context, c Caller, dir uint64, name, target string) (Attr, error) {
	switch {
	case target == "":
		return Attr{}, ErrNotExist
	case len(target) > maxTarget:
		return Attr{}, ErrNameTooLong
	}
	return v.make(ctx, c, dir, name, Attr{Mode: modeLink | 0o777, Nlink: 1, Target: target, Size: uint64(len(target))})
}

// Create makes a regular file and opens it.
func (v *Volume) Create(ctx context.Context, c Caller, dir uint64, name string, mode uint32) (Attr, *File, error) {
	in, err := v.makeInode(ctx, c, dir, name, Attr{Mode: modeReg | mode&modePerm, Nlink: 1})
	if err != nil {
		return Attr{}, nil, err
	}
	defer in.mu.Unlock()
	in.opens++
	return v.stat(ctx, in), &File{v: v, in: in}, nil
}

func (v *Volume) make(ctx context.Context, c Caller, dir uint64, name string, a Attr) (Attr, error) {
	in, err := v.makeInode(ctx, c, dir, name, a)
	if err != nil {
		return Attr{}, err
	}
	defer v.put(in)
	defer in.mu.Unlock()
	return in.attr, nil
}

// makeInode records a new inode under a name and returns its state, pinned and
// locked: an unlink that comes between must not find it closed.
func (v *Volume) makeInode(ctx context.Context, c Caller, dir uint64, name string, a Attr) (*inode, error) {
	if err := v.growable(); err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	d, err := v.dir(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer v.put(d)
	v.tree.RLock()
	defer v.tree.RUnlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := v.vacant(ctx, d, name); err != nil {
		return nil, err
	}
	b := v.db.NewBatch()
	defer b.Recycle()
	if err := v.fill(ctx, b, &a, c, d); err != nil {
		return nil, err
	}
	b.PutDirent(dir, name, a.Ino, uint8(a.Mode>>12))
	parent := d.attr
	v.touchDir(&parent)
	if a.Mode&modeType == modeDir {
		if parent.Nlink >= MaxLinks {
			return nil, ErrTooManyLinks
		}
		parent.Nlink++
	}
	b.PutInode(&parent)
	in := v.adopt(a)
	if in.isDir() {
		v.names.begin(in.ino)
	}
	defer d.absent.end(name)
	if err := v.db.Commit(ctx, b); err != nil {
		v.names.end(in.ino)
		v.abandon(in)
		return nil, fmt.Errorf("record a new inode in directory %d: %w", dir, err)
	}
	v.names.put(dir, name, in.ino)
	d.attr = parent
	return in, nil
}

// vacant refuses a name that is taken, and any name in a directory that has
// been removed. d.mu is held.
func (v *Volume) vacant(ctx context.Context, d *inode, name string) error {
	if d.gone {
		return ErrNotExist
	}
	if d.absent.has(name) {
		return nil
	}
	_, err := v.entry(ctx, d.ino, name)
	switch {
	case err == nil:
		return ErrExist
	case errors.Is(err, ErrNotExist):
		return nil
	}
	return err
}

// fill completes a new inode and puts it into the batch: what it has from its
// maker and its directory. A directory with the set-group-ID bit hands its group
// down, and to directories the bit as well. d.mu is held.
func (v *Volume) fill(ctx context.Context, b *meta.Batch, a *Attr, c Caller, d *inode) error {
	now := v.now()
	a.Ino, a.UID, a.GID, a.Parent = v.db.NextIno(), c.UID, c.GID, d.ino
	a.Atime, a.Mtime, a.Ctime, a.Btime = now, now, now, now
	if d.attr.Mode&modeGID != 0 {
		a.GID = d.attr.GID
		if a.Mode&modeType == modeDir {
			a.Mode |= modeGID
		}
	}
	if err := v.inheritACL(ctx, b, a, d, c.Umask); err != nil {
		return err
	}
	b.PutInode(a)
	return nil
}

// touchDir notes on a directory that its entries have changed.
func (v *Volume) touchDir(a *meta.Inode) {
	now := v.now()
	a.Mtime, a.Ctime = now, now
}
