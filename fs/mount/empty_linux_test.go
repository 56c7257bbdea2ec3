package mount

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// empty is a filesystem that does nothing but remember names and sizes: what it
// reaches is the most that any filesystem can reach through FUSE here. It has
// one folder, and nothing is ever read from it but zeros.
type empty struct {
	fuse.RawFileSystem

	mu    sync.Mutex
	names map[string]uint64 // guarded by mu
	sizes map[uint64]uint64 // guarded by mu
	last  uint64            // guarded by mu
}

func newEmpty() *empty {
	return &empty{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		names:         map[string]uint64{}, sizes: map[uint64]uint64{}, last: fuse.FUSE_ROOT_ID,
	}
}

func (e *empty) attr(out *fuse.Attr, ino uint64) {
	*out = fuse.Attr{Ino: ino, Mode: syscall.S_IFREG | 0o644, Nlink: 1, Size: e.sizes[ino], Blksize: blksize}
	if ino == fuse.FUSE_ROOT_ID {
		out.Mode = syscall.S_IFDIR | 0o755
	}
}

func (e *empty) entry(out *fuse.EntryOut, ino uint64) {
	out.NodeId = ino
	out.SetEntryTimeout(believe)
	out.SetAttrTimeout(believe)
	e.attr(&out.Attr, ino)
}

func (e *empty) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ino := e.names[name]; ino != 0 {
		e.entry(out, ino)
	} else {
		out.SetEntryTimeout(believe)
	}
	return fuse.OK
}

func (e *empty) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	out.SetTimeout(believe)
	e.attr(&out.Attr, in.NodeId)
	return fuse.OK
}

func (e *empty) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	if in.Valid&fuse.FATTR_SIZE != 0 {
		e.sizes[in.NodeId] = in.Size
	}
	out.SetTimeout(believe)
	e.attr(&out.Attr, in.NodeId)
	return fuse.OK
}

func (e *empty) GetXAttr(<-chan struct{}, *fuse.InHeader, string, []byte) (uint32, fuse.Status) {
	return 0, fuse.ENODATA
}

func (e *empty) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	e.names[name] = e.last
	e.entry(&out.EntryOut, e.last)
	out.OpenFlags = openFlags(in.Flags)
	return fuse.OK
}

func (e *empty) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = openFlags(in.Flags)
	return fuse.OK
}

func (e *empty) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	return inPlace(buf[:min(len(buf), int(in.Size))]), fuse.OK
}

func (e *empty) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sizes[in.NodeId] = max(e.sizes[in.NodeId], in.Offset+uint64(len(data)))
	return uint32(len(data)), fuse.OK
}

func (e *empty) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

// counted counts the requests that the kernel makes of a filesystem, those of
// files: a name for each, in the order of ops.
type counted struct {
	fuse.RawFileSystem
	n [len(ops)]atomic.Int64
}

var ops = [...]string{"LOOKUP", "CREATE", "GETATTR", "GETXATTR", "SETATTR", "OPEN", "READ", "WRITE", "FLUSH", "RELEASE"}

// counts is how many requests of each kind there were since the last call; no
// name for those that there were none of. RELEASE, which nobody waits for, is
// left out.
func (c *counted) counts() map[string]int {
	m := map[string]int{}
	for i, op := range ops {
		if n := c.n[i].Swap(0); n > 0 && op != "RELEASE" {
			m[op] = int(n)
		}
	}
	return m
}

func (c *counted) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	c.n[0].Add(1)
	return c.RawFileSystem.Lookup(cancel, h, name, out)
}

func (c *counted) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	c.n[1].Add(1)
	return c.RawFileSystem.Create(cancel, in, name, out)
}

func (c *counted) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	c.n[2].Add(1)
	return c.RawFileSystem.GetAttr(cancel, in, out)
}

func (c *counted) GetXAttr(cancel <-chan struct{}, h *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	c.n[3].Add(1)
	return c.RawFileSystem.GetXAttr(cancel, h, name, dest)
}

func (c *counted) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	c.n[4].Add(1)
	return c.RawFileSystem.SetAttr(cancel, in, out)
}

func (c *counted) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	c.n[5].Add(1)
	return c.RawFileSystem.Open(cancel, in, out)
}

func (c *counted) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	c.n[6].Add(1)
	return c.RawFileSystem.Read(cancel, in, buf)
}

func (c *counted) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	c.n[7].Add(1)
	return c.RawFileSystem.Write(cancel, in, data)
}

func (c *counted) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	c.n[8].Add(1)
	return c.RawFileSystem.Flush(cancel, in)
}

func (c *counted) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	c.n[9].Add(1)
	c.RawFileSystem.Release(cancel, in)
}

// mountCounted mounts a new volume, or the empty filesystem with the same
// options, and counts what is asked of it.
func mountCounted(t testing.TB, real bool) (*counted, string) {
	needRoot(t)
	needFUSE(t)
	dir := t.TempDir()
	o := &Options{}
	cfg := &Config{Dir: dir}
	if real {
		cfg.Volume = newVolume(t)
	}
	s := unmounted(t.Context(), cfg, o, dir)
	c := &counted{RawFileSystem: newEmpty()}
	if real {
		c.RawFileSystem = s.face(o)
	}
	return c, mountFront(t, c, s, o)
}

// mountFront has s serve what front answers, and returns the folder.
func mountFront(t testing.TB, front fuse.RawFileSystem, s *Server, o *Options) string {
	s.front = front
	must(t, s.begin(o, true))
	closeOnExec()
	go s.serve()
	s.raiseReadahead()
	t.Cleanup(func() { unmount(t, s) })
	return s.dir
}
