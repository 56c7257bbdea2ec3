package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hammockfs/hammock/fs/meta"
)

// How SetXattr treats an attribute that exists, or does not, as in setxattr(2),
// and besides:
const (
	XattrCreate  = 1
	XattrReplace = 2
	// XattrKillSetGID says that the caller is not in the file's group: an access
	// control list that is set takes the set-group-ID bit.
	XattrKillSetGID = 1 << 16
)

// maxXattrList is the longest list of names that listxattr(2) can return, in
// bytes, with a NUL after each.
const maxXattrList = 64 << 10

// xattrCaps is what gives a program privileges of root; whoever changes the
// file takes it away (see killCaps).
const xattrCaps = "security.capability"

// GetXattr returns the value of an extended attribute, ErrNoXattr if there is
// none of that name. It reads no records for what the inode certainly has not.
func (v *Volume) GetXattr(ctx context.Context, ino uint64, name string) ([]byte, error) {
	in, err := v.get(ctx, ino)
	if err != nil {
		return nil, err
	}
	defer v.put(in)
	in.mu.RLock()
	a := in.attr
	if in.gone {
		defer in.mu.RUnlock()
		return in.ghostXattr(name)
	}
	in.mu.RUnlock() // records may be slow to come
	return v.recordedXattr(ctx, &a, name)
}

// xattr is GetXattr with in.mu held.
func (v *Volume) xattr(ctx context.Context, in *inode, name string) ([]byte, error) {
	if in.gone {
		return in.ghostXattr(name)
	}
	return v.recordedXattr(ctx, &in.attr, name)
}

func (v *Volume) recordedXattr(ctx context.Context, a *Attr, name string) ([]byte, error) {
	if a.Flags&flagXattrs == 0 || isACL(name) && a.Flags&flagACL == 0 {
		return nil, ErrNoXattr
	}
	return v.db.Xattr(ctx, a.Ino, name)
}

func (in *inode) ghostXattr(name string) ([]byte, error) {
	value, ok := in.ghost[name]
	if !ok {
		return nil, ErrNoXattr
	}
	return value, nil
}

// ListXattr returns the names of an inode's extended attributes, sorted.
func (v *Volume) ListXattr(ctx context.Context, ino uint64) ([]string, error) {
	in, err := v.get(ctx, ino)
	if err != nil {
		return nil, err
	}
	defer v.put(in)
	in.mu.RLock()
	defer in.mu.RUnlock()
	return v.xattrs(ctx, in)
}

// xattrs is ListXattr with in.mu held.
func (v *Volume) xattrs(ctx context.Context, in *inode) ([]string, error) {
	switch {
	case in.gone:
		return slices.Sorted(maps.Keys(in.ghost)), nil
	case in.attr.Flags&flagXattrs == 0:
		return nil, nil
	}
	return v.db.Xattrs(ctx, in.ino)
}

// SetXattr sets an extended attribute; flags is zero or some of XattrCreate,
// XattrReplace and XattrKillSetGID. An access control list is set with all that
// goes with it, as setACL says. A value that is there already changes nothing,
// nor the ctime, as in ext4.
func (v *Volume) SetXattr(ctx context.Context, ino uint64, name string, value []byte, flags int) error {
	switch {
	case name == "" || len(name) > maxXattrName:
		return ErrRange
	case len(value) > MaxXattr:
		return ErrTooBigXattr
	case flags&^(XattrCreate|XattrReplace|XattrKillSetGID) != 0:
		return ErrInvalid
	case isACL(name):
		return v.setACL(ctx, ino, name, value, flags&XattrKillSetGID != 0)
	}
	if err := v.growable(); err != nil {
		return err
	}
	return v.changeXattrs(ctx, ino, func(c *xattrChange) error {
		old, err := v.xattr(ctx, c.in, name)
		exists := err == nil
		switch {
		case err != nil && !errors.Is(err, ErrNoXattr):
			return err
		case exists && flags&XattrCreate != 0:
			return ErrExist
		case !exists && flags&XattrReplace != 0:
			return ErrNoXattr
		case exists && bytes.Equal(old, value):
			return nil
		case exists:
			c.names = c.in.names
		default:
			if c.names, err = v.roomForName(ctx, c.in, name); err != nil {
				return err
			}
		}
		c.put(name, value)
		return nil
	})
}

