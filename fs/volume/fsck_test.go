package volume

import (
	"fmt"

	"github.com/hammockfs/hammock/fs/meta"
)

// fsck checks the records against one another: links are counted right, no
// record is without its inode, no inode without a name, nothing is behind the
// end of its file, and every extent opens.
func fsck(w *world) error {
	inodes, links, dirs := map[uint64]meta.Inode{}, map[uint64]uint32{Root: 2}, map[uint64]uint64{Root: Root}
	err := w.db.Walk(ctx, func(r *meta.Record) error {
		switch r.Kind {
		case meta.KindInode:
			inodes[r.Ino] = r.Inode
		case meta.KindOrphan:
			return fmt.Errorf("inode %d is an orphan after a start", r.Number)
		case meta.KindDirent:
			links[r.Dirent.Ino]++
			if r.Dirent.Type == modeDir>>12 {
				links[r.Dirent.Ino]++
				links[r.Ino]++
				dirs[r.Dirent.Ino] = r.Ino
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
	return fsckData(w, inodes)
}

func fsckData(w *world, inodes map[uint64]meta.Inode) error {
	return w.db.Walk(ctx, func(r *meta.Record) error {
		in, ok := inodes[r.Ino]
		switch {
		case r.Kind == meta.KindOrphan:
			return nil
		case !ok:
			return fmt.Errorf("a record of kind %v of inode %d, which is not there", r.Kind, r.Ino)
		case r.Kind == meta.KindPage && r.Number*meta.Page+uint64(len(r.Data)) > in.Size:
			return fmt.Errorf("page %d of inode %d is behind its end %d", r.Number, r.Ino, in.Size)
		case r.Kind == meta.KindPage && in.Flags&flagPages == 0, r.Kind == meta.KindWindow && in.Flags&flagWindows == 0,
			r.Kind == meta.KindXattr && in.Flags&flagXattrs == 0, isACL(r.Name) && in.Flags&flagACL == 0,
			r.Name == xattrCaps && in.Flags&flagCaps == 0:
			return fmt.Errorf("inode %d does not say that it has records of kind %v", r.Ino, r.Kind)
		}
		for i := range r.Extents {
			e := &r.Extents[i]
			if e.Off+uint64(e.Len) > in.Size {
				return fmt.Errorf("an extent of inode %d ends at %d, the file at %d", r.Ino, e.Off+uint64(e.Len), in.Size)
			}
			if err := w.cache.ReadAt(ctx, &e.Ref, make([]byte, e.Len), int(e.Skip)); err != nil {
				return fmt.Errorf("an extent of inode %d at %d: %w", r.Ino, e.Off, err)
			}
		}
		return nil
	})
}
