package volume

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
)

// The kinds of failure that a caller can tell apart with errors.Is. fs/mount
// turns each into one errno; anything that is none of these is EIO.
var (
	ErrNotExist     = meta.ErrNotExist
	ErrExist        = fs.ErrExist
	ErrPerm         = fs.ErrPermission
	ErrAccess       = errors.New("permission denied")
	ErrInvalid      = fs.ErrInvalid
	ErrNoXattr      = meta.ErrNoXattr
	ErrNoSpace      = cache.ErrFull
	ErrUnreachable  = cache.ErrUnreachable
	ErrNotDir       = errors.New("not a directory")
	ErrIsDir        = errors.New("is a directory")
	ErrNotEmpty     = errors.New("directory not empty")
	ErrNameTooLong  = errors.New("name longer than 255 bytes")
	ErrTooBig       = errors.New("file would be larger than 2^63-1 bytes")
	ErrRange        = errors.New("value larger than the limit")
	ErrTooManyLinks = errors.New("too many links")
	ErrLoop         = errors.New("a directory cannot be moved into itself")
	ErrReadOnly     = errors.New("volume is read-only")
	ErrTooBigXattr  = errors.New("extended attribute larger than 64 KiB")
	ErrNotSupported = errors.New("not supported")
	errDiskFull     = fmt.Errorf("the disk of this machine is full: %w", cache.ErrFull)
	ErrNoData       = errors.New("nothing but holes until the end of the file")
)

const (
	// MaxName is the longest name of a directory entry, in bytes.
	MaxName = 255
	// MaxLinks is the largest link count of an inode, as ext4's 65000 for
	// directories and far above it for files.
	MaxLinks = 1 << 30
	// MaxSize is the largest size of a file, in bytes.
	MaxSize = 1<<63 - 1
	// MaxXattr is the largest value of an extended attribute, in bytes.
	MaxXattr = 64 << 10
	// maxXattrName is the longest name of an extended attribute, in bytes.
	maxXattrName = 255
)

// checkName refuses what can never name a directory entry.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return ErrInvalid
	case len(name) > MaxName:
		return ErrNameTooLong
	}
	for i := 0; i < len(name); i++ {
		if name[i] == '/' || name[i] == 0 {
			return ErrInvalid
		}
	}
	return nil
}
