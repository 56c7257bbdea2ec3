package integration

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sameTrees compares two folders in everything that a copy keeps: names, types,
// modes, owners, times, sizes, contents, targets, devices, extended attributes
// with the ACLs among them, and which names are one file.
func sameTrees(t *testing.T, want, got string) {
	t.Helper()
	a, b := describeTree(t, want), describeTree(t, got)
	if a != b {
		t.Errorf("the native folder (-) and the mount (+) are not the same:\n%s", difference(t, a, b))
	}
}

// describeTree is a line for each name below a folder, the folder included.
func describeTree(t *testing.T, dir string) string {
	t.Helper()
	var text strings.Builder
	first := map[uint64]string{} // inode -> the first name that it was found by
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		line, err := describe(path, name, first)
		fmt.Fprintf(&text, "%q %s\n", name, line)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func describe(path, name string, first map[uint64]string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", fmt.Errorf("lstat %s: %w", path, err)
	}
	line := fmt.Sprintf("%o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR {
		if of, again := first[st.Ino]; again {
			return fmt.Sprintf("is %q", of), nil
		}
		first[st.Ino] = name
		line += fmt.Sprintf(" %d links %d bytes", st.Nlink, st.Size)
	}
	switch kind {
	case unix.S_IFREG:
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" %x", sha256.Sum256(b))
	case unix.S_IFLNK:
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		return line + fmt.Sprintf(" -> %q", to), nil
	case unix.S_IFCHR, unix.S_IFBLK:
		line += fmt.Sprintf(" device %d", st.Rdev)
	}
	attrs, err := describeXattrs(path)
	return line + attrs, err
}

// describeXattrs lists the extended attributes of an inode that is no link.
func describeXattrs(path string) (string, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if err != nil {
		return "", fmt.Errorf("listxattr %s: %w", path, err)
	}
	names := strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	text, value := "", make([]byte, 64<<10)
	for _, name := range names {
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", fmt.Errorf("getxattr %s of %s: %w", name, path, err)
		}
		text += fmt.Sprintf(" %s=%x", name, value[:n])
	}
	return text, nil
}
