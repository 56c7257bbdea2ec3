package volume

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/fs/volume/acl"
)

// aclOf is a list that gives something to one user.
func aclOf(owner, user, group, mask, other uint16) acl.List {
	return acl.List{{Tag: acl.Owner, Perm: owner}, {Tag: acl.User, Perm: user, ID: 77}, {Tag: acl.OwningGroup, Perm: group},
		{Tag: acl.Mask, Perm: mask}, {Tag: acl.Other, Perm: other}}
}

func (w *world) wantACL(t testing.TB, what string, ino uint64, name string, want acl.List) {
	t.Helper()
	got, err := w.v.GetXattr(ctx, ino, name)
	if want == nil {
		wantErr(t, what, err, ErrNoXattr)
		return
	}
	if err != nil || !bytes.Equal(got, want.Form()) {
		list, _ := acl.Parse(got)
		t.Errorf("%s: %v, %v, want %v", what, list, err, want)
	}
}

func (w *world) wantMode(t testing.TB, what string, ino uint64, want uint32) {
	t.Helper()
	if a := w.attr(t, ino); a.Mode&modePerm != want {
		t.Errorf("%s: mode %o, want %o", what, a.Mode&modePerm, want)
	}
}

func TestSetACL(t *testing.T) {
	w := start(t)
	f, d := w.touch(t, Root, "f"), w.mkdir(t, Root, "d")
	s, err := w.v.Symlink(ctx, Caller{}, Root, "s", "f")
	must(t, err)
	list := aclOf(7, 5, 4, 6, 1)
	set := func(ino uint64, name string, l acl.List, flags int) error {
		return w.v.SetXattr(ctx, ino, name, l.Form(), flags)
	}
	must(t, set(f, XattrACL, list, 0))
	w.wantMode(t, "the mask is the group's bits", f, 0o761)
	w.wantACL(t, "set", f, XattrACL, list)
	before := w.attr(t, f)
	must(t, set(f, XattrACL, list, 0))
	if w.attr(t, f) != before {
		t.Error("the same list changed something")
	}
	mode := uint32(0o2640)
	_, err = w.v.SetAttr(ctx, f, SetAttr{Mode: &mode})
	must(t, err)
	w.wantACL(t, "after chmod", f, XattrACL, aclOf(6, 5, 4, 4, 0))
	must(t, set(f, XattrACL, list, XattrKillSetGID))
	w.wantMode(t, "by somebody outside the group", f, 0o761)
	minimal := acl.List{{Tag: acl.Owner, Perm: 6}, {Tag: acl.OwningGroup, Perm: 2}, {Tag: acl.Other, Perm: 4}}
	must(t, set(f, XattrACL, minimal, 0))
	w.wantACL(t, "what the mode says", f, XattrACL, nil)
	w.wantMode(t, "what the mode says", f, 0o624)
	must(t, set(f, XattrACL, list, 0))
	must(t, set(f, XattrACL, nil, 0)) // no entries
	w.wantACL(t, "removed by an empty list", f, XattrACL, nil)
	w.wantMode(t, "removal leaves the mode", f, 0o761)
	must(t, w.v.RemoveXattr(ctx, f, XattrACL)) // there is none

	wantErr(t, "default list of a file", set(f, XattrDefaultACL, list, 0), ErrAccess)
	must(t, set(f, XattrDefaultACL, nil, 0))
	wantErr(t, "of a symbolic link", set(s.Ino, XattrACL, list, 0), ErrNotSupported)
	wantErr(t, "three bytes", w.v.SetXattr(ctx, f, XattrACL, []byte{2, 0, 0}, 0), ErrInvalid)
	wantErr(t, "another version", w.v.SetXattr(ctx, f, XattrACL, []byte{1, 0, 0, 0}, 0), ErrNotSupported)
	wantErr(t, "without an owner", set(f, XattrACL, list[1:], 0), ErrInvalid)
	long := slices.Concat(list[:2], slices.Repeat(list[1:2], acl.Max/8), list[2:])
	wantErr(t, "too long for the kernel", set(f, XattrACL, long, 0), ErrTooBigXattr)

	must(t, set(d, XattrDefaultACL, list, 0))
	w.wantMode(t, "a default list", d, 0o755)
	names, err := w.v.ListXattr(ctx, d)
	if err != nil || !slices.Equal(names, []string{XattrDefaultACL}) {
		t.Errorf("%q, %v", names, err)
	}
	w.reopen(t)
	w.wantACL(t, "after a restart", d, XattrDefaultACL, list)
	must(t, w.v.RemoveXattr(ctx, d, XattrDefaultACL))
	w.wantACL(t, "removed", d, XattrDefaultACL, nil)
}

// aclFile is what the model knows of a file.
type aclFile struct {
	ino         uint64
	mode        uint32
	access, def acl.List
	dir         bool
}

// sketch says of a list and a mode what acl(5) says: the entries of the owner,
// of the mask (of the owning group, if there is none) and of others are the
// permission bits.
func sketch(l acl.List, change func(class int, perm uint16) uint16) acl.List {
	l = slices.Clone(l)
	mask := slices.IndexFunc(l, func(e acl.Entry) bool { return e.Tag == acl.Mask })
	for i, e := range l {
		switch {
		case e.Tag == acl.Owner:
			l[i].Perm = change(6, e.Perm)
		case e.Tag == acl.Mask, e.Tag == acl.OwningGroup && mask < 0:
			l[i].Perm = change(3, e.Perm)
		case e.Tag == acl.Other:
			l[i].Perm = change(0, e.Perm)
		}
	}
	return l
}

