// Package model drives two filesystems with the same operations and compares
// what they answer: the one under test, and a folder of the native filesystem,
// which is the truth.
//
// The model. A Call is one operation of a program, as data: so it can be drawn,
// shown, sent to another process and done on any filesystem. What it did is a
// Result, and every failure in it is an errno. An FS does calls. There are three
// kinds: Folder makes the system calls, in this process; Workers are processes
// that each have a Folder, for a mount must never be used by the process that
// serves it, and because open files belong to processes; Core calls a volume in
// this process, with no kernel between. A Machine has one FS under test and one
// for the truth, draws operations, does each on both, and compares results,
// errnos, attributes and, now and then, everything that is there. What the two
// may differ in stands in one table, Differences, each with its reason.
//
// The traps. What a kernel checks before it asks a filesystem (permissions,
// whether a link would cross devices) is not in Core, so operations are drawn
// such that it does not matter: everything is the caller's own. The clock of
// a native filesystem may be too coarse to see whether an operation changed a
// time; see Stat.Mtime and times.go for how times are compared all the same. A
// number of an inode is used again by a native filesystem as soon as it is free,
// so that the truth names inodes by number and generation (Stat.Gen).
package model

import "syscall"

// Op is the kind of a call.
type Op string

// Calls on paths. Those on open files are further below.
const (
	Open        Op = "open"        // Path Flags Mode; File is the number it gets
	Tmpfile     Op = "tmpfile"     // as Open
	Mkdir       Op = "mkdir"       // Path Mode
	Mknod       Op = "mknod"       // Path Mode, Off is the device
	Rmdir       Op = "rmdir"       // Path
	Unlink      Op = "unlink"      // Path
	Rename      Op = "rename"      // Path To Flags
	Link        Op = "link"        // Path To
	Symlink     Op = "symlink"     // Path, To is its target
	Readlink    Op = "readlink"    // Path
	ReadDir     Op = "readdir"     // Path
	Lstat       Op = "lstat"       // Path
	Lookup      Op = "stat"        // Path
	Truncate    Op = "truncate"    // Path Off
	Chmod       Op = "chmod"       // Path Mode
	Lchown      Op = "lchown"      // Path UID GID
	Lutimens    Op = "utimens"     // Path, Off and Off2 are atime and mtime; see Now and Omit
	Setxattr    Op = "setxattr"    // Path, To is the name, Seed and Len or Data the value, Flags
	Getxattr    Op = "getxattr"    // Path, To is the name, Len the room for the value
	Listxattr   Op = "listxattr"   // Path
	Removexattr Op = "removexattr" // Path, To is the name
	Crowd       Op = "crowd"       // Path is a directory that gets empty files, those numbered Off to Off+Len
	Thin        Op = "thin"        // Path is a directory that loses them
)

// Calls on an open file, whose number is File.
const (
	Close     Op = "close"
	Read      Op = "pread"     // Off Len
	Write     Op = "pwrite"    // Off Len Seed
	Ftruncate Op = "ftruncate" // Off
	Fstat     Op = "fstat"
	Fsync     Op = "fsync"
	Fdatasync Op = "fdatasync"
	Fchmod    Op = "fchmod"    // Mode
	Futimens  Op = "futimens"  // as Lutimens
	Fsetxattr Op = "fsetxattr" // as Setxattr
	Fgetxattr Op = "fgetxattr" // as Getxattr
	Seek      Op = "lseek"     // Off, Flags is the whence
	Allocate  Op = "fallocate" // Off Len Flags
	Copy      Op = "copy"      // from File at Off to From at Off2, Len
	Linkat    Op = "linkat"    // To
)

// Calls on a mapping of an open file, whose number is File. A mapping outlives
// the open file that it was made of.
const (
	Map      Op = "mmap"   // From is the open file, Off Len
	MapRead  Op = "load"   // Off Len
	MapWrite Op = "store"  // Off Len Seed
	Msync    Op = "msync"  //
	Unmap    Op = "munmap" //
)

// Calls on an open directory, whose number is File.
const (
	Opendir  Op = "opendir"  // Path
	Getdents Op = "getdents" // Len is the room for entries
	Seekdir  Op = "seekdir"  // Off is a cookie
	Closedir Op = "closedir"
	Listdir  Op = "listdir" // all that it has, whatever its stream has given
	Fsyncdir Op = "fsyncdir"
)

// Exit ends the process that is By without a word to it: whatever it had open
// is closed.
const Exit Op = "exit"

// Times that Lutimens and Futimens take besides nanoseconds since 1970.
const (
	Now  int64 = -1 << 63
	Omit int64 = -1<<63 + 1
)

// Call is one operation.
type Call struct {
	Op        Op
	By        int    // which process does it
	Path      string // relative to the root, slash-separated; "" is the root
	To        string
	File      int
	From      int
	Flags     int
	Mode      uint32
	UID, GID  int
	Off, Off2 int64
	Len       int64
	Seed      uint64 // of the bytes that are written
	Data      []byte // a value that has a form
}

// Result is what a call did.
type Result struct {
	Errno   syscall.Errno
	N       int64
	Data    []byte
	Stat    Stat
	Entries []Entry
	Names   []string

	gen string // Stat.Gen, while differences are taken out
}

// FS is one filesystem, seen from the processes that use it. Only one call is
// under way at a time.
type FS interface {
	Do(c *Call) *Result
	// Can says whether there is such an operation here at all.
	Can(op Op) bool
}

// Entry is one name of a directory.
type Entry struct {
	Name   string
	Type   uint8 // mode >> 12
	Ino    uint64
	Cookie int64 // of a stream only
}

// Stat is what stat(2) tells. Times are in nanoseconds.
type Stat struct {
	Ino          uint64
	Gen          string // tells apart inodes that had a number one after the other; "" if it is not known
	Mode         uint32
	Nlink        uint32
	UID, GID     uint32
	Rdev         uint64
	Size         int64
	Blocks       int64
	Atime, Mtime int64
	Ctime, Btime int64
}

// Early bounds the times that a scenario sets, in nanoseconds since 1970: any
// later time means that an operation took the clock's.
const Early = int64(1e18) // in 2001

func (s *Stat) is(typ uint32) bool { return s.Mode&syscall.S_IFMT == typ }
