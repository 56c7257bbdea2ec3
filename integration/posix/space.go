//go:build linux

package posix

import (
	"fmt"
	"math"
	"strings"

	"golang.org/x/sys/unix"
)

var spaceCases = []Case{
	{"space/allocate", false, spaceAllocate},
	{"space/punch", false, spacePunch},
	{"space/zero", false, spaceZero},
	{"space/refused", false, spaceRefused},
	{"space/times", false, spaceTimes},
	{"space/seek", false, spaceSeek},
	{"space/blocks", false, spaceBlocks},
	{"space/rights", true, spaceRights},
}

var allocateFlags = []flag{
	{unix.FALLOC_FL_KEEP_SIZE, "KEEP_SIZE"}, {unix.FALLOC_FL_PUNCH_HOLE, "PUNCH_HOLE"}, {unix.FALLOC_FL_COLLAPSE_RANGE, "COLLAPSE"},
	{unix.FALLOC_FL_ZERO_RANGE, "ZERO_RANGE"}, {unix.FALLOC_FL_INSERT_RANGE, "INSERT"}, {unix.FALLOC_FL_UNSHARE_RANGE, "UNSHARE"},
}

const (
	keep  = unix.FALLOC_FL_KEEP_SIZE
	punch = unix.FALLOC_FL_PUNCH_HOLE | keep
	zero  = unix.FALLOC_FL_ZERO_RANGE
)

func (t *T) allocate(h handle, mode uint32, off, length int64) bool {
	what := "0"
	if mode != 0 {
		what = names(allocateFlags, uint64(mode))
	}
	call := fmt.Sprintf("fallocate %v %s %d+%d", h, what, off, length)
	return t.result(call, again(func() error { return unix.Fallocate(h.fd, mode, off, length) }))
}

// parts writes down where there is data.
func (t *T) parts(h handle) { t.note("data of "+h.String(), "%v", stretches(h.fd, 40)) }

// blocks writes down what a file takes. What was written must have come to
// where it is kept: ext4 counts by whole blocks before that already.
func (t *T) blocks(h handle) {
	t.must(unix.Fsync(h.fd))
	var st unix.Stat_t
	t.must(unix.Fstat(h.fd, &st))
	t.note("blocks of "+h.String(), "%d, size %d", st.Blocks, st.Size)
}

// filled opens a new file of so many bytes.
func (t *T) filled(name string, size int) handle {
	t.file(name, strings.Repeat("0123456789abcdef", size/16+1)[:size])
	return t.opened(name, unix.O_RDWR, 0)
}

func spaceAllocate(t *T) {
	h := t.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.allocate(h, 0, 0, 100)
	t.stat("f")
	t.pread(h, 200, 0)
	t.write(h, "content")
	t.allocate(h, 0, 50, 100)
	t.content("f")
	t.allocate(h, keep, 100, 100_000)
	t.stat("f")
	t.content("f")
	t.allocate(h, 0, 10, 20)
	t.stat("f")
	t.allocate(h, 0, 8192, 4096)
	t.content("f")
	t.pwrite(h, "inside", 9000)
	t.content("f")
	t.ftruncate(h, 10)
	t.allocate(h, 0, 5, 10)
	t.content("f")
	d := t.filled("g", 100_000)
	t.allocate(d, 0, 0, 100_000)
	t.allocate(d, 0, 50_000, 100_000)
	t.content("g")
	t.ftruncate(d, 100)
	t.allocate(d, keep, 0, 200_000)
	t.ftruncate(d, 150_000)
	t.content("g")
}

