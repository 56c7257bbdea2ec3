package volume

import (
	"context"
	"errors"
	"fmt"
)

// How SetXattr treats an attribute that exists, or does not, as in setxattr(2).
const (
	XattrCreate  = 1
	XattrReplace = 2
)

// GetXattr returns the value of an extended attribute, ErrNoXattr if there is
// none of that name.
func (v *Volume) GetXattr(ctx context.Context, ino uint64, name string) ([]byte, error) {
	a, err := v.GetAttr(ctx, ino)
	if err != nil {
		return nil, err
	}
	if a.Flags&flagXattrs == 0 {
		return nil, ErrNoXattr
	}
	return v.db.Xattr(ctx, ino, name)
}

// ListXattr returns the names of an inode's extended attributes.
func (v *Volume) ListXattr(ctx context.Context, ino uint64) ([]string, error) {
	a, err := v.GetAttr(ctx, ino)
	if err != nil {
		return nil, err
	}
	if a.Flags&flagXattrs == 0 {
		return nil, nil
	}
	return v.db.Xattrs(ctx, ino)
}

// SetXattr sets an extended attribute; flags is zero, XattrCreate or
// XattrReplace.
func (v *Volume) SetXattr(ctx context.Context, ino uint64, name string, value []byte, flags int) error {
	switch {
	case name == "" || len(name) > maxXattrName:
		return ErrRange
	case len(value) > MaxXattr:
		return ErrTooBigXattr
	case flags&^(XattrCreate|XattrReplace) != 0:
		return ErrInvalid
	}
	return v.changeXattr(ctx, ino, func(in *inode, b batch) error {
		_, err := v.xattr(ctx, in, name)
		switch {
		case err != nil && !errors.Is(err, ErrNoXattr):
			return err
		case err == nil && flags == XattrCreate:
			return ErrExist
		case err != nil && flags == XattrReplace:
			return ErrNoXattr
		}
		b.PutXattr(ino, name, value)
		return nil
	})
}

// RemoveXattr removes an extended attribute, ErrNoXattr if there is none.
func (v *Volume) RemoveXattr(ctx context.Context, ino uint64, name string) error {
	return v.changeXattr(ctx, ino, func(in *inode, b batch) error {
		if _, err := v.xattr(ctx, in, name); err != nil {
			return err
		}
		b.DeleteXattr(ino, name)
		return nil
	})
}

// xattr is GetXattr with in.mu held.
func (v *Volume) xattr(ctx context.Context, in *inode, name string) ([]byte, error) {
	if in.attr.Flags&flagXattrs == 0 {
		return nil, ErrNoXattr
	}
	return v.db.Xattr(ctx, in.ino, name)
}

// batch is the part of meta.Batch that a change of attributes uses.
type batch interface {
	PutXattr(ino uint64, name string, value []byte)
	DeleteXattr(ino uint64, name string)
}

func (v *Volume) changeXattr(ctx context.Context, ino uint64, change func(*inode, batch) error) error {
	if err := v.writable(); err != nil {
		return err
	}
	in, err := v.get(ctx, ino)
	if err != nil {
		return err
	}
	defer v.put(in)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gone {
		return ErrNotExist
	}
	b := v.db.NewBatch()
	if err := change(in, b); err != nil {
		return err
	}
	attr := in.attr
	attr.Ctime = v.now()
	attr.Flags |= flagXattrs
	in.record(b, attr)
	if err := v.db.Commit(ctx, b); err != nil {
		return fmt.Errorf("record an attribute of inode %d: %w", ino, err)
	}
	in.attr = attr
	return nil
}
