package check

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// commit commits one repair.
func (c *checker) commit(ctx context.Context, b *meta.Batch) (outcome, error) {
	if err := c.DB.Commit(ctx, b); err != nil {
		return left, err
	}
	return mended, nil
}

// change is a repair of an inode's own record.
func (c *checker) change(ino uint64, set func(*meta.Inode)) repair {
	return func(ctx context.Context) (outcome, error) {
		in, err := c.DB.Inode(ctx, ino)
		if err != nil {
			return left, notThere(err)
		}
		set(&in)
		b := c.DB.NewBatch()
		b.PutInode(&in)
		return c.commit(ctx, b)
	}
}

// notThere lets a repair pass what an earlier one has taken away, or what cannot be read.
func notThere(err error) error {
	if errors.Is(err, meta.ErrNotExist) || errors.Is(err, meta.ErrFormat) {
		return nil
	}
	return err
}

func (p *pass) fixParent(ino, parent uint64) repair {
	return p.change(ino, func(in *meta.Inode) { in.Parent = parent })
}

func (p *pass) fixLinks(ino uint64, n uint32) repair {
	return p.change(ino, func(in *meta.Inode) { in.Nlink = n })
}

func (p *pass) fixOrphan(ino uint64) repair {
	return func(ctx context.Context) (outcome, error) {
		b := p.DB.NewBatch()
		b.DeleteOrphan(ino)
		return p.commit(ctx, b)
	}
}

// fixFile mends what was found in one inode's own records.
func (p *pass) fixFile(ino uint64, x fileFinding) repair {
	switch {
	case x.set != nil:
		return p.change(ino, x.set)
	case x.rule == Owner:
		return p.fixOwner(ino)
	}
	return nil
}

// fixForm mends a record that does not decode. Bytes that are gone stay gone: see fixGone.
func (p *pass) fixForm(r *meta.Record) repair {
	if !errors.Is(r.Bad, meta.ErrFormat) || p.Unreachable != nil && p.Unreachable(r.Bad) {
		return nil
	}
	key := append([]byte(nil), r.Key...)
	switch r.Kind {
	case meta.KindInode, meta.KindDirent:
		return func(ctx context.Context) (outcome, error) {
			b := p.DB.NewBatch()
			b.DeleteRecord(key)
			return p.commit(ctx, b)
		}
	case meta.KindWindow, meta.KindPage:
		return p.fixGone(r.Ino)
	}
	return nil
}

// entryAt finds the name at a place that means an inode; nil if there is none.
func (c *checker) entryAt(ctx context.Context, at place, child uint64) (*meta.Dirent, error) {
	list, err := c.DB.ReadDir(ctx, at.dir, at.cookie-1, 1)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if e := &list[i]; e.Cookie == at.cookie && e.Ino == child && (at.name == "" || at.name == e.Name) {
			return e, nil
		}
	}
	return nil, nil
}

// fixDrop takes a name away.
func (p *pass) fixDrop(at place, child uint64) repair {
	return func(ctx context.Context) (outcome, error) {
		e, err := p.entryAt(ctx, at, child)
		if err != nil || e == nil {
			return left, notThere(err)
		}
		b := p.DB.NewBatch()
		b.DropDirent(at.dir, e)
		p.wrote("the name %q of inode %d was taken from directory %d", e.Name, child, at.dir)
		return p.commit(ctx, b)
	}
}

// fixType makes a name say of what type its inode is.
func (p *pass) fixType(at place, child uint64, typ uint8) repair {
	return func(ctx context.Context) (outcome, error) {
		e, err := p.entryAt(ctx, at, child)
		if err != nil || e == nil || p.DB.Cookie(e.Name) != e.Cookie {
			return left, notThere(err)
		}
		b := p.DB.NewBatch()
		b.PutDirent(at.dir, e.Name, child, typ)
		return p.commit(ctx, b)
	}
}