func spacePunch(t *T) {
	h := t.filled("f", 300_000)
	for _, r := range [][2]int64{{4096, 4096}, {10_000, 100}, {20_000, 10_000}, {4000, 200}, {0, 1}, {65_536, 65_536}, {131_071, 65_538}, {299_000, 5000}} {
		t.allocate(h, punch, r[0], r[1])
		t.content("f")
	}
	t.stat("f")
	t.pwrite(h, "inside a hole", 70_000)
	t.content("f")
	t.allocate(h, punch, 400_000, 1000)
	t.allocate(h, punch, 0, 1<<43)
	t.content("f")
	t.stat("f")
	t.pwrite(h, "dirty", 5000)
	t.allocate(h, punch, 5001, 2)
	t.pread(h, 10, 4998)
	t.fsync(h)
	t.pread(h, 10, 4998)
	m := t.mapped(h, 0, 16384, readWrite, unix.MAP_SHARED)
	copy(m[8000:], strings.Repeat("m", 400))
	t.allocate(h, punch, 8192, 4096)
	t.note("the mapping", "%s", brief(m))
	t.pread(h, 400, 8000)
	t.allocate(h, punch, 0, 1<<62)
}

func spaceZero(t *T) {
	h := t.filled("f", 100_000)
	t.allocate(h, zero, 10_000, 100)
	t.content("f")
	t.allocate(h, zero|keep, 99_000, 5000)
	t.content("f")
	t.allocate(h, zero, 99_000, 5000)
	t.content("f")
	t.allocate(h, zero, 200_000, 4096)
	t.content("f")
	t.allocate(h, zero|keep, 300_000, 4096)
	t.stat("f")
	t.allocate(h, zero, 0, 65_536)
	t.pwrite(h, "again", 4094)
	t.content("f")
	g := t.open("g", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.allocate(g, zero, 0, 5000)
	t.content("g")
}

// spaceRefused asks for what cannot be.
func spaceRefused(t *T) {
	h := t.filled("f", 20_000)
	t.allocate(h, 0, 0, 0)
	t.allocate(h, 0, -1, 10)
	t.allocate(h, 0, 0, -10)
	t.allocate(h, 0, math.MaxInt64, 1)
	t.allocate(h, 0, math.MaxInt64-5, 10)
	t.allocate(h, unix.FALLOC_FL_PUNCH_HOLE, 0, 100)
	t.allocate(h, unix.FALLOC_FL_PUNCH_HOLE|zero|keep, 0, 100)
	t.allocate(h, 1<<12, 0, 100)
	t.allocate(h, unix.FALLOC_FL_COLLAPSE_RANGE|keep, 0, 4096)
	t.allocate(h, unix.FALLOC_FL_COLLAPSE_RANGE, 4096, 4096)
	t.stat("f")
	t.allocate(h, unix.FALLOC_FL_INSERT_RANGE, 4096, 4096)
	t.stat("f")
	t.allocate(h, unix.FALLOC_FL_UNSHARE_RANGE, 0, 4096)
	t.allocate(t.opened("f", unix.O_RDONLY, 0), 0, 0, 10)
	t.allocate(t.opened("f", unix.O_PATH, 0), 0, 0, 10)
	t.allocate(t.opened(".", unix.O_RDONLY, 0), 0, 0, 10)
	t.allocate(t.opened("f", unix.O_RDWR|unix.O_APPEND, 0), punch, 0, 10)
	t.allocate(handle{-1, "none"}, 0, 0, 10)
	t.must(unix.Mkfifo("p", 0o644))
	t.allocate(t.opened("p", unix.O_RDWR, 0), 0, 0, 10)
	t.allocate(h, 0, 0, 30_000)
	t.stat("f")
}

func spaceTimes(t *T) {
	h := t.filled("f", 20_000)
	t.times("allocate inside", func() { t.allocate(h, 0, 0, 100) }, "f")
	t.times("allocate more", func() { t.allocate(h, 0, 0, 30_000) }, "f")
	t.times("allocate behind the end", func() { t.allocate(h, keep, 0, 50_000) }, "f")
	t.times("punch", func() { t.allocate(h, punch, 4096, 4096) }, "f")
	t.times("punch behind the end", func() { t.allocate(h, punch, 1<<30, 4096) }, "f")
	t.times("zero", func() { t.allocate(h, zero, 0, 4096) }, "f")
	t.times("a refused one", func() { t.allocate(h, 0, 0, -1) }, "f")
}

// spaceSeek looks for data and holes.
func spaceSeek(t *T) {
	find := func(h handle, places ...int64) {
		for _, off := range places {
			t.seek(h, off, unix.SEEK_DATA)
			t.seek(h, off, unix.SEEK_HOLE)
		}
	}
	h := t.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
	find(h, 0, 1, -1)
	t.write(h, "x")
	find(h, 0, 1, 2, -1)
	t.ftruncate(h, 100_000)
	find(h, 0, 1, 4095, 4096, 50_000, 99_999, 100_000)
	t.pwrite(h, "y", 50_000)
	find(h, 0, 4096, 49_151, 49_152, 50_000, 53_247, 53_248, 99_999)
	t.fsync(h)
	find(h, 0, 4096, 50_000, 53_248)
	t.parts(h)
	t.pwrite(h, strings.Repeat("z", 8192), 80_000)
	t.parts(h)
	g := t.filled("g", 300_000)
	t.parts(g)
	t.allocate(g, punch, 8192, 8192)
	t.parts(g)
	t.allocate(g, punch, 100_000, 10_000)
	t.parts(g)
	t.allocate(g, punch, 298_000, 5000)
	t.parts(g)
	t.pwrite(g, "w", 9000)
	t.parts(g)
	t.ftruncate(g, 1<<40)
	t.parts(g)
	t.pwrite(g, "far", 1<<39)
	t.parts(g)
	t.fsync(g)
	t.parts(g)
	find(g, 1<<38, 1<<39, 1<<40-1, 1<<40)
	t.seek(g, 0, unix.SEEK_CUR)
	t.ftruncate(g, 8192)
	t.parts(g)
	find(t.opened(".", unix.O_RDONLY, 0), 0)
	find(handle{-1, "none"}, 0)
}

// spaceBlocks counts what files take, in whole blocks of 4 KiB.
func spaceBlocks(t *T) {
	h := t.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.blocks(h)
	t.write(h, "x")
	t.blocks(h)
	t.pwrite(h, strings.Repeat("a", 4096), 0)
	t.blocks(h)
	t.pwrite(h, strings.Repeat("b", 8192), 4096)
	t.blocks(h)
	t.pwrite(h, strings.Repeat("c", 4096), 4096)
	t.blocks(h)
	t.ftruncate(h, 1<<30)
	t.blocks(h)
	t.pwrite(h, strings.Repeat("d", 4096), 1<<29)
	t.blocks(h)
	t.allocate(h, punch, 4096, 4096)
	t.blocks(h)
	t.allocate(h, punch, 0, 1<<30)
	t.blocks(h)
	t.ftruncate(h, 0)
	t.blocks(h)
	g := t.filled("g", 1<<20)
	t.blocks(g)
	t.ftruncate(g, 100_000)
	t.blocks(g)
	t.pwrite(g, strings.Repeat("e", 1<<20), 0)
	t.blocks(g)
	t.allocate(g, punch, 1<<18, 1<<19)
	t.blocks(g)
	for i := range 2 { // with more pieces ext4 counts a block of its map, too
		t.pwrite(g, strings.Repeat("f", 4096), 1<<18+int64(i+1)*8192)
	}
	t.blocks(g)
	t.ftruncate(g, 4096)
	t.blocks(g)
	t.must(unix.Symlink("f", "s"))
	t.must(unix.Mkfifo("p", 0o644))
	for _, name := range []string{"s", "p"} {
		var st unix.Stat_t
		t.must(unix.Lstat(name, &st))
		t.note("blocks of "+name, "%d", st.Blocks)
	}
}

// spaceRights has others change space, and set-ID files lose their bits.
func spaceRights(t *T) {
	t.file("f", strings.Repeat("x", 10_000))
	t.must(unix.Chown("f", 1001, 1001))
	for _, uid := range []int{0, 1001, 1002} {
		for _, mode := range []uint32{0, keep, punch, zero} {
			t.must(unix.Chmod("f", 0o6777))
			do := func() {
				h := t.open("f", unix.O_RDWR, 0)
				t.allocate(h, mode, 100, 10_000)
				t.stat("f")
			}
			if uid == 0 {
				do()
			} else {
				t.as(uid, uid, nil, do)
			}
		}
	}
}
