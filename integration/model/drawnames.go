package model

import (
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// names are the operations on names.
func (m *Machine) names() map[string]action {
	return map[string]action{
		"mkdir": {Mkdir, m.mkdir}, "mkdir again": {Mkdir, m.mkdir}, "rmdir": {Rmdir, m.rmdir}, "unlink": {Unlink, m.unlink},
		"rename": {Rename, m.rename}, "rename again": {Rename, m.rename}, "link": {Link, m.link},
		"symlink": {Symlink, m.symlink}, "readlink": {Readlink, m.readlink}, "mknod": {Mknod, m.mknod},
		"stat": {Lstat, m.stat}, "exit": {Exit, m.exit}, "linkat": {Linkat, m.linkat},
	}
}

var someNames = rapid.SampledFrom([]string{"a", "b", "c", "name with \xff and spaces"})

// path draws a path of one to three names; many of them exist, by and by.
func (m *Machine) path(t *rapid.T, label string) string {
	depth := rapid.SampledFrom([]int{1, 1, 1, 2, 2, 3}).Draw(t, label+" depth")
	p := make([]string, depth)
	for i := range p {
		p[i] = someNames.Draw(t, label)
	}
	return strings.Join(p, "/")
}

// dirPath draws a path that is often that of a directory.
func (m *Machine) dirPath(t *rapid.T) string {
	if rapid.IntRange(0, 2).Draw(t, "root") == 0 {
		return ""
	}
	return m.path(t, "dir")
}

// special says whether a path leads to something that opening or reading asks
// a driver or another process about: a device, a FIFO, a socket.
func (m *Machine) special(p string) bool {
	r := m.Truth.Do(&Call{Op: Lookup, Path: p})
	switch r.Stat.Mode & syscall.S_IFMT {
	case syscall.S_IFCHR, syscall.S_IFBLK, syscall.S_IFIFO, syscall.S_IFSOCK:
		return true
	}
	return false
}

var (
	modes = rapid.SampledFrom([]uint32{0o700, 0o755, 0o644 | 0o100, 0o777, 0o4755, 0o2775, 0o1777, 0o6711, 0o2744})
	perms = rapid.Map(modes, func(mode uint32) uint32 { return mode & 0o777 })
)

// change does a call that changes what is at its path, and looks at what came
// of it.
func (m *Machine) change(t *rapid.T, c *Call) *Result {
	r := m.do(t, c)
	paths := []string{c.Path}
	switch c.Op {
	case Rename, Link:
		paths = append(paths, c.To)
	case Linkat:
		paths = []string{c.To}
	}
	m.look(t, who(t), paths...)
	return r
}

func (m *Machine) mkdir(t *rapid.T) {
	m.change(t, &Call{Op: Mkdir, By: who(t), Path: m.path(t, "path"), Mode: perms.Draw(t, "mode")})
}

func (m *Machine) mknod(t *rapid.T) {
	kinds := []uint32{syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFREG}
	if os.Geteuid() == 0 {
		kinds = append(kinds, syscall.S_IFCHR, syscall.S_IFBLK)
	}
	c := &Call{Op: Mknod, By: who(t), Path: m.path(t, "path"), Mode: rapid.SampledFrom(kinds).Draw(t, "kind") | modes.Draw(t, "mode")}
	if isType(c.Mode, syscall.S_IFCHR) || isType(c.Mode, syscall.S_IFBLK) {
		c.Off = int64(rapid.SampledFrom([]uint64{unix.Mkdev(1, 3), unix.Mkdev(0, 0), unix.Mkdev(259, 1), unix.Mkdev(4095, 70_000)}).Draw(t, "device"))
	}
	m.change(t, c)
}

func (m *Machine) rmdir(t *rapid.T) {
	m.change(t, &Call{Op: Rmdir, By: who(t), Path: m.path(t, "path")})
}

func (m *Machine) unlink(t *rapid.T) {
	m.change(t, &Call{Op: Unlink, By: who(t), Path: m.path(t, "path")})
}

func (m *Machine) rename(t *rapid.T) {
	flags := []int{0, 0, 0, unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE, unix.RENAME_EXCHANGE | unix.RENAME_NOREPLACE}
	if os.Geteuid() == 0 {
		flags = append(flags, unix.RENAME_WHITEOUT, unix.RENAME_WHITEOUT|unix.RENAME_NOREPLACE)
	}
	m.change(t, &Call{Op: Rename, By: who(t), Path: m.path(t, "from"), To: m.path(t, "to"),
		Flags: rapid.SampledFrom(flags).Draw(t, "flags")})
}

// linkat gives an open file a further name, or its first.
func (m *Machine) linkat(t *rapid.T) {
	if h := m.file(t); h != nil {
		m.change(t, &Call{Op: Linkat, By: h.by, File: h.n, To: m.path(t, "to")})
	}
}

func (m *Machine) link(t *rapid.T) {
	m.change(t, &Call{Op: Link, By: who(t), Path: m.path(t, "from"), To: m.path(t, "to")})
}

func (m *Machine) symlink(t *rapid.T) {
	target := rapid.SampledFrom([]string{"a", "b", "a/b", "a/../b", "nowhere", "", strings.Repeat("long/", 100) + "x"}).Draw(t, "target")
	m.change(t, &Call{Op: Symlink, By: who(t), Path: m.path(t, "path"), To: target})
}

func (m *Machine) readlink(t *rapid.T) {
	m.do(t, &Call{Op: Readlink, By: who(t), Path: m.path(t, "path")})
}

func (m *Machine) stat(t *rapid.T) { m.look(t, who(t), m.path(t, "path")) }
