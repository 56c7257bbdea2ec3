package model

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// The names of access control lists.
const (
	accessACL  = "system.posix_acl_access"
	defaultACL = "system.posix_acl_default"
)

// lists are the operations on access control lists. What they come to is
// compared by every stat and every list that is read.
func (m *Machine) lists() map[string]action {
	return map[string]action{
		"set acl": {Setxattr, m.setACL}, "set acl again": {Setxattr, m.setACL}, "get acl": {Getxattr, m.getACL}, "remove acl": {Removexattr, m.removeACL},
	}
}

var aclNames = rapid.SampledFrom([]string{accessACL, defaultACL})

// aclEntry is one entry in the form of the kernel's.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// drawACL draws a list, which is valid more often than not.
func drawACL(t *rapid.T) []byte {
	perm := rapid.Uint16Range(0, 7)
	const nobody = 1<<32 - 1
	entries := []aclEntry{{0x01, perm.Draw(t, "owner") | 4, nobody}}
	named := false
	add := func(tag uint16, label string) {
		for id := range uint32(rapid.IntRange(0, 2).Draw(t, label)) {
			entries, named = append(entries, aclEntry{tag, perm.Draw(t, label), id + 1}), true
		}
	}
	add(0x02, "users")
	entries = append(entries, aclEntry{0x04, perm.Draw(t, "group"), nobody})
	add(0x08, "groups")
	if named || rapid.Bool().Draw(t, "mask") {
		entries = append(entries, aclEntry{0x10, perm.Draw(t, "mask"), nobody})
	}
	entries = append(entries, aclEntry{0x20, perm.Draw(t, "others"), nobody})
	switch rapid.IntRange(0, 9).Draw(t, "wrong") {
	case 0: // without one that may be needed
		i := rapid.IntRange(0, len(entries)-1).Draw(t, "without")
		entries = slices.Delete(entries, i, i+1)
	case 1: // in another order
		i := rapid.IntRange(0, len(entries)-1).Draw(t, "first")
		entries[0], entries[i] = entries[i], entries[0]
	case 2:
		entries = nil
	}
	form := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		form = binary.LittleEndian.AppendUint16(form, e.tag)
		form = binary.LittleEndian.AppendUint16(form, e.perm)
		form = binary.LittleEndian.AppendUint32(form, e.id)
	}
	return form
}

func (m *Machine) setACL(t *rapid.T) {
	m.change(t, &Call{Op: Setxattr, By: who(t), Path: m.dirPath(t), To: aclNames.Draw(t, "name"), Data: drawACL(t),
		Flags: rapid.SampledFrom([]int{0, 0, 0, unix.XATTR_CREATE, unix.XATTR_REPLACE}).Draw(t, "flags")})
}

func (m *Machine) getACL(t *rapid.T) {
	m.do(t, &Call{Op: Getxattr, By: who(t), Path: m.dirPath(t), To: aclNames.Draw(t, "name"), Len: attrRooms.Draw(t, "room")})
}

func (m *Machine) removeACL(t *rapid.T) {
	m.change(t, &Call{Op: Removexattr, By: who(t), Path: m.dirPath(t), To: aclNames.Draw(t, "name")})
}
