package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/placement"
)

// checker proves what can be stated of a volume: that every entry names an
// inode, that every inode is named as often as it says, that every extent lies
// in a stripe which is here or on peers, and, with data, that every byte opens
// under its key. It walks the records once, in key order, and keeps only
// numbers in memory.
type checker struct {
	d      *drive
	data   bool
	say    func(string)
	report checkReport

	nodes   map[uint64]*checkedNode
	stripes map[uint64]bool // stripe -> can be read
	orphans map[uint64]bool
}

// checkedNode is what the walk has seen of one inode.
type checkedNode struct {
	nlink, names, subdirs uint32
	dir, here             bool
}

const checkReaders = 4

func newChecker(d *drive, data bool, say func(string)) *checker {
	return &checker{d: d, data: data, say: say, nodes: map[uint64]*checkedNode{}, stripes: map[uint64]bool{}, orphans: map[uint64]bool{}}
}

func (c *checker) problem(format string, args ...any) {
	c.report.Problems++
	c.say(fmt.Sprintf(format, args...))
}

func (c *checker) run(ctx context.Context) error {
	if err := c.d.volume.Sync(ctx); err != nil {
		return err
	}
	orphans, err := c.d.db.Orphans(ctx)
	if err != nil {
		return err
	}
	for _, ino := range orphans {
		c.orphans[ino] = true
	}
	if err := c.d.db.Walk(ctx, func(r *meta.Record) error { return c.record(ctx, r) }); err != nil {
		return err
	}
	c.links()
	c.report.Stripes = len(c.stripes)
	return nil
}

func (c *checker) node(ino uint64) *checkedNode {
	n := c.nodes[ino]
	if n == nil {
		n = &checkedNode{}
		c.nodes[ino] = n
	}
	return n
}

func (c *checker) record(ctx context.Context, r *meta.Record) error {
	switch r.Kind {
	case meta.KindInode:
		n := c.node(r.Ino)
		n.here, n.nlink, n.dir = true, r.Inode.Nlink, r.Inode.Mode>>12 == 4
		c.report.Inodes++
		if n.dir {
			c.report.Dirs++
		}
	case meta.KindDirent:
		n := c.node(r.Dirent.Ino)
		n.names++
		c.report.Entries++
		if r.Dirent.Type == 4 {
			c.node(r.Ino).subdirs++
		}
	case meta.KindWindow:
		return c.window(ctx, r)
	case meta.KindPage:
		c.report.Read += int64(len(r.Data))
	}
	return nil
}

// window checks the extents of one window, which the walk gives in order.
func (c *checker) window(ctx context.Context, r *meta.Record) error {
	end := r.Number * meta.Window
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(checkReaders)
	bad := make([]error, len(r.Extents))
	for i := range r.Extents {
		e := &r.Extents[i]
		c.report.Extents++
		if e.Off < end || uint64(e.Skip)+uint64(e.Len) > uint64(e.Ref.Len) {
			c.problem("inode %d: the extent at %d does not fit", r.Ino, e.Off)
		}
		end = e.Off + uint64(e.Len)
		ok, err := c.stripe(ctx, e.Ref.Stripe)
		if err != nil {
			return err
		}
		if !ok {
			c.problem("inode %d: stripe %x, which holds its bytes at %d, is neither here nor on peers", r.Ino, e.Ref.Stripe, e.Off)
			continue
		}
		if c.data {
			g.Go(func() error { bad[i] = c.open(gctx, &e.Ref); return gctx.Err() })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, err := range bad {
		if err != nil {
			c.problem("inode %d: %d bytes at %d cannot be read: %v", r.Ino, r.Extents[i].Len, r.Extents[i].Off, err)
		} else if c.data {
			c.report.Read += int64(r.Extents[i].Len)
		}
	}
	return nil
}

func (c *checker) open(ctx context.Context, r *crypt.Ref) error {
	_, err := c.d.cache.Get(ctx, r, nil)
	return err
}

// stripe says whether a stripe is in the cache or placed on peers.
func (c *checker) stripe(ctx context.Context, stripe uint64) (bool, error) {
	if ok, seen := c.stripes[stripe]; seen {
		return ok, nil
	}
	ok := c.d.cache.Has(stripe)
	if !ok {
		b, err := c.d.db.Record(ctx, stripe)
		if err != nil && !errors.Is(err, meta.ErrNotExist) {
			return false, err
		}
		r, perr := placement.ParseRecord(b)
		ok = err == nil && perr == nil && r.Placed
	}
	c.stripes[stripe] = ok
	return ok, nil
}

// links compares what inodes say of their names with the names there are.
func (c *checker) links() {
	for ino, n := range c.nodes {
		want := n.names
		if n.dir {
			want = 2 + n.subdirs
		}
		switch {
		case !n.here:
			c.problem("inode %d has a name but does not exist", ino)
		case n.nlink != want:
			c.problem("inode %d says that it has %d links and has %d", ino, n.nlink, want)
		case n.names == 0 && ino != volume.Root && !c.orphans[ino]:
			c.problem("inode %d has no name", ino)
		case n.dir && n.names > 1:
			c.problem("directory %d has %d names", ino, n.names)
		}
	}
}
