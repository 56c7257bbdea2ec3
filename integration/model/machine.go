package model

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// Machine does the same to two filesystems. It is made for one run of a
// property; its methods are not safe for concurrent use.
type Machine struct {
	Test, Truth FS
	// DirLinks says that both count subdirectories in the links of a directory.
	DirLinks bool
	// Xattrs says that both have extended attributes.
	Xattrs bool

	handles []*handle
	seed    uint64
	log     []string
}

// handle is one open file, open on both.
type handle struct {
	name        string
	test, truth File
}

// maxHandles is how many files are open at a time.
const maxHandles = 5

// Actions are the operations, for rapid's Repeat.
func (m *Machine) Actions() map[string]func(*rapid.T) {
	a := map[string]func(*rapid.T){
		"open": m.open, "open again": m.open, "close": m.close, "write": m.write, "write more": m.write, "read": m.read,
		"ftruncate": m.ftruncate, "fstat": m.fstat, "fsync": m.fsync, "whole file": m.wholeFile, "mkdir": m.mkdir,
		"rmdir": m.rmdir, "unlink": m.unlink, "rename": m.rename, "rename again": m.rename, "link": m.link,
		"symlink": m.symlink, "readlink": m.readlink, "readdir": m.readdir, "truncate": m.truncate, "chmod": m.chmod,
		"utimens": m.utimens, "stat": m.stat,
	}
	if os.Geteuid() == 0 {
		a["chown"] = m.chown
	}
	if m.Xattrs {
		a["setxattr"], a["getxattr"], a["removexattr"] = m.setxattr, m.getxattr, m.removexattr
	}
	return a
}

var names = rapid.SampledFrom([]string{"a", "b", "c", "name with \xff and spaces"})

// path draws a path of one to three names; many of them exist, by and by.
func (m *Machine) path(t *rapid.T, label string) string {
	depth := rapid.SampledFrom([]int{1, 1, 1, 2, 2, 3}).Draw(t, label+" depth")
	p := make([]string, depth)
	for i := range p {
		p[i] = names.Draw(t, label)
	}
	return strings.Join(p, "/")
}

// same notes an operation and fails unless both gave the same errno.
func (m *Machine) same(t *rapid.T, test, truth error, format string, args ...any) bool {
	op := fmt.Sprintf(format, args...)
	m.log = append(m.log, fmt.Sprintf("%s: %v", op, Errno(truth)))
	if Errno(test) != Errno(truth) {
		m.fatal(t, "%s: %v, the truth is %v", op, test, truth)
	}
	return truth == nil
}

// fatal ends the run and shows the operations that led there.
func (m *Machine) fatal(t *rapid.T, format string, args ...any) {
	t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(m.log, "\n"))
}

// look compares what both say of a path and of the directory it is in.
func (m *Machine) look(t *rapid.T, paths ...string) {
	for _, p := range paths {
		for _, q := range []string{p, parent(p)} {
			a, errA := m.Test.Lstat(q)
			b, errB := m.Truth.Lstat(q)
			m.compare(t, "lstat "+q, a, errA, b, errB)
		}
	}
}

func parent(p string) string {
	if dir := path.Dir(p); dir != "." {
		return dir
	}
	return ""
}

func (m *Machine) compare(t *rapid.T, what string, a Stat, errA error, b Stat, errB error) {
	if Errno(errA) != Errno(errB) {
		m.fatal(t, "%s: %v, the truth is %v", what, errA, errB)
	}
	if a, b := a.comparable(m.DirLinks), b.comparable(m.DirLinks); a != b {
		m.fatal(t, "%s: %+v, the truth is %+v", what, a, b)
	}
}

// data is n bytes of no pattern, others each time.
func (m *Machine) data(n int) []byte {
	m.seed++
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(m.seed), byte(m.seed >> 8)}).Read(p)
	return p
}

var (
	sizes = rapid.SampledFrom([]int{0, 1, 10, 4095, 4096, 4097, 10_000, 65_535, 65_536, 100_000, 700_000, 4 << 20, 5 << 20})
	small = rapid.SampledFrom([]int{1, 10, 1000, 4096, 9000})
	modes = rapid.SampledFrom([]uint32{0o700, 0o755, 0o644 | 0o100, 0o777, 0o4755, 0o2775, 0o1777, 0o6711})
)

