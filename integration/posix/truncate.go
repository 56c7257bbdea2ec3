//go:build linux

package posix

import (
	"fmt"
	"math"
	"strings"

	"golang.org/x/sys/unix"
)

var truncateCases = []Case{
	{"truncate/contents", false, truncateContents},
	{"truncate/kinds", false, truncateKinds},
	{"truncate/rights", true, truncateRights},
	{"limits/size", false, limitSize},
	{"limits/write", false, limitWrite},
}

// truncateContents cuts and grows at the edges of pages and chunks.
func truncateContents(t *T) {
	t.file("f", strings.Repeat("abcdefgh", 40_000)) // 320,000 bytes
	h := t.opened("f", unix.O_RDWR, 0)
	for _, size := range []int64{319_999, 262_145, 262_144, 262_143, 65_537, 300_000, 65_536, 8193, 400_000, 8192, 4097, 4095, 10_000, 1, 5, 0, 3} {
		t.ftruncate(h, size)
		t.stat("f")
		t.content("f")
		t.pwrite(h, "Z", size/2)
	}
	t.truncate("f", 100)
	t.content("f")
	t.ftruncate(h, 50)
	t.pread(h, 100, 40)
	t.seek(h, 100, unix.SEEK_SET)
	t.write(h, "after")
	t.content("f")
	t.unlink("f")
	t.ftruncate(h, 3)
	t.fstat(h)
	t.ftruncate(h, 6)
	t.pread(h, 10, 0)
}

func truncateKinds(t *T) {
	t.dir("d")
	t.file("f", "content")
	t.must(unix.Mkfifo("p", 0o644))
	t.must(unix.Mknod("sock", unix.S_IFSOCK|0o644, 0))
	t.must(unix.Symlink("f", "s"))
	t.must(unix.Symlink("d", "sd"))
	for _, name := range []string{"d", "p", "sock", "s", "sd", "none", "f/x"} {
		t.truncate(name, 3)
	}
	t.content("f")
	r, w := t.opened("f", unix.O_RDONLY, 0), t.opened("f", unix.O_WRONLY|unix.O_APPEND, 0)
	t.ftruncate(r, 1)
	t.ftruncate(w, 1)
	p := t.opened("p", unix.O_RDWR, 0)
	t.ftruncate(p, 1)
	t.content("f")
}

func truncateRights(t *T) {
	t.file("f", "content")
	t.file("g", "content")
	t.must(unix.Chmod("g", 0o666))
	t.file("set", "content")
	t.must(unix.Chmod("set", 0o6777))
	h := t.opened("f", unix.O_RDWR, 0)
	t.as(1001, 1001, nil, func() {
		t.truncate("f", 3)
		t.truncate("g", 3)
		t.ftruncate(h, 4) // root has opened it
		t.truncate("set", 3)
		t.stat("set")
	})
	t.stat("f")
	t.stat("g")
	t.must(unix.Chmod("set", 0o6777))
	t.truncate("set", 2)
	t.stat("set")
}

// limitSize asks for sizes up to the largest.
func limitSize(t *T) {
	t.file("f", "content")
	for _, size := range []int64{1 << 31, 1 << 32, 1 << 40, 1<<44 - 4096, 1 << 44, 1 << 50, 1 << 62, math.MaxInt64} {
		t.file(fmt.Sprint("f", size), "")
		t.truncate(fmt.Sprint("f", size), size)
	}
	t.stat(fmt.Sprint("f", int64(1<<40)))
	h := t.opened(fmt.Sprint("f", int64(1<<40)), unix.O_RDWR, 0)
	t.pwrite(h, "at the end", 1<<40-10)
	t.pread(h, 20, 1<<40-10)
	t.pread(h, 20, 1<<40-20)
	t.ftruncate(h, 1<<39)
	t.pread(h, 20, 1<<39-5)
	t.seek(h, 0, unix.SEEK_END)
}

// limitWrite writes where files end.
func limitWrite(t *T) {
	h := t.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
	for _, off := range []int64{1<<44 - 4097, 1<<44 - 4096, 1 << 44, 1 << 62, math.MaxInt64 - 2, math.MaxInt64 - 1, math.MaxInt64} {
		t.pwrite(h, "ab", off)
		size, err := unix.Seek(h.fd, 0, unix.SEEK_END)
		t.count(fmt.Sprintf("size after a write at %d", off), int(size), err)
	}
	t.seek(h, math.MaxInt64-1, unix.SEEK_SET)
	t.write(h, "x")
	t.read(h, 10)
	t.pread(h, 10, math.MaxInt64-5)
	t.result("fallocate over the end of all files", unix.Fallocate(h.fd, 0, math.MaxInt64-10, 100))
	t.ftruncate(h, 0)
	t.stat("f")
}
