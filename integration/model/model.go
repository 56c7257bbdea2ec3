// Package model drives two filesystems with the same operations and compares
// what they answer: the one under test, and a folder of the native filesystem,
// which is the truth.
//
// The model. An FS is a folder that a program uses by paths and open files, as
// it would through system calls; every error is a syscall.Errno. There are two
// kinds: Folder makes the system calls, on the native filesystem or on a mount;
// Core calls a volume in this process, with no kernel between. A Machine has
// one of each, draws operations, does each on both, and compares results,
// errnos, attributes and, in the end, everything that is there.
//
// The traps. What a kernel checks before it asks a filesystem (permissions,
// whether a link would cross devices) is not in Core, so operations are drawn
// such that it does not matter: everything is the caller's own. The clock of
// the native filesystem is too coarse to see whether an operation changed a
// time; see Stat.Mtime for how times are compared all the same.
package model

import (
	"syscall"
)

// FS is one filesystem. Paths are relative to its root and slash-separated; ""
// is the root. Methods whose name begins with L do not follow a symbolic link
// that the path ends in.
type FS interface {
	// Open takes O_CREAT, O_EXCL, O_TRUNC and O_APPEND; every file is opened
	// for reading and writing.
	Open(path string, flags int, mode uint32) (File, error)
	Mkdir(path string, mode uint32) error
	Rmdir(path string) error
	Unlink(path string) error
	Rename(from, to string, flags uint) error
	Link(from, to string) error
	Symlink(target, path string) error
	Readlink(path string) (string, error)
	ReadDir(path string) ([]Entry, error)
	Lstat(path string) (Stat, error)

	Truncate(path string, size int64) error
	Chmod(path string, mode uint32) error
	Lchown(path string, uid, gid int) error
	Lutimens(path string, atime, mtime int64) error

	Setxattr(path, name string, value []byte, flags int) error
	Getxattr(path, name string) ([]byte, error)
	Listxattr(path string) ([]string, error)
	Removexattr(path, name string) error
}

// File is an open file.
type File interface {
	ReadAt(p []byte, off int64) (int, error)
	// WriteAt writes at off, or at the end if the file was opened to append.
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Stat() (Stat, error)
	Sync() error
	Close() error
}

// Entry is one name of a directory.
type Entry struct {
	Name string
	Type uint8 // mode >> 12
}

// Stat is what of an inode's attributes two filesystems must agree on. Ino is
// not: it says only which names are one file.
type Stat struct {
	Ino      uint64
	Mode     uint32
	Nlink    uint32 // of a directory: only if both count subdirectories
	UID, GID uint32
	Size     int64 // of files and links
	// Mtime in nanoseconds if it was set explicitly, which the scenario does
	// with times before Early only; 0 if the file was changed since.
	Mtime int64
}

// Early bounds the times that a scenario sets, in nanoseconds since 1970: any
// later time means that an operation took the clock's.
const Early = int64(1e18) // in 2001

func isType(mode, typ uint32) bool { return mode&syscall.S_IFMT == typ }

// comparable drops what two filesystems need not agree on.
func (s Stat) comparable(dirLinks bool) Stat {
	s.Ino = 0
	if isType(s.Mode, syscall.S_IFDIR) {
		s.Size = 0
		if !dirLinks {
			s.Nlink = 0
		}
	}
	if s.Mtime >= Early {
		s.Mtime = 0
	}
	return s
}