// offset draws where to read or write.
func offset(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(0, 20_000), rapid.Map(rapid.Int64Range(0, 300), func(p int64) int64 { return p * 4096 }),
		rapid.Int64Range(0, 6<<20), rapid.SampledFrom([]int64{4<<20 - 1, 4 << 20, 1 << 33})).Draw(t, "off")
}

func (m *Machine) open(t *rapid.T) {
	if len(m.handles) >= maxHandles {
		m.closeAt(t, 0)
	}
	p := m.path(t, "path")
	flags := rapid.SampledFrom([]int{0, unix.O_CREAT, unix.O_CREAT, unix.O_CREAT | unix.O_EXCL, unix.O_TRUNC,
		unix.O_CREAT | unix.O_TRUNC, unix.O_CREAT | unix.O_APPEND, unix.O_APPEND}).Draw(t, "flags")
	mode := modes.Draw(t, "mode") & 0o777
	f, errF := m.Test.Open(p, flags, mode)
	g, errG := m.Truth.Open(p, flags, mode)
	if m.same(t, errF, errG, "open %q flags %#x mode %o", p, flags, mode) {
		m.handles = append(m.handles, &handle{p, f, g})
	}
	m.look(t, p)
}

// handle draws an open file; nil if none is.
func (m *Machine) handle(t *rapid.T) *handle {
	if len(m.handles) == 0 {
		return nil
	}
	return m.handles[rapid.IntRange(0, len(m.handles)-1).Draw(t, "handle")]
}

func (m *Machine) close(t *rapid.T) {
	if len(m.handles) > 0 {
		m.closeAt(t, rapid.IntRange(0, len(m.handles)-1).Draw(t, "handle"))
	}
}

func (m *Machine) closeAt(t *rapid.T, i int) {
	h := m.handles[i]
	m.handles = append(m.handles[:i], m.handles[i+1:]...)
	m.same(t, h.test.Close(), h.truth.Close(), "close %q", h.name)
}

// CloseAll closes every open file.
func (m *Machine) CloseAll(t *rapid.T) {
	for len(m.handles) > 0 {
		m.closeAt(t, 0)
	}
}

// Crash forgets the open files of the filesystem under test, which has died,
// and closes those of the other. What they wrote must have been synced.
func (m *Machine) Crash() {
	for _, h := range m.handles {
		_ = h.truth.Close()
	}
	m.handles = nil
}

// SyncAll syncs every open file.
func (m *Machine) SyncAll(t *rapid.T) {
	for _, h := range m.handles {
		m.same(t, h.test.Sync(), h.truth.Sync(), "fsync %q", h.name)
	}
}

// Note adds a line to what is shown when the run fails.
func (m *Machine) Note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *Machine) write(t *rapid.T) {
	h := m.handle(t)
	if h == nil {
		return
	}
	off, p := offset(t), m.data(rapid.OneOf(small, sizes).Draw(t, "len"))
	n, errN := h.test.WriteAt(p, off)
	k, errK := h.truth.WriteAt(p, off)
	if m.same(t, errN, errK, "write %d bytes at %d of %q", len(p), off, h.name) && n != k {
		m.fatal(t, "wrote %d bytes, the truth is %d", n, k)
	}
	m.fstatOf(t, h)
}

func (m *Machine) read(t *rapid.T) {
	h := m.handle(t)
	if h == nil {
		return
	}
	m.readAt(t, h.name, h.test, h.truth, offset(t), rapid.OneOf(small, sizes).Draw(t, "len"))
}