func (f *aclFile) setAccess(l acl.List) {
	f.access = nil
	if l == nil {
		return
	}
	perm := uint32(0)
	sketch(l, func(class int, p uint16) uint16 { perm |= uint32(p) << class; return p })
	f.mode = f.mode&^0o777 | perm
	if len(l) > 3 {
		f.access = l
	}
}

func (f *aclFile) chmod(mode uint32) {
	f.mode = mode
	if f.access != nil {
		f.access = sketch(f.access, func(class int, _ uint16) uint16 { return uint16(mode >> class & 7) })
	}
}

// child is what is made in the directory f.
func (f *aclFile) child(mode, umask uint32, dir bool) *aclFile {
	c := &aclFile{mode: mode &^ umask, dir: dir}
	if f.mode&modeGID != 0 && dir {
		c.mode |= modeGID
	}
	if f.def == nil {
		return c
	}
	c.mode = mode | c.mode&modeGID
	c.setAccess(sketch(f.def, func(class int, p uint16) uint16 { return p & uint16(mode>>class&7) }))
	if dir {
		c.def = f.def
	}
	return c
}

func drawACL(t *rapid.T) acl.List {
	perm := rapid.Uint16Range(0, 7)
	switch rapid.IntRange(0, 3).Draw(t, "list") {
	case 0:
		return nil
	case 1:
		return acl.List{{Tag: acl.Owner, Perm: perm.Draw(t, "u")}, {Tag: acl.OwningGroup, Perm: perm.Draw(t, "g")}, {Tag: acl.Other, Perm: perm.Draw(t, "o")}}
	}
	l := aclOf(perm.Draw(t, "u"), perm.Draw(t, "user"), perm.Draw(t, "g"), perm.Draw(t, "mask"), perm.Draw(t, "o"))
	if rapid.Bool().Draw(t, "mask only") {
		l = slices.Delete(l, 1, 2)
	}
	return l
}

// TestACLModel sets, inherits and changes lists at random and compares with a
// model, also after restarts and checkpoints.
func TestACLModel(t *testing.T) {
	checks(t, 40, func(rt *rapid.T) {
		w := newWorld()
		w.open(t)
		defer w.close(t)
		files := []*aclFile{{ino: Root, mode: 0o755, dir: true}}
		for i := range rapid.IntRange(5, 40).Draw(rt, "steps") {
			f := rapid.SampledFrom(files).Draw(rt, "file")
			switch rapid.SampledFrom([]string{"access", "default", "chmod", "make", "make", "make", "restart"}).Draw(rt, "what") {
			case "access":
				l := drawACL(rt)
				must(t, w.v.SetXattr(ctx, f.ino, XattrACL, l.Form(), 0))
				f.setAccess(l)
			case "default":
				l := drawACL(rt)
				err := w.v.SetXattr(ctx, f.ino, XattrDefaultACL, l.Form(), 0)
				if !f.dir && l != nil {
					wantErr(t, "default list of a file", err, ErrAccess)
					break
				}
				must(t, err)
				f.def = l
			case "chmod":
				mode := rapid.Uint32Range(0, modePerm).Draw(rt, "mode")
				_, err := w.v.SetAttr(ctx, f.ino, SetAttr{Mode: &mode})
				must(t, err)
				f.chmod(mode)
			case "make":
				if f.dir {
					files = append(files, w.makeACL(t, rt, f, fmt.Sprint(i)))
				}
			case "restart":
				_, _, err := w.db.Checkpoint(ctx, checkpointOptions(rapid.Bool().Draw(rt, "fold")))
				must(t, err)
				w.reopen(t)
			}
			for _, f := range files {
				if t.Failed() {
					rt.FailNow()
				}
				w.wantACL(t, "access", f.ino, XattrACL, f.access)
				w.wantACL(t, "default", f.ino, XattrDefaultACL, f.def)
				w.wantMode(t, "mode", f.ino, f.mode)
			}
		}
		must(t, fsck(w))
	})
}

// makeACL makes something in a directory, of the world and of the model.
func (w *world) makeACL(t *testing.T, rt *rapid.T, dir *aclFile, name string) *aclFile {
	mode := rapid.Uint32Range(0, modeRWX).Draw(rt, "mode")
	c := Caller{Umask: rapid.SampledFrom([]uint32{0, 0o022, 0o077, 0o777}).Draw(rt, "umask")}
	var a Attr
	var f *File
	var err error
	kind := rapid.IntRange(0, 3).Draw(rt, "kind")
	switch kind {
	case 0:
		a, err = w.v.Mkdir(ctx, c, dir.ino, name, mode)
	case 1:
		a, err = w.v.Mknod(ctx, c, dir.ino, name, 0o010000|mode, 0)
	case 2:
		a, f, err = w.v.Create(ctx, c, dir.ino, name, mode)
	case 3:
		a, f, err = w.v.Tmpfile(ctx, c, dir.ino, mode)
		must(t, err)
		_, err = w.v.Link(ctx, a.Ino, dir.ino, name)
	}
	must(t, err)
	if f != nil {
		release(t, f)
	}
	made := dir.child(mode, c.Umask, kind == 0)
	made.ino = a.Ino
	return made
}
