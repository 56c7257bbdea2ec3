package volume

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
)

// Flags of Rename, as in renameat2(2).
const (
	RenameNoReplace = 1
	RenameExchange  = 2
	renameWhiteout  = 4 // see Whiteout
)

// Rename moves a name, replacing what has the new one. The change is one batch
// in the journal: whatever happens, one of the two names stands for the inode.
func (v *Volume) Rename(ctx context.Context, odir uint64, oname string, ndir uint64, nname string, flags uint32) error {
	if flags&^(RenameNoReplace|RenameExchange) != 0 || flags == RenameNoReplace|RenameExchange {
		return ErrInvalid
	}
	m := move{v: v, oname: oname, nname: nname, flags: flags}
	return m.find(ctx, odir, ndir)
}

// Whiteout is Rename that leaves a mark under the old name, by which a file
// system laid over this one knows that a name below is to be hidden: a character
// device of number zero. It belongs to c.
func (v *Volume) Whiteout(ctx context.Context, c Caller, odir uint64, oname string, ndir uint64, nname string, flags uint32) error {
	if flags&^RenameNoReplace != 0 {
		return ErrInvalid
	}
	m := move{v: v, oname: oname, nname: nname, flags: flags | renameWhiteout, caller: c}
	return m.find(ctx, odir, ndir)
}

// find finds the inodes of a move and carries it out.
func (m *move) find(ctx context.Context, odir, ndir uint64) error {
	v := m.v
	err := v.writable()
	if err != nil {
		return err
	}
	if err := checkNames(m.oname, m.nname); err != nil {
		return err
	}
	if m.from, err = v.dir(ctx, odir); err != nil {
		return err
	}
	defer v.put(m.from)
	if m.to, err = v.dir(ctx, ndir); err != nil {
		return err
	}
	defer v.put(m.to)
	v.tree.Lock() // from here on nobody else holds two inodes' locks
	defer v.tree.Unlock()
	if m.src, err = v.child(ctx, odir, m.oname); err != nil {
		return err
	}
	defer v.put(m.src)
	m.dst, err = v.child(ctx, ndir, m.nname)
	if err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	if m.dst != nil {
		defer v.put(m.dst)
	}
	return m.run(ctx)
}

func checkNames(names ...string) error {
	for _, name := range names {
		if err := checkName(name); err != nil {
			return err
		}
	}
	return nil
}

// move is one rename under way; Volume.tree is held exclusively.
type move struct {
	v            *Volume
	from, to     *inode
	src, dst     *inode // dst is nil where the new name is free
	oname, nname string
	flags        uint32
	caller       Caller // of Whiteout
}

func (m *move) run(ctx context.Context) error {
	switch {
	case m.to.gone:
		return ErrNotExist
	case m.dst == nil && m.flags&RenameExchange != 0:
		return ErrNotExist
	case m.dst != nil && m.flags&RenameNoReplace != 0:
		return ErrExist
	case m.dst == m.src:
		return nil // two names of one inode: POSIX leaves both
	}
	if err := m.checkLoop(ctx); err != nil {
		return err
	}
	defer lockAll(m.from, m.to, m.src, m.dst)()
	if m.flags&RenameExchange != 0 {
		return m.exchange(ctx)
	}
	return m.replace(ctx)
}

// checkLoop refuses to move a directory below itself, and anything over a
// directory that it is in.
func (m *move) checkLoop(ctx context.Context) error {
	if err := m.v.below(ctx, m.src, m.to.ino); err != nil {
		return err
	}
	if m.dst == nil {
		return nil
	}
	err := m.v.below(ctx, m.dst, m.from.ino)
	if errors.Is(err, ErrLoop) && m.flags&RenameExchange == 0 {
		return ErrNotEmpty // it holds the source
	}
	return err
}

func (v *Volume) below(ctx context.Context, src *inode, dir uint64) error {
	if !src.isDir() {
		return nil
	}
	for {
		if dir == src.ino {
			return ErrLoop
		}
		if dir == Root {
			return nil
		}
		up, err := v.Parent(ctx, dir)
		if err != nil {
			return fmt.Errorf("directory above %d: %w", dir, err)
		}
		dir = up
	}
}