func (m *Machine) readAt(t *rapid.T, name string, test, truth File, off int64, n int) int {
	p, q := bytes.Repeat([]byte{0xee}, n), bytes.Repeat([]byte{0xdd}, n)
	a, errA := test.ReadAt(p, off)
	b, errB := truth.ReadAt(q, off)
	m.same(t, errA, errB, "read %d bytes at %d of %q", n, off, name)
	if a != b {
		m.fatal(t, "read %d bytes, the truth is %d", a, b)
	}
	if !bytes.Equal(p[:a], q[:b]) {
		at := 0
		for p[at] == q[at] {
			at++
		}
		m.fatal(t, "%q: wrong bytes from offset %d on: % x, the truth is % x", name, off+int64(at), p[at:min(at+8, a)], q[at:min(at+8, b)])
	}
	return a
}

func (m *Machine) ftruncate(t *rapid.T) {
	h := m.handle(t)
	if h == nil {
		return
	}
	size := offset(t)
	m.same(t, h.test.Truncate(size), h.truth.Truncate(size), "ftruncate %q to %d", h.name, size)
	m.fstatOf(t, h)
}

func (m *Machine) fstat(t *rapid.T) {
	if h := m.handle(t); h != nil {
		m.fstatOf(t, h)
	}
}

func (m *Machine) fstatOf(t *rapid.T, h *handle) {
	a, errA := h.test.Stat()
	b, errB := h.truth.Stat()
	m.compare(t, fmt.Sprintf("fstat of what was %q", h.name), a, errA, b, errB)
}

func (m *Machine) fsync(t *rapid.T) {
	if h := m.handle(t); h != nil {
		m.same(t, h.test.Sync(), h.truth.Sync(), "fsync %q", h.name)
	}
}

// wholeFile makes a file as most programs do: open, write, close.
func (m *Machine) wholeFile(t *rapid.T) {
	p, data := m.path(t, "path"), m.data(sizes.Draw(t, "len"))
	var errs [2]error
	for i, fs := range []FS{m.Test, m.Truth} {
		f, err := fs.Open(p, unix.O_CREAT|unix.O_TRUNC, 0o644)
		if err == nil {
			_, err = f.WriteAt(data, 0)
			if e := f.Close(); err == nil {
				err = e
			}
		}
		errs[i] = err
	}
	m.same(t, errs[0], errs[1], "write a file of %d bytes to %q", len(data), p)
	m.look(t, p)
}

// both does one operation on a path to both.
func (m *Machine) both(t *rapid.T, p string, do func(FS) error, format string, args ...any) {
	m.same(t, do(m.Test), do(m.Truth), format, args...)
	m.look(t, p)
}

func (m *Machine) mkdir(t *rapid.T) {
	p, mode := m.path(t, "path"), modes.Draw(t, "mode")&0o777
	m.both(t, p, func(fs FS) error { return fs.Mkdir(p, mode) }, "mkdir %q %o", p, mode)
}

func (m *Machine) rmdir(t *rapid.T) {
	p := m.path(t, "path")
	m.both(t, p, func(fs FS) error { return fs.Rmdir(p) }, "rmdir %q", p)
}

func (m *Machine) unlink(t *rapid.T) {
	p := m.path(t, "path")
	m.both(t, p, func(fs FS) error { return fs.Unlink(p) }, "unlink %q", p)
	for _, h := range m.handles {
		m.fstatOf(t, h)
	}
}

func (m *Machine) rename(t *rapid.T) {
	from, to := m.path(t, "from"), m.path(t, "to")
	flags := rapid.SampledFrom([]uint{0, 0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}).Draw(t, "flags")
	m.both(t, from, func(fs FS) error { return fs.Rename(from, to, flags) }, "rename %q to %q flags %d", from, to, flags)
	m.look(t, to)
	for _, h := range m.handles {
		m.fstatOf(t, h)
	}
}

func (m *Machine) link(t *rapid.T) {
	from, to := m.path(t, "from"), m.path(t, "to")
	m.both(t, from, func(fs FS) error { return fs.Link(from, to) }, "link %q to %q", from, to)
	m.look(t, to)
}

func (m *Machine) symlink(t *rapid.T) {
	p := m.path(t, "path")
	target := rapid.SampledFrom([]string{"a", "b", "a/b", "a/../b", "nowhere", "", strings.Repeat("long/", 100) + "x"}).Draw(t, "target")
	m.both(t, p, func(fs FS) error { return fs.Symlink(target, p) }, "symlink %q at %q", target, p)
}

