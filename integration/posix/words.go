//go:build linux

package posix

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// flag is a bit and its name.
type flag struct {
	bit  uint64
	name string
}

var openFlags = []flag{
	{unix.O_CREAT, "O_CREAT"}, {unix.O_EXCL, "O_EXCL"}, {unix.O_TRUNC, "O_TRUNC"}, {unix.O_APPEND, "O_APPEND"},
	{unix.O_NONBLOCK, "O_NONBLOCK"}, {unix.O_SYNC, "O_SYNC"}, {unix.O_DSYNC, "O_DSYNC"}, {unix.O_DIRECT, "O_DIRECT"},
	{unix.O_TMPFILE, "O_TMPFILE"}, {unix.O_DIRECTORY, "O_DIRECTORY"}, {unix.O_NOFOLLOW, "O_NOFOLLOW"},
	{unix.O_NOATIME, "O_NOATIME"}, {unix.O_PATH, "O_PATH"},
}

var renameFlags = []flag{
	{unix.RENAME_NOREPLACE, "NOREPLACE"}, {unix.RENAME_EXCHANGE, "EXCHANGE"}, {unix.RENAME_WHITEOUT, "WHITEOUT"},
}

var resolveFlags = []flag{
	{unix.RESOLVE_BENEATH, "BENEATH"}, {unix.RESOLVE_IN_ROOT, "IN_ROOT"}, {unix.RESOLVE_NO_MAGICLINKS, "NO_MAGICLINKS"},
	{unix.RESOLVE_NO_SYMLINKS, "NO_SYMLINKS"}, {unix.RESOLVE_NO_XDEV, "NO_XDEV"},
}

var xattrFlags = []flag{{unix.XATTR_CREATE, "CREATE"}, {unix.XATTR_REPLACE, "REPLACE"}}

var whences = []string{"SET", "CUR", "END", "DATA", "HOLE"}

// names are the bits of a word, by name; bits of several come before their
// parts, and what has no name is a number.
func names(flags []flag, v uint64) string {
	var list []string
	for _, f := range flags {
		if v&f.bit == f.bit {
			list = append(list, f.name)
			v &^= f.bit
		}
	}
	if v != 0 || len(list) == 0 {
		list = append(list, fmt.Sprintf("%#x", v))
	}
	return strings.Join(list, "|")
}

func openNames(flags int) string {
	access := []string{"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"}[flags&unix.O_ACCMODE]
	rest := uint64(flags &^ unix.O_ACCMODE)
	if rest == 0 {
		return access
	}
	return access + "|" + names(openFlags, rest)
}

// kind is the type of an inode in words.
func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "dir"
	case unix.S_IFLNK:
		return "link"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "chardev"
	case unix.S_IFBLK:
		return "blockdev"
	}
	return fmt.Sprintf("type%o", mode&unix.S_IFMT)
}

func rwx(mode uint32) string {
	s := ""
	for _, f := range []flag{{unix.R_OK, "r"}, {unix.W_OK, "w"}, {unix.X_OK, "x"}} {
		if uint64(mode)&f.bit != 0 {
			s += f.name
		}
	}
	return s + "?"
}
