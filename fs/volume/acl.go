package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume/acl"
)

// The names under which the kernel reads and sets access control lists: who may
// do what with an inode, and what is inherited by what is made in a directory.
const (
	XattrACL        = "system.posix_acl_access"
	XattrDefaultACL = "system.posix_acl_default"
)

func isACL(name string) bool { return name == XattrACL || name == XattrDefaultACL }

// setACL sets or removes an access control list, with what ext4 makes of it: an
// access list sets the permission bits, and is not kept if they say all of it; a
// list without entries removes; a default list belongs to directories only;
// symbolic links have neither.
func (v *Volume) setACL(ctx context.Context, ino uint64, name string, form []byte, killGID bool) error {
	list, err := acl.Parse(form)
	switch {
	case errors.Is(err, acl.ErrVersion):
		return fmt.Errorf("%w: %w", ErrNotSupported, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case len(list.Form()) > acl.Max:
		return ErrTooBigXattr
	}
	return v.changeXattrs(ctx, ino, func(c *xattrChange) error {
		switch {
		case c.in.kind == modeLink:
			return ErrNotSupported
		case name == XattrDefaultACL && !c.in.isDir():
			if len(list) == 0 {
				return nil
			}
			return ErrAccess
		case name == XattrACL && len(list) > 0:
			perm, all := list.Mode()
			c.attr.Mode = c.attr.Mode&^modeRWX | perm
			if killGID {
				c.attr.Mode &^= modeGID
			}
			if all {
				list = nil
			}
		}
		return v.storeACL(ctx, c, name, list)
	})
}

// storeACL puts a list into a change, unless it is there already.
func (v *Volume) storeACL(ctx context.Context, c *xattrChange, name string, list acl.List) error {
	old, err := v.xattr(ctx, c.in, name)
	if err != nil && !errors.Is(err, ErrNoXattr) {
		return err
	}
	if len(list) == 0 {
		if err == nil {
			c.remove(name)
		}
		return nil
	}
	form := list.Form()
	if err == nil && bytes.Equal(old, form) {
		return nil
	}
	if err != nil {
		if c.names, err = v.roomForName(ctx, c.in, name); err != nil {
			return err
		}
	}
	c.put(name, form)
	return nil
}

// list returns a list that an inode has; nil if it has none. in.mu is held.
func (v *Volume) list(ctx context.Context, in *inode, name string) (acl.List, error) {
	form, err := v.xattr(ctx, in, name)
	if errors.Is(err, ErrNoXattr) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := acl.Parse(form)
	if err != nil {
		return nil, fmt.Errorf("the %s of inode %d: %w", name, in.ino, err)
	}
	return list, nil
}

// chmodACL makes the access list say what the mode says, as chmod(2) does.
// in.mu is held.
func (v *Volume) chmodACL(ctx context.Context, b *meta.Batch, in *inode, mode uint32) error {
	list, err := v.list(ctx, in, XattrACL)
	if err != nil || list == nil {
		return err
	}
	list.SetMode(mode)
	b.PutXattr(in.ino, XattrACL, list.Form())
	return nil
}

// inheritACL gives a new inode the access list that its directory has for it,
// and a new directory the default list as well; without one the caller's umask
// counts. d.mu is held.
func (v *Volume) inheritACL(ctx context.Context, b *meta.Batch, a *Attr, d *inode, umask uint32) error {
	if a.Mode&modeType == modeLink {
		return nil
	}
	inherited, err := v.list(ctx, d, XattrDefaultACL)
	if err != nil {
		return err
	}
	if inherited == nil {
		a.Mode &^= umask & modeRWX
		return nil
	}
	list, perm := inherited.Inherit(a.Mode)
	a.Mode = a.Mode&^modeRWX | perm
	if _, all := list.Mode(); !all {
		b.PutXattr(a.Ino, XattrACL, list.Form())
		a.Flags |= flagXattrs | flagACL
	}
	if a.Mode&modeType == modeDir {
		b.PutXattr(a.Ino, XattrDefaultACL, inherited.Form())
		a.Flags |= flagXattrs | flagACL
	}
	return nil
}
