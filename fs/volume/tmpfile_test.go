package volume

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func (w *world) tmpfile(t testing.TB, data []byte) *File {
	t.Helper()
	a, f, err := w.v.Tmpfile(ctx, Caller{UID: 3, Umask: 0o022}, Root, 0o666)
	must(t, err)
	if a.Nlink != 0 || a.Mode != modeReg|0o644 || a.UID != 3 {
		t.Errorf("%+v", a)
	}
	write(t, f, data, 0)
	return f
}

func TestTmpfile(t *testing.T) {
	w := start(t)
	before := w.attr(t, Root)
	data := random(1, 100_000)
	f, g := w.tmpfile(t, data), w.tmpfile(t, data)
	if w.attr(t, Root) != before || len(w.names(t, Root)) != 0 {
		t.Error("it left a trace in the directory")
	}
	must(t, f.Flush(ctx))
	must(t, w.v.SetXattr(ctx, f.Ino(), "user.a", []byte("1"), 0))
	if a, err := w.v.Link(ctx, f.Ino(), Root, "f"); err != nil || a.Nlink != 1 || a.Parent != Root {
		t.Errorf("%+v, %v", a, err)
	}
	if list, err := w.db.Orphans(ctx); err != nil || !slices.Equal(list, []uint64{g.Ino()}) {
		t.Errorf("orphans %v, %v", list, err)
	}
	release(t, f)
	release(t, g)
	w.wantContent(t, "with a name", f.Ino(), data)
	_, err := w.db.Inode(ctx, g.Ino())
	wantErr(t, "without one", err, ErrNotExist)
	_, err = w.v.Link(ctx, g.Ino(), Root, "g")
	wantErr(t, "link to what is gone", err, ErrNotExist)
	must(t, fsck(w))
	w.reopen(t)
	w.wantContent(t, "after a restart", f.Ino(), data)
	must(t, w.v.Unlink(ctx, Root, "f"))
}

// TestTmpfilePower cuts the power: what was given a name and synced is there,
// what was not is no more, and nothing of it.
func TestTmpfilePower(t *testing.T) {
	for _, checkpoint := range []bool{false, true} {
		w := newWorld()
		fs := vfs.NewCrashableMem()
		w.fs = fs
		w.open(t)
		data := random(2, 300_000)
		f, g := w.tmpfile(t, data), w.tmpfile(t, data)
		held := w.create(t, Root, "held")
		write(t, held, data, 0)
		must(t, w.v.SetXattr(ctx, f.Ino(), XattrACL, aclOf(7, 5, 4, 6, 1).Form(), 0))
		_, err := w.v.Link(ctx, f.Ino(), Root, "f")
		must(t, err)
		must(t, w.v.Unlink(ctx, Root, "held"))
		must(t, g.Fsync(ctx))
		must(t, f.Fsync(ctx))
		if checkpoint {
			_, _, err := w.db.Checkpoint(ctx, checkpointOptions(true))
			must(t, err)
			w.forget()
			w.wantContent(t, "unlinked, after a checkpoint", held.Ino(), data)
			w.wantContent(t, "without a name, after a checkpoint", g.Ino(), data)
			must(t, f.Fsync(ctx))
		}
		after := *w
		after.fs = fs.CrashClone(vfs.CrashCloneCfg{})
		after.open(t)
		if got := after.names(t, Root); !slices.Equal(got, []string{"f"}) {
			t.Errorf("%q", got)
		}
		after.wantContent(t, "after the cut", f.Ino(), data)
		after.wantACL(t, "after the cut", f.Ino(), XattrACL, aclOf(7, 5, 4, 6, 1))
		for _, gone := range []*File{g, held} {
			_, err := after.db.Inode(ctx, gone.Ino())
			wantErr(t, "what had no name", err, ErrNotExist)
		}
		must(t, fsck(&after))
		after.close(t)
		for _, f := range []*File{f, g, held} {
			must(t, f.Release(ctx))
		}
		w.close(t)
	}
}

func TestWhiteout(t *testing.T) {
	w := start(t)
	d := w.mkdir(t, Root, "d")
	f, g := w.touch(t, Root, "f"), w.touch(t, d, "g")
	c := Caller{UID: 4, GID: 5}
	wantErr(t, "exchange", w.v.Whiteout(ctx, c, Root, "f", d, "g", RenameExchange), ErrInvalid)
	wantErr(t, "noreplace", w.v.Whiteout(ctx, c, Root, "f", d, "g", RenameNoReplace), ErrExist)
	wantErr(t, "by Rename", w.rename(Root, "f", d, "g", renameWhiteout), ErrInvalid)
	must(t, w.v.Whiteout(ctx, c, Root, "f", d, "g", 0))
	if a, err := w.v.Lookup(ctx, d, "g"); err != nil || a.Ino != f {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := w.v.Lookup(ctx, Root, "f"); err != nil || a.Mode != modeChar || a.Rdev != 0 || a.Nlink != 1 || a.UID != 4 || a.GID != 5 {
		t.Errorf("the mark: %+v, %v", a, err)
	}
	must(t, w.v.Whiteout(ctx, c, Root, "d", Root, "e", 0)) // a directory
	w.wantLinks(t, Root, 3)
	w.wantLinks(t, g, 0)
	must(t, fsck(w))
	w.reopen(t)
	if got := w.names(t, Root); !slices.Equal(got, []string{"d", "e", "f"}) {
		t.Errorf("%q", got)
	}
	must(t, fsck(w))
}

// TestTmpfileStorm has several callers make, name, unlink and close at once, and
// looks whether anything is left that should not be.
func TestTmpfileStorm(t *testing.T) {
	w := start(t)
	data := random(3, 5000)
	var callers sync.WaitGroup
	for c := range 4 {
		callers.Go(func() {
			for i := range 30 {
				_, f, err := w.v.Tmpfile(ctx, Caller{}, Root, 0o600)
				if err == nil {
					_, err = f.Write(ctx, data, 0)
				}
				if err != nil {
					t.Error(err)
					return
				}
				name := fmt.Sprint(c, "-", i)
				if i%3 > 0 {
					_, err := w.v.Link(ctx, f.Ino(), Root, name)
					noErr(t, err)
				}
				if i%3 == 2 {
					noErr(t, w.v.Unlink(ctx, Root, name))
				}
				noErr(t, f.Flush(ctx))
				noErr(t, f.Release(ctx))
			}
		})
	}
	callers.Wait()
	if got := w.names(t, Root); len(got) != 40 {
		t.Errorf("%d names", len(got))
	}
	if list, err := w.db.Orphans(ctx); err != nil || len(list) != 0 {
		t.Errorf("orphans: %v, %v", list, err)
	}
	must(t, fsck(w))
}

// noErr is must for goroutines that are not the test's.
func noErr(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Error(err)
	}
}