// roomForName refuses a name with which the list would be longer than a program
// can ask for, and returns how long it will be.
func (v *Volume) roomForName(ctx context.Context, in *inode, name string) (int, error) {
	n := in.names
	if n == 0 { // not counted yet, or there are none
		names, err := v.xattrs(ctx, in)
		if err != nil {
			return 0, err
		}
		for _, other := range names {
			n += len(other) + 1
		}
	}
	if n += len(name) + 1; n > maxXattrList {
		return 0, fmt.Errorf("a list of %d bytes of attribute names: %w", n, ErrNoSpace)
	}
	return n, nil
}

// RemoveXattr removes an extended attribute, ErrNoXattr if there is none. Of
// access control lists it removes one that is not there, too, as in Linux.
func (v *Volume) RemoveXattr(ctx context.Context, ino uint64, name string) error {
	if isACL(name) {
		return v.setACL(ctx, ino, name, nil, false)
	}
	return v.changeXattrs(ctx, ino, func(c *xattrChange) error {
		if _, err := v.xattr(ctx, c.in, name); err != nil {
			return err
		}
		c.remove(name)
		return nil
	})
}

// xattrChange is what one call changes of an inode's extended attributes, and
// of its own. in.mu is held exclusively.
type xattrChange struct {
	in   *inode
	b    *meta.Batch
	attr Attr
	n    int // how many

	names int // what in.names will be
}

func (c *xattrChange) put(name string, value []byte) {
	c.n++
	if c.in.gone {
		c.in.putGhost(name, value)
		return
	}
	c.b.PutXattr(c.in.ino, name, value)
	c.attr.Flags |= flagXattrs
	switch {
	case name == xattrCaps:
		c.attr.Flags |= flagCaps
	case isACL(name):
		c.attr.Flags |= flagACL
	}
}

func (c *xattrChange) remove(name string) {
	c.n++
	delete(c.in.ghost, name)
	c.b.DeleteXattr(c.in.ino, name)
	if name == xattrCaps {
		c.attr.Flags &^= flagCaps
	}
}

// changeXattrs lets change say what it changes, and records that.
func (v *Volume) changeXattrs(ctx context.Context, ino uint64, change func(*xattrChange) error) error {
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
	c := xattrChange{in: in, b: v.db.NewBatch(), attr: in.attr}
	defer c.b.Recycle()
	if err := change(&c); err != nil {
		return err
	}
	return v.recordXattrs(ctx, &c)
}

// recordXattrs records a change, if it is one.
func (v *Volume) recordXattrs(ctx context.Context, c *xattrChange) error {
	if c.n == 0 && c.attr == c.in.attr {
		return nil
	}
	c.attr.Ctime = v.now()
	if c.in.gone {
		c.in.attr, c.in.names = c.attr, c.names
		return nil
	}
	if c.n == 0 && v.commitWith(ctx, c.in, &c.attr) { // a list that says what the mode says
		return nil
	}
	c.in.record(c.b, c.attr)
	if err := v.db.Commit(ctx, c.b); err != nil {
		return fmt.Errorf("record extended attributes of inode %d: %w", c.in.ino, err)
	}
	c.in.attr, c.in.names = c.attr, c.names
	return nil
}

// killCaps takes the capabilities from a file that is about to be written to,
// truncated or given away, whoever does it. A file without pays nothing. in.mu
// is held exclusively.
func (v *Volume) killCaps(ctx context.Context, in *inode) error {
	if in.attr.Flags&flagCaps == 0 || in.gone {
		return nil
	}
	c := xattrChange{in: in, b: v.db.NewBatch(), attr: in.attr}
	c.remove(xattrCaps)
	return v.recordXattrs(ctx, &c)
}

func (in *inode) putGhost(name string, value []byte) {
	if in.ghost == nil {
		in.ghost = map[string][]byte{}
	}
	in.ghost[name] = slices.Clone(value)
}

// haunt gives an inode that is about to be removed, with its records, copies of
// its extended attributes, for who still has a descriptor of it. A regular file
// that is open keeps its records, and for one that is not nobody would look.
func (v *Volume) haunt(ctx context.Context, in *inode) error {
	in.ghost, in.names = nil, 0
	if in.isReg() || in.attr.Flags&flagXattrs == 0 {
		return nil
	}
	names, err := v.db.Xattrs(ctx, in.ino)
	if err != nil {
		return err
	}
	for _, name := range names {
		value, err := v.db.Xattr(ctx, in.ino, name)
		if err != nil {
			return err
		}
		in.putGhost(name, value)
	}
	return nil
}
