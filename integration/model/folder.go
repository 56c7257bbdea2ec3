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

// Folder is a folder of the kernel's, native or mounted.
type Folder struct{ Dir string }

func (d Folder) at(path string) string { return filepath.Join(d.Dir, path) }

// again repeats a system call that a signal interrupted: the runtime sends some.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Open implements FS.
func (d Folder) Open(path string, flags int, mode uint32) (File, error) {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Open(d.at(path), flags|unix.O_RDWR|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	return folderFile(fd), nil
}

// Mkdir implements FS.
func (d Folder) Mkdir(path string, mode uint32) error { return unix.Mkdir(d.at(path), mode) }

// Rmdir implements FS.
func (d Folder) Rmdir(path string) error { return unix.Rmdir(d.at(path)) }

// Unlink implements FS.
func (d Folder) Unlink(path string) error { return unix.Unlink(d.at(path)) }

// Rename implements FS.
func (d Folder) Rename(from, to string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, d.at(from), unix.AT_FDCWD, d.at(to), flags)
}

// Link implements FS.
func (d Folder) Link(from, to string) error { return unix.Link(d.at(from), d.at(to)) }

// Symlink implements FS.
func (d Folder) Symlink(target, path string) error { return unix.Symlink(target, d.at(path)) }

// Readlink implements FS.
func (d Folder) Readlink(path string) (string, error) {
	p := make([]byte, 4096)
	n, err := unix.Readlink(d.at(path), p)
	return string(p[:max(n, 0)]), err
}

// ReadDir implements FS.
func (d Folder) ReadDir(path string) ([]Entry, error) {
	list, err := os.ReadDir(d.at(path))
	if err != nil {
		var no syscall.Errno
		if errors.As(err, &no) {
			return nil, no
		}
		return nil, err
	}
	var entries []Entry
	for _, e := range list {
		entries = append(entries, Entry{e.Name(), dirType(e.Type())})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

func dirType(m os.FileMode) uint8 {
	switch m.Type() {
	case os.ModeDir:
		return syscall.S_IFDIR >> 12
	case os.ModeSymlink:
		return syscall.S_IFLNK >> 12
	}
	return syscall.S_IFREG >> 12
}

// Lstat implements FS.
func (d Folder) Lstat(path string) (Stat, error) {
	var st unix.Stat_t
	if err := unix.Lstat(d.at(path), &st); err != nil {
		return Stat{}, err
	}
	return statOf(&st), nil
}

func statOf(st *unix.Stat_t) Stat {
	return Stat{Ino: st.Ino, Mode: st.Mode, Nlink: uint32(st.Nlink), UID: st.Uid, GID: st.Gid, Size: st.Size, Mtime: st.Mtim.Nano()}
}

// Truncate implements FS.
func (d Folder) Truncate(path string, size int64) error {
	return again(func() error { return unix.Truncate(d.at(path), size) })
}

// Chmod implements FS.
func (d Folder) Chmod(path string, mode uint32) error { return unix.Chmod(d.at(path), mode) }

// Lchown implements FS.
func (d Folder) Lchown(path string, uid, gid int) error { return unix.Lchown(d.at(path), uid, gid) }

// Lutimens implements FS.
func (d Folder) Lutimens(path string, atime, mtime int64) error {
	ts := []unix.Timespec{unix.NsecToTimespec(atime), unix.NsecToTimespec(mtime)}
	return unix.UtimesNanoAt(unix.AT_FDCWD, d.at(path), ts, unix.AT_SYMLINK_NOFOLLOW)
}

// Setxattr implements FS.
func (d Folder) Setxattr(path, name string, value []byte, flags int) error {
	return unix.Setxattr(d.at(path), name, value, flags)
}

// Getxattr implements FS.
func (d Folder) Getxattr(path, name string) ([]byte, error) {
	p := make([]byte, 64<<10)
	n, err := unix.Getxattr(d.at(path), name, p)
	return p[:max(n, 0)], err
}

// Listxattr implements FS; only what users set is listed.
func (d Folder) Listxattr(path string) ([]string, error) {
	p := make([]byte, 64<<10)
	n, err := unix.Listxattr(d.at(path), p)
	if err != nil {
		return nil, err
	}
	var names []string
	for name := range strings.SplitSeq(string(p[:n]), "\x00") {
		if strings.HasPrefix(name, "user.") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Removexattr implements FS.
func (d Folder) Removexattr(path, name string) error { return unix.Removexattr(d.at(path), name) }

// folderFile is a descriptor.
type folderFile int

func (f folderFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = again(func() error { n, err = unix.Pread(int(f), p, off); return err })
	return max(n, 0), err
}

func (f folderFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = again(func() error { n, err = unix.Pwrite(int(f), p, off); return err })
	return max(n, 0), err
}

func (f folderFile) Truncate(size int64) error {
	return again(func() error { return unix.Ftruncate(int(f), size) })
}

func (f folderFile) Stat() (Stat, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f), &st); err != nil {
		return Stat{}, err
	}
	return statOf(&st), nil
}

func (f folderFile) Sync() error { return again(func() error { return unix.Fsync(int(f)) }) }

func (f folderFile) Close() error { return unix.Close(int(f)) }
