package acl

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func form(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors are forms as the kernel has them, and what is wrong with others.
func TestVectors(t *testing.T) {
	const none = "ffffffff"
	for _, c := range []struct {
		what, form string
		n          int
		want       error
	}{
		{"nothing", "", 0, nil},
		{"no entries", "02000000", 0, nil},
		{"minimal", "02000000 0100 0600 " + none + " 0400 0400 " + none + " 2000 0000 " + none, 3, nil},
		{"numbers where none belong", "02000000 0100 0600 01000000 0400 0400 00000000 2000 0000 05000000", 3, nil},
		{"a mask for nobody", "02000000 0100 0600 " + none + " 0400 0400 " + none + " 1000 0700 " + none + " 2000 0000 " + none, 4, nil},
		{"a user twice", "02000000 0100 0600 " + none + " 0200 0700 09000000 0200 0100 09000000 0400 0400 " + none + " 1000 0700 " + none + " 2000 0000 " + none, 6, nil},
		{"a group", "02000000 0100 0600 " + none + " 0400 0400 " + none + " 0800 0100 00000000 1000 0700 " + none + " 2000 0000 " + none, 5, nil},
		{"another version", "01000000 0100 0600 " + none, 0, ErrVersion},
		{"three bytes", "020000", 0, ErrInvalid},
		{"half an entry", "02000000 0100 0600", 0, ErrInvalid},
		{"no others", "02000000 0100 0600 " + none + " 0400 0400 " + none, 0, ErrInvalid},
		{"no owner", "02000000 0400 0400 " + none + " 2000 0000 " + none, 0, ErrInvalid},
		{"a wrong order", "02000000 0400 0400 " + none + " 0100 0600 " + none + " 2000 0000 " + none, 0, ErrInvalid},
		{"owner twice", "02000000 0100 0600 " + none + " 0100 0600 " + none + " 0400 0400 " + none + " 2000 0000 " + none, 0, ErrInvalid},
		{"no mask", "02000000 0100 0600 " + none + " 0200 0700 09000000 0400 0400 " + none + " 2000 0000 " + none, 0, ErrInvalid},
		{"mask twice", "02000000 0100 0600 " + none + " 0400 0400 " + none + " 1000 0700 " + none + " 1000 0700 " + none + " 2000 0000 " + none, 0, ErrInvalid},
		{"an odd tag", "02000000 0100 0600 " + none + " 0400 0400 " + none + " 4000 0000 " + none, 0, ErrInvalid},
		{"two tags in one", "02000000 0500 0600 " + none + " 2000 0000 " + none, 0, ErrInvalid},
		{"no tag", "02000000 0000 0600 " + none, 0, ErrInvalid},
		{"odd permissions", "02000000 0100 0800 " + none + " 0400 0400 " + none + " 2000 0000 " + none, 0, ErrInvalid},
		{"nobody named", "02000000 0100 0600 " + none + " 0200 0700 " + none + " 0400 0400 " + none + " 1000 0700 " + none + " 2000 0000 " + none, 0, ErrInvalid},
	} {
		l, err := Parse(form(t, c.form))
		if !errors.Is(err, c.want) || err == nil && len(l) != c.n {
			t.Errorf("%s: %v, %v", c.what, l, err)
		}
	}
}

// list draws a valid list.
func list(t *rapid.T) List {
	perm := rapid.Uint16Range(0, 7)
	named := func(tag Tag) (l List) {
		for range rapid.IntRange(0, 3).Draw(t, "named") {
			l = append(l, Entry{tag, perm.Draw(t, "perm"), rapid.Uint32Range(0, noID-1).Draw(t, "id")})
		}
		return l
	}
	l := List{{Owner, perm.Draw(t, "owner"), noID}}
	l = append(l, named(User)...)
	l = append(l, Entry{OwningGroup, perm.Draw(t, "group"), noID})
	l = append(l, named(Group)...)
	if len(l) > 2 || rapid.Bool().Draw(t, "mask") {
		l = append(l, Entry{Mask, perm.Draw(t, "mask"), noID})
	}
	return append(l, Entry{Other, perm.Draw(t, "other"), noID})
}

// access is the algorithm of acl(5), word by word: what somebody may do to a
// file of owner and group 0 with this list.
func access(l List, uid uint32, gids ...uint32) (perm uint16) {
	get := func(tag Tag) (p uint16, ok bool) {
		for _, e := range l {
			if e.Tag == tag {
				return e.Perm, true
			}
		}
		return 7, false
	}
	mask, _ := get(Mask)
	if uid == 0 {
		perm, _ = get(Owner)
		return perm
	}
	for _, e := range l {
		if e.Tag == User && e.ID == uid {
			return e.Perm & mask
		}
	}
	in, member := map[uint32]bool{}, false
	for _, g := range gids {
		in[g] = true
	}
	for _, e := range l {
		if e.Tag == OwningGroup && in[0] || e.Tag == Group && in[e.ID] {
			member = true
			perm |= e.Perm // any one entry that grants what is asked is enough
		}
	}
	if member {
		return perm & mask
	}
	perm, _ = get(Other)
	return perm
}

func TestForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := list(t)
		got, err := Parse(l.Form())
		if err != nil || !bytes.Equal(got.Form(), l.Form()) || len(got) != len(l) {
			t.Fatalf("%v became %v, %v", l, got, err)
		}
	})
}

