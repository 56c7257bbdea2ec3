package volume

import (
	"context"
	"errors"
	"testing"
)

func TestFreeze(t *testing.T) {
	w := start(t)
	ctx := context.Background()
	a, f, err := w.v.Create(ctx, Caller{}, Root, "kept", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(ctx, []byte("written before"), 0); err != nil {
		t.Fatal(err)
	}
	w.v.Freeze()
	one := uint32(0o600)
	for what, err := range map[string]error{
		"write":    second(f.Write(ctx, []byte("x"), 0)),
		"create":   second(w.v.Mkdir(ctx, Caller{}, Root, "new", 0o755)),
		"link":     second(w.v.Link(ctx, a.Ino, Root, "other")),
		"unlink":   w.v.Unlink(ctx, Root, "kept"),
		"rename":   w.v.Rename(ctx, Root, "kept", Root, "moved", 0),
		"chmod":    second(w.v.SetAttr(ctx, a.Ino, SetAttr{Mode: &one})),
		"xattr":    w.v.SetXattr(ctx, a.Ino, "user.x", nil, 0),
		"truncate": second(w.v.Open(ctx, a.Ino, true)),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s on a frozen volume: %v", what, err)
		}
	}
	if err := f.Release(ctx); err != nil {
		t.Fatalf("what was written before is committed all the same: %v", err)
	}
	r, err := w.v.Open(ctx, a.Ino, false)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 32)
	n, err := r.Read(ctx, p, 0)
	if err != nil || string(p[:n]) != "written before" {
		t.Fatalf("read %q, %v", p[:n], err)
	}
	if err := r.Release(ctx); err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }
