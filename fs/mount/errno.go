package mount

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

// errnos is the one place where errors become errno; the first that matches
// counts. What is not in it is EIO: something that is here or on peers could
// not be read or written.
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{volume.ErrNoSpace, syscall.ENOSPC},
	{volume.ErrUnreachable, syscall.EIO}, // it exists, so never ENOENT
	{volume.ErrNotExist, syscall.ENOENT},
	{volume.ErrNotDir, syscall.ENOTDIR},
	{volume.ErrIsDir, syscall.EISDIR},
	{volume.ErrNotEmpty, syscall.ENOTEMPTY},
	{volume.ErrNameTooLong, syscall.ENAMETOOLONG},
	{volume.ErrTooBig, syscall.EFBIG},
	{volume.ErrNoXattr, syscall.ENODATA},
	{volume.ErrRange, syscall.ERANGE},
	{volume.ErrTooBigXattr, syscall.E2BIG},
	{volume.ErrTooManyLinks, syscall.EMLINK},
	{volume.ErrLoop, syscall.EINVAL}, // a directory moved into itself
	{volume.ErrReadOnly, syscall.EROFS},
	{volume.ErrNotSupported, syscall.EOPNOTSUPP},
	{volume.ErrAccess, syscall.EACCES},
	{volume.ErrNoData, syscall.ENXIO},
	{errKilled, syscall.EINTR},
	{errTooLate, syscall.EIO},
	{errCrowded, syscall.EIO},
	{context.Canceled, syscall.EINTR},
	{volume.ErrExist, syscall.EEXIST},
	{volume.ErrPerm, syscall.EPERM},
	{volume.ErrInvalid, syscall.EINVAL},
}

// errno translates an error of the volume.
func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if own, ok := ownErrno(err); ok {
		return own
	}
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.errno
		}
	}
	return syscall.EIO
}

// ownErrno finds failures of this machine's own disk, such as a file of the
// cache that is missing. They must not look like an answer about a file of the
// volume: a program would believe that its file does not exist.
func ownErrno(err error) (syscall.Errno, bool) {
	var no syscall.Errno
	var path *fs.PathError
	switch {
	case errors.As(err, &no) && (no == syscall.ENOSPC || no == syscall.EDQUOT):
		return syscall.ENOSPC, true
	case errors.As(err, &no), errors.As(err, &path):
		return syscall.EIO, true
	}
	return 0, false
}

// status is errno for an answer to the kernel. An EIO is logged with what was
// being done: the program that gets it cannot be told why.
func (s *Server) status(err error, op string, ino uint64) fuse.Status {
	no := errno(err)
	if no == syscall.EIO || no == syscall.ENOSPC {
		s.log.Error("a request failed", "op", op, "file", s.name(ino), "inode", ino, "errno", no.Error(), "err", err)
	}
	return fuse.Status(no)
}

// nameLimit is how long an answer waits for the name of the file that it is
// about, which may have to come from peers itself.
const nameLimit = 100 * time.Millisecond

// name is where an inode was seen last, for the log.
func (s *Server) name(ino uint64) string {
	ctx, cancel := context.WithTimeout(s.ctx, nameLimit)
	defer cancel()
	return s.volume.Path(ctx, ino)
}