func (m *Machine) readlink(t *rapid.T) {
	p := m.path(t, "path")
	a, errA := m.Test.Readlink(p)
	b, errB := m.Truth.Readlink(p)
	if m.same(t, errA, errB, "readlink %q", p) && a != b {
		m.fatal(t, "readlink: %q, the truth is %q", a, b)
	}
}

func (m *Machine) readdir(t *rapid.T) {
	p := m.path(t, "path")
	if rapid.IntRange(0, 3).Draw(t, "root") == 0 {
		p = ""
	}
	m.list(t, p)
}

func (m *Machine) list(t *rapid.T, p string) []Entry {
	a, errA := m.Test.ReadDir(p)
	b, errB := m.Truth.ReadDir(p)
	m.same(t, errA, errB, "readdir %q", p)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		m.fatal(t, "readdir %q: %v, the truth is %v", p, a, b)
	}
	return b
}

func (m *Machine) truncate(t *rapid.T) {
	p, size := m.path(t, "path"), offset(t)
	m.both(t, p, func(fs FS) error { return fs.Truncate(p, size) }, "truncate %q to %d", p, size)
}

func (m *Machine) chmod(t *rapid.T) {
	p, mode := m.path(t, "path"), modes.Draw(t, "mode")
	m.both(t, p, func(fs FS) error { return fs.Chmod(p, mode) }, "chmod %q %o", p, mode)
}

func (m *Machine) chown(t *rapid.T) {
	p, uid, gid := m.path(t, "path"), rapid.IntRange(0, 3).Draw(t, "uid"), rapid.IntRange(0, 3).Draw(t, "gid")
	m.both(t, p, func(fs FS) error { return fs.Lchown(p, uid, gid) }, "chown %q %d:%d", p, uid, gid)
}

func (m *Machine) utimens(t *rapid.T) {
	p, at, mt := m.path(t, "path"), rapid.Int64Range(-Early, Early-1).Draw(t, "atime"), rapid.Int64Range(-Early, Early-1).Draw(t, "mtime")
	m.both(t, p, func(fs FS) error { return fs.Lutimens(p, at, mt) }, "utimens %q %d %d", p, at, mt)
}

func (m *Machine) stat(t *rapid.T) { m.look(t, m.path(t, "path")) }

var attrNames = rapid.SampledFrom([]string{"user.a", "user.b", "user." + strings.Repeat("n", 200)})

// attrPath is a path that does not end in a symbolic link: those have no
// attributes that a user may set.
func (m *Machine) attrPath(t *rapid.T) string {
	p := m.path(t, "path")
	if st, err := m.Truth.Lstat(p); err == nil && isType(st.Mode, syscall.S_IFLNK) {
		return ""
	}
	return p
}

func (m *Machine) setxattr(t *rapid.T) {
	p, name, value := m.attrPath(t), attrNames.Draw(t, "name"), m.data(rapid.IntRange(0, 300).Draw(t, "len"))
	flags := rapid.SampledFrom([]int{0, 0, unix.XATTR_CREATE, unix.XATTR_REPLACE}).Draw(t, "flags")
	m.both(t, p, func(fs FS) error { return fs.Setxattr(p, name, value, flags) }, "setxattr %q %.8s %d bytes flags %d", p, name, len(value), flags)
}

func (m *Machine) getxattr(t *rapid.T) {
	p, name := m.attrPath(t), attrNames.Draw(t, "name")
	m.xattr(t, p, name)
}

func (m *Machine) xattr(t *rapid.T, p, name string) {
	a, errA := m.Test.Getxattr(p, name)
	b, errB := m.Truth.Getxattr(p, name)
	if m.same(t, errA, errB, "getxattr %q %.8s", p, name) && !bytes.Equal(a, b) {
		m.fatal(t, "getxattr: % x, the truth is % x", a, b)
	}
}

func (m *Machine) removexattr(t *rapid.T) {
	p, name := m.attrPath(t), attrNames.Draw(t, "name")
	m.both(t, p, func(fs FS) error { return fs.Removexattr(p, name) }, "removexattr %q %.8s", p, name)
}
