package volume

import (
	"bytes"
	"testing"
)

// TestOffer holds that what is offered is the whole file as it is, and that it
// stays so while it is looked at.
func TestOffer(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "file")
	buf, want := make([]byte, 64<<10), random(1, 20_000)
	none := func([]byte) bool { t.Error("something is offered"); return true }
	if f.Offer(buf, none) {
		t.Error("an empty file is taken")
	}
	offered := func(what string) {
		t.Helper()
		taken := f.Offer(buf, func(p []byte) bool {
			if f.in.mu.TryLock() {
				f.in.mu.Unlock()
				t.Error(what, "can be changed meanwhile")
			}
			return bytes.Equal(p, want)
		})
		if !taken {
			t.Error(what, "is not offered as it is")
		}
	}
	write(t, f, want, 0)
	offered("what is dirty")
	must(t, f.Flush(ctx))
	offered("what is recorded")
	must(t, w.v.WriteBack(ctx, 0))
	offered("what is in chunks")
	want = want[:5000]
	truncate(t, w, f.Ino(), 5000)
	offered("what was cut")
	truncate(t, w, f.Ino(), uint64(len(buf)))
	want = append(want, make([]byte, len(buf)-len(want))...)
	offered("what is not written")
	truncate(t, w, f.Ino(), uint64(len(buf))+1)
	if f.Offer(buf, none) {
		t.Error("a larger file is taken")
	}
	release(t, f)
}
