package volume

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// killed is the world that a daemon finds which starts after this one was killed:
// all that was written is there, synced or not.
func (w *world) killed(t *testing.T, mem *vfs.MemFS) *world {
	t.Helper()
	again := *w
	all := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}
	again.fs, again.clock = mem.CrashClone(all), &clock{now: time.Unix(1_900_000_000, 0)}
	again.open(t)
	t.Cleanup(func() { again.close(t) })
	return &again
}

// TestSharing copies a file of 64 MiB: not one byte more is stored, the copy is
// its own from then on, and it outlives its source.
func TestSharing(t *testing.T) {
	w := start(t)
	src, dst := w.create(t, Root, "src"), w.create(t, Root, "dst")
	const size = 64<<20 + 1234
	want := random(7, size)
	for at := 0; at < size; at += 1 << 20 {
		write(t, src, want[at:min(size, at+1<<20)], int64(at))
	}
	must(t, src.Flush(ctx))
	before := w.cache.Usage().Bytes
	n, err := src.CopyRange(ctx, 0, dst, 0, math.MaxInt64)
	if err != nil || n != size {
		t.Fatalf("%d bytes copied, %v", n, err)
	}
	must(t, dst.Flush(ctx))
	if grown := w.cache.Usage().Bytes - before; grown != 0 {
		t.Errorf("the copy took %d bytes", grown)
	}
	if a, b := w.attr(t, src.Ino()), w.attr(t, dst.Ino()); a.Blocks != b.Blocks || b.Blocks != (size+4095)/4096*8 {
		t.Errorf("%d and %d blocks", a.Blocks, b.Blocks)
	}
	write(t, src, random(8, 100_000), 5<<20)
	release(t, src)
	must(t, w.v.Unlink(ctx, Root, "src"))
	release(t, dst)
	w.reopen(t)
	w.wantContent(t, "after the source is gone and a restart", dst.Ino(), want)
}

// TestCopyThenTruncateThenKill: what is not safe yet is never shown as zeros
// after the daemon is killed, and no size is recorded that the bytes do not reach.
func TestCopyThenTruncateThenKill(t *testing.T) {
	mem := vfs.NewCrashableMem()
	w := newWorld()
	w.fs = mem
	w.open(t)
	t.Cleanup(func() { w.close(t) })
	f := w.create(t, Root, "f")
	defer release(t, f)
	want := random(1, 60<<10)
	write(t, f, want, 0)
	if n, err := f.CopyRange(ctx, 0, f, 60<<10, 30<<10); n != 30<<10 || err != nil {
		t.Fatal(n, err)
	}
	want = append(want, want[:30<<10]...)
	truncate(t, w, f.Ino(), 91<<10)
	want = append(want, make([]byte, 1<<10)...)
	prefix := func(what string, least int) {
		t.Helper()
		got := w.killed(t, mem).content(t, f.Ino(), 1<<20)
		if len(got) < least || len(got) > len(want) || !bytes.Equal(got, want[:len(got)]) {
			t.Errorf("%s: %d bytes, and those are right: %v", what, len(got), bytes.Equal(got, want[:min(len(got), len(want))]))
		}
	}
	prefix("after the truncation", 90<<10)
	must(t, f.Flush(ctx))
	prefix("after a flush", 91<<10)
	// Bytes that wait do not make the size smaller that a flush has recorded.
	write(t, f, []byte{1}, 95<<10)
	truncate(t, w, f.Ino(), 96<<10)
	want = append(want, make([]byte, 5<<10)...)
	prefix("while a byte waits", 91<<10)
}

// TestHugeRanges names far more than exists: it costs what exists.
func TestHugeRanges(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	const far = 1 << 60
	write(t, f, random(1, 300_000), 0)
	write(t, f, random(2, 5000), far)
	truncate(t, w, f.Ino(), math.MaxInt64)
	look := func(off, data, hole int64) {
		t.Helper()
		d, err := f.SeekData(ctx, off)
		if data >= 0 && (err != nil || d != data) {
			t.Errorf("data behind %d: %d, %v; want %d", off, d, err, data)
		}
		if data < 0 {
			wantErr(t, "data where none is", err, ErrNoData)
		}
		if h, err := f.SeekHole(ctx, off); err != nil || h != hole {
			t.Errorf("a hole behind %d: %d, %v; want %d", off, h, err, hole)
		}
	}
	for range 2 {
		look(0, 0, 303_104)
		look(400_000, far, 400_000)
		look(far+1, far+1, far+8192)
		look(far+8192, -1, far+8192)
		must(t, f.Flush(ctx))
		w.forget()
	}
	// One step for each window that exists, so the copy of 2^61 bytes is two.
	dst := w.create(t, Root, "dst")
	if n, err := f.CopyRange(ctx, 0, dst, 4096, 1<<61); n != 1<<61 || err != nil {
		t.Errorf("copied %d, %v", n, err)
	}
	if d, err := dst.SeekData(ctx, 1<<50); d != far+4096 || err != nil {
		t.Errorf("data of the copy at %d, %v", d, err)
	}
	release(t, dst)
	must(t, f.Allocate(ctx, 4096, 1<<62, AllocPunchHole|AllocKeepSize))
	look(0, 0, 4096)
	look(4096, -1, 4096)
	if a := w.attr(t, f.Ino()); a.Blocks != 8 || a.Size != math.MaxInt64 {
		t.Errorf("%d blocks, size %d", a.Blocks, a.Size)
	}
	release(t, f)
}

