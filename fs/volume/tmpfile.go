package volume

import (
	"context"
	"fmt"
)

// Tmpfile makes a regular file without a name and opens it. It vanishes with its
// last handle, or with this process, unless Link gives it a name. It inherits
// from the directory dir like a file made there, but leaves no trace in it.
func (v *Volume) Tmpfile(ctx context.Context, c Caller, dir uint64, mode uint32) (Attr, *File, error) {
	if err := v.growable(); err != nil {
		return Attr{}, nil, err
	}
	d, err := v.dir(ctx, dir)
	if err != nil {
		return Attr{}, nil, err
	}
	defer v.put(d)
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.gone {
		return Attr{}, nil, ErrPerm // ext4 says so
	}
	a, b := Attr{Mode: modeReg | mode&modePerm}, v.db.NewBatch()
	defer b.Recycle()
	if err := v.fill(ctx, b, &a, c, d); err != nil {
		return Attr{}, nil, err
	}
	b.PutOrphan(a.Ino)
	in := v.adopt(a)
	if err := v.db.Commit(ctx, b); err != nil {
		v.abandon(in)
		return Attr{}, nil, fmt.Errorf("record a new inode without a name: %w", err)
	}
	defer in.mu.Unlock()
	in.orphan = true
	in.opens++
	return v.stat(ctx, in), &File{v: v, in: in}, nil
}
