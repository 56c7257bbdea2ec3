package model

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/fs/volume"
)

// Core is a volume in this process, without a kernel: what a kernel does before
// it asks a filesystem, Core does as far as the operations drawn need it.
type Core struct {
	Volume *volume.Volume
	open   map[int]*coreFile
}

// NewCore uses a volume.
func NewCore(v *volume.Volume) *Core { return &Core{v, map[int]*coreFile{}} }

// coreFile is what a process has open under a number: a file or a directory.
type coreFile struct {
	by     int
	flags  int
	f      *volume.File
	dir    uint64 // the directory's inode; zero for a file
	cookie uint64 // how far its stream has come
	// linkable says that a file without a name may get one.
	linkable bool
}

// coreCalls says how each call is made of the volume's methods.
var coreCalls = map[Op]func(*Core, *Call, *Result) error{
	Open: (*Core).openFile, Tmpfile: (*Core).tmpfile, Linkat: (*Core).linkat, Mkdir: (*Core).mkdir, Mknod: (*Core).mknod, Rmdir: (*Core).rmdir, Unlink: (*Core).unlink,
	Rename: (*Core).rename, Link: (*Core).link, Symlink: (*Core).symlink, Readlink: (*Core).readlink,
	ReadDir: (*Core).readDir, Lstat: (*Core).lstat, Lookup: (*Core).stat, Truncate: (*Core).truncate,
	Chmod: (*Core).chmod, Lchown: (*Core).lchown, Lutimens: (*Core).utimens, Setxattr: (*Core).setxattr,
	Getxattr: (*Core).getxattr, Listxattr: (*Core).listxattr, Removexattr: (*Core).removexattr,
	Crowd: (*Core).crowd, Thin: (*Core).thin,

	Close: (*Core).close, Read: (*Core).read, Write: (*Core).write, Ftruncate: (*Core).ftruncate, Fstat: (*Core).fstat,
	Fsync: (*Core).fsync, Fdatasync: (*Core).fsync, Fchmod: (*Core).fchmod, Futimens: (*Core).futimens,
	Fsetxattr: (*Core).fsetxattr, Fgetxattr: (*Core).fgetxattr, Seek: (*Core).seek, Allocate: (*Core).allocate, Copy: (*Core).copy,

	Opendir: (*Core).opendir, Getdents: (*Core).getdents, Seekdir: (*Core).seekdir, Closedir: (*Core).close,
	Listdir: (*Core).listdir, Fsyncdir: (*Core).fsyncdir,

	Exit: (*Core).exit,
}

// Do implements FS.
func (c *Core) Do(call *Call) *Result {
	r := &Result{}
	do := coreCalls[call.Op]
	if do == nil {
		return &Result{Errno: syscall.ENOSYS}
	}
	if r.Errno = Errno(errnoOf(do(c, call, r))); r.Errno != 0 {
		*r = Result{Errno: r.Errno}
	}
	return r
}

// Can implements FS.
func (c *Core) Can(op Op) bool { return coreCalls[op] != nil }

// errnos is what the kernel would see of an error.
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{volume.ErrNoSpace, syscall.ENOSPC}, {volume.ErrNotExist, syscall.ENOENT}, {volume.ErrExist, syscall.EEXIST},
	{volume.ErrNotDir, syscall.ENOTDIR}, {volume.ErrIsDir, syscall.EISDIR}, {volume.ErrNotEmpty, syscall.ENOTEMPTY},
	{volume.ErrNameTooLong, syscall.ENAMETOOLONG}, {volume.ErrTooBig, syscall.EFBIG}, {volume.ErrNoXattr, syscall.ENODATA},
	{volume.ErrRange, syscall.ERANGE}, {volume.ErrTooBigXattr, syscall.E2BIG}, {volume.ErrTooManyLinks, syscall.EMLINK},
	{volume.ErrLoop, syscall.EINVAL}, {volume.ErrPerm, syscall.EPERM}, {volume.ErrInvalid, syscall.EINVAL},
	{volume.ErrNotSupported, syscall.EOPNOTSUPP}, {volume.ErrReadOnly, syscall.EROFS}, {volume.ErrAccess, syscall.EACCES},
	{volume.ErrNoData, syscall.ENXIO},
}

func errnoOf(err error) error {
	var own syscall.Errno
	if err == nil || errors.As(err, &own) {
		return err
	}
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.errno
		}
	}
	return err
}

var ctx = context.Background()

