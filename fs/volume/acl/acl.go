// Package acl is the access control lists of POSIX 1003.1e, as Linux has them:
// it reads and writes the form in which the kernel passes them as extended
// attributes, and says what they and the permission bits of a mode make of each
// other. It computes; who may do what is the kernel's business.
//
// A list is valid if its entries are in this order: the owner once, named users,
// the owning group once, named groups, at most one mask, others once; with
// somebody named the mask must be there. The form of version 2:
//
//	version  4 bytes, 2; this and all below little endian
//	entries  8 bytes each: tag (2), permissions (2), user or group (4)
//
// Only entries of the two named kinds have a user or group; in the others the
// kernel writes 2^32-1 there and passes over what it reads.
package acl

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Tag says whom an entry is about.
type Tag uint16

// The tags, as numbered in the form.
const (
	Owner       Tag = 0x01
	User        Tag = 0x02
	OwningGroup Tag = 0x04
	Group       Tag = 0x08
	Mask        Tag = 0x10 // bounds what all but Owner and Other may do
	Other       Tag = 0x20
)

// Entry gives permissions (4 read, 2 write, 1 execute) to somebody.
type Entry struct {
	Tag  Tag
	Perm uint16
	ID   uint32 // of a User or Group
}

// List is an access control list. The empty list stands for none.
type List []Entry

// Max is the longest form of a list, in bytes: the kernel reads no more through
// FUSE.
const Max = 4096

const (
	version   = 2
	headerLen = 4
	entryLen  = 8
	noID      = 1<<32 - 1
)

// Errors of Parse.
var (
	ErrInvalid = errors.New("invalid access control list")
	ErrVersion = errors.New("access control list of an unknown version")
)

// Parse reads the form. A form without entries, or of no bytes, is the empty
// list, which means that there is to be none.
func Parse(form []byte) (List, error) {
	if len(form) == 0 {
		return nil, nil
	}
	if len(form) < headerLen {
		return nil, fmt.Errorf("%w: %d bytes", ErrInvalid, len(form))
	}
	if v := binary.LittleEndian.Uint32(form); v != version {
		return nil, fmt.Errorf("%w: %d", ErrVersion, v)
	}
	form = form[headerLen:]
	if len(form)%entryLen != 0 {
		return nil, fmt.Errorf("%w: entries of %d bytes", ErrInvalid, len(form))
	}
	var l List
	for ; len(form) > 0; form = form[entryLen:] {
		e := Entry{Tag(binary.LittleEndian.Uint16(form)), binary.LittleEndian.Uint16(form[2:]), binary.LittleEndian.Uint32(form[4:])}
		if !e.named() {
			e.ID = noID
		}
		l = append(l, e)
	}
	if len(l) == 0 {
		return nil, nil
	}
	return l, l.check()
}

// Form is the inverse of Parse.
func (l List) Form() []byte {
	form := binary.LittleEndian.AppendUint32(make([]byte, 0, headerLen+entryLen*len(l)), version)
	for _, e := range l {
		if !e.named() {
			e.ID = noID
		}
		form = binary.LittleEndian.AppendUint16(form, uint16(e.Tag))
		form = binary.LittleEndian.AppendUint16(form, e.Perm)
		form = binary.LittleEndian.AppendUint32(form, e.ID)
	}
	return form
}

func (e *Entry) named() bool { return e.Tag == User || e.Tag == Group }

// check refuses what is not valid. The tags ascend, so their order is the order
// of their numbers.
func (l List) check() error {
	var last, seen Tag
	for i := range l {
		e := &l[i]
		switch {
		case e.Tag&(Owner|User|OwningGroup|Group|Mask|Other) == 0 || e.Tag&(e.Tag-1) != 0:
			return fmt.Errorf("%w: tag %#x", ErrInvalid, uint16(e.Tag))
		case e.Perm > 7:
			return fmt.Errorf("%w: permissions %#o", ErrInvalid, e.Perm)
		case e.Tag < last || e.Tag == last && !e.named():
			return fmt.Errorf("%w: entry %#x after %#x", ErrInvalid, uint16(e.Tag), uint16(last))
		case e.named() && e.ID == noID:
			return fmt.Errorf("%w: an entry for nobody", ErrInvalid)
		}
		last = e.Tag
		seen |= e.Tag
	}
	const needed = Owner | OwningGroup | Other
	if seen&needed != needed || seen&(User|Group) != 0 && seen&Mask == 0 {
		return fmt.Errorf("%w: an entry is missing", ErrInvalid)
	}
	return nil
}

// Mode returns the permission bits that go with a valid list; all says that
// they say everything that the list says.
func (l List) Mode() (perm uint32, all bool) {
	owner, class, other := l.bits()
	return uint32(*owner)<<6 | uint32(*class)<<3 | uint32(*other), len(l) == 3
}

// bits returns the permissions that the bits of a mode stand for. Those of the
// group stand for the mask, if there is one.
func (l List) bits() (owner, class, other *uint16) {
	for i := range l {
		p := &l[i].Perm
		switch l[i].Tag {
		case Owner:
			owner = p
		case OwningGroup, Mask: // the mask comes later and wins
			class = p
		case Other:
			other = p
		}
	}
	return owner, class, other
}

// SetMode changes a valid list as chmod(2) to these permission bits does.
func (l List) SetMode(perm uint32) {
	owner, class, other := l.bits()
	*owner, *class, *other = uint16(perm>>6&7), uint16(perm>>3&7), uint16(perm&7)
}

// Inherit returns what a new file gets from the valid default list of its
// directory, if it is made with these permission bits: an access list and the
// bits of its mode. Nobody gets what the maker does not grant.
func (l List) Inherit(perm uint32) (List, uint32) {
	own := append(List(nil), l...)
	granted, _ := own.Mode()
	own.SetMode(granted & perm)
	return own, granted & perm & 0o777
}

// Map returns a copy with other users and groups.
func (l List) Map(user, group func(uint32) uint32) List {
	own := append(List(nil), l...)
	for i := range own {
		switch e := &own[i]; e.Tag {
		case User:
			e.ID = user(e.ID)
		case Group:
			e.ID = group(e.ID)
		}
	}
	return own
}
