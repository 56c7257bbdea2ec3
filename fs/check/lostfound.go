package check

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// What has no right answer goes to a directory lost+found in the root, which only its owner may enter. An inode without
// a name is called #NUMBER there. A file some of whose bytes are gone is called #NUMBER NAME and has no other name any
// more, lest somebody take it for whole: what is left of it can be read, and reading the rest is an error, for ever or
// until the bytes come back. A file beside them says what was done, in words.

const lostName = "lost+found"

// wrote notes for the report what was done.
func (c *checker) wrote(format string, args ...any) {
	if len(c.lines) < maxLines {
		c.lines = append(c.lines, fmt.Sprintf(format, args...))
	}
}

// maxLines bounds the report.
const maxLines = 20_000

// lostDir returns the inode of lost+found, and makes it if there is none.
func (c *checker) lostDir(ctx context.Context) (uint64, error) {
	for i := 0; ; i++ {
		name := lostName
		if i > 0 {
			name = fmt.Sprintf("%s.%d", lostName, i)
		}
		e, err := c.DB.Lookup(ctx, volume.Root, name)
		switch {
		case errors.Is(err, meta.ErrNotExist):
			return c.makeLost(ctx, name)
		case err != nil:
			return 0, err
		case e.Type == typeDir:
			return e.Ino, nil
		}
	}
}

func (c *checker) makeLost(ctx context.Context, name string) (uint64, error) {
	root, err := c.DB.Inode(ctx, volume.Root)
	if err != nil {
		return 0, fmt.Errorf("make a directory %s: %w", name, err)
	}
	now := c.Now().UnixNano()
	in := meta.Inode{
		Ino: c.DB.NextIno(), Mode: typeDir<<12 | 0o700, UID: root.UID, GID: root.GID, Nlink: 2, Parent: volume.Root,
		Atime: now, Mtime: now, Ctime: now, Btime: now,
	}
	root.Nlink++
	root.Mtime, root.Ctime = now, now
	b := c.DB.NewBatch()
	b.PutInode(&in)
	b.PutInode(&root)
	b.PutDirent(volume.Root, name, in.Ino, typeDir)
	if err := c.DB.Commit(ctx, b); err != nil {
		return 0, fmt.Errorf("make a directory %s: %w", name, err)
	}
	return in.Ino, nil
}

// fixUnnamed gives an inode a name in lost+found.
func (p *pass) fixUnnamed(ino uint64) repair {
	return func(ctx context.Context) (outcome, error) {
		in, err := p.DB.Inode(ctx, ino)
		if err != nil {
			return left, notThere(err)
		}
		dir, err := p.lostDir(ctx)
		if err != nil {
			return left, notThere(err) // without a root: the next round has one
		}
		b := p.DB.NewBatch()
		name := fmt.Sprintf("#%d", ino)
		b.PutDirent(dir, name, ino, uint8(in.Mode>>12))
		if in.Mode>>12 != typeDir {
			in.Nlink = 1 // those of directories are counted once all of them hang somewhere
		}
		in.Parent = dir
		b.PutInode(&in)
		p.foundling("%s: had no name", name)
		return p.commit(ctx, b)
	}
}

// fixGone takes all names from a file some of whose bytes are gone, and gives it one in lost+found.
func (p *pass) fixGone(ino uint64) repair {
	return func(ctx context.Context) (outcome, error) {
		in, err := p.DB.Inode(ctx, ino)
		if err != nil || in.Mode>>12 != typeReg {
			return left, notThere(err)
		}
		first := p.names.search(func(e *entry) bool { return e.child >= ino })
		if first == p.names.len() || p.names.at(first).child != ino {
			return left, nil // without a name: another finding, and then this one again
		}
		dir, err := p.lostDir(ctx)
		if err != nil {
			return left, notThere(err) // without a root: the next round has one
		}
		b := p.DB.NewBatch()
		var was []string
		for i := first; i < p.names.len() && p.names.at(i).child == ino; i++ {
			x := p.names.at(i)
			e, err := p.entryAt(ctx, place{x.dir, x.cookie, ""}, ino)
			if err != nil {
				return left, notThere(err)
			}
			if e == nil || x.dir == dir {
				return left, nil // it has been moved
			}
			b.DropDirent(x.dir, e)
			was = append(was, p.pathIn(ctx, x.dir, e.Name))
		}
		name := fmt.Sprintf("#%d %s", ino, was[0][strings.LastIndexByte(was[0], '/')+1:])
		name = name[:min(len(name), volume.MaxName)]
		b.PutDirent(dir, name, ino, typeReg)
		in.Nlink, in.Parent = 1, dir
		b.PutInode(&in)
		p.foundling("%s: some of its bytes are gone; it was %s", name, strings.Join(was, " and "))
		_, err = p.commit(ctx, b)
		return moved, err
	}
}

// pathIn is the path of a name in a directory.
func (p *pass) pathIn(ctx context.Context, dir uint64, name string) string {
	return p.path(ctx, dir) + "/" + name
}

// foundling notes what went to lost+found.
func (c *checker) foundling(format string, args ...any) {
	c.used = true
	c.wrote(format, args...)
}

// finish writes the report, if something went to lost+found, and syncs.
func (c *checker) finish(ctx context.Context) error {
	if c.used {
		if err := c.writeReport(ctx); err != nil {
			return fmt.Errorf("write the report into %s: %w", lostName, err)
		}
	}
	if !c.Fix {
		return nil
	}
	return c.DB.Sync(ctx)
}

func (c *checker) writeReport(ctx context.Context) error {
	dir, err := c.lostDir(ctx)
	if err != nil {
		return err
	}
	owner, err := c.DB.Inode(ctx, dir)
	if err != nil {
		return err
	}
	text := []byte(strings.Join(c.lines, "\n") + "\n")
	now := c.Now()
	in := meta.Inode{
		Ino: c.DB.NextIno(), Mode: typeReg<<12 | 0o600, UID: owner.UID, GID: owner.GID, Nlink: 1, Parent: dir, Size: uint64(len(text)),
		Atime: now.UnixNano(), Mtime: now.UnixNano(), Ctime: now.UnixNano(), Btime: now.UnixNano(),
	}
	b := c.DB.NewBatch()
	for page := uint64(0); page*meta.Page < in.Size; page++ {
		b.PutPage(in.Ino, page, text[page*meta.Page:min((page+1)*meta.Page, in.Size)])
		in.Blocks += meta.Page / 512
	}
	in.Flags = volume.Undeclared(&in, &meta.Record{Kind: meta.KindPage})
	b.PutInode(&in)
	name := "report " + now.UTC().Format("2006-01-02T15:04:05.000Z") + ".txt"
	b.PutDirent(dir, name, in.Ino, typeReg)
	return c.DB.Commit(ctx, b)
}
