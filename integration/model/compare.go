package model

import (
	"path"
	"syscall"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// Compare compares everything that is there: names, attributes, which names are
// one inode, contents, targets and extended attributes.
func (m *Machine) Compare(t *rapid.T) {
	m.Note("compare")
	m.comparing = true
	defer func() { m.comparing = false }()
	c := comparison{m: m, t: t, seen: map[string]bool{}}
	c.dir("")
}

type comparison struct {
	m    *Machine
	t    *rapid.T
	seen map[string]bool // inodes that were compared, by Gen
}

func (c *comparison) dir(p string) {
	c.inode(p)
	call := &Call{Op: ReadDir, Path: p}
	test, truth := c.m.both(call)
	if !c.m.agree(call, test, truth) {
		c.m.fatal(c.t, "%s\n  gives  %s\n  truth  %s", call, show(test), show(truth))
	}
	for _, e := range test.Entries {
		q := path.Join(p, e.Name)
		if r := c.m.Test.Do(&Call{Op: Lstat, Path: q}); r.Stat.Ino != e.Ino {
			c.m.fatal(c.t, "%q is inode %d, and its directory says %d", q, r.Stat.Ino, e.Ino)
		}
		if e.Type == syscall.S_IFDIR>>12 {
			c.dir(q)
			continue
		}
		c.inode(q)
	}
}

// inode compares one; which names are one inode is compared by history.
func (c *comparison) inode(p string) {
	r := c.m.do(c.t, &Call{Op: Lstat, Path: p})
	if r.Errno != 0 || r.Stat.Gen != "" && c.seen[r.Stat.Gen] {
		return
	}
	c.seen[r.Stat.Gen] = true
	switch r.Stat.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		c.content(p, r.Stat.Size)
	case syscall.S_IFLNK:
		c.m.do(c.t, &Call{Op: Readlink, Path: p})
	}
	c.xattrs(p)
}

// content reads a file up to its first 16 MiB, and what is at its end.
func (c *comparison) content(p string, size int64) {
	h := &handle{n: c.m.next()}
	if c.m.do(c.t, &Call{Op: Open, Path: p, File: h.n, Flags: unix.O_RDONLY}).Errno != 0 {
		return
	}
	const step, most = 1 << 20, 16 << 20
	for off := int64(0); off < most; off += step {
		if c.m.readAt(c.t, h, off, step) < step {
			break
		}
	}
	if size > most {
		c.m.readAt(c.t, h, size-step, step+1)
	}
	if c.m.can(Seek) {
		c.m.compareBlocks(c.t, h.n, size)
	}
	c.m.do(c.t, &Call{Op: Close, File: h.n})
}

func (c *comparison) xattrs(p string) {
	if !c.m.can(Listxattr) {
		return
	}
	r := c.m.do(c.t, &Call{Op: Listxattr, Path: p})
	for _, name := range r.Names {
		c.m.do(c.t, &Call{Op: Getxattr, Path: p, To: name, Len: 64 << 10})
	}
}
