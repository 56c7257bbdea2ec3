package volume

import (
	"context"
	"errors"
	"testing"
	"time"
)

// accessed notes an access and says whether that has moved the time, and
// nothing else.
func accessed(t *testing.T, w *world, ino uint64) bool {
	t.Helper()
	ctx, before, since := context.Background(), w.attr(t, ino), w.v.now()
	due, err := w.v.AccessDue(ctx, ino)
	must(t, err)
	must(t, w.v.Accessed(ctx, ino))
	after := w.attr(t, ino)
	moved := after.Atime != before.Atime
	if moved != due || moved && (after.Atime <= since || after.Atime >= w.v.now()) {
		t.Errorf("due %v, and the time went from %d to %d", due, before.Atime, after.Atime)
	}
	if after.Atime = before.Atime; after != before {
		t.Errorf("an access made %+v of %+v", after, before)
	}
	return moved
}

func TestAccessed(t *testing.T) {
	w := start(t)
	ctx := context.Background()
	f := w.create(t, Root, "f")
	defer release(t, f)
	link, err := w.v.Symlink(ctx, Caller{}, Root, "l", "f")
	must(t, err)
	for what, ino := range map[string]uint64{"a file": f.Ino(), "a directory": w.mkdir(t, Root, "d"), "a link": link.Ino} {
		mode := uint32(0o700)
		for _, c := range []struct {
			after  string
			change func()
			want   bool
		}{
			{"it was made", func() {}, true},
			{"nothing", func() {}, false},
			{"23 hours", func() { w.clock.advance(23 * time.Hour) }, false},
			{"24 hours", func() { w.clock.advance(time.Hour) }, true},
			{"a chmod", func() { must(t, second(w.v.SetAttr(ctx, ino, SetAttr{Mode: &mode}))) }, true},
			{"a second", func() { w.clock.advance(time.Second) }, false},
		} {
			w.clock.advance(time.Millisecond)
			c.change()
			w.clock.advance(time.Millisecond)
			if got := accessed(t, w, ino); got != c.want {
				t.Errorf("%s, after %s: %v, want %v", what, c.after, got, c.want)
			}
		}
	}
	write(t, f, []byte("text"), 0)
	w.clock.advance(time.Second)
	if !accessed(t, w, f.Ino()) {
		t.Error("a read after a write is not noted")
	}
	if _, err := w.v.AccessDue(ctx, 1<<40); !errors.Is(err, ErrNotExist) {
		t.Error(err)
	}
}

// TestAccessIsRecorded has the time survive, without being asked for, and
// removals right after it.
func TestAccessIsRecorded(t *testing.T) {
	w := start(t)
	ctx := context.Background()
	f, dir := w.create(t, Root, "f"), w.mkdir(t, Root, "d")
	release(t, f)
	w.clock.advance(time.Second)
	accessed(t, w, f.Ino())
	accessed(t, w, dir)
	want := [2]int64{w.attr(t, f.Ino()).Atime, w.attr(t, dir).Atime}
	w.reopen(t)
	if got := [2]int64{w.attr(t, f.Ino()).Atime, w.attr(t, dir).Atime}; got != want {
		t.Errorf("%d after a restart, want %d", got, want)
	}
	w.clock.advance(25 * time.Hour)
	if !accessed(t, w, f.Ino()) || !accessed(t, w, dir) {
		t.Error("a day later it is not due")
	}
	must(t, w.v.Unlink(ctx, Root, "f"))
	must(t, w.v.Rmdir(ctx, Root, "d"))
	if err := w.v.Accessed(ctx, dir); err != nil && !errors.Is(err, ErrNotExist) {
		t.Error(err)
	}
	must(t, w.v.Sync(ctx))
	if n := len(w.v.dirty); n != 0 {
		t.Errorf("%d removed inodes wait to be recorded", n)
	}
	w.v.Freeze()
	if due, err := w.v.AccessDue(ctx, Root); due || err != nil {
		t.Error("a frozen volume would note an access", err)
	}
}
