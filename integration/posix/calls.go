//go:build linux

package posix

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Preparations: they are no steps, and have to succeed.

// file makes a file with a content, for whoever owns the process.
func (t *T) file(name, content string) {
	t.must(os.WriteFile(name, []byte(content), 0o644))
	t.must(unix.Chmod(name, 0o644))
}

func (t *T) dir(names ...string) {
	for _, n := range names {
		t.must(unix.Mkdir(n, 0o755))
	}
}

func sum(p []byte) string {
	s := sha256.Sum256(p)
	return hex.EncodeToString(s[:6])
}

// Calls by name: each is a step.

func (t *T) mkdir(name string, mode uint32) bool {
	return t.result(fmt.Sprintf("mkdir %s %o", show(name), mode), again(func() error { return unix.Mkdir(name, mode) }))
}

func (t *T) rmdir(name string) bool {
	return t.result("rmdir "+show(name), again(func() error { return unix.Rmdir(name) }))
}

func (t *T) unlink(name string) bool {
	return t.result("unlink "+show(name), again(func() error { return unix.Unlink(name) }))
}

func (t *T) rename(from, to string) bool {
	return t.result("rename "+show(from)+" "+show(to), again(func() error { return unix.Rename(from, to) }))
}

func (t *T) rename2(from, to string, flags uint) bool {
	call := fmt.Sprintf("renameat2 %s %s %s", show(from), show(to), names(renameFlags, uint64(flags)))
	return t.result(call, again(func() error { return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags) }))
}

func (t *T) link(from, to string) bool {
	return t.result("link "+show(from)+" "+show(to), again(func() error { return unix.Link(from, to) }))
}

func (t *T) symlink(target, name string) bool {
	return t.result("symlink "+show(target)+" "+show(name), again(func() error { return unix.Symlink(target, name) }))
}

func (t *T) readlink(name string) {
	p := make([]byte, 5000)
	n, err := unix.Readlink(name, p)
	t.answer("readlink "+show(name), err, func() string { return show(string(p[:n])) })
}

// answer writes down an answer, or why there is none.
func (t *T) answer(call string, err error, text func() string) bool {
	if err != nil {
		return t.result(call, err)
	}
	t.note(call, "%s", text())
	return true
}

func (t *T) mknod(name string, mode uint32, dev uint64) bool {
	call := fmt.Sprintf("mknod %s %s %o", show(name), kind(mode), mode&0o7777)
	return t.result(call, again(func() error { return unix.Mknod(name, mode, int(dev)) }))
}

func (t *T) chmod(name string, mode uint32) bool {
	return t.result(fmt.Sprintf("chmod %s %o", show(name), mode), again(func() error { return unix.Chmod(name, mode) }))
}

func (t *T) chown(name string, uid, gid int) bool {
	return t.result(fmt.Sprintf("chown %s %d:%d", show(name), uid, gid), again(func() error { return unix.Chown(name, uid, gid) }))
}

func (t *T) lchown(name string, uid, gid int) bool {
	return t.result(fmt.Sprintf("lchown %s %d:%d", show(name), uid, gid), again(func() error { return unix.Lchown(name, uid, gid) }))
}

func (t *T) truncate(name string, size int64) bool {
	return t.result(fmt.Sprintf("truncate %s %d", show(name), size), again(func() error { return unix.Truncate(name, size) }))
}

func (t *T) access(name string, mode uint32) bool {
	call := fmt.Sprintf("access %s %s", show(name), rwx(mode))
	return t.result(call, again(func() error { return unix.Faccessat(unix.AT_FDCWD, name, mode, unix.AT_EACCESS) }))
}

func (t *T) chdir(name string) bool {
	return t.result("chdir "+show(name), again(func() error { return unix.Chdir(name) }))
}

func (t *T) stat(name string) bool {
	var st unix.Stat_t
	err := again(func() error { return unix.Stat(name, &st) })
	return t.answer("stat "+show(name), err, func() string { return describe(&st) })
}

func (t *T) lstat(name string) bool {
	var st unix.Stat_t
	err := again(func() error { return unix.Lstat(name, &st) })
	return t.answer("lstat "+show(name), err, func() string { return describe(&st) })
}

// same writes down whether two names are one inode.
func (t *T) same(a, b string) {
	var x, y unix.Stat_t
	t.must(unix.Lstat(a, &x))
	t.must(unix.Lstat(b, &y))
	t.note("inodes of "+show(a)+" "+show(b), "%s", map[bool]string{true: "same", false: "other"}[x.Ino == y.Ino && x.Dev == y.Dev])
}

// content writes down what is in a file.
func (t *T) content(name string) {
	p, err := os.ReadFile(name)
	t.answer("content of "+show(name), err, func() string { return brief(p) })
}

// list writes down the sorted names in a directory, with their types.
func (t *T) list(name string) {
	entries, err := os.ReadDir(name)
	t.answer("list "+show(name), err, func() string {
		var text []string
		for _, e := range entries {
			text = append(text, show(e.Name())+"("+e.Type().String()[:1]+")")
		}
		slices.Sort(text)
		return strings.Join(text, " ")
	})
}

// describe is what of an inode's attributes two filesystems agree on. How large
// a directory is and how many blocks something takes has steps of its own.
func describe(st *unix.Stat_t) string {
	s := fmt.Sprintf("%s %o nlink=%d own=%d:%d", kind(st.Mode), st.Mode&0o7777, st.Nlink, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFLNK:
		s += fmt.Sprintf(" size=%d", st.Size)
	case unix.S_IFCHR, unix.S_IFBLK:
		s += fmt.Sprintf(" dev=%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	return s
}
