package meta

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta/tree"
)

// levels is where reads look, in this order. It is replaced whole, never changed.
type levels struct {
	cur    *generation
	frozen *generation // only while a fold runs, or after a crash in one
	names  tree.Root
	table  tree.Root
	// pending: a restored head's deltas are not in the overlay yet, so nothing can be said about any record.
	pending bool
}

// overlays returns the generations, newest first.
func (l *levels) overlays() []*generation {
	if l.frozen == nil {
		return []*generation{l.cur}
	}
	return []*generation{l.cur, l.frozen}
}

// lowerEmpty says whether nothing can be below the current generation.
func (l *levels) lowerEmpty() bool {
	return l.frozen == nil && l.names.Height == 0 && l.table.Height == 0
}

// get appends the value of a record to dst. If the levels changed meanwhile it looks again: a fold swaps the levels before
// it drops the frozen generation, so whoever saw it half dropped notices.
func (d *DB) get(ctx context.Context, space byte, rk, dst []byte) ([]byte, bool, error) {
	for {
		lv := d.levels.Load()
		v, ok, err := d.getAt(ctx, lv, space, rk, dst)
		if d.levels.Load() == lv {
			return v, ok, err
		}
	}
}

func (d *DB) getAt(ctx context.Context, lv *levels, space byte, rk, dst []byte) ([]byte, bool, error) {
	if lv.pending {
		return dst, false, ErrNotReady
	}
	v, f, err := d.lookup(lv.cur, space, rk, dst)
	if f == miss && err == nil && lv.frozen != nil {
		v, f, err = d.lookup(lv.frozen, space, rk, dst)
	}
	if f != miss || err != nil {
		return v, f == here, err
	}
	return d.getTree(ctx, lv, space, rk, dst)
}

func (d *DB) getTree(ctx context.Context, lv *levels, space byte, rk, dst []byte) ([]byte, bool, error) {
	if space == spaceTable {
		if lv.table.Height == 0 {
			return dst, false, nil
		}
		return d.table.Get(ctx, lv.table, rk, dst)
	}
	if lv.names.Height == 0 {
		return dst, false, nil
	}
	n := len(dst)
	v, ok, err := d.names.Get(ctx, lv.names, rk, dst)
	if err != nil || !ok {
		return dst, false, err
	}
	if v, err = d.inline(ctx, v, n); err != nil {
		return dst, false, fmt.Errorf("inode %d: %w", keyIno(rk), err)
	}
	return v, true, nil
}

// borrow lends memory for a value that is decoded at once; giveBack takes it back.
func (d *DB) borrow() *[]byte    { return d.values.Get().(*[]byte) }
func (d *DB) giveBack(b *[]byte) { d.values.Put(b) }

// Inode returns the record of an inode, or ErrNotExist.
func (d *DB) Inode(ctx context.Context, ino uint64) (Inode, error) {
	var key [prefixLen]byte
	buf := d.borrow()
	defer d.giveBack(buf)
	v, ok, err := d.get(ctx, spaceNames, appendPrefix(key[:0], ino, KindInode), (*buf)[:0])
	if err != nil {
		return Inode{}, fmt.Errorf("read inode %d: %w", ino, err)
	}
	if !ok {
		return Inode{}, ErrNotExist
	}
	*buf = v
	return ParseInode(ino, v)
}

// Lookup returns the entry of a name, or ErrNotExist.
func (d *DB) Lookup(ctx context.Context, dir uint64, name string) (Dirent, error) {
	if len(name) == 0 || len(name) > MaxName {
		return Dirent{}, ErrNotExist
	}
	var key [maxKey]byte
	buf := d.borrow()
	defer d.giveBack(buf)
	hash := crypt.NameHash(&d.cfg.NameKey, name)
	v, ok, err := d.get(ctx, spaceNames, appendDirentKey(key[:0], dir, hash, name), (*buf)[:0])
	if err != nil {
		return Dirent{}, fmt.Errorf("look up a name in directory %d: %w", dir, err)
	}
	if !ok {
		return Dirent{}, ErrNotExist
	}
	*buf = v
	return parseDirent(name, hash, v)
}

// Window returns the extents of [w*Window, (w+1)*Window), sorted; none for a hole.
func (d *DB) Window(ctx context.Context, ino, w uint64) ([]Extent, error) {
	var key [prefixLen + 8]byte
	buf := d.borrow()
	defer d.giveBack(buf)
	v, ok, err := d.get(ctx, spaceNames, appendNumbered(key[:0], ino, KindWindow, w), (*buf)[:0])
	if err != nil {
		return nil, fmt.Errorf("read window %d of inode %d: %w", w, ino, err)
	}
	if !ok {
		return nil, nil
	}
	*buf = v
	return ParseWindow(w, v)
}

// Page appends the bytes of a page to dst and says whether there is one.
func (d *DB) Page(ctx context.Context, ino, page uint64, dst []byte) ([]byte, bool, error) {
	var key [prefixLen + 8]byte
	v, ok, err := d.get(ctx, spaceNames, appendNumbered(key[:0], ino, KindPage, page), dst)
	if err != nil {
		return dst, false, fmt.Errorf("read page %d of inode %d: %w", page, ino, err)
	}
	return v, ok, nil
}

// Xattr returns an extended attribute's value, or ErrNoXattr.
func (d *DB) Xattr(ctx context.Context, ino uint64, name string) ([]byte, error) {
	if len(name) == 0 || len(name) > MaxName {
		return nil, ErrNoXattr
	}
	var key [maxKey]byte
	v, ok, err := d.get(ctx, spaceNames, appendXattrKey(key[:0], ino, name), nil)
	if err != nil {
		return nil, fmt.Errorf("read an xattr of inode %d: %w", ino, err)
	}
	if !ok {
		return nil, ErrNoXattr
	}
	return v, nil
}

// Record returns the record of a stripe, or ErrNotExist. Stripes that hold the stripe table itself are answered from what
// the head and the table's own nodes say, so that reading the table never needs the table.
func (d *DB) Record(ctx context.Context, stripe uint64) ([]byte, error) {
	if r, ok := d.known.get(stripe); ok {
		return r, nil
	}
	var key [8]byte
	v, ok, err := d.get(ctx, spaceTable, binary.BigEndian.AppendUint64(key[:0], stripe), nil)
	if err != nil {
		return nil, fmt.Errorf("read the record of stripe %x: %w", stripe, err)
	}
	if !ok {
		return nil, ErrNotExist
	}
	return v, nil
}
