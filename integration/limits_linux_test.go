package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestManyLinks gives one file very many names, and takes them away again.
func TestManyLinks(t *testing.T) {
	needMount(t)
	w := newWorld(t, 0, "solo")
	c := &crowd{world: w, path: w.path("links"), n: 2_000}
	if soak() {
		c.n = 100_000
	}
	if err := os.Mkdir(c.path, 0o755); err != nil {
		t.Fatal(err)
	}
	first := w.path("file")
	if err := os.WriteFile(first, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.tenths("link", c.n, func(i int) error { return os.Link(first, c.name(i)) })
	wantLinks(t, first, c.n+1)
	w.unmount()
	w.mount()
	wantLinks(t, c.name(c.n/2), c.n+1)
	c.tenths("unlink", c.n, func(i int) error { return os.Remove(c.name(i)) })
	wantLinks(t, first, 1)
	if b := mustRead(t, first); string(b) != "content" {
		t.Errorf("the file holds %q", b)
	}
	w.check()
	w.unmount()
}

func wantLinks(t *testing.T, path string, want int) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || st.Nlink != uint64(want) {
		t.Fatalf("%s has %d links, want %d: %v", path, st.Nlink, want, err)
	}
}

// TestManyXattrs gives files attributes of the largest size that Linux allows.
func TestManyXattrs(t *testing.T) {
	needMount(t)
	w := newWorld(t, 0, "solo")
	c := &crowd{world: w, path: w.path("attributes"), n: 50}
	if soak() {
		c.n = 10_000
	}
	if err := os.Mkdir(c.path, 0o755); err != nil {
		t.Fatal(err)
	}
	value := func(i int) []byte {
		p := make([]byte, 64<<10)
		_, _ = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(p)
		return p
	}
	c.tenths("set 64 KiB", c.n, func(i int) error {
		if err := os.WriteFile(c.name(i), nil, 0o644); err != nil {
			return err
		}
		return unix.Setxattr(c.name(i), "user.large", value(i), 0)
	})
	w.unmount()
	w.mount()
	got := make([]byte, 64<<10)
	c.tenths("get 64 KiB", c.n, func(i int) error {
		n, err := unix.Getxattr(c.name(i), "user.large", got)
		if err == nil && !bytes.Equal(got[:n], value(i)) {
			err = fmt.Errorf("%d bytes, and not those that were set", n)
		}
		return err
	})
	if peak := w.peak(); peak >= memoryLimit {
		t.Errorf("%d KiB were resident, and %d are the limit", peak, memoryLimit)
	}
	w.unmount()
}

// TestStatfs writes something and looks at how much the folder holds then: as
// much more, be it here, on peers or both, and the same after a remount.
func TestStatfs(t *testing.T) {
	needMount(t)
	w := newWorld(t, 6, "4+2")
	const size = 32 << 20
	before := used(t, w.Dir)
	if err := fill(w.path("file"), size); err != nil {
		t.Fatal(err)
	}
	w.must("sync")
	grown := func(s *status) bool {
		n := used(t, w.Dir) - before
		return n > size*9/10 && n < size*12/10
	}
	w.await("statfs counts what was written once", grown)
	w.must("cache", "drop")
	w.await("statfs counts what is only on peers", grown)
	w.unmount()
	w.mount()
	w.await("statfs counts what earlier runs stored", grown)
	w.unmount()
}

// used is how many bytes a folder's filesystem holds.
func used(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}
