package crashdisk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Kind is what an operation does.
type Kind string

// The kinds of operations that a Watch is asked about.
const (
	Create   Kind = "create"
	Open     Kind = "open"
	Read     Kind = "read"
	Write    Kind = "write"
	Sync     Kind = "sync"
	SyncDir  Kind = "sync of the folder"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	MakeDir  Kind = "make folder"
	List     Kind = "list"
	Allocate Kind = "allocate"
)

// Changes says whether an operation of the kind changes what is on the disk, or
// what of it is safe.
func (k Kind) Changes() bool { return k != Open && k != Read && k != List }

// Op is an operation that is about to be done.
type Op struct {
	Kind Kind
	Path string
}

// Watch is asked before each operation; its error is the operation's, which then
// is not done. It is called from many goroutines, and without locks.
type Watch func(op Op) error

// Short is the error of a write that writes the first N bytes, or as many as
// there are but one, and then fails with Err.
type Short struct {
	N   int
	Err error
}

func (s *Short) Error() string { return s.Err.Error() }

// Unwrap returns what the writer sees.
func (s *Short) Unwrap() error { return s.Err }

// Disk is a file system in memory. It is safe for concurrent use.
type Disk struct {
	watch Watch // fixed

	mu    sync.RWMutex // guards all below and all inodes
	root  *inode
	clock uint64 // counts changes
	locks map[string]bool
}

var _ vfs.FS = (*Disk)(nil)

// New makes an empty disk. watch may be nil.
func New(watch Watch) *Disk {
	return &Disk{watch: watch, root: newDir(), locks: map[string]bool{}}
}

// ask tells the watch of an operation.
func (d *Disk) ask(kind Kind, name string) error {
	if d.watch == nil {
		return nil
	}
	err := d.watch(Op{kind, name})
	if err != nil && !errors.As(err, new(*Short)) {
		return &fs.PathError{Op: string(kind), Path: name, Err: err}
	}
	return err
}

// parts are the names of a path.
func parts(name string) []string {
	return strings.FieldsFunc(path.Clean("/"+name), func(c rune) bool { return c == '/' })
}

// find returns the inode of a path; mu is held.
func (d *Disk) find(op, name string) (*inode, error) {
	at := d.root
	for _, p := range parts(name) {
		if !at.dir {
			return nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
		}
		if at = at.names[p]; at == nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
	}
	return at, nil
}

// place returns the folder of a path and the last name; mu is held.
func (d *Disk) place(op, name string) (*inode, string, error) {
	list := parts(name)
	if len(list) == 0 {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: syscall.EINVAL}
	}
	dir, err := d.find(op, strings.Join(list[:len(list)-1], "/"))
	if err == nil && !dir.dir {
		err = &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
	}
	return dir, list[len(list)-1], err
}

// tick numbers a change; mu is held.
func (d *Disk) tick() uint64 {
	d.clock++
	return d.clock
}

// Create makes an empty file; one that has the name is unlinked first.
func (d *Disk) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.ask(Create, name); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.place("create", name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] != nil {
		dir.change(d.tick(), base, nil)
	}
	n := &inode{}
	dir.change(d.tick(), base, n)
	return &file{d: d, n: n, name: name, writes: true}, nil
}

// Link gives a file one more name.
func (d *Disk) Link(from, to string) error {
	if err := d.ask(Create, to); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find("link", from)
	if err != nil {
		return err
	}
	dir, base, err := d.place("link", to)
	if err == nil && dir.names[base] != nil {
		err = &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	if err == nil {
		dir.change(d.tick(), base, n)
	}
	return err
}

func (d *Disk) open(name string, writes bool) (*file, error) {
	if err := d.ask(Open, name); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	n, err := d.find("open", name)
	if err != nil {
		return nil, err
	}
	return &file{d: d, n: n, name: name, writes: writes && !n.dir}, nil
}

// Open opens a file for reading.
func (d *Disk) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.open(name, false)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// OpenDir opens a folder.
func (d *Disk) OpenDir(name string) (vfs.File, error) { return d.Open(name) }

// OpenReadWrite opens a file, and makes it if there is none.
func (d *Disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.open(name, true)
	if errors.Is(err, fs.ErrNotExist) {
		return d.Create(name, c)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Remove takes away a file or an empty folder.
func (d *Disk) Remove(name string) error {
	if err := d.ask(Remove, name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.place("remove", name)
	if err != nil {
		return err
	}
	n := dir.names[base]
	switch {
	case n == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	case len(n.names) > 0:
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	dir.change(d.tick(), base, nil)
	return nil
}

// RemoveAll takes away a name with all that is below it.
func (d *Disk) RemoveAll(name string) error {
	if err := d.ask(Remove, name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.place("remove", name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && dir.names[base] != nil {
		dir.change(d.tick(), base, nil)
	}
	return err
}

// Rename gives a file another name within its folder.
func (d *Disk) Rename(from, to string) error {
	if err := d.ask(Rename, to); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, old, err := d.place("rename", from)
	if err != nil {
		return err
	}
	other, base, err := d.place("rename", to)
	switch {
	case err != nil:
		return err
	case dir != other:
		return &fs.PathError{Op: "rename", Path: to, Err: errors.ErrUnsupported}
	case dir.names[old] == nil:
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	dir.rename(d.tick(), old, base)
	return nil
}

// ReuseForWrite renames a file and opens it for writing at its start.
func (d *Disk) ReuseForWrite(from, to string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.Rename(from, to); err != nil {
		return nil, err
	}
	f, err := d.open(to, true)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// MkdirAll makes a folder and those above it.
func (d *Disk) MkdirAll(name string, _ os.FileMode) error {
	if err := d.ask(MakeDir, name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := d.root
	for _, p := range parts(name) {
		next := at.names[p]
		if next == nil {
			next = newDir()
			at.change(d.tick(), p, next)
		}
		if !next.dir {
			return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
		at = next
	}
	return nil
}

// Lock takes a lock, which a cut and a kill end.
func (d *Disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.place("lock", name)
	if err != nil {
		return nil, err
	}
	if d.locks[name] {
		return nil, syscall.EAGAIN
	}
	if dir.names[base] == nil {
		dir.change(d.tick(), base, &inode{})
	}
	d.locks[name] = true
	return &lock{d: d, name: name}, nil
}

type lock struct {
	d    *Disk
	name string
	once sync.Once
}

func (l *lock) Close() error {
	l.once.Do(func() {
		l.d.mu.Lock()
		defer l.d.mu.Unlock()
		delete(l.d.locks, l.name)
	})
	return nil
}

// List returns the names in a folder.
func (d *Disk) List(name string) ([]string, error) {
	if err := d.ask(List, name); err != nil {
		return nil, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	n, err := d.find("list", name)
	if err != nil {
		return nil, err
	}
	var list []string
	for base := range n.names {
		list = append(list, base)
	}
	slices.Sort(list)
	return list, nil
}

// Stat describes a file.
func (d *Disk) Stat(name string) (vfs.FileInfo, error) {
	f, err := d.open(name, false)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

// PathBase is the last name of a path.
func (d *Disk) PathBase(p string) string { return path.Base(p) }

// PathJoin joins names.
func (d *Disk) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir is the folder of a path.
func (d *Disk) PathDir(p string) string { return path.Dir(p) }

// GetDiskUsage says that this disk cannot tell.
func (d *Disk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{}, vfs.ErrUnsupported
}

// Unwrap returns nil: there is nothing below.
func (d *Disk) Unwrap() vfs.FS { return nil }
