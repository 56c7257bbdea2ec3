package volume

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/fs/meta"
)

// check opens a copy and compares it.
func (r *powerRun) check(c *powerCut) error {
	w := *r.w
	w.fs, w.clock = c.fs, &clock{now: time.Unix(1_900_000_000, 0)}
	w.open(r.t)
	err := c.compare(&w)
	if err == nil && c.again {
		c.again = false
		fs := c.fs.CrashClone(vfs.CrashCloneCfg{})
		defer w.close(r.t)
		return r.check(&powerCut{fs: fs, images: c.images})
	}
	if err == nil {
		err = alive(r.t, &w)
	}
	w.close(r.t)
	return err
}

// alive uses the volume once.
func alive(t *testing.T, w *world) error {
	_, f, err := w.v.Create(ctx, Caller{}, Root, "after the cut", 0o600)
	if err != nil {
		return err
	}
	data := random(3, 100_000)
	write(t, f, data, 0)
	if err := f.Fsync(ctx); err != nil {
		return err
	}
	p := make([]byte, len(data))
	if n, err := f.Read(ctx, p, 0); err != nil || !bytes.Equal(p[:n], data) {
		return fmt.Errorf("a new file reads wrong: %d bytes, %w", n, err)
	}
	return f.Release(ctx)
}

// compare looks whether what is there is one of the images, and the contents
// are among those that the files had since. Several images may have the same names
// for different files.
func (c *powerCut) compare(w *world) error {
	got, inos, err := dump(w)
	if err != nil {
		return err
	}
	tree := got.tree()
	err = fmt.Errorf("no state since the last sync has these names:\n%s\nsynced was:\n%s", tree, c.images[0].tree())
	for at := len(c.images) - 1; at >= 0; at-- {
		if c.images[at].tree() != tree {
			continue
		}
		if err = c.contents(w, c.images[at], inos); err == nil {
			return fsck(w)
		}
	}
	return err
}

// contents compares all files with what they are in an image.
func (c *powerCut) contents(w *world, s *image, inos map[string]uint64) error {
	for _, path := range slices.Sorted(maps.Keys(inos)) {
		if err := c.content(w, path, s.names[path].id, inos[path]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// content compares a file with its versions: with the only one, or byte by byte
// with those since the last sync.
func (c *powerCut) content(w *world, path string, id int, ino uint64) error {
	f, err := w.v.Open(ctx, ino, false)
	if err != nil {
		return err
	}
	defer f.Release(ctx)
	got := make([]byte, 8<<20)
	n, err := f.Read(ctx, got, 0)
	if err != nil {
		return err
	}
	got = got[:n]
	var versions [][]byte
	for _, s := range c.images {
		if v, ok := s.files[id]; ok && (len(versions) == 0 || !bytes.Equal(v, versions[len(versions)-1])) {
			versions = append(versions, v)
		}
	}
	if len(versions) == 1 && !bytes.Equal(got, versions[0]) {
		at, bad := 0, 0
		for i := range min(len(got), len(versions[0])) {
			if got[i] == versions[0][i] {
				continue
			}
			if bad++; bad == 1 {
				at = i
			}
		}
		return fmt.Errorf("%d bytes of %d that were synced, and %d are wrong, the first at %d", len(got), len(versions[0]), bad, at)
	}
	if !slices.ContainsFunc(versions, func(v []byte) bool { return len(v) == len(got) }) {
		return fmt.Errorf("a size of %d, which it never had", len(got))
	}
	if len(versions) == 1 {
		return nil
	}
	for i, b := range got {
		if b != 0 && !slices.ContainsFunc(versions, func(v []byte) bool { return i < len(v) && v[i] == b }) {
			return fmt.Errorf("byte %d was never written there", i)
		}
	}
	return nil
}

// dump reads the whole tree through the volume.
func dump(w *world) (*image, map[string]uint64, error) {
	s := &image{names: map[string]node{}}
	files := map[string]uint64{}
	var walk func(dir uint64, path string) error
	walk = func(dir uint64, path string) error {
		list, err := w.v.ReadDir(ctx, dir, 0, 1000)
		if err != nil {
			return err
		}
		for _, e := range list {
			a, err := w.v.Lookup(ctx, dir, e.Name)
			if err != nil {
				return fmt.Errorf("%s/%s: %w", path, e.Name, err)
			}
			x, err := w.v.GetXattr(ctx, a.Ino, "user.x")
			if err != nil {
				x = nil
			}
			q := path + "/" + e.Name
			s.names[q] = node{id: int(a.Ino), mode: a.Mode, target: a.Target, xattr: string(x)}
			if a.Mode&modeType == modeReg {
				files[q] = a.Ino
			}
			if a.Mode&modeType == modeDir {
				if err := walk(a.Ino, q); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return s, files, walk(Root, "")
}

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
