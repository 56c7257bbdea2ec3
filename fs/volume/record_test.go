package volume

import (
	"context"
	"errors"
	"testing"

	"github.com/hammockfs/hammock/fs/meta"
)

// until is a context that ends once a condition holds.
type until struct {
	context.Context
	over func() bool
}

func (u until) Err() error {
	if u.over() {
		return context.Canceled
	}
	return nil
}

// TestCrashWhileShortening ends between the first batch of many that record a shortened file and the next: nothing may
// be recorded behind the new end.
func TestCrashWhileShortening(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "file")
	const pages, apart = 1100, 70 // few in a window, so that each is small data
	data := random(1, meta.Page)
	for p := int64(0); p < pages; p++ {
		write(t, f, data[:200], p*apart*meta.Page)
	}
	release(t, f)
	ino := f.in.ino
	f, err := w.v.Open(ctx, ino, false)
	must(t, err)
	for p := int64(0); p < pages; p++ {
		write(t, f, data[:300], p*apart*meta.Page)
	}
	size := uint64(apart*(pages-1)*meta.Page + 50)
	in := f.in
	in.mu.Lock()
	must(t, w.v.settle(ctx, in))
	must(t, w.v.cutOff(ctx, in, size))
	in.attr.Size, in.changed = size, true
	err = w.v.recordFile(until{ctx, func() bool { a, err := w.db.Inode(ctx, ino); return err != nil || a.Size == size }}, in)
	in.mu.Unlock()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the recording did not end after its first batch: %v", err)
	}
	err = w.db.Walk(ctx, func(r *meta.Record) error {
		if r.Ino == ino && r.Kind == meta.KindPage && r.Number*meta.Page+uint64(len(r.Data)) > size {
			t.Errorf("page %d has %d bytes, and the file ends at %d", r.Number, len(r.Data), size)
		}
		return nil
	})
	must(t, err)
	release(t, f)
	must(t, fsck(w))
}
