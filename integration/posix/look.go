//go:build linux

package posix

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// look describes everything below dir that must be the same after a remount:
// a line for each name, with what there is to know about its inode.
func look(dir string, out io.Writer) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line, err := lookAt(path)
		if err != nil {
			return fmt.Errorf("look at %q: %w", path, err)
		}
		_, err = fmt.Fprintf(out, "%q %s\n", strings.TrimPrefix(path, dir), line)
		return err
	})
}

func lookAt(path string) (string, error) {
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x); err != nil {
		return "", err
	}
	text := fmt.Sprintf("ino=%d %s %o nlink=%d own=%d:%d size=%d blocks=%d dev=%d:%d a=%s m=%s c=%s b=%s", x.Ino, kind(uint32(x.Mode)),
		x.Mode&0o7777, x.Nlink, x.Uid, x.Gid, x.Size, x.Blocks, x.Rdev_major, x.Rdev_minor,
		stamp(x.Atime), stamp(x.Mtime), stamp(x.Ctime), stamp(x.Btime))
	attrs, err := lookAtXattrs(path)
	if err != nil {
		return "", err
	}
	text += attrs
	switch uint32(x.Mode) & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return fmt.Sprintf("%s -> %q", text, target), err
	case unix.S_IFREG:
		content, err := lookInto(path)
		return text + content, err
	}
	return text, nil
}

func stamp(t unix.StatxTimestamp) string { return fmt.Sprintf("%d.%09d", t.Sec, t.Nsec) }

func lookAtXattrs(path string) (text string, err error) {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if err != nil {
		return "", err
	}
	all := strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(all)
	for _, name := range all {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(" %q=%s", name, brief(value[:n]))
	}
	return text, nil
}

// lookInto sums the data of a file, up to a limit, and names where it lies: a
// hole may be longer than anybody can read.
func lookInto(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h, left := sha256.New(), int64(16<<20)
	list := stretches(int(f.Fd()), 100)
	for _, s := range list {
		n := min(left, s.end-s.begin)
		left -= n
		if _, err := io.Copy(h, io.NewSectionReader(f, s.begin, n)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf(" sum=%x data=%v", h.Sum(nil)[:8], list), nil
}

// stretch is a range of a file that is no hole.
type stretch struct{ begin, end int64 }

func (s stretch) String() string { return fmt.Sprintf("%d-%d", s.begin, s.end) }

// stretches are the first n stretches of data in a file.
func stretches(fd, n int) (list []stretch) {
	for end := int64(0); len(list) < n; {
		begin, err := unix.Seek(fd, end, unix.SEEK_DATA)
		if err != nil {
			break
		}
		if end, err = unix.Seek(fd, begin, unix.SEEK_HOLE); err != nil {
			break
		}
		list = append(list, stretch{begin, end})
	}
	return list
}
