package model

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Folder is a folder of the kernel's, native or mounted, used by this process.
type Folder struct {
	dir  string
	gens bool
	open map[int]*opened
}

// opened is what a process has open under a number: a descriptor, or a mapping.
type opened struct {
	by  int
	fd  int
	mem []byte
}

// NewFolder uses a folder. With gens it tells inodes apart that had a number
// one after the other.
func NewFolder(dir string, gens bool) *Folder {
	return &Folder{dir: dir, gens: gens, open: map[int]*opened{}}
}

// Dir is the folder's path.
func (d *Folder) Dir() string { return d.dir }

func (d *Folder) at(path string) string { return filepath.Join(d.dir, path) }

// folderCalls says how each call is made of system calls.
var folderCalls = map[Op]func(*Folder, *Call, *Result) error{
	Open: (*Folder).openFile, Tmpfile: (*Folder).openFile, Mkdir: (*Folder).mkdir, Mknod: (*Folder).mknod, Rmdir: (*Folder).rmdir,
	Unlink: (*Folder).unlink, Rename: (*Folder).rename, Link: (*Folder).link, Symlink: (*Folder).symlink,
	Readlink: (*Folder).readlink, ReadDir: (*Folder).readDir, Lstat: (*Folder).lstat, Lookup: (*Folder).stat,
	Truncate: (*Folder).truncate, Chmod: (*Folder).chmod, Lchown: (*Folder).lchown, Lutimens: (*Folder).utimens,
	Setxattr: (*Folder).setxattr, Getxattr: (*Folder).getxattr, Listxattr: (*Folder).listxattr,
	Removexattr: (*Folder).removexattr, Crowd: (*Folder).crowd, Thin: (*Folder).thin,

	Close: (*Folder).close, Read: (*Folder).read, Write: (*Folder).write, Ftruncate: (*Folder).ftruncate,
	Fstat: (*Folder).fstat, Fsync: (*Folder).fsync, Fdatasync: (*Folder).fdatasync, Fchmod: (*Folder).fchmod,
	Futimens: (*Folder).futimens, Fsetxattr: (*Folder).fsetxattr, Fgetxattr: (*Folder).fgetxattr,
	Seek: (*Folder).seek, Allocate: (*Folder).allocate, Copy: (*Folder).copy, Linkat: (*Folder).linkat,

	Map: (*Folder).mmap, MapRead: (*Folder).mapRead, MapWrite: (*Folder).mapWrite, Msync: (*Folder).msync,
	Unmap: (*Folder).unmap,

	Opendir: (*Folder).opendir, Getdents: (*Folder).getdents, Seekdir: (*Folder).seekdir, Closedir: (*Folder).close,
	Listdir: (*Folder).listdir, Fsyncdir: (*Folder).fsync,

	Exit: (*Folder).exit,
}

// Do implements FS.
func (d *Folder) Do(c *Call) *Result {
	r := &Result{}
	call := folderCalls[c.Op]
	if call == nil {
		r.Errno = syscall.ENOSYS
		return r
	}
	r.Errno = Errno(again(func() error { return call(d, c, r) }))
	if r.Errno != 0 {
		*r = Result{Errno: r.Errno}
	}
	return r
}

// Can implements FS.
func (d *Folder) Can(op Op) bool { return folderCalls[op] != nil }

// again repeats a system call that a signal interrupted: the runtime sends some.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// CloseAll closes whatever is open.
func (d *Folder) CloseAll() {
	for n := range d.open {
		_ = d.close(&Call{File: n}, nil)
	}
}

func (d *Folder) exit(c *Call, _ *Result) error {
	for n, f := range d.open {
		if f.by == c.By {
			_ = d.close(&Call{File: n}, nil)
		}
	}
	return nil
}

func (d *Folder) mkdir(c *Call, _ *Result) error { return unix.Mkdir(d.at(c.Path), c.Mode) }

func (d *Folder) mknod(c *Call, _ *Result) error {
	return unix.Mknod(d.at(c.Path), c.Mode, int(c.Off))
}

func (d *Folder) rmdir(c *Call, _ *Result) error { return unix.Rmdir(d.at(c.Path)) }

func (d *Folder) unlink(c *Call, _ *Result) error { return unix.Unlink(d.at(c.Path)) }

