package check

import (
	"slices"

	"github.com/hammockfs/hammock/fs/volume"
)

// place is where a name is.
type place struct {
	dir, cookie uint64
	name        string // "": whichever has the cookie and means the inode
}

// judgeNames compares names with inodes: what they mean, how many there are, and where directories hang.
func (p *pass) judgeNames() {
	p.names.sort(func(a, b *entry) bool {
		switch {
		case a.child != b.child:
			return a.child < b.child
		case a.dir != b.dir:
			return a.dir < b.dir
		}
		return a.cookie < b.cookie
	})
	p.judgeOrphans()
	for i := 0; i < p.names.len(); {
		j := i + 1
		for j < p.names.len() && p.names.at(j).child == p.names.at(i).child {
			j++
		}
		p.judgeNamesOf(i, j)
		i = j
	}
	p.judgeRoot()
	p.reach()
	for i := range p.nodes.len() {
		p.judgeLinks(p.nodes.at(i))
	}
}

func (p *pass) judgeOrphans() {
	for _, ino := range p.orphans {
		if n := p.find(ino); n != nil {
			n.flags |= isOrphan
		} else {
			p.problem(Orphan, 0, p.fixOrphan(ino), "inode %d is noted as open without a name and does not exist", ino)
		}
	}
}

// judgeNamesOf looks at the names [i, j), which all mean one inode.
func (p *pass) judgeNamesOf(i, j int) {
	child := p.names.at(i).child
	n := p.find(child)
	if n == nil || !n.is(isHere) {
		for ; i < j; i++ {
			e := p.names.at(i)
			if n != nil && n.is(isUnsure) {
				continue // its record is a finding by itself
			}
			p.problem(Name, e.dir, p.fixDrop(place{e.dir, e.cookie, ""}, child), "a name in directory %d means inode %d, which does not exist", e.dir, child)
		}
		return
	}
	keep := p.kept(n, i, j)
	for ; i < j; i++ {
		e := p.names.at(i)
		n.names++
		switch {
		case n.ino == volume.Root:
			p.problem(Directory, e.dir, p.fixDrop(place{e.dir, e.cookie, ""}, child), "directory %d has a name for the root", e.dir)
		case n.isDir() && i != keep:
			p.problem(Directory, child, p.fixDrop(place{e.dir, e.cookie, ""}, child), "directory %d has a second name, in directory %d", child, e.dir)
		}
		if uint16(e.typ) != n.mode {
			p.problem(Name, child, p.fixType(place{e.dir, e.cookie, ""}, child, uint8(n.mode)), "inode %d is of type %d, and a name of it in directory %d says %d", child, n.mode, e.dir, e.typ)
		}
		if n.isDir() {
			if d := p.find(e.dir); d != nil {
				d.subdirs++
			}
		}
	}
	p.judgeParent(n, p.names.at(keep).dir)
}

// kept is which of the names [i, j) of a directory is believed: the one that it knows itself.
func (p *pass) kept(n *node, i, j int) int {
	for k := i; k < j; k++ {
		if p.names.at(k).dir == n.parent {
			return k
		}
	}
	return i
}

// judgeParent makes n.parent what it is; in is the directory that names it.
func (p *pass) judgeParent(n *node, in uint64) {
	if !n.isDir() || n.ino == volume.Root {
		return
	}
	if n.parent != in {
		p.problem(Directory, n.ino, p.fixParent(n.ino, in), "directory %d is in directory %d and says that it is in %d", n.ino, in, n.parent)
	}
	n.parent = in
}

func (p *pass) judgeRoot() {
	n := p.find(volume.Root)
	switch {
	case p.nodes.len() == 0: // nobody has used the volume yet
	case n == nil || !n.is(isHere):
		p.problem(Directory, 0, p.fixRoot(), "there is no root directory")
	case n.parent != volume.Root:
		p.problem(Directory, 0, p.fixParent(volume.Root, volume.Root), "the root says that it is in directory %d", n.parent)
	}
}

// reach follows every directory up to the root, and finds the circles.
func (p *pass) reach() {
	if n := p.find(volume.Root); n != nil {
		n.flags |= reached
	}
	var path []*node
	for i := range p.nodes.len() {
		path = path[:0]
		n := p.nodes.at(i)
		for n != nil && n.isDir() && n.flags&(reached|adrift) == 0 {
			n.flags |= adrift
			path = append(path, n)
			if n.names == 0 {
				break // which is a finding of its own
			}
			n = p.find(n.parent)
		}
		switch {
		case n != nil && n.is(reached):
			for _, m := range path {
				m.flags = m.flags&^adrift | reached
			}
		case n != nil && slices.Contains(path, n) && n.names > 0:
			p.circle(path[slices.Index(path, n):])
		}
	}
}

// circle tells of directories that are in one another. It is cut where the lowest number is.
func (p *pass) circle(nodes []*node) {
	low := slices.MinFunc(nodes, func(a, b *node) int {
		if a.ino < b.ino {
			return -1
		}
		return 1
	})
	i := p.names.search(func(e *entry) bool { return e.child >= low.ino })
	for ; i < p.names.len() && p.names.at(i).child == low.ino; i++ {
		if e := p.names.at(i); e.dir == low.parent {
			p.problem(Directory, 0, p.fixDrop(place{e.dir, e.cookie, ""}, low.ino),
				"directory %d is in itself, by way of %d others, and cannot be reached", low.ino, len(nodes)-1)
			return
		}
	}
}

// judgeLinks compares what an inode says of its names with those that were counted.
func (p *pass) judgeLinks(n *node) {
	if !n.is(isHere) {
		return
	}
	want := n.names
	if n.isDir() && (n.names > 0 || n.ino == volume.Root) {
		want = 2 + n.subdirs
	}
	switch {
	case n.names > 0 && n.is(isOrphan):
		p.problem(Orphan, n.ino, p.fixOrphan(n.ino), "inode %d is noted as open without a name and has %d", n.ino, n.names)
	case n.names == 0 && !n.is(isOrphan) && n.ino != volume.Root:
		p.problem(Unnamed, 0, p.fixUnnamed(n.ino), "inode %d has no name", n.ino)
		return // it will have one, and then it will be counted
	}
	if n.nlink != want {
		p.problem(Links, n.ino, p.fixLinks(n.ino, want), "inode %d says that it has %d links and has %d", n.ino, n.nlink, want)
	}
}

// judgeNumbers looks for inodes whose number may be given out again.
func (p *pass) judgeNumbers() {
	told := map[uint32]bool{}
	for i := range p.nodes.len() {
		n := p.nodes.at(i)
		if err := p.numbers.Given(n.ino, p.numbers.Inodes); err != nil {
			p.number(told, n.ino, "inode", err)
		}
	}
	for _, s := range p.needed {
		if err := p.numbers.Given(s, p.numbers.Stripes); err != nil {
			p.number(told, s, "stripe", err)
		}
	}
}
