package volume

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// names lists a directory, sorted, in steps of two.
func (w *world) names(t testing.TB, dir uint64) (names []string) {
	t.Helper()
	for after := uint64(0); ; {
		list, err := w.v.ReadDir(ctx, dir, after, 2)
		must(t, err)
		if len(list) == 0 {
			slices.Sort(names)
			return names
		}
		for _, e := range list {
			if e.Cookie <= after || e.Cookie < 16 {
				t.Fatalf("cookie %d after %d", e.Cookie, after)
			}
			names, after = append(names, e.Name), e.Cookie
		}
	}
}

func (w *world) touch(t testing.TB, dir uint64, name string) uint64 {
	t.Helper()
	f := w.create(t, dir, name)
	release(t, f)
	return f.Ino()
}

func (w *world) wantLinks(t *testing.T, ino uint64, want uint32) {
	t.Helper()
	if a := w.attr(t, ino); a.Nlink != want {
		t.Errorf("inode %d has %d links, want %d", ino, a.Nlink, want)
	}
}

func (w *world) rename(odir uint64, oname string, ndir uint64, nname string, flags uint32) error {
	return w.v.Rename(ctx, odir, oname, ndir, nname, flags)
}

func TestRename(t *testing.T) {
	w := start(t)
	a, b := w.mkdir(t, Root, "a"), w.mkdir(t, Root, "b")
	sub := w.mkdir(t, a, "sub")
	f, g := w.touch(t, a, "f"), w.touch(t, b, "g")

	wantErr(t, "nothing", w.rename(a, "none", b, "x", 0), ErrNotExist)
	wantErr(t, "noreplace", w.rename(a, "f", b, "g", RenameNoReplace), ErrExist)
	wantErr(t, "exchange with nothing", w.rename(a, "f", b, "x", RenameExchange), ErrNotExist)
	wantErr(t, "both flags", w.rename(a, "f", b, "g", RenameNoReplace|RenameExchange), ErrInvalid)
	wantErr(t, "file over directory", w.rename(a, "f", Root, "b", 0), ErrIsDir)
	wantErr(t, "directory over file", w.rename(a, "sub", b, "g", 0), ErrNotDir)
	wantErr(t, "into itself", w.rename(Root, "a", sub, "x", 0), ErrLoop)
	wantErr(t, "onto itself below", w.rename(Root, "a", a, "x", 0), ErrLoop)
	wantErr(t, "over what holds it", w.rename(a, "f", Root, "a", 0), ErrNotEmpty)
	wantErr(t, "exchange with what holds it", w.rename(a, "f", Root, "a", RenameExchange), ErrLoop)
	wantErr(t, "over a full directory", w.rename(Root, "b", Root, "a", 0), ErrNotEmpty)
	must(t, w.rename(a, "f", a, "f", 0))
	must(t, w.rename(a, "f", b, "f", RenameNoReplace))
	if up := w.attr(t, f).Parent; up != b {
		t.Errorf("parent %d, want %d", up, b)
	}
	must(t, w.rename(b, "f", b, "g", 0)) // g goes
	if a := w.attr(t, g); a.Nlink != 0 {
		t.Error("the replaced file is still there")
	}
	_, err := w.db.Inode(ctx, g)
	wantErr(t, "the record of the replaced file", err, ErrNotExist)

	must(t, w.rename(a, "sub", Root, "b", RenameExchange)) // a/sub <-> b
	if got := w.names(t, a); !slices.Equal(got, []string{"sub"}) {
		t.Errorf("in a: %v", got)
	}
	if got := w.names(t, b); !slices.Equal(got, []string{"g"}) {
		t.Errorf("in what is a/sub now: %v", got)
	}
	if up, err := w.v.Parent(ctx, b); err != nil || up != a {
		t.Errorf("parent %d, %v", up, err)
	}
	wantErr(t, "a file for the directory it is in", w.rename(b, "g", a, "sub", RenameExchange), ErrLoop)
}