// lockAll locks different inodes (nil and repeats are left out) and returns
// what unlocks them.
func lockAll(ins ...*inode) func() {
	var locked []*inode
next:
	for _, in := range ins {
		if in == nil {
			continue
		}
		for _, l := range locked {
			if l == in {
				continue next
			}
		}
		in.mu.Lock()
		locked = append(locked, in)
	}
	return func() {
		for _, in := range locked {
			in.mu.Unlock()
		}
	}
}

// parents returns copies of the attributes of both directories, the same one
// if they are one, and what stores them back.
func (m *move) parents() (from, to *meta.Inode, store func()) {
	f := m.from.attr
	m.v.touchDir(&f)
	if m.from == m.to {
		return &f, &f, func() { m.from.attr = f }
	}
	t := m.to.attr
	m.v.touchDir(&t)
	return &f, &t, func() { m.from.attr, m.to.attr = f, t }
}

func (m *move) replace(ctx context.Context) error {
	v := m.v
	from, to, store := m.parents()
	b := v.db.NewBatch()
	defer b.Recycle()
	b.DeleteDirent(m.from.ino, m.oname)
	drop := func() {}
	if m.dst != nil {
		if err := compatible(m.src, m.dst); err != nil {
			return err
		}
		var err error
		if drop, err = v.drop(ctx, b, m.dst, to); err != nil {
			return err
		}
	}
	src := m.moved(b, m.src, m.to.ino, m.nname)
	if m.src.isDir() {
		from.Nlink--
		to.Nlink++
	}
	var mark uint64
	if m.flags&renameWhiteout != 0 {
		var err error
		if mark, err = m.whiteout(ctx, b); err != nil {
			return err
		}
	}
	b.PutInode(from)
	if to != from {
		b.PutInode(to)
	}
	defer m.to.absent.end(m.nname)
	if err := v.db.Commit(ctx, b); err != nil {
		return fmt.Errorf("record the move of inode %d: %w", m.src.ino, err)
	}
	v.names.remove(m.from.ino, m.oname)
	if mark != 0 {
		v.names.put(m.from.ino, m.oname, mark)
	}
	v.names.put(m.to.ino, m.nname, m.src.ino)
	store()
	m.src.attr = src
	drop()
	return nil
}

// whiteout puts the mark under the old name into the batch, and returns its inode.
func (m *move) whiteout(ctx context.Context, b *meta.Batch) (uint64, error) {
	a := Attr{Mode: modeChar, Nlink: 1}
	if err := m.v.fill(ctx, b, &a, m.caller, m.from); err != nil {
		return 0, err
	}
	b.PutDirent(m.from.ino, m.oname, a.Ino, uint8(a.Mode>>12))
	return a.Ino, nil
}

func (m *move) exchange(ctx context.Context) error {
	from, to, store := m.parents()
	b := m.v.db.NewBatch()
	defer b.Recycle()
	src := m.moved(b, m.src, m.to.ino, m.nname)
	dst := m.moved(b, m.dst, m.from.ino, m.oname)
	if m.src.isDir() {
		from.Nlink--
		to.Nlink++
	}
	if m.dst.isDir() {
		to.Nlink--
		from.Nlink++
	}
	b.PutInode(from)
	if to != from {
		b.PutInode(to)
	}
	if err := m.v.db.Commit(ctx, b); err != nil {
		return fmt.Errorf("record the exchange of inodes %d and %d: %w", m.src.ino, m.dst.ino, err)
	}
	m.v.names.put(m.to.ino, m.nname, m.src.ino)
	m.v.names.put(m.from.ino, m.oname, m.dst.ino)
	store()
	m.src.attr, m.dst.attr = src, dst
	return nil
}

// moved puts an inode's new name into the batch and returns its attributes.
func (m *move) moved(b *meta.Batch, in *inode, dir uint64, name string) Attr {
	a := in.attr
	a.Ctime, a.Parent = m.v.now(), dir
	in.record(b, a)
	b.PutDirent(dir, name, in.ino, uint8(a.Mode>>12))
	return a
}

// compatible refuses to replace a directory by something else or the reverse.
func compatible(src, dst *inode) error {
	switch {
	case src.isDir() && !dst.isDir():
		return ErrNotDir
	case !src.isDir() && dst.isDir():
		return ErrIsDir
	}
	return nil
}
