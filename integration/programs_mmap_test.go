package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// runMmap changes a file through a shared mapping, beside reads and writes.
func runMmap(t *testing.T, w *world, dir string) {
	path := filepath.Join(dir, "mapped")
	const size = 4<<20 + 123
	want := make([]byte, size)
	if _, err := stream(size, 0).Read(want); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(want); err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	}()
	if !bytes.Equal(m, want) {
		t.Error("the mapping does not show what was written")
	}
	for off := 0; off < size; off += 70001 {
		n := copy(m[off:], "through the mapping")
		copy(want[off:off+n], "through the mapping")
	}
	if err := unix.Msync(m, unix.MS_SYNC); err != nil {
		t.Fatal(err)
	}
	copy(want[1000:], "by a write")
	if _, err := f.WriteAt([]byte("by a write"), 1000); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m, want) {
		t.Error("the mapping does not show a later write")
	}
	if got := mustRead(t, path); !bytes.Equal(got, want) {
		t.Error("the file is not what was written through the mapping")
	}
	w.elsewhere()
	forget(t, path)
	if got := mustRead(t, path); !bytes.Equal(got, want) {
		t.Error("read from peers, the file is not what was written through the mapping")
	}
}
