package integration

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stream is random bytes that can be had again, n of them, with inserts of
// 100 other bytes at so many places.
func stream(n int64, inserts int) io.Reader {
	src := io.LimitReader(rand.NewChaCha8([32]byte{1}), n)
	if inserts == 0 {
		return src
	}
	var parts []io.Reader
	for i := range inserts {
		insert := make([]byte, 100)
		rand.NewChaCha8([32]byte{2, byte(i)}).Read(insert)
		parts = append(parts, io.LimitReader(src, n/int64(inserts+1)), bytes.NewReader(insert))
	}
	return io.MultiReader(append(parts, src)...)
}

// writeStream writes a file and returns its checksum.
func writeStream(t *testing.T, path string, r io.Reader) [32]byte {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, h)}, r, make([]byte, 1<<20))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
	return [32]byte(h.Sum(nil))
}

func sumFile(t *testing.T, path string) [32]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return [32]byte(h.Sum(nil))
}

// forget empties the kernel's cache of a file.
func forget(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

// TestLargeFile stores a large file, its copy, and its copy with insertions,
// and then reads a little of it from afar.
func TestLargeFile(t *testing.T) {
	needMount(t)
	size := full[int64](1<<30, 128<<20)
	w := newWorld(t, 6, "4+2")
	var sums [3][32]byte
	names := []string{"file", "copy", "edited"}
	for i, name := range names {
		begun := time.Now()
		sums[i] = writeStream(t, w.path(name), stream(size, []int{0, 0, 10}[i]))
		t.Logf("%s: %d MiB written in %.1f s", name, size>>20, time.Since(begun).Seconds())
	}
	w.must("sync")
	t.Run("dedup", func(t *testing.T) {
		sealed := w.status().Volume.CacheBytes
		t.Logf("three files of %d bytes cost %d sealed bytes, %.4f of one", size, sealed, float64(sealed)/float64(size))
		// Ten edits cost some ten chunks, whatever the size of the file.
		if limit := size + size/50 + full[int64](0, 10<<20); sealed > limit {
			t.Errorf("%d sealed bytes are more than the %d that they may cost", sealed, limit)
		}
	})
	t.Run("a few bytes from afar", func(t *testing.T) { readLittle(t, w, size) })
	t.Run("all bytes from afar", func(t *testing.T) {
		w.must("cache", "drop")
		for i, name := range names {
			forget(t, w.path(name))
			if sumFile(t, w.path(name)) != sums[i] {
				t.Errorf("%s is not what was written", name)
			}
		}
	})
	w.unmount()
}

// littleLimit is the most that a read of 4 KiB may bring over the wire.
const littleLimit = 256 << 10

// readLittle reads 4 KiB in the middle of the file, none of it here.
func readLittle(t *testing.T, w *world, size int64) {
	want := make([]byte, 4096)
	r := stream(size, 0)
	if _, err := io.CopyN(io.Discard, r, size/2); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, want); err != nil {
		t.Fatal(err)
	}
	forget(t, w.path("file"))
	w.must("cache", "drop")
	f, err := os.OpenFile(w.path("file"), os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, len(want))
	before := w.status()
	if _, err := f.ReadAt(got, size/2); err != nil {
		t.Fatal(err)
	}
	after := w.status()
	if !bytes.Equal(got, want) {
		t.Error("the 4 KiB are not those that were written")
	}
	wire, payload := after.BytesIn-before.BytesIn, after.Volume.Fetched-before.Volume.Fetched
	t.Logf("4 KiB in the middle brought %d bytes of stripes, %d bytes over the wire in all", payload, wire)
	if payload == 0 {
		t.Error("nothing was fetched: the read was not one from afar")
	}
	if wire >= littleLimit {
		t.Errorf("%d bytes over the wire are too many for 4 KiB", wire)
	}
}