// TestRenameForms checks links and parents through every form of a rename.
func TestRenameForms(t *testing.T) {
	w := start(t)
	a, b := w.mkdir(t, Root, "a"), w.mkdir(t, Root, "b")
	w.mkdir(t, a, "d")
	f := w.touch(t, b, "f")
	w.wantLinks(t, Root, 4)
	w.wantLinks(t, a, 3)
	must(t, w.rename(a, "d", b, "f", RenameExchange)) // a directory for a file
	w.wantLinks(t, a, 2)
	w.wantLinks(t, b, 3)
	must(t, w.rename(b, "f", a, "d2", 0))
	w.wantLinks(t, a, 3)
	w.wantLinks(t, b, 2)
	w.mkdir(t, b, "empty")
	must(t, w.rename(a, "d2", b, "empty", 0)) // over an empty directory
	w.wantLinks(t, a, 2)
	w.wantLinks(t, b, 3)
	must(t, w.rename(b, "empty", b, "again", 0)) // within one directory
	w.wantLinks(t, b, 3)
	_, err := w.v.Link(ctx, f, b, "f2")
	must(t, err)
	must(t, w.rename(a, "d", b, "f2", 0)) // two names of one file: both stay
	w.wantLinks(t, f, 2)
	must(t, fsck(w))
	w.reopen(t)
	must(t, fsck(w))
	w.wantLinks(t, b, 3)
}

func TestLinks(t *testing.T) {
	w := start(t)
	d := w.mkdir(t, Root, "d")
	f := w.touch(t, Root, "f")
	for i := range 5 {
		_, err := w.v.Link(ctx, f, d, fmt.Sprint(i))
		must(t, err)
	}
	w.wantLinks(t, f, 6)
	_, err := w.v.Link(ctx, d, Root, "x")
	wantErr(t, "link to a directory", err, ErrPerm)
	_, err = w.v.Link(ctx, f, d, "0")
	wantErr(t, "link over a name", err, ErrExist)
	must(t, w.v.Unlink(ctx, Root, "f"))
	w.wantLinks(t, f, 5)
	wantErr(t, "rmdir of a full directory", w.v.Rmdir(ctx, Root, "d"), ErrNotEmpty)
	for i := range 5 {
		must(t, w.v.Unlink(ctx, d, fmt.Sprint(i)))
	}
	_, err = w.v.Link(ctx, f, Root, "back")
	wantErr(t, "link to what is gone", err, ErrNotExist)
	must(t, w.v.Rmdir(ctx, Root, "d"))
	_, _, err = w.v.Create(ctx, Caller{}, d, "late", 0o644)
	wantErr(t, "create in a removed directory", err, ErrNotExist)
	wantErr(t, "unlink of a directory", w.v.Unlink(ctx, Root, "d"), ErrNotExist)
	w.wantLinks(t, Root, 2)
	must(t, fsck(w))
}

func TestNames(t *testing.T) {
	w := start(t)
	for _, name := range []string{"", ".", "..", "a/b", "a\x00b"} {
		_, err := w.v.Mkdir(ctx, Caller{}, Root, name, 0o755)
		wantErr(t, name, err, ErrInvalid)
	}
	_, err := w.v.Mkdir(ctx, Caller{}, Root, strings.Repeat("n", 256), 0o755)
	wantErr(t, "256 bytes", err, ErrNameTooLong)
	w.mkdir(t, Root, strings.Repeat("\xff", 255))
	for _, mode := range []uint32{modeDir, modeLink, 0o170000, 0o030000} {
		_, err := w.v.Mknod(ctx, Caller{}, Root, "n", mode|0o644, 0)
		wantErr(t, fmt.Sprintf("mknod %o", mode), err, ErrInvalid)
	}
	_, err = w.v.Symlink(ctx, Caller{}, Root, "s", strings.Repeat("t", 4096))
	wantErr(t, "a long target", err, ErrNameTooLong)
	_, err = w.v.Symlink(ctx, Caller{}, Root, "s", "")
	wantErr(t, "an empty target", err, ErrNotExist)
}

