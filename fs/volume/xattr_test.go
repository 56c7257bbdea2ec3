package volume

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hammockfs/hammock/fs/meta"
)

func checkpointOptions(fold bool) meta.CheckpointOptions { return meta.CheckpointOptions{Fold: fold} }

func TestXattrs(t *testing.T) {
	w := start(t)
	f := w.touch(t, Root, "f")
	set := func(name, value string, flags int) error {
		return w.v.SetXattr(ctx, f, name, []byte(value), flags)
	}
	want := func(name, value string) {
		t.Helper()
		if got, err := w.v.GetXattr(ctx, f, name); err != nil || string(got) != value {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	wantErr(t, "replace nothing", set("user.a", "1", XattrReplace), ErrNoXattr)
	must(t, set("user.a", "1", XattrCreate))
	wantErr(t, "create again", set("user.a", "2", XattrCreate), ErrExist)
	wantErr(t, "both", set("user.a", "2", XattrCreate|XattrReplace), ErrExist)
	want("user.a", "1")
	must(t, set("user.a", "2", XattrReplace))
	want("user.a", "2")
	before := w.attr(t, f)
	must(t, set("user.a", "2", 0))
	if w.attr(t, f) != before {
		t.Error("the same value changed something")
	}
	must(t, set("user.empty", "", 0))
	want("user.empty", "")
	if w.attr(t, f).Ctime == before.Ctime {
		t.Error("the ctime stayed")
	}
	long, big := "user."+strings.Repeat("n", 250), string(random(1, MaxXattr))
	must(t, set(long, big, 0))
	wantErr(t, "a name of 256 bytes", set(long+"n", "", 0), ErrRange)
	wantErr(t, "no name", set("", "", 0), ErrRange)
	wantErr(t, "more than 64 KiB", set("user.b", big+"x", 0), ErrTooBigXattr)
	wantErr(t, "unknown flags", set("user.b", "", 4), ErrInvalid)
	_, _, err := w.db.Checkpoint(ctx, checkpointOptions(true))
	must(t, err)
	w.reopen(t)
	want("user.empty", "")
	want(long, big)
	names, err := w.v.ListXattr(ctx, f)
	if err != nil || !slices.Equal(names, []string{"user.a", "user.empty", long}) {
		t.Errorf("%q, %v", names, err)
	}
	must(t, w.v.RemoveXattr(ctx, f, "user.a"))
	wantErr(t, "remove again", w.v.RemoveXattr(ctx, f, "user.a"), ErrNoXattr)
}

// TestXattrList fills the list of names to the last byte that listxattr(2) can
// return.
func TestXattrList(t *testing.T) {
	w := start(t)
	f := w.touch(t, Root, "f")
	for i := range maxXattrList / 256 {
		must(t, w.v.SetXattr(ctx, f, fmt.Sprintf("user.%0250d", i), nil, 0))
	}
	wantErr(t, "one more", w.v.SetXattr(ctx, f, "u", nil, 0), ErrNoSpace)
	wantErr(t, "a list", w.v.SetXattr(ctx, f, XattrACL, aclOf(7, 7, 7, 7, 7).Form(), 0), ErrNoSpace)
	must(t, w.v.SetXattr(ctx, f, fmt.Sprintf("user.%0250d", 0), []byte("x"), 0)) // there already
	names, err := w.v.ListXattr(ctx, f)
	if n := len(strings.Join(names, "\x00")) + 1; err != nil || n != maxXattrList {
		t.Errorf("a list of %d bytes, %v", n, err)
	}
}

// TestCapabilities: who changes a program's bytes or owner takes its privileges
// away, at once and for good; other changes do not.
func TestCapabilities(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	write(t, f, []byte("program"), 0)
	ino, uid, mode, mtime, size := f.Ino(), uint32(5), uint32(0o755), int64(1), uint64(3)
	setattr := func(s SetAttr) func() {
		return func() { _, err := w.v.SetAttr(ctx, ino, s); must(t, err) }
	}
	for _, c := range []struct {
		what string
		do   func()
		kept bool
	}{
		{"chmod", setattr(SetAttr{Mode: &mode}), true},
		{"utimens", setattr(SetAttr{Mtime: &mtime}), true},
		{"a write", func() { write(t, f, []byte("x"), 0) }, false},
		{"chown", setattr(SetAttr{UID: &uid}), false},
		{"truncate", setattr(SetAttr{Size: &size}), false},
		{"truncate to the same size", setattr(SetAttr{Size: &size}), false},
		{"chown to nobody", setattr(SetAttr{KillPriv: true}), false},
		{"O_TRUNC", func() {
			g, err := w.v.Open(ctx, ino, true)
			must(t, err)
			release(t, g)
		}, false},
	} {
		must(t, w.v.SetXattr(ctx, ino, xattrCaps, []byte("caps"), 0))
		must(t, w.v.SetXattr(ctx, ino, "user.other", []byte("stays"), 0))
		c.do()
		names, err := w.v.ListXattr(ctx, ino)
		if kept := slices.Contains(names, xattrCaps); err != nil || kept != c.kept || !slices.Contains(names, "user.other") {
			t.Errorf("after %s: %q, %v", c.what, names, err)
		}
		if _, err := w.db.Xattr(ctx, ino, xattrCaps); (err == nil) != c.kept {
			t.Errorf("the record after %s: %v", c.what, err)
		}
	}
	release(t, f)
}

// TestRemovedButHeld uses what has no records any more, but is held by its
// descriptor: the kernel asks on as long as it has not forgotten it.
func TestRemovedButHeld(t *testing.T) {
	w := newWorld()
	w.cfg.Inodes = 4
	w.open(t)
	defer w.close(t)
	d := w.mkdir(t, Root, "d")
	must(t, w.v.SetXattr(ctx, d, "user.before", []byte("1"), 0))
	must(t, w.v.Rmdir(ctx, Root, "d"))
	for i := range 20 { // drives other states out
		w.touch(t, Root, fmt.Sprint(i))
	}
	if a := w.attr(t, d); a.Nlink != 0 {
		t.Errorf("%d links", a.Nlink)
	}
	mode, mtime := uint32(0o700), int64(5)
	a, err := w.v.SetAttr(ctx, d, SetAttr{Mode: &mode, Mtime: &mtime})
	if err != nil || a.Mode&modePerm != mode || a.Mtime != mtime {
		t.Errorf("%+v, %v", a, err)
	}
	must(t, w.v.SetXattr(ctx, d, "user.after", []byte("2"), XattrCreate))
	must(t, w.v.RemoveXattr(ctx, d, XattrACL))
	for name, want := range map[string]string{"user.before": "1", "user.after": "2"} {
		if got, err := w.v.GetXattr(ctx, d, name); err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	must(t, w.v.RemoveXattr(ctx, d, "user.before"))
	if names, err := w.v.ListXattr(ctx, d); err != nil || !slices.Equal(names, []string{"user.after"}) {
		t.Errorf("%q, %v", names, err)
	}
	_, _, err = w.v.Tmpfile(ctx, Caller{}, d, 0o600)
	wantErr(t, "a file without a name", err, ErrPerm)
	w.v.Forget(d)
	_, err = w.v.GetAttr(ctx, d)
	wantErr(t, "after the kernel forgot it", err, ErrNotExist)
}

// TestXattrListCounted changes attributes at random: what an inode remembers of
// the length of its list is that length, or nothing.
func TestXattrListCounted(t *testing.T) {
	w := start(t)
	f := w.touch(t, Root, "f")
	r := rand.New(rand.NewPCG(1, 0))
	counted := 0
	for range 400 {
		name := fmt.Sprintf("user.%0*d", 1+r.IntN(40), r.IntN(5))
		switch r.IntN(6) {
		case 0:
			if err := w.v.RemoveXattr(ctx, f, name); !errors.Is(err, ErrNoXattr) {
				must(t, err)
			}
		default:
			must(t, w.v.SetXattr(ctx, f, name, random(r.Uint64(), r.IntN(20)), 0))
		}
		names, err := w.v.ListXattr(ctx, f)
		must(t, err)
		n := 0
		for _, name := range names {
			n += len(name) + 1
		}
		in, err := w.v.get(ctx, f)
		must(t, err)
		if in.names != 0 {
			counted++
			if in.names != n {
				t.Fatalf("it remembers %d bytes, and the names take %d", in.names, n)
			}
		}
		w.v.put(in)
	}
	if counted < 200 {
		t.Errorf("it remembered %d times of 400", counted)
	}
}