// fixName puts a name where it is looked for. One that cannot be a name, or is there already, is taken away; what it
// meant is then without one.
func (p *pass) fixName(at place, e meta.Dirent) repair {
	return func(ctx context.Context) (outcome, error) {
		there, err := p.entryAt(ctx, at, e.Ino)
		if err != nil || there == nil {
			return left, notThere(err)
		}
		b := p.DB.NewBatch()
		b.DropDirent(at.dir, there)
		_, err = p.DB.Lookup(ctx, at.dir, e.Name)
		switch {
		case volume.ValidName(e.Name) && errors.Is(err, meta.ErrNotExist):
			b.PutDirent(at.dir, e.Name, e.Ino, e.Type)
		default:
			p.wrote("the name %q of inode %d was taken from directory %d", e.Name, e.Ino, at.dir)
		}
		return p.commit(ctx, b)
	}
}

// fixRoot makes a root directory.
func (p *pass) fixRoot() repair {
	return func(ctx context.Context) (outcome, error) {
		now := p.Now().UnixNano()
		b := p.DB.NewBatch()
		b.PutInode(&meta.Inode{
			Ino: volume.Root, Mode: typeDir<<12 | 0o755, Nlink: 2, Parent: volume.Root,
			UID: uint32(max(0, os.Getuid())), GID: uint32(max(0, os.Getgid())), Atime: now, Mtime: now, Ctime: now, Btime: now,
		})
		return p.commit(ctx, b)
	}
}

// fixOwner gives records whose inode is gone a new one, which is then found to have no name. What only attributes are
// left of is removed.
func (p *pass) fixOwner(ino uint64) repair {
	return func(ctx context.Context) (outcome, error) {
		f := newFile(ino)
		if err := p.DB.SurveyInode(ctx, ino, func(r *meta.Record) error { f.record(r); return nil }); err != nil {
			return left, err
		}
		b := p.DB.NewBatch()
		switch {
		case f.here && ino == volume.Root:
			b.Clip(ino, 0)
			return p.commit(ctx, b)
		case ino == volume.Root:
			return p.fixRoot()(ctx)
		case f.here: // of a type that cannot have what it has, and nothing says which is right
			return left, nil
		case !f.dirents && !f.data:
			b.RemoveInode(ino)
			return p.commit(ctx, b)
		}
		now := p.Now().UnixNano()
		in := meta.Inode{Ino: ino, Mode: typeReg<<12 | 0o600, Size: f.end, Atime: now, Mtime: now, Ctime: now, Btime: now, Flags: f.flags}
		if f.dirents {
			in.Mode, in.Size = typeDir<<12|0o700, 0
		}
		if root, err := p.DB.Inode(ctx, volume.Root); err == nil {
			in.UID, in.GID = root.UID, root.GID
		}
		b.PutInode(&in)
		p.wrote("inode %d had lost its attributes; it has new ones, and a size of %d bytes", ino, in.Size)
		return p.commit(ctx, b)
	}
}

// fixStripe lets placement look at a stripe whose record does not fit.
func (p *pass) fixStripe(stripe uint64, s *Stripe) repair {
	if p.Heal == nil || !s.Placed {
		return nil
	}
	return func(ctx context.Context) (outcome, error) {
		if p.Heal(ctx, stripe) != nil {
			return left, ctx.Err()
		}
		return mended, nil
	}
}

// path names an inode as users do, if it hangs at the root.
func (p *pass) path(ctx context.Context, ino uint64) string {
	var path string
	for range maxDepth {
		if ino == volume.Root {
			return path
		}
		i := p.names.search(func(e *entry) bool { return e.child >= ino })
		if i == p.names.len() || p.names.at(i).child != ino {
			return ""
		}
		x := p.names.at(i)
		e, err := p.entryAt(ctx, place{x.dir, x.cookie, ""}, ino)
		if err != nil || e == nil {
			return ""
		}
		path, ino = fmt.Sprintf("/%s%s", e.Name, path), x.dir
	}
	return ""
}

// maxDepth bounds the directories of a path; a circle has no end.
const maxDepth = 256