// TestUnlinkedWhileOpen uses a file without a name, and looks for it after a
// restart in which it was open.
func TestUnlinkedWhileOpen(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	data := random(1, 200_000)
	write(t, f, data[:100_000], 0)
	must(t, w.v.Unlink(ctx, Root, "f"))
	write(t, f, data[100_000:], 100_000)
	must(t, f.Fsync(ctx))
	w.wantContent(t, "without a name", f.Ino(), data)
	truncate(t, w, f.Ino(), 50)
	if list, err := w.db.Orphans(ctx); err != nil || !slices.Equal(list, []uint64{f.Ino()}) {
		t.Errorf("orphans: %v, %v", list, err)
	}
	second, err := w.v.Open(ctx, f.Ino(), false) // through another descriptor's path
	must(t, err)
	must(t, f.Release(ctx))
	w.wantContent(t, "still open once", f.Ino(), data[:50])
	must(t, second.Release(ctx))
	_, err = w.db.Inode(ctx, f.Ino())
	wantErr(t, "the record after the last close", err, ErrNotExist)
	_, err = w.v.Open(ctx, f.Ino(), false)
	wantErr(t, "open of what is gone", err, ErrNotExist)

	g := w.create(t, Root, "g")
	write(t, g, data, 0)
	must(t, w.v.Unlink(ctx, Root, "g"))
	must(t, w.v.Close(ctx)) // with g open, as when the daemon is killed
	w.v = w.openVolume(t)
	must(t, fsck(w))
	if list, err := w.db.Orphans(ctx); err != nil || len(list) != 0 {
		t.Errorf("orphans after a start: %v, %v", list, err)
	}
}

// TestUnlinkDropsDirtyBytes: what nobody can read any more is not kept.
func TestUnlinkDropsDirtyBytes(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	for at := int64(0); at < 12<<20; at += 1 << 20 {
		write(t, f, random(uint64(at>>20), 1<<20), at)
	}
	must(t, w.v.Unlink(ctx, Root, "f"))
	must(t, f.Release(ctx))
	if n := w.v.dirtyBytes.Load(); n != 0 || len(w.v.dirty) != 0 {
		t.Errorf("%d bytes, %d inodes are dirty", n, len(w.v.dirty))
	}
}

func TestAttributes(t *testing.T) {
	w := start(t)
	d := w.mkdir(t, Root, "d")
	mode, gid := uint32(0o2775), uint32(42)
	_, err := w.v.SetAttr(ctx, d, SetAttr{Mode: &mode, GID: &gid})
	must(t, err)
	a, f, err := w.v.Create(ctx, Caller{UID: 7, GID: 8}, d, "f", 0o6755)
	must(t, err)
	if a.UID != 7 || a.GID != 42 || a.Mode != modeReg|0o6755 {
		t.Errorf("%+v", a)
	}
	sub, err := w.v.Mkdir(ctx, Caller{UID: 7, GID: 8}, d, "sub", 0o755)
	if err != nil || sub.GID != 42 || sub.Mode != modeDir|0o2755 || sub.Parent != d {
		t.Errorf("%+v, %v", sub, err)
	}
	f.KillPriv()
	if m := w.attr(t, f.Ino()).Mode; m != modeReg|0o755 {
		t.Errorf("mode %o", m)
	}
	at, mt := int64(-5), int64(1234567890123456789)
	before := w.attr(t, f.Ino())
	after, err := w.v.SetAttr(ctx, f.Ino(), SetAttr{Atime: &at, Mtime: &mt})
	if err != nil || after.Atime != at || after.Mtime != mt || after.Ctime <= before.Ctime || after.Btime != before.Btime {
		t.Errorf("%+v, %v", after, err)
	}
	same := after.Size
	again, err := w.v.SetAttr(ctx, f.Ino(), SetAttr{Size: &same})
	if err != nil || again.Mtime == mt || again.Mtime != again.Ctime {
		t.Errorf("a truncation to the same size left the time: %v", err)
	}
	_, err = w.v.SetAttr(ctx, f.Ino(), SetAttr{Mtime: &mt})
	must(t, err)
	write(t, f, []byte("x"), 0)
	if a := w.attr(t, f.Ino()); a.Mtime == mt || a.Ctime <= after.Ctime {
		t.Error("a write left the times")
	}
	release(t, f)
	w.reopen(t)
	if a := w.attr(t, f.Ino()); a.Atime != at || a.UID != 7 || a.Size != 1 {
		t.Errorf("after a restart: %+v", a)
	}
	size := uint64(1)
	_, err = w.v.SetAttr(ctx, d, SetAttr{Size: &size})
	wantErr(t, "truncation of a directory", err, ErrIsDir)
	huge := uint64(MaxSize) + 1
	_, err = w.v.SetAttr(ctx, f.Ino(), SetAttr{Size: &huge})
	wantErr(t, "too large", err, ErrTooBig)
}
