package model

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hammockfs/hammock/fs/volume"
)

func (c Core) setAttr(path string, follow bool, s volume.SetAttr) error {
	at, err := c.find(path, follow)
	if err != nil {
		return err
	}
	_, err = c.Volume.SetAttr(ctx, at.attr.Ino, s)
	return errnoOf(err)
}

// Truncate implements FS.
func (c Core) Truncate(path string, size int64) error {
	n := uint64(size)
	return c.setAttr(path, true, volume.SetAttr{Size: &n, KillPriv: unprivileged()})
}

// unprivileged says whether writing takes the set-ID bits from a file.
func unprivileged() bool { return os.Geteuid() != 0 }

// Chmod implements FS.
func (c Core) Chmod(path string, mode uint32) error {
	return c.setAttr(path, true, volume.SetAttr{Mode: &mode})
}

// Lchown implements FS.
func (c Core) Lchown(path string, uid, gid int) error {
	u, g := uint32(uid), uint32(gid)
	return c.setAttr(path, false, volume.SetAttr{UID: &u, GID: &g, KillPriv: true})
}

// Lutimens implements FS.
func (c Core) Lutimens(path string, atime, mtime int64) error {
	return c.setAttr(path, false, volume.SetAttr{Atime: &atime, Mtime: &mtime})
}

// Setxattr implements FS.
func (c Core) Setxattr(path, name string, value []byte, flags int) error {
	at, err := c.find(path, true)
	if err != nil {
		return err
	}
	return errnoOf(c.Volume.SetXattr(ctx, at.attr.Ino, name, value, flags))
}

// Getxattr implements FS.
func (c Core) Getxattr(path, name string) ([]byte, error) {
	at, err := c.find(path, true)
	if err != nil {
		return nil, err
	}
	value, err := c.Volume.GetXattr(ctx, at.attr.Ino, name)
	return value, errnoOf(err)
}

// Listxattr implements FS.
func (c Core) Listxattr(path string) ([]string, error) {
	at, err := c.find(path, true)
	if err != nil {
		return nil, err
	}
	names, err := c.Volume.ListXattr(ctx, at.attr.Ino)
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "user.") })
	slices.Sort(names)
	return names, errnoOf(err)
}

// Removexattr implements FS.
func (c Core) Removexattr(path, name string) error {
	at, err := c.find(path, true)
	if err != nil {
		return err
	}
	return errnoOf(c.Volume.RemoveXattr(ctx, at.attr.Ino, name))
}

// coreFile is an open file of a volume.
type coreFile struct {
	v      *volume.Volume
	f      *volume.File
	append bool
}

func (f *coreFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.Read(ctx, p, off)
	return n, errnoOf(err)
}

func (f *coreFile) WriteAt(p []byte, off int64) (int, error) {
	if f.append {
		a, err := f.v.GetAttr(ctx, f.f.Ino())
		if err != nil {
			return 0, errnoOf(err)
		}
		off = int64(a.Size)
	}
	n, err := f.f.Write(ctx, p, off)
	if unprivileged() {
		f.f.KillPriv()
	}
	return n, errnoOf(err)
}

func (f *coreFile) Truncate(size int64) error {
	n, now := uint64(size), time.Now().UnixNano()
	_, err := f.v.SetAttr(ctx, f.f.Ino(), volume.SetAttr{Size: &n, Mtime: &now, KillPriv: unprivileged()})
	return errnoOf(err)
}

func (f *coreFile) Stat() (Stat, error) {
	a, err := f.v.GetAttr(ctx, f.f.Ino())
	return coreStat(&a), errnoOf(err)
}

func (f *coreFile) Sync() error { return errnoOf(f.f.Fsync(ctx)) }

func (f *coreFile) Close() error {
	return errnoOf(errors.Join(f.f.Flush(ctx), f.f.Release(ctx)))
}

// Errno is the errno of an error, for messages and comparisons; 0 for nil, and
// EIO for what is none.
func Errno(err error) syscall.Errno {
	var no syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &no):
		return no
	}
	return syscall.EIO
}