// TestAllocateRefuses goes through what cannot be.
func TestAllocateRefuses(t *testing.T) {
	w := newWorld()
	w.limit = 64 << 20
	w.open(t)
	defer w.close(t)
	f := w.create(t, Root, "f")
	defer release(t, f)
	write(t, f, random(1, 1<<20), 0)
	for _, c := range []struct {
		off, n int64
		mode   uint32
		want   error
	}{
		{0, 1 << 20, 0, nil},
		{0, 0, 0, ErrInvalid}, {-1, 1, 0, ErrInvalid}, {0, -1, 0, ErrInvalid}, {math.MinInt64, 1, AllocKeepSize, ErrInvalid},
		{math.MaxInt64, 1, 0, ErrTooBig}, {1, math.MaxInt64, AllocPunchHole | AllocKeepSize, ErrTooBig},
		{0, 1, AllocPunchHole, ErrNotSupported}, {0, 4096, 0x08 /* collapse */, ErrNotSupported},
		{0, 4096, 0x20 /* insert */, ErrNotSupported}, {0, 4096, 0x40 /* unshare */, ErrNotSupported},
		{0, 4096, AllocPunchHole | AllocKeepSize | AllocZeroRange, ErrNotSupported}, {0, 4096, 1 << 31, ErrNotSupported},
		{0, 1 << 40, 0, ErrNoSpace}, {1 << 40, 1 << 40, AllocKeepSize, ErrNoSpace}, {0, 1 << 40, AllocZeroRange, ErrNoSpace},
		{0, 1 << 62, AllocPunchHole | AllocKeepSize, nil},
	} {
		if err := f.Allocate(ctx, c.off, c.n, c.mode); c.want == nil && err != nil || c.want != nil {
			wantErr(t, "allocate", err, c.want)
		}
	}
	if a := w.attr(t, f.Ino()); a.Size != 1<<20 || a.Blocks != 0 {
		t.Errorf("size %d, %d blocks", a.Size, a.Blocks)
	}
	// What is full already needs no more room.
	free := int64(w.v.Statfs(ctx).Free)
	write(t, f, random(2, 8<<20), 0)
	must(t, f.Flush(ctx))
	must(t, f.Allocate(ctx, 0, free-1<<20, AllocKeepSize)) // sealing takes a little
	w.v.Freeze()
	wantErr(t, "allocate on a frozen volume", f.Allocate(ctx, 0, 1, 0), ErrReadOnly)
	_, err := f.CopyRange(ctx, 0, f, 1<<20, 1)
	wantErr(t, "copy on a frozen volume", err, ErrReadOnly)
}

// TestCopyRefuses likewise.
func TestCopyRefuses(t *testing.T) {
	w := start(t)
	f, g := w.create(t, Root, "f"), w.create(t, Root, "g")
	defer release(t, f)
	defer release(t, g)
	write(t, f, random(1, 10_000), 0)
	for _, c := range []struct {
		src, dst   *File
		off, to, n int64
		got        int64
		want       error
	}{
		{f, g, 0, 0, 0, 0, nil}, {f, g, 10_000, 0, 5, 0, nil}, {f, g, 9_999, 7, 5, 1, nil}, {f, g, 1 << 50, 0, 5, 0, nil},
		{f, g, -1, 0, 1, 0, ErrInvalid}, {f, g, 0, -1, 1, 0, ErrInvalid}, {f, g, 0, 0, -1, 0, ErrInvalid},
		{f, f, 0, 5, 6, 0, ErrInvalid}, {f, f, 5, 0, 6, 0, ErrInvalid}, {f, f, 0, 5000, 5000, 5000, nil},
		{f, g, 0, math.MaxInt64, 1, 0, ErrTooBig}, {f, g, 0, math.MaxInt64 - 3, 10, 3, nil},
	} {
		n, err := c.src.CopyRange(ctx, c.off, c.dst, c.to, c.n)
		if n != c.got || c.want == nil && err != nil {
			t.Errorf("copy %d at %d to %d: %d, %v", c.n, c.off, c.to, n, err)
		} else if c.want != nil {
			wantErr(t, "copy", err, c.want)
		}
	}
}

// TestManyCuts cuts a window into more pieces than its record may have.
func TestManyCuts(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	want := random(1, 1<<20)
	write(t, f, want, 0)
	must(t, f.Flush(ctx))
	most := 0
	for off := 1; off < len(want); off += 350 {
		must(t, f.Allocate(ctx, int64(off), 3, AllocPunchHole|AllocKeepSize))
		clear(want[off:min(len(want), off+3)])
		most = max(most, len(f.in.file.windows[0].extents))
	}
	if most > crowded+2 {
		t.Errorf("a window had %d extents", most)
	}
	if a := w.attr(t, f.Ino()); a.Blocks != 1<<20/512 {
		t.Errorf("%d blocks", a.Blocks)
	}
	release(t, f)
	w.forget()
	w.wantContent(t, "after many cuts", f.Ino(), want)
}

// TestPunchWhileSealing punches through runs that are being sealed and through what
// is dirty.
func TestPunchWhileSealing(t *testing.T) {
	w := start(t)
	f := w.create(t, Root, "f")
	want := random(1, 12<<20)
	for at := 0; at < len(want); at += 256 << 10 {
		write(t, f, want[at:at+256<<10], int64(at))
		if at == 6<<20 {
			must(t, f.Allocate(ctx, 1<<20+5, 4<<20, AllocPunchHole|AllocKeepSize))
			clear(want[1<<20+5 : 5<<20+5])
		}
	}
	w.wantContent(t, "while sealing", f.Ino(), want)
	if a, n := w.attr(t, f.Ino()), uint64(12<<20/512-1023*8); a.Blocks != n {
		t.Errorf("%d blocks, want %d", a.Blocks, n)
	}
	release(t, f)
	w.reopen(t)
	w.wantContent(t, "after a restart", f.Ino(), want)
}
