package model

import (
	"fmt"
	"path"
	"slices"
	"syscall"

	"pgregory.net/rapid"
)

// Compare compares everything that is there: names, attributes, which names are
// one file, contents, targets and extended attributes.
func (m *Machine) Compare(t *rapid.T) {
	c := comparison{m: m, t: t, pairs: map[uint64]uint64{}}
	c.dir("")
}

type comparison struct {
	m     *Machine
	t     *rapid.T
	pairs map[uint64]uint64 // inode of the truth -> of the other
}

func (c *comparison) dir(p string) {
	c.inode(p)
	for _, e := range c.m.list(c.t, p) {
		q := path.Join(p, e.Name)
		if e.Type == syscall.S_IFDIR>>12 {
			c.dir(q)
			continue
		}
		c.inode(q)
	}
}

func (c *comparison) inode(p string) {
	a, errA := c.m.Test.Lstat(p)
	b, errB := c.m.Truth.Lstat(p)
	c.m.compare(c.t, "lstat "+p, a, errA, b, errB)
	first, again := c.pairs[b.Ino]
	if again && first != a.Ino {
		c.m.fatal(c.t, "%q is not the file of its other name", p)
	}
	c.pairs[b.Ino] = a.Ino
	if again {
		return
	}
	switch b.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		c.content(p)
	case syscall.S_IFLNK:
		to, errTo := c.m.Test.Readlink(p)
		want, errWant := c.m.Truth.Readlink(p)
		if to != want || errTo != nil || errWant != nil {
			c.m.fatal(c.t, "%q leads to %q, %v; the truth is %q, %v", p, to, errTo, want, errWant)
		}
		return
	}
	c.xattrs(p)
}

// content reads a file up to its first 16 MiB, and what is at its end.
func (c *comparison) content(p string) {
	f, errF := c.m.Test.Open(p, 0, 0)
	g, errG := c.m.Truth.Open(p, 0, 0)
	if !c.m.same(c.t, errF, errG, "open %q", p) {
		return
	}
	const step, most = 1 << 20, 16 << 20
	for off := int64(0); off < most; off += step {
		if c.m.readAt(c.t, p, f, g, off, step) < step {
			break
		}
	}
	if st, err := g.Stat(); err == nil && st.Size > most {
		c.m.readAt(c.t, p, f, g, st.Size-step, step+1)
	}
	c.m.same(c.t, f.Close(), g.Close(), "close %q", p)
}

func (c *comparison) xattrs(p string) {
	if !c.m.Xattrs {
		return
	}
	a, errA := c.m.Test.Listxattr(p)
	b, errB := c.m.Truth.Listxattr(p)
	if Errno(errA) != Errno(errB) || !slices.Equal(a, b) {
		c.m.fatal(c.t, "%s", fmt.Sprintf("listxattr %q: %q, %v; the truth is %q, %v", p, a, errA, b, errB))
	}
	for _, name := range b {
		c.m.xattr(c.t, p, name)
	}
}
