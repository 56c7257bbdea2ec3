//go:build linux

package posix

import (
	"fmt"
	"math"
	"strings"

	"golang.org/x/sys/unix"
)

var copyCases = []Case{
	{"copy/files", false, copyFiles},
	{"copy/same", false, copySame},
	{"copy/bad", false, copyBad},
	{"copy/holes", false, copyHoles},
	{"copy/rights", true, copyRights},
}

// copyRange copies a range by copy_file_range(2); it goes on after short copies,
// which any file system may make.
func (t *T) copyRange(in handle, from int64, out handle, to int64, length int) {
	call := fmt.Sprintf("copy_file_range %v %d to %v %d, %d", in, from, out, to, length)
	done := 0
	for done < length {
		n := 0
		err := again(func() (err error) {
			n, err = unix.CopyFileRange(in.fd, &from, out.fd, &to, length-done, 0)
			return err
		})
		if err != nil && done == 0 {
			t.result(call, err)
			return
		}
		if n <= 0 {
			break
		}
		done += n
	}
	t.note(call, "%d", done)
}

func copyFiles(t *T) {
	in := t.filled("in", 300_000)
	out := t.open("out", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.copyRange(in, 0, out, 0, 300_000)
	t.content("out")
	t.stat("out")
	t.copyRange(in, 1000, out, 500_000, 100_000)
	t.content("out")
	t.copyRange(in, 299_990, out, 5, 100)
	t.content("out")
	t.copyRange(in, 300_000, out, 0, 10)
	t.copyRange(in, 400_000, out, 0, 10)
	t.copyRange(in, 7, out, 65_530, 70_000)
	t.content("out")
	t.pwrite(in, "changed", 1000)
	t.copyRange(in, 990, out, 990, 30)
	t.pread(out, 40, 985)
	t.content("out")
	t.pwrite(out, "does not come back", 100)
	t.pread(in, 20, 100)
	n, err := unix.CopyFileRange(in.fd, nil, out.fd, nil, 10, 0)
	t.count("copy_file_range at the positions", n, err)
	t.seek(in, 0, unix.SEEK_CUR)
	t.seek(out, 0, unix.SEEK_CUR)
	t.file("small", "small")
	s := t.opened("small", unix.O_RDONLY, 0)
	o := t.open("small2", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.times("copy_file_range", func() { t.copyRange(s, 0, o, 3, 100) }, "small", "small2")
	t.content("small2")
	t.unlink("in")
	t.copyRange(in, 0, o, 10, 1000)
	t.content("small2")
	t.ftruncate(in, 0)
	t.content("small2")
}

func copySame(t *T) {
	h := t.filled("f", 200_000)
	t.copyRange(h, 0, h, 100_000, 50_000)
	t.content("f")
	t.copyRange(h, 10, h, 150_001, 50_000)
	t.content("f")
	t.copyRange(h, 0, h, 100, 200)
	t.copyRange(h, 100, h, 0, 101)
	t.copyRange(h, 100, h, 0, 100)
	t.content("f")
	t.copyRange(h, 0, h, 0, 10)
	t.copyRange(h, 199_990, h, 300_000, 100)
	t.content("f")
	g := t.opened("f", unix.O_RDWR, 0)
	t.copyRange(h, 0, g, 400_000, 10_000)
	t.content("f")
}

func copyBad(t *T) {
	in := t.filled("in", 10_000)
	out := t.open("out", unix.O_CREAT|unix.O_RDWR, 0o644)
	ro, wo := t.opened("in", unix.O_RDONLY, 0), t.opened("out", unix.O_WRONLY, 0)
	t.copyRange(in, 0, ro, 5000, 10)
	t.copyRange(wo, 0, out, 5000, 10)
	t.copyRange(in, 0, t.opened("out", unix.O_WRONLY|unix.O_APPEND, 0), 0, 10)
	t.copyRange(in, 0, t.opened(".", unix.O_RDONLY, 0), 0, 10)
	t.copyRange(t.opened(".", unix.O_RDONLY, 0), 0, out, 0, 10)
	t.must(unix.Mkfifo("p", 0o644))
	t.copyRange(t.opened("p", unix.O_RDWR, 0), 0, out, 0, 10)
	t.copyRange(in, 0, handle{-1, "none"}, 0, 10)
	t.copyRange(in, -1, out, 0, 10)
	t.copyRange(in, 0, out, -1, 10)
	t.copyRange(in, 0, out, math.MaxInt64-5, 10)
	t.copyRange(in, math.MaxInt64-5, out, 0, 10)
	from, to := int64(0), int64(0)
	_, err := unix.CopyFileRange(in.fd, &from, out.fd, &to, 10, 1)
	t.result("copy_file_range with a flag", err)
	n, err := unix.CopyFileRange(in.fd, &from, out.fd, &to, 0, 0)
	t.count("copy_file_range of nothing", n, err)
	t.stat("out")
}

// copyHoles copies what has holes, and over holes.
func copyHoles(t *T) {
	in := t.open("in", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.ftruncate(in, 400_000)
	t.pwrite(in, strings.Repeat("a", 10_000), 100_000)
	t.pwrite(in, "b", 300_000)
	out := t.filled("out", 350_000)
	t.copyRange(in, 50_000, out, 50_000, 100_000)
	t.content("out")
	t.copyRange(in, 0, out, 0, 400_000)
	t.content("out")
	t.stat("out")
	g := t.open("g", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.copyRange(in, 0, g, 0, 400_000)
	t.content("g")
	t.copyRange(in, 350_000, g, 500_000, 50_000)
	t.stat("g")
	t.ftruncate(g, 100)
	t.ftruncate(g, 400_000)
	t.content("g")
}

// copyRights copies into set-ID files.
func copyRights(t *T) {
	t.file("in", "content")
	t.file("f", "x")
	t.must(unix.Chown("f", 1001, 1001))
	for _, uid := range []int{0, 1001, 1002} {
		t.must(unix.Chmod("f", 0o6777))
		do := func() {
			t.copyRange(t.open("in", unix.O_RDONLY, 0), 0, t.open("f", unix.O_WRONLY, 0), 0, 7)
			t.stat("f")
		}
		if uid == 0 {
			do()
		} else {
			t.as(uid, uid, nil, do)
		}
	}
}