// caller is who does everything.
func caller() volume.Caller {
	return volume.Caller{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
}

// unprivileged says whether writing takes the set-ID bits from a file.
func unprivileged() bool { return os.Geteuid() != 0 }

func (c *Core) mkdir(call *Call, _ *Result) error {
	at, err := c.vacant(call.Path)
	if err != nil {
		return err
	}
	_, err = c.Volume.Mkdir(ctx, caller(), at.dir, at.name, call.Mode)
	return err
}

func (c *Core) mknod(call *Call, _ *Result) error {
	at, err := c.vacant(call.Path)
	if err != nil {
		return err
	}
	_, err = c.Volume.Mknod(ctx, caller(), at.dir, at.name, call.Mode, uint32(call.Off))
	return err
}

func (c *Core) rmdir(call *Call, _ *Result) error {
	at, err := c.find(call.Path, false)
	if err != nil {
		return err
	}
	return c.Volume.Rmdir(ctx, at.dir, at.name)
}

func (c *Core) unlink(call *Call, _ *Result) error {
	at, err := c.find(call.Path, false)
	if err != nil {
		return err
	}
	return c.Volume.Unlink(ctx, at.dir, at.name)
}

func (c *Core) rename(call *Call, _ *Result) error {
	if call.Flags&unix.RENAME_EXCHANGE != 0 && call.Flags != unix.RENAME_EXCHANGE {
		return syscall.EINVAL
	}
	a, err := c.walk(call.Path, false)
	if err != nil {
		return err
	}
	b, err := c.walk(call.To, false)
	if err != nil {
		return err
	}
	flags := uint32(call.Flags)
	if flags&unix.RENAME_WHITEOUT != 0 {
		return c.Volume.Whiteout(ctx, caller(), a.dir, a.name, b.dir, b.name, flags&^unix.RENAME_WHITEOUT)
	}
	return c.Volume.Rename(ctx, a.dir, a.name, b.dir, b.name, flags)
}

func (c *Core) link(call *Call, _ *Result) error {
	a, err := c.find(call.Path, false)
	if err != nil {
		return err
	}
	b, err := c.vacant(call.To)
	if err != nil {
		return err
	}
	_, err = c.Volume.Link(ctx, a.attr.Ino, b.dir, b.name)
	return err
}

func (c *Core) symlink(call *Call, _ *Result) error {
	if call.To == "" {
		return syscall.ENOENT
	}
	at, err := c.vacant(call.Path)
	if err != nil {
		return err
	}
	_, err = c.Volume.Symlink(ctx, caller(), at.dir, at.name, call.To)
	return err
}

func (c *Core) readlink(call *Call, r *Result) error {
	at, err := c.find(call.Path, false)
	if err != nil {
		return err
	}
	to, err := c.Volume.Readlink(ctx, at.attr.Ino)
	r.Data = []byte(to)
	return err
}

func (c *Core) lstat(call *Call, r *Result) error {
	at, err := c.find(call.Path, false)
	r.Stat = coreStat(&at.attr)
	return err
}

func (c *Core) stat(call *Call, r *Result) error {
	at, err := c.find(call.Path, true)
	r.Stat = coreStat(&at.attr)
	return err
}

func coreStat(a *volume.Attr) Stat {
	return Stat{Ino: a.Ino, Mode: a.Mode, Nlink: a.Nlink, UID: a.UID, GID: a.GID, Rdev: uint64(a.Rdev), Size: int64(a.Size),
		Blocks: int64(a.Blocks), Atime: a.Atime, Mtime: a.Mtime, Ctime: a.Ctime, Btime: a.Btime}
}

func (c *Core) setAttr(path string, follow bool, s volume.SetAttr) error {
	at, err := c.find(path, follow)
	if err != nil {
		return err
	}
	_, err = c.Volume.SetAttr(ctx, at.attr.Ino, s)
	return err
}

func (c *Core) truncate(call *Call, _ *Result) error {
	at, err := c.find(call.Path, true)
	switch {
	case err != nil:
		return err
	case isType(at.attr.Mode, syscall.S_IFDIR):
		return syscall.EISDIR
	}
	n := uint64(call.Off)
	_, err = c.Volume.SetAttr(ctx, at.attr.Ino, volume.SetAttr{Size: &n, KillPriv: unprivileged()})
	return err
}

func (c *Core) chmod(call *Call, _ *Result) error {
	return c.setAttr(call.Path, true, volume.SetAttr{Mode: &call.Mode})
}

func (c *Core) lchown(call *Call, _ *Result) error {
	s := volume.SetAttr{KillPriv: true}
	if u := uint32(call.UID); call.UID >= 0 {
		s.UID = &u
	}
	if g := uint32(call.GID); call.GID >= 0 {
		s.GID = &g
	}
	return c.setAttr(call.Path, false, s)
}

func (c *Core) utimens(call *Call, _ *Result) error {
	if call.Off == Omit && call.Off2 == Omit {
		return nil // the kernel does not even look for the path
	}
	return c.setAttr(call.Path, false, times(call))
}

// times is what utimensat(2) makes of the times of a call.
func times(call *Call) (s volume.SetAttr) {
	one := func(ns int64) *int64 {
		switch ns {
		case Omit:
			return nil
		case Now:
			ns = clock()
		}
		return &ns
	}
	s.Atime, s.Mtime = one(call.Off), one(call.Off2)
	return s
}

func (c *Core) crowd(call *Call, _ *Result) error {
	for i := range call.Len {
		one := &Call{Path: crowdName(call, i), Mode: syscall.S_IFREG | 0o644}
		if err := c.mknod(one, nil); err != nil && Errno(errnoOf(err)) != syscall.EEXIST {
			return err
		}
	}
	return nil
}

func (c *Core) thin(call *Call, _ *Result) error {
	for i := range call.Len {
		one := &Call{Path: crowdName(call, i)}
		if err := c.unlink(one, nil); err != nil && Errno(errnoOf(err)) != syscall.ENOENT {
			return err
		}
	}
	return nil
}

func (c *Core) readDir(call *Call, r *Result) error {
	at, err := c.find(call.Path, true)
	if err != nil {
		return err
	}
	r.Entries, err = c.list(at.attr.Ino)
	return err
}

// list reads a directory in small steps, so that cookies count.
func (c *Core) list(dir uint64) (entries []Entry, err error) {
	for after := uint64(0); ; {
		some, err := c.Volume.ReadDir(ctx, dir, after, 3)
		if err != nil || len(some) == 0 {
			return nameOrder(entries), err
		}
		for _, e := range some {
			entries, after = append(entries, Entry{Name: e.Name, Type: e.Type, Ino: e.Ino}), e.Cookie
		}
	}
}

func (c *Core) setxattr(call *Call, _ *Result) error {
	at, err := c.find(call.Path, false)
	if err == nil {
		err = mayHave(at.attr.Mode, call.To, syscall.EPERM)
	}
	if err != nil {
		return err
	}
	if call.To == defaultACL && len(call.Data) > 4 && !isType(at.attr.Mode, syscall.S_IFDIR) {
		return syscall.EACCES // before the kernel looks whether the list is valid
	}
	return c.Volume.SetXattr(ctx, at.attr.Ino, call.To, call.value(), call.Flags)
}

// mayHave is the kernel's rule that only files and directories have attributes
// of users, and that symbolic links have no lists.
func mayHave(mode uint32, name string, no syscall.Errno) error {
	if strings.HasPrefix(name, "system.") && isType(mode, syscall.S_IFLNK) {
		return syscall.EOPNOTSUPP
	}
	if strings.HasPrefix(name, "user.") && !isType(mode, syscall.S_IFREG) && !isType(mode, syscall.S_IFDIR) {
		return no
	}
	return nil
}

func (c *Core) getxattr(call *Call, r *Result) error {
	at, err := c.find(call.Path, false)
	if err == nil {
		err = mayHave(at.attr.Mode, call.To, syscall.ENODATA)
	}
	if err != nil {
		return err
	}
	return c.value(at.attr.Ino, call, r)
}

func (c *Core) value(ino uint64, call *Call, r *Result) error {
	v, err := c.Volume.GetXattr(ctx, ino, call.To)
	if err == nil && call.Len > 0 && int64(len(v)) > call.Len {
		return syscall.ERANGE
	}
	return r.valueOf(v[:min(int64(len(v)), call.Len)], len(v), err)
}

func (c *Core) listxattr(call *Call, r *Result) error {
	at, err := c.find(call.Path, false)
	if err != nil {
		return err
	}
	r.Names, err = c.Volume.ListXattr(ctx, at.attr.Ino)
	slices.Sort(r.Names)
	return err
}

func (c *Core) removexattr(call *Call, _ *Result) error {
	at, err := c.find(call.Path, false)
	if err == nil {
		err = mayHave(at.attr.Mode, call.To, syscall.EPERM)
	}
	if err != nil {
		return err
	}
	return c.Volume.RemoveXattr(ctx, at.attr.Ino, call.To)
}
