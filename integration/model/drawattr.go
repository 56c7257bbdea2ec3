package model

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// attributes are the operations on attributes.
func (m *Machine) attributes() map[string]action {
	a := map[string]action{
		"chmod": {Chmod, m.chmod}, "utimens": {Lutimens, m.utimens}, "fchmod": {Fchmod, m.fchmod}, "futimens": {Futimens, m.futimens},
		"setxattr": {Setxattr, m.setxattr}, "getxattr": {Getxattr, m.getxattr}, "listxattr": {Listxattr, m.listxattr},
		"removexattr": {Removexattr, m.removexattr}, "fsetxattr": {Fsetxattr, m.fsetxattr}, "fgetxattr": {Fgetxattr, m.fgetxattr},
	}
	if os.Geteuid() == 0 {
		a["chown"] = action{Lchown, m.chown}
	}
	return a
}

func (m *Machine) chmod(t *rapid.T) {
	m.change(t, &Call{Op: Chmod, By: who(t), Path: m.path(t, "path"), Mode: modes.Draw(t, "mode")})
}

func (m *Machine) chown(t *rapid.T) {
	m.change(t, &Call{Op: Lchown, By: who(t), Path: m.path(t, "path"), UID: rapid.IntRange(-1, 3).Draw(t, "uid"), GID: rapid.IntRange(-1, 3).Draw(t, "gid")})
}

// someTime draws a time that utimensat(2) takes.
var someTime = rapid.OneOf(rapid.Int64Range(-Early, Early-1), rapid.Just(Now), rapid.Just(Omit))

func (m *Machine) utimens(t *rapid.T) {
	m.change(t, &Call{Op: Lutimens, By: who(t), Path: m.path(t, "path"), Off: someTime.Draw(t, "atime"), Off2: someTime.Draw(t, "mtime")})
}

func (m *Machine) fchmod(t *rapid.T) {
	if h := m.file(t); h != nil {
		m.do(t, &Call{Op: Fchmod, By: h.by, File: h.n, Mode: modes.Draw(t, "mode")})
		m.lookOpen(t)
	}
}

func (m *Machine) futimens(t *rapid.T) {
	if h := m.file(t); h != nil {
		m.do(t, &Call{Op: Futimens, By: h.by, File: h.n, Off: someTime.Draw(t, "atime"), Off2: someTime.Draw(t, "mtime")})
		m.lookOpen(t)
	}
}

var (
	attrNames = rapid.SampledFrom([]string{"user.a", "user.b", "user." + strings.Repeat("n", 200)})
	// What ext4 keeps in a block of 4 KiB it has room for; more is ENOSPC there.
	attrSizes = rapid.OneOf(rapid.IntRange(0, 300), rapid.Just(0), rapid.Just(1000))
	attrRooms = rapid.SampledFrom([]int64{0, 1, 64 << 10, 64 << 10, 64 << 10})
	attrFlags = rapid.SampledFrom([]int{0, 0, unix.XATTR_CREATE, unix.XATTR_REPLACE})
)

func (m *Machine) setxattr(t *rapid.T) {
	m.change(t, &Call{Op: Setxattr, By: who(t), Path: m.path(t, "path"), To: attrNames.Draw(t, "name"),
		Seed: m.data(), Len: int64(attrSizes.Draw(t, "len")), Flags: attrFlags.Draw(t, "flags")})
}

func (m *Machine) getxattr(t *rapid.T) {
	m.do(t, &Call{Op: Getxattr, By: who(t), Path: m.path(t, "path"), To: attrNames.Draw(t, "name"), Len: attrRooms.Draw(t, "room")})
}

func (m *Machine) listxattr(t *rapid.T) {
	m.do(t, &Call{Op: Listxattr, By: who(t), Path: m.path(t, "path")})
}

func (m *Machine) removexattr(t *rapid.T) {
	m.change(t, &Call{Op: Removexattr, By: who(t), Path: m.path(t, "path"), To: attrNames.Draw(t, "name")})
}

func (m *Machine) fsetxattr(t *rapid.T) {
	if h := m.file(t); h != nil {
		m.do(t, &Call{Op: Fsetxattr, By: h.by, File: h.n, To: attrNames.Draw(t, "name"),
			Seed: m.data(), Len: int64(attrSizes.Draw(t, "len")), Flags: attrFlags.Draw(t, "flags")})
		m.lookOpen(t)
	}
}

func (m *Machine) fgetxattr(t *rapid.T) {
	if h := m.file(t); h != nil {
		m.do(t, &Call{Op: Fgetxattr, By: h.by, File: h.n, To: attrNames.Draw(t, "name"), Len: attrRooms.Draw(t, "room")})
	}
}