func (d *Folder) rename(c *Call, _ *Result) error {
	return unix.Renameat2(unix.AT_FDCWD, d.at(c.Path), unix.AT_FDCWD, d.at(c.To), uint(c.Flags))
}

func (d *Folder) link(c *Call, _ *Result) error { return unix.Link(d.at(c.Path), d.at(c.To)) }

func (d *Folder) symlink(c *Call, _ *Result) error { return unix.Symlink(c.To, d.at(c.Path)) }

func (d *Folder) readlink(c *Call, r *Result) error {
	p := make([]byte, 4096)
	n, err := unix.Readlink(d.at(c.Path), p)
	r.Data = p[:max(n, 0)]
	return err
}

func (d *Folder) readDir(c *Call, r *Result) (err error) {
	r.Entries, err = list(d.at(c.Path))
	return err
}

// list reads a directory in the order of names.
func list(dir string) ([]Entry, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var entries []Entry
	for room := make([]byte, 64<<10); ; {
		some, err := dents(fd, room)
		if err != nil || len(some) == 0 {
			return nameOrder(entries), err
		}
		entries = append(entries, some...)
	}
}

// nameOrder sorts entries by name, and forgets their places in the stream.
func nameOrder(entries []Entry) []Entry {
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Name == "." || e.Name == ".." })
	for i := range entries {
		entries[i].Cookie = 0
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

func (d *Folder) truncate(c *Call, _ *Result) error { return unix.Truncate(d.at(c.Path), c.Off) }

func (d *Folder) chmod(c *Call, _ *Result) error { return unix.Chmod(d.at(c.Path), c.Mode) }

func (d *Folder) lchown(c *Call, _ *Result) error { return unix.Lchown(d.at(c.Path), c.UID, c.GID) }

func (d *Folder) utimens(c *Call, _ *Result) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, d.at(c.Path), timespecs(c), unix.AT_SYMLINK_NOFOLLOW)
}

// timespecs are the times of a call as utimensat(2) takes them.
func timespecs(c *Call) []unix.Timespec {
	one := func(ns int64) unix.Timespec {
		switch ns {
		case Now:
			return unix.Timespec{Nsec: unix.UTIME_NOW}
		case Omit:
			return unix.Timespec{Nsec: unix.UTIME_OMIT}
		}
		return unix.NsecToTimespec(ns)
	}
	return []unix.Timespec{one(c.Off), one(c.Off2)}
}

func (d *Folder) setxattr(c *Call, _ *Result) error {
	return unix.Lsetxattr(d.at(c.Path), c.To, c.value(), c.Flags)
}

func (d *Folder) getxattr(c *Call, r *Result) error {
	p := make([]byte, c.Len)
	n, err := unix.Lgetxattr(d.at(c.Path), c.To, p)
	return r.valueOf(p, n, err)
}

// valueOf keeps a value that was read into p; without room it is a length only.
func (r *Result) valueOf(p []byte, n int, err error) error {
	r.N = int64(max(n, 0))
	r.Data = p[:min(max(n, 0), len(p))]
	return err
}

func (d *Folder) listxattr(c *Call, r *Result) error {
	p := make([]byte, 64<<10)
	n, err := unix.Llistxattr(d.at(c.Path), p)
	for name := range strings.SplitSeq(string(p[:max(n, 0)]), "\x00") {
		if name != "" {
			r.Names = append(r.Names, name)
		}
	}
	slices.Sort(r.Names)
	return err
}

func (d *Folder) removexattr(c *Call, _ *Result) error {
	return unix.Lremovexattr(d.at(c.Path), c.To)
}

func (d *Folder) crowd(c *Call, _ *Result) error {
	for i := range c.Len {
		err := unix.Mknod(d.at(crowdName(c, i)), unix.S_IFREG|0o644, 0)
		if err != nil && !errors.Is(err, syscall.EEXIST) {
			return err
		}
	}
	return nil
}

func (d *Folder) thin(c *Call, _ *Result) error {
	for i := range c.Len {
		err := unix.Unlink(d.at(crowdName(c, i)))
		if err != nil && !errors.Is(err, syscall.ENOENT) {
			return err
		}
	}
	return nil
}

// Remove closes the folder's open files and removes all that is in it.
func (d *Folder) Remove() error {
	d.CloseAll()
	return os.RemoveAll(d.dir)
}
