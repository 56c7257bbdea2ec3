package powercuts

import (
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// Bits of meta.Inode.Flags, as fs/volume has them.
const (
	flagPages   = 1 << 0
	flagWindows = 1 << 1
	flagXattrs  = 1 << 2
)

// fsck checks the records against one another: links are counted right, no
// record is without its inode, no inode without a name, nothing is behind the
// end of its file, and every extent opens.
func (r *running) fsck() error {
	inodes, links, dirs := map[uint64]meta.Inode{}, map[uint64]uint32{volume.Root: 2}, map[uint64]uint64{volume.Root: volume.Root}
	err := r.db.Walk(ctx, func(c *meta.Record) error {
		switch c.Kind {
		case meta.KindInode:
			inodes[c.Ino] = c.Inode
		case meta.KindOrphan:
			return fmt.Errorf("inode %d is an orphan after a start", c.Number)
		case meta.KindDirent:
			links[c.Dirent.Ino]++
			if c.Dirent.Type == modeDir>>12 {
				links[c.Dirent.Ino]++
				links[c.Ino]++
				dirs[c.Dirent.Ino] = c.Ino
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for ino, n := range links {
		if in, ok := inodes[ino]; !ok || in.Nlink != n {
			return fmt.Errorf("inode %d: recorded %v with %d links, %d names", ino, ok, in.Nlink, n)
		}
	}
	for ino, in := range inodes {
		if links[ino] == 0 {
			return fmt.Errorf("inode %d has no name", ino)
		}
		if up, ok := dirs[ino]; ok && in.Parent != up {
			return fmt.Errorf("directory %d is in %d and says %d", ino, up, in.Parent)
		}
	}
	return r.db.Walk(ctx, func(c *meta.Record) error { return r.fsckData(c, inodes) })
}

// fsckData checks one record that belongs to an inode.
func (r *running) fsckData(c *meta.Record, inodes map[uint64]meta.Inode) error {
	in, ok := inodes[c.Ino]
	switch {
	case c.Kind == meta.KindOrphan:
		return nil
	case !ok:
		return fmt.Errorf("a record of kind %v of inode %d, which is not there", c.Kind, c.Ino)
	case c.Kind == meta.KindPage && c.Number*meta.Page+uint64(len(c.Data)) > in.Size:
		return fmt.Errorf("page %d of inode %d is behind its end %d", c.Number, c.Ino, in.Size)
	case c.Kind == meta.KindPage && in.Flags&flagPages == 0, c.Kind == meta.KindWindow && in.Flags&flagWindows == 0,
		c.Kind == meta.KindXattr && in.Flags&flagXattrs == 0:
		return fmt.Errorf("inode %d does not say that it has records of kind %v", c.Ino, c.Kind)
	}
	for i := range c.Extents {
		e := &c.Extents[i]
		if e.Off+uint64(e.Len) > in.Size {
			return fmt.Errorf("an extent of inode %d ends at %d, the file at %d", c.Ino, e.Off+uint64(e.Len), in.Size)
		}
		if err := r.cache.ReadAt(ctx, &e.Ref, make([]byte, e.Len), int(e.Skip)); err != nil {
			return fmt.Errorf("an extent of inode %d at %d: %w", c.Ino, e.Off, err)
		}
	}
	return nil
}