// TestChmod: the classes of a mode are what owner, group class and others can
// get at most, and chmod changes nothing else.
func TestChmod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := list(t)
		before := append(List(nil), l...)
		perm := rapid.Uint32Range(0, 0o777).Draw(t, "chmod")
		l.SetMode(perm)
		if got, all := l.Mode(); got != perm || all != (len(l) == 3) {
			t.Fatalf("mode %o, %v, want %o", got, all, perm)
		}
		if l.check() != nil {
			t.Fatalf("%v is not valid", l)
		}
		if access(l, 0) != uint16(perm>>6) {
			t.Fatal("the owner's bits are not what the owner may")
		}
		for i, e := range l {
			if kept := e.named() || e.Tag == OwningGroup && hasMask(l); kept && e != before[i] {
				t.Fatalf("chmod changed %v to %v", before[i], e)
			}
			if e.named() && uint32(access(l, e.ID|1<<31, e.ID))&^(perm>>3&7|perm&7) != 0 {
				t.Fatalf("%v gets more than its class or others", e)
			}
		}
	})
}

func hasMask(l List) bool {
	for _, e := range l {
		if e.Tag == Mask {
			return true
		}
	}
	return false
}

// TestInherit: a new file grants to anybody what the default list grants, and
// no more than the maker wanted.
func TestInherit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := list(t)
		form := l.Form()
		perm := rapid.Uint32Range(0, 0o7777).Draw(t, "mode")
		own, mode := l.Inherit(perm)
		if !bytes.Equal(l.Form(), form) {
			t.Fatal("the default list changed")
		}
		granted, _ := l.Mode()
		if got, _ := own.Mode(); got != mode || mode != granted&perm&0o777 || own.check() != nil {
			t.Fatalf("mode %o of %v, %o of %v asked", mode, own, perm, l)
		}
		ids := []uint32{1, 2}
		for _, e := range l {
			if e.named() {
				ids = append(ids, e.ID)
			}
		}
		for _, uid := range ids {
			for _, gid := range append(ids, 0) {
				if uid == 0 {
					continue
				}
				got, most := access(own, uid, gid), access(l, uid, gid)
				if got&^most != 0 {
					t.Fatalf("user %d of group %d gets %o, by the default list %o", uid, gid, got, most)
				}
				if perm&0o777 == 0o777 && got != most {
					t.Fatalf("user %d of group %d gets %o of %o", uid, gid, got, most)
				}
			}
		}
	})
}

func TestMap(t *testing.T) {
	l := List{{Owner, 7, noID}, {User, 1, 5}, {OwningGroup, 1, noID}, {Group, 1, 5}, {Mask, 1, noID}, {Other, 1, noID}}
	m := l.Map(func(id uint32) uint32 { return id + 10 }, func(id uint32) uint32 { return id + 20 })
	if m[1].ID != 15 || m[3].ID != 25 || m[0].ID != noID || l[1].ID != 5 {
		t.Errorf("%v of %v", m, l)
	}
}

// FuzzParse: what is read is valid and is written as it was read, but for
// numbers where none belong.
func FuzzParse(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0})
	f.Add(List{{Owner, 7, noID}, {User, 1, 5}, {OwningGroup, 1, noID}, {Mask, 1, noID}, {Other, 1, noID}}.Form())
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil || len(l) == 0 {
			return
		}
		if err := l.check(); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(l.Form())
		if err != nil || !bytes.Equal(again.Form(), l.Form()) || len(l.Form()) != len(b) {
			t.Fatalf("%x became %x, %v", b, l.Form(), err)
		}
		own, mode := l.Inherit(0o750)
		own.SetMode(mode)
	})
}
