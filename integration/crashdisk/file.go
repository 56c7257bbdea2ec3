package crashdisk

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// inode is a file or a folder. Disk.mu guards it.
type inode struct {
	dir bool

	// Of a file: what it holds, and what of it is safe. data may be changed in place
	// only if it is the inode's own; safe never is.
	data   []byte
	own    bool
	safe   []byte
	writes []write // since safe
	dirty  bool    // data has what will never be safe: a sync of it failed

	// Of a folder.
	names     map[string]*inode
	safeNames map[string]*inode
	changes   []change // since safeNames
}

// write is one write to a file.
type write struct {
	at   uint64 // when, in ticks of the disk
	off  int
	data []byte
}

func (w *write) end() int { return w.off + len(w.data) }

// within says whether a write lies in one sector.
func (w *write) within() bool { return w.off/sector == (w.end()-1)/sector }

// change is one change of a folder: name stands for n now, or for nothing if that
// is nil, and old, unless empty, for nothing.
type change struct {
	at        uint64
	name, old string
	n         *inode
}

func newDir() *inode {
	return &inode{dir: true, names: map[string]*inode{}, safeNames: map[string]*inode{}}
}

func (c *change) apply(names map[string]*inode) {
	if c.old != "" {
		delete(names, c.old)
	}
	if c.n == nil {
		delete(names, c.name)
	} else {
		names[c.name] = c.n
	}
}

func (n *inode) change(at uint64, name string, to *inode) { n.note(change{at: at, name: name, n: to}) }

func (n *inode) rename(at uint64, old, name string) {
	n.note(change{at: at, name: name, old: old, n: n.names[old]})
}

func (n *inode) note(c change) {
	n.changes = append(n.changes, c)
	c.apply(n.names)
}

// put writes to a file.
func (n *inode) put(at uint64, p []byte, off int) {
	if len(p) == 0 {
		return
	}
	if !n.own {
		n.data, n.own = slices.Clone(n.data), true
	}
	if grow := off + len(p) - len(n.data); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
	}
	copy(n.data[off:], p)
	n.writes = append(n.writes, write{at, off, slices.Clone(p)})
}

// sync makes all of it safe.
func (n *inode) sync() {
	if n.dir {
		n.safeNames, n.changes = maps.Clone(n.names), nil
		return
	}
	if n.dirty {
		m := inode{data: n.safe}
		for i := range n.writes {
			m.put(0, n.writes[i].data, n.writes[i].off)
		}
		n.safe, n.writes = m.data, nil
		return
	}
	n.safe, n.own, n.writes = n.data, false, nil
}

// unsync is a failed sync of a file: the kernel takes its pages to be clean.
func (n *inode) unsync() {
	n.dirty = n.dirty || len(n.writes) > 0
	n.writes = nil
}

// file is an open file.
type file struct {
	d      *Disk
	n      *inode
	name   string
	writes bool
	pos    int
	closed bool
}

func (f *file) Close() error {
	f.closed = true
	return nil
}

func (f *file) usable(op string) error {
	if f.closed {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

func (f *file) Read(p []byte) (int, error) {
	n, err := f.read(p, f.pos)
	f.pos += n
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) { return f.read(p, int(off)) }

func (f *file) read(p []byte, off int) (int, error) {
	if err := errors.Join(f.usable("read"), f.d.ask(Read, f.name)); err != nil {
		return 0, err
	}
	f.d.mu.RLock()
	defer f.d.mu.RUnlock()
	if len(p) == 0 {
		return 0, nil
	}
	if off >= len(f.n.data) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.write(p, f.pos)
	f.pos += n
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) { return f.write(p, int(off)) }

func (f *file) write(p []byte, off int) (int, error) {
	if err := f.usable("write"); err != nil {
		return 0, err
	}
	if !f.writes {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: fs.ErrPermission}
	}
	err := f.d.ask(Write, f.name)
	if short := new(Short); errors.As(err, &short) {
		p = p[:max(0, min(short.N, len(p)-1))]
		err = &fs.PathError{Op: "write", Path: f.name, Err: short.Err}
	} else if err != nil {
		return 0, err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n.put(f.d.tick(), p, off)
	return len(p), err
}

// Sync makes what was written before safe, or the names of a folder.
func (f *file) Sync() error {
	kind := Sync
	if f.n.dir {
		kind = SyncDir
	}
	err := errors.Join(f.usable("sync"), f.d.ask(kind, f.name))
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	switch {
	case err == nil:
		f.n.sync()
	case !f.n.dir:
		f.n.unsync()
	}
	return err
}

func (f *file) SyncData() error { return f.Sync() }

// SyncTo promises nothing.
func (f *file) SyncTo(int64) (fullSync bool, err error) { return false, nil }

func (f *file) Preallocate(_, _ int64) error { return f.d.ask(Allocate, f.name) }

func (f *file) Prefetch(_, _ int64) error { return nil }

func (f *file) Fd() uintptr { return vfs.InvalidFd }

func (f *file) Stat() (vfs.FileInfo, error) {
	f.d.mu.RLock()
	defer f.d.mu.RUnlock()
	return info{path.Base(f.name), int64(len(f.n.data)), f.n.dir}, nil
}

// info describes a file.
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string           { return i.name }
func (i info) Size() int64            { return i.size }
func (i info) IsDir() bool            { return i.dir }
func (i info) ModTime() time.Time     { return time.Time{} }
func (i info) Sys() any               { return nil }
func (i info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
func (i info) Mode() os.FileMode {
	if i.dir {
		return os.ModeDir | 0o700
	}
	return 0o600
}
