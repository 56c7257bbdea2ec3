package model

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/hammockfs/hammock/fs/volume"
)

// Core is a volume in this process, without a kernel.
type Core struct{ Volume *volume.Volume }

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
}

func errnoOf(err error) error {
	if err == nil {
		return nil
	}
	var own syscall.Errno
	if errors.As(err, &own) {
		return own
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

// place is where a path leads: a name in a directory, and what it stands for.
type place struct {
	dir  uint64
	name string      // "" for the root
	attr volume.Attr // zero if there is nothing
}

func (p *place) there() bool { return p.attr.Ino != 0 }

// maxFollow is how many symbolic links a path may lead through, as in Linux.
const maxFollow = 40

// walk resolves a path as a kernel does. Only its last name may be missing.
func (c Core) walk(path string, follow bool) (place, error) {
	root, err := c.Volume.GetAttr(ctx, volume.Root)
	at := place{dir: volume.Root, attr: root}
	if err != nil {
		return at, errnoOf(err)
	}
	names := split(path)
	for links := 0; len(names) > 0; {
		if !isType(at.attr.Mode, syscall.S_IFDIR) {
			return at, syscall.ENOTDIR
		}
		dir, name := at.attr.Ino, names[0]
		names = names[1:]
		if at, err = c.step(dir, name); err != nil {
			return at, err
		}
		if !at.there() {
			if len(names) > 0 {
				return at, syscall.ENOENT
			}
			return at, nil
		}
		if !isType(at.attr.Mode, syscall.S_IFLNK) || len(names) == 0 && !follow {
			continue
		}
		if links++; links > maxFollow {
			return at, syscall.ELOOP
		}
		names = append(split(at.attr.Target), names...)
		if at.attr, err = c.Volume.GetAttr(ctx, dir); err != nil {
			return at, errnoOf(err)
		}
	}
	return at, nil
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// step goes one name on; the place's attr is zero if there is none.
func (c Core) step(dir uint64, name string) (place, error) {
	at := place{dir: dir, name: name}
	var err error
	if name == ".." {
		up, err := c.Volume.Parent(ctx, dir)
		if err != nil {
			return at, errnoOf(err)
		}
		at.attr, err = c.Volume.GetAttr(ctx, up)
		return at, errnoOf(err)
	}
	at.attr, err = c.Volume.Lookup(ctx, dir, name)
	if errors.Is(err, volume.ErrNotExist) {
		at.attr, err = volume.Attr{}, nil
	}
	return at, errnoOf(err)
}

// find is walk for what must be there.
func (c Core) find(path string, follow bool) (place, error) {
	at, err := c.walk(path, follow)
	if err == nil && !at.there() {
		err = syscall.ENOENT
	}
	return at, err
}

// Open implements FS.
func (c Core) Open(path string, flags int, mode uint32) (File, error) {
	excl := flags&syscall.O_EXCL != 0
	at, err := c.walk(path, !excl)
	if err != nil {
		return nil, err
	}
	var f *volume.File
	switch {
	case at.there() && excl:
		return nil, syscall.EEXIST
	case at.there() && isType(at.attr.Mode, syscall.S_IFDIR):
		return nil, syscall.EISDIR
	case at.there():
		f, err = c.Volume.Open(ctx, at.attr.Ino, flags&syscall.O_TRUNC != 0)
	case flags&syscall.O_CREAT == 0:
		return nil, syscall.ENOENT
	default:
		_, f, err = c.Volume.Create(ctx, caller(), at.dir, at.name, mode)
	}
	if err != nil {
		return nil, errnoOf(err)
	}
	return &coreFile{c.Volume, f, flags&syscall.O_APPEND != 0}, nil
}

// vacant is the place of a name that is about to be made.
func (c Core) vacant(path string) (place, error) {
	at, err := c.walk(path, false)
	if err == nil && at.there() {
		err = syscall.EEXIST
	}
	return at, err
}

// Mkdir implements FS.
func (c Core) Mkdir(path string, mode uint32) error {
	at, err := c.vacant(path)
	if err != nil {
		return err
	}
	_, err = c.Volume.Mkdir(ctx, caller(), at.dir, at.name, mode)
	return errnoOf(err)
}

// Rmdir implements FS.
func (c Core) Rmdir(path string) error {
	at, err := c.find(path, false)
	if err != nil {
		return err
	}
	return errnoOf(c.Volume.Rmdir(ctx, at.dir, at.name))
}

// Unlink implements FS.
func (c Core) Unlink(path string) error {
	at, err := c.find(path, false)
	if err != nil {
		return err
	}
	return errnoOf(c.Volume.Unlink(ctx, at.dir, at.name))
}

// Rename implements FS.
func (c Core) Rename(from, to string, flags uint) error {
	a, err := c.walk(from, false)
	if err != nil {
		return err
	}
	b, err := c.walk(to, false)
	if err != nil {
		return err
	}
	return errnoOf(c.Volume.Rename(ctx, a.dir, a.name, b.dir, b.name, uint32(flags)))
}

// Link implements FS.
func (c Core) Link(from, to string) error {
	a, err := c.find(from, false)
	if err != nil {
		return err
	}
	b, err := c.vacant(to)
	if err != nil {
		return err
	}
	_, err = c.Volume.Link(ctx, a.attr.Ino, b.dir, b.name)
	return errnoOf(err)
}

// Symlink implements FS.
func (c Core) Symlink(target, path string) error {
	if target == "" {
		return syscall.ENOENT
	}
	at, err := c.vacant(path)
	if err != nil {
		return err
	}
	_, err = c.Volume.Symlink(ctx, caller(), at.dir, at.name, target)
	return errnoOf(err)
}

// Readlink implements FS.
func (c Core) Readlink(path string) (string, error) {
	at, err := c.find(path, false)
	if err != nil {
		return "", err
	}
	to, err := c.Volume.Readlink(ctx, at.attr.Ino)
	return to, errnoOf(err)
}

// ReadDir implements FS. It lists in small steps, so that cookies count.
func (c Core) ReadDir(path string) ([]Entry, error) {
	at, err := c.find(path, true)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for after := uint64(0); ; {
		list, err := c.Volume.ReadDir(ctx, at.attr.Ino, after, 3)
		if err != nil {
			return nil, errnoOf(err)
		}
		for _, e := range list {
			entries, after = append(entries, Entry{e.Name, e.Type}), e.Cookie
		}
		if len(list) == 0 {
			break
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Lstat implements FS.
func (c Core) Lstat(path string) (Stat, error) {
	at, err := c.find(path, false)
	if err != nil {
		return Stat{}, err
	}
	return coreStat(&at.attr), nil
}

func coreStat(a *volume.Attr) Stat {
	return Stat{Ino: a.Ino, Mode: a.Mode, Nlink: a.Nlink, UID: a.UID, GID: a.GID, Size: int64(a.Size), Mtime: a.Mtime}
}
