package cache

import (
	"context"
	"errors"
	"testing"
)

// TestVerify reads what lies on the disk, whatever is remembered of it, and mends it where there is something better.
func TestVerify(t *testing.T) {
	r := newRig(t, nil)
	ctx := context.Background()
	p := random(1, 200_000)
	ref := r.put(ClassData, p)
	verify := func(what string, wantRotten bool, want error) {
		t.Helper()
		if rotten, err := r.Verify(ctx, &ref); rotten != wantRotten || !errors.Is(err, want) {
			t.Errorf("%s: rotten %v, %v", what, rotten, err)
		}
	}
	verify("fresh", false, nil)
	small := make([]byte, 100)
	r.check(r.ReadAt(ctx, &ref, small, 70_000)) // which remembers its block
	flip := func() {
		t.Helper()
		s := r.find(ref.Stripe)
		b := make([]byte, 1)
		at := int(ref.Offset) + ref.BlockOffset(1) + 5
		r.check(r.readLocal(s, b, at))
		b[0] ^= 1
		r.check(r.overwrite(s, b, at))
	}
	flip()
	r.check(r.ReadAt(ctx, &ref, small, 70_000))
	verify("rotten, and nowhere else", true, ErrRot)
	flip()
	r.place()
	flip()
	verify("rotten, and better at stores", true, nil)
	verify("mended", false, nil)
	if n, ok := r.Local(ref.Stripe); !ok || n < len(p) {
		t.Errorf("%d bytes are here: %v", n, ok)
	}
	r.drop()
	if n, ok := r.Local(ref.Stripe); ok {
		t.Errorf("%d bytes are here after all was dropped", n)
	}
	verify("dropped", false, nil)
	r.drop()
	r.stores.mu.Lock()
	r.stores.down = errors.New("down")
	r.stores.mu.Unlock()
	verify("dropped, and no store answers", false, ErrUnreachable)
}
