package model

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/fs/volume"
)

func clock() int64 { return time.Now().UnixNano() }

func (c *Core) openFile(call *Call, _ *Result) error {
	f, err := c.open1(call)
	if err == nil {
		c.open[call.File] = &coreFile{by: call.By, flags: call.Flags, f: f}
	}
	return err
}

func (c *Core) open1(call *Call) (*volume.File, error) {
	excl := call.Flags&unix.O_EXCL != 0
	at, err := c.walk(call.Path, !excl && call.Flags&unix.O_NOFOLLOW == 0)
	if err != nil {
		return nil, err
	}
	switch {
	case !excl && isType(at.attr.Mode, syscall.S_IFLNK):
		return nil, syscall.ELOOP
	case at.there() && excl && call.Flags&unix.O_CREAT != 0:
		return nil, syscall.EEXIST
	case at.there() && isType(at.attr.Mode, syscall.S_IFDIR):
		return nil, syscall.EISDIR
	case at.there():
		return c.Volume.Open(ctx, at.attr.Ino, call.Flags&unix.O_TRUNC != 0)
	case call.Flags&unix.O_CREAT == 0:
		return nil, syscall.ENOENT
	}
	_, f, err := c.Volume.Create(ctx, caller(), at.dir, at.name, call.Mode)
	return f, err
}

func (c *Core) tmpfile(call *Call, _ *Result) error {
	at, err := c.find(call.Path, true)
	switch {
	case err != nil:
		return err
	case !isType(at.attr.Mode, syscall.S_IFDIR):
		return syscall.ENOTDIR
	}
	_, f, err := c.Volume.Tmpfile(ctx, caller(), at.attr.Ino, call.Mode)
	if err == nil {
		c.open[call.File] = &coreFile{by: call.By, flags: call.Flags, f: f, linkable: call.Flags&unix.O_EXCL == 0}
	}
	return err
}

// linkat gives an open file a name: one without names only if it was made so
// and has had none yet.
func (c *Core) linkat(call *Call, _ *Result) error {
	f, err := c.file(call, false, false)
	if err != nil {
		return syscall.ENOENT // the name of its descriptor is not there
	}
	at, err := c.vacant(call.To)
	if err != nil {
		return err
	}
	a, err := c.Volume.GetAttr(ctx, f.f.Ino())
	if err == nil && a.Nlink == 0 && !f.linkable {
		err = syscall.ENOENT
	}
	if err != nil {
		return err
	}
	if _, err = c.Volume.Link(ctx, f.f.Ino(), at.dir, at.name); err == nil {
		f.linkable = false
	}
	return err
}

// file is the open file of a number, if it was opened for what is wanted.
func (c *Core) file(call *Call, reads, writes bool) (*coreFile, error) {
	f := c.open[call.File]
	if f == nil || f.f == nil {
		return nil, syscall.EBADF
	}
	mode := f.flags & unix.O_ACCMODE
	if reads && mode == unix.O_WRONLY || writes && mode == unix.O_RDONLY {
		return nil, syscall.EBADF
	}
	return f, nil
}

// ino is the inode of an open file or directory; zero if there is none.
func (c *Core) ino(n int) uint64 {
	f := c.open[n]
	switch {
	case f == nil:
		return 0
	case f.f == nil:
		return f.dir
	}
	return f.f.Ino()
}

func (c *Core) close(call *Call, _ *Result) error {
	f := c.open[call.File]
	delete(c.open, call.File)
	switch {
	case f == nil:
		return syscall.EBADF
	case f.f == nil:
		return nil
	}
	return errors.Join(f.f.Flush(ctx), f.f.Release(ctx))
}

func (c *Core) exit(call *Call, _ *Result) error {
	var errs []error
	for n, f := range c.open {
		if f.by == call.By {
			errs = append(errs, c.close(&Call{File: n}, nil))
		}
	}
	return errors.Join(errs...)
}

// Reborn goes on with another volume, which is what was left when this one died
// with all that was open.
func (c *Core) Reborn(v *volume.Volume) { c.Volume, c.open = v, map[int]*coreFile{} }

func (c *Core) read(call *Call, r *Result) error {
	f, err := c.file(call, true, false)
	if err != nil {
		return err
	}
	r.Data = make([]byte, call.Len)
	n, err := f.f.Read(ctx, r.Data, call.Off)
	r.Data = r.Data[:n]
	return err
}

