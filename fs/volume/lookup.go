package volume

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
)

// Entry is one name of a directory as ReadDir lists it.
type Entry = meta.Dirent

// dir returns the pinned state of a directory.
func (v *Volume) dir(ctx context.Context, ino uint64) (*inode, error) {
	in, err := v.get(ctx, ino)
	if err != nil {
		return nil, fmt.Errorf("directory %d: %w", ino, err)
	}
	if !in.isDir() {
		v.put(in)
		return nil, ErrNotDir
	}
	return in, nil
}

// Lookup returns the attributes of what a name in a directory stands for.
func (v *Volume) Lookup(ctx context.Context, dir uint64, name string) (Attr, error) {
	if len(name) > MaxName {
		return Attr{}, ErrNameTooLong
	}
	d, err := v.dir(ctx, dir)
	if err != nil {
		return Attr{}, err
	}
	defer v.put(d)
	added := d.absent.begin()
	ino, err := v.entry(ctx, dir, name)
	if errors.Is(err, ErrNotExist) {
		d.absent.note(name, added)
	}
	if err != nil {
		return Attr{}, err
	}
	return v.GetAttr(ctx, ino)
}

// entry returns the inode that a name in a directory stands for, or ErrNotExist.
func (v *Volume) entry(ctx context.Context, dir uint64, name string) (uint64, error) {
	switch ino, known := v.names.find(dir, name); {
	case ino != 0:
		return ino, nil
	case known:
		return 0, ErrNotExist
	}
	e, err := v.db.Lookup(ctx, dir, name)
	return e.Ino, err
}

// GetAttr returns the attributes of an inode, as they are with everything that
// has been written so far.
func (v *Volume) GetAttr(ctx context.Context, ino uint64) (Attr, error) {
	in, err := v.get(ctx, ino)
	if err != nil {
		return Attr{}, err
	}
	defer v.put(in)
	in.mu.RLock()
	defer in.mu.RUnlock()
	return v.stat(ctx, in), nil
}

// GetAttrHere is GetAttr if nothing must be fetched for it, or waited for.
func (v *Volume) GetAttrHere(ino uint64) (Attr, error) { return v.GetAttr(nobodyWaits, ino) }

// Readlink returns the target of a symbolic link.
func (v *Volume) Readlink(ctx context.Context, ino uint64) (string, error) {
	a, err := v.GetAttr(ctx, ino)
	if err != nil {
		return "", err
	}
	if a.Mode&modeType != modeLink {
		return "", ErrInvalid
	}
	return a.Target, nil
}

// ReadDir returns up to n entries of a directory whose cookies are above after,
// in the order of their cookies; none means the end. A cookie belongs to its
// name for good, whatever comes and goes in between. "." and ".." are the
// caller's to add: cookies below 16 are left for that.
func (v *Volume) ReadDir(ctx context.Context, dir, after uint64, n int) ([]Entry, error) {
	in, err := v.dir(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer v.put(in)
	if in.absent.behind(after) {
		return nil, nil
	}
	added := in.absent.begin()
	list, err := v.db.ReadDir(ctx, dir, after, n)
	if err == nil && len(list) < n {
		if len(list) > 0 {
			after = list[len(list)-1].Cookie
		}
		in.absent.noteLast(after, added)
	}
	return list, err
}

// Parent returns the directory that a directory is in; the root is its own.
func (v *Volume) Parent(ctx context.Context, dir uint64) (uint64, error) {
	a, err := v.GetAttr(ctx, dir)
	if err != nil {
		return 0, err
	}
	return a.Parent, nil
}

// Path is where an inode was seen last, for people: as far as can be found out
// before ctx ends, and maybe outdated.
func (v *Volume) Path(ctx context.Context, ino uint64) string { return v.db.Path(ctx, ino) }

// FsyncDir returns when every change of the directory survives a power cut.
func (v *Volume) FsyncDir(ctx context.Context, _ uint64) error { return v.db.Sync(ctx) }
