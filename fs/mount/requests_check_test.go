package mount

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/fs/volume"
)

// records is what is recorded of a volume, for check.
type records struct {
	inodes map[uint64]meta.Inode
	links  map[uint64]uint32 // how many there are
	dirs   map[uint64]uint64 // directory -> the one it is in
	wrong  []string
}

func (c *records) report(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// check proves that what is recorded is a filesystem: links are counted right,
// nothing is without an inode and no inode without a name, names and attributes
// are such as can be, and nothing lies behind the end of its file.
func (m *memory) check(t *testing.T) {
	t.Helper()
	c := &records{inodes: map[uint64]meta.Inode{}, links: map[uint64]uint32{volume.Root: 2}, dirs: map[uint64]uint64{volume.Root: volume.Root}}
	ctx := context.Background()
	must(t, m.db.Walk(ctx, func(r *meta.Record) error { c.record(r); return nil }))
	must(t, m.db.Walk(ctx, func(r *meta.Record) error { c.content(r); return nil }))
	for ino, n := range c.links {
		if in, ok := c.inodes[ino]; !ok || in.Nlink != n {
			c.report("inode %d: recorded %v with %d links, and there are %d", ino, ok, in.Nlink, n)
		}
	}
	for ino, in := range c.inodes {
		c.inode(ino, &in)
	}
	for _, w := range c.wrong {
		t.Error(w)
	}
}

func (c *records) record(r *meta.Record) {
	switch r.Kind {
	case meta.KindInode:
		c.inodes[r.Ino] = r.Inode
	case meta.KindOrphan:
		c.report("inode %d is an orphan when nothing is open", r.Number)
	case meta.KindDirent:
		if name := r.Dirent.Name; name == "" || name == "." || name == ".." || len(name) > volume.MaxName || strings.ContainsAny(name, "/\x00") {
			c.report("directory %d has an entry %q", r.Ino, name)
		}
		c.links[r.Dirent.Ino]++
		if r.Dirent.Type == syscall.S_IFDIR>>12 {
			if up, ok := c.dirs[r.Dirent.Ino]; ok {
				c.report("directory %d is in %d and in %d", r.Dirent.Ino, up, r.Ino)
			}
			c.links[r.Dirent.Ino]++
			c.links[r.Ino]++
			c.dirs[r.Dirent.Ino] = r.Ino
		}
	}
}

func (c *records) inode(ino uint64, in *meta.Inode) {
	if c.links[ino] == 0 {
		c.report("inode %d has no name", ino)
	}
	up, isDir := c.dirs[ino]
	if isDir != (in.Mode&syscall.S_IFMT == syscall.S_IFDIR) || isDir && in.Parent != up {
		c.report("inode %d of mode %o is named as a directory: %v, in %d; it says in %d", ino, in.Mode, isDir, up, in.Parent)
	}
	for n := 0; isDir && up != volume.Root; n++ {
		if up = c.dirs[up]; n > len(c.dirs) {
			c.report("directory %d does not lead to the root", ino)
			break
		}
	}
	switch in.Mode &^ 0o7777 {
	case syscall.S_IFREG, syscall.S_IFDIR, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFCHR, syscall.S_IFBLK:
	case syscall.S_IFLNK:
		if len(in.Target) == 0 || len(in.Target) > 4095 || in.Size != uint64(len(in.Target)) {
			c.report("symbolic link %d of %d bytes has the size %d", ino, len(in.Target), in.Size)
		}
	default:
		c.report("inode %d has the mode %o", ino, in.Mode)
	}
	if in.Size > volume.MaxSize || in.Blocks > 1<<54 {
		c.report("inode %d has %d bytes in %d blocks", ino, in.Size, in.Blocks)
	}
}

func (c *records) content(r *meta.Record) {
	in, ok := c.inodes[r.Ino]
	switch {
	case r.Kind == meta.KindOrphan:
	case !ok:
		c.report("a record of kind %v of inode %d, which is not there", r.Kind, r.Ino)
	case r.Kind == meta.KindPage && r.Number*meta.Page+uint64(len(r.Data)) > in.Size:
		c.report("page %d of inode %d is behind its end %d", r.Number, r.Ino, in.Size)
	case r.Kind == meta.KindXattr && len(r.Data) > volume.MaxXattr:
		c.report("an attribute of inode %d has %d bytes", r.Ino, len(r.Data))
	}
	for i := range r.Extents {
		if e := &r.Extents[i]; e.Off+uint64(e.Len) > in.Size {
			c.report("an extent of inode %d ends at %d, the file at %d", r.Ino, e.Off+uint64(e.Len), in.Size)
		}
	}
}

// tree writes down everything that can be seen: names, attributes, and the
// sums of attributes' values and of what stands at the beginning, the middle
// and the end of files.
func (k *kernel) tree() string {
	var b bytes.Buffer
	k.walk(&b, volume.Root, "")
	return b.String()
}

func (k *kernel) walk(b *bytes.Buffer, dir uint64, path string) {
	var after uint64
	for {
		in := fuse.ReadIn{InHeader: fuse.InHeader{NodeId: dir}, Offset: after, Size: 4096}
		buf := make([]byte, 4096)
		list := fuse.NewDirEntryList(buf, after)
		if st := k.s.ReadDir(never, &in, list); st != fuse.OK {
			k.t.Fatalf("list %q: %v", path, st)
		}
		entries, err := fuse.ParseDirEntries(list.Bytes())
		must(k.t, err)
		if len(entries) == 0 {
			return
		}
		for _, e := range entries {
			if after = e.Off; e.Name != "." && e.Name != ".." {
				k.entry(b, dir, e.Name, path+"/"+e.Name)
			}
		}
	}
}

func (k *kernel) entry(b *bytes.Buffer, dir uint64, name, path string) {
	var out fuse.EntryOut
	if st := k.s.Lookup(never, &fuse.InHeader{NodeId: dir}, name, &out); st != fuse.OK || out.NodeId == 0 {
		k.t.Fatalf("%q is listed and not found: %v", path, st)
	}
	fmt.Fprintf(b, "%q %+v\n", path, out.Attr)
	h := fuse.InHeader{NodeId: out.NodeId}
	list := make([]byte, 128<<10)
	n, st := k.s.ListXAttr(never, &h, list)
	if st != fuse.OK {
		k.t.Fatalf("list the attributes of %q: %v", path, st)
	}
	for attr := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		value := make([]byte, volume.MaxXattr)
		n, st := k.s.GetXAttr(never, &h, attr, value)
		fmt.Fprintf(b, "  %q %v %x\n", attr, st, sha256.Sum256(value[:n]))
	}
	switch out.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		k.walk(b, out.NodeId, path)
	case syscall.S_IFREG:
		k.bytes(b, out.NodeId, out.Size)
	}
}

func (k *kernel) bytes(b *bytes.Buffer, ino, size uint64) {
	var open fuse.OpenOut
	if st := k.s.Open(never, &fuse.OpenIn{InHeader: fuse.InHeader{NodeId: ino}}, &open); st != fuse.OK {
		k.t.Fatalf("open inode %d: %v", ino, st)
	}
	defer k.s.Release(never, &fuse.ReleaseIn{InHeader: fuse.InHeader{NodeId: ino}, Fh: open.Fh})
	const part = 1 << 20
	for _, off := range []uint64{0, size / 2, max(size, part) - part} {
		buf := make([]byte, part)
		r, st := k.s.Read(never, &fuse.ReadIn{InHeader: fuse.InHeader{NodeId: ino}, Fh: open.Fh, Offset: off, Size: part}, buf)
		if st != fuse.OK {
			k.t.Fatalf("read inode %d at %d of %d: %v", ino, off, size, st)
		}
		if want := min(part, size-off); uint64(r.Size()) != want {
			k.t.Fatalf("inode %d at %d of %d: %d bytes, want %d", ino, off, size, r.Size(), want)
		}
		fmt.Fprintf(b, "  at %d %x\n", off, sha256.Sum256(buf[:r.Size()]))
	}
}