func (c *Core) write(call *Call, r *Result) error {
	f, err := c.file(call, false, true)
	if err != nil || call.Len == 0 {
		return err
	}
	off := call.Off
	if f.flags&unix.O_APPEND != 0 {
		a, err := c.Volume.GetAttr(ctx, f.f.Ino())
		if err != nil {
			return err
		}
		off = int64(a.Size)
	}
	n, err := f.f.Write(ctx, bytesOf(call.Seed, call.Len), off)
	if unprivileged() {
		f.f.KillPriv()
	}
	r.N = int64(n)
	if err == nil {
		err = f.syncedIfAsked()
	}
	return err
}

// syncedIfAsked is what the kernel does after a change of a file that was opened
// so.
func (f *coreFile) syncedIfAsked() error {
	if f.flags&(unix.O_SYNC|unix.O_DSYNC) == 0 {
		return nil
	}
	return f.f.Fsync(ctx)
}

func (c *Core) ftruncate(call *Call, _ *Result) error {
	f, err := c.file(call, false, true)
	if err != nil {
		return syscall.EINVAL // as ftruncate(2) says it
	}
	n, now := uint64(call.Off), clock()
	_, err = c.Volume.SetAttr(ctx, f.f.Ino(), volume.SetAttr{Size: &n, Mtime: &now, KillPriv: unprivileged()})
	return err
}

func (c *Core) fstat(call *Call, r *Result) error {
	ino := c.ino(call.File)
	if ino == 0 {
		return syscall.EBADF
	}
	a, err := c.Volume.GetAttr(ctx, ino)
	r.Stat = coreStat(&a)
	return err
}

func (c *Core) fsync(call *Call, _ *Result) error {
	f, err := c.file(call, false, false)
	if err != nil {
		return err
	}
	return f.f.Fsync(ctx)
}

func (c *Core) fsyncdir(call *Call, _ *Result) error {
	return c.Volume.FsyncDir(ctx, c.ino(call.File))
}

func (c *Core) fchmod(call *Call, _ *Result) error {
	_, err := c.Volume.SetAttr(ctx, c.ino(call.File), volume.SetAttr{Mode: &call.Mode})
	return err
}

func (c *Core) futimens(call *Call, _ *Result) error {
	if call.Off == Omit && call.Off2 == Omit {
		return nil
	}
	_, err := c.Volume.SetAttr(ctx, c.ino(call.File), times(call))
	return err
}

func (c *Core) fsetxattr(call *Call, _ *Result) error {
	return c.Volume.SetXattr(ctx, c.ino(call.File), call.To, call.value(), call.Flags)
}

func (c *Core) fgetxattr(call *Call, r *Result) error {
	return c.value(c.ino(call.File), call, r)
}

func (c *Core) opendir(call *Call, _ *Result) error {
	at, err := c.find(call.Path, true)
	switch {
	case err != nil:
		return err
	case !isType(at.attr.Mode, syscall.S_IFDIR):
		return syscall.ENOTDIR
	}
	c.open[call.File] = &coreFile{by: call.By, dir: at.attr.Ino}
	return nil
}

// directory is an open directory that has not been removed: the kernel lists
// nothing of one that has.
func (c *Core) directory(call *Call) (*coreFile, error) {
	f := c.open[call.File]
	if f == nil || f.dir == 0 {
		return nil, syscall.EBADF
	}
	a, err := c.Volume.GetAttr(ctx, f.dir)
	if err == nil && a.Nlink == 0 {
		err = syscall.ENOENT
	}
	return f, err
}

func (c *Core) getdents(call *Call, r *Result) error {
	f, err := c.directory(call)
	if err != nil {
		return err
	}
	some, err := c.Volume.ReadDir(ctx, f.dir, f.cookie, int(call.Len/32)+1)
	for _, e := range some {
		r.Entries = append(r.Entries, Entry{Name: e.Name, Type: e.Type, Ino: e.Ino, Cookie: int64(e.Cookie)})
		f.cookie = e.Cookie
	}
	return err
}

func (c *Core) seekdir(call *Call, _ *Result) error {
	f := c.open[call.File]
	if f == nil {
		return syscall.EBADF
	}
	f.cookie = uint64(call.Off)
	return nil
}

func (c *Core) listdir(call *Call, r *Result) error {
	f, err := c.directory(call)
	if err != nil {
		return err
	}
	r.Entries, err = c.list(f.dir)
	return err
}
