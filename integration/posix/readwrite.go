//go:build linux

package posix

import (
	"fmt"
	"math"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

var readWriteCases = []Case{
	{"readwrite/positions", false, rwPositions},
	{"readwrite/vectors", false, rwVectors},
	{"readwrite/sizes", false, rwSizes},
	{"readwrite/bad", false, rwBad},
	{"readwrite/limit", false, rwLimit},
	{"readwrite/between", false, rwBetween},
	{"readwrite/ioctls", false, rwIoctls},
}

func rwPositions(t *T) {
	h := t.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.read(h, 10)
	t.write(h, "0123456789")
	t.read(h, 10)
	t.seek(h, 0, unix.SEEK_CUR)
	t.seek(h, 2, unix.SEEK_SET)
	t.read(h, 3)
	t.seek(h, -1, unix.SEEK_CUR)
	t.write(h, "x")
	t.seek(h, -2, unix.SEEK_END)
	t.read(h, 100)
	t.seek(h, -11, unix.SEEK_END)
	t.seek(h, -1, unix.SEEK_SET)
	t.seek(h, 5, 5) // no such whence
	t.seek(h, 100, unix.SEEK_SET)
	t.read(h, 10)
	t.stat("f")
	t.write(h, "far")
	t.pread(h, 200, 95)
	t.pread(h, 10, 103)
	t.pread(h, 10, 1<<40)
	t.pread(h, 0, 0)
	t.pwrite(h, "mid", 50)
	t.seek(h, 0, unix.SEEK_CUR)
	t.content("f")
	t.seek(h, math.MaxInt64, unix.SEEK_SET)
	t.seek(h, 1<<43, unix.SEEK_SET)
	t.read(h, 1)
}

func rwVectors(t *T) {
	h := t.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
	vec := func(parts ...string) (v [][]byte) {
		for _, p := range parts {
			v = append(v, []byte(p))
		}
		return v
	}
	n, err := unix.Writev(h.fd, vec("one", "", "two", "three"))
	t.count("writev", n, err)
	n, err = unix.Pwritev(h.fd, vec("FOUR", "FIVE"), 6)
	t.count("pwritev", n, err)
	t.content("f")
	a, b := make([]byte, 4), make([]byte, 20)
	n, err = unix.Preadv(h.fd, [][]byte{a, b}, 1)
	t.answer("preadv", err, func() string { return fmt.Sprintf("%d %q %q", n, a, b[:n-4]) })
	n, err = unix.Readv(h.fd, [][]byte{a, b})
	t.count("readv at the end", n, err)
	n, err = unix.Preadv(h.fd, [][]byte{a, b}, -1)
	t.count("preadv at -1", n, err)
	n, err = unix.Preadv2(h.fd, [][]byte{a}, -1, 0)
	t.count("preadv2 at the position", n, err)
	big := make([][]byte, 1025)
	for i := range big {
		big[i] = []byte{byte(i)}
	}
	_, _, no := unix.Syscall(unix.SYS_WRITEV, uintptr(h.fd), 0, 1025)
	t.note("writev of 1025 parts", "%s", unix.ErrnoName(no))
	n, err = unix.Pwritev(h.fd, big[:1024], 0)
	t.count("pwritev of 1024 parts", n, err)
	t.content("f")
}

// rwSizes writes and reads blocks of sizes around pages, requests and chunks.
func rwSizes(t *T) {
	for _, size := range []int{1, 511, 4095, 4096, 4097, 65535, 65536, 65537, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 7} {
		name := fmt.Sprint("f", size)
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(i * 7 >> 3)
		}
		h := t.open(name, unix.O_CREAT|unix.O_RDWR, 0o644)
		t.write(h, string(p))
		t.pwrite(h, "over the end", int64(size)-5)
		t.pwrite(h, "middle", int64(size/2))
		t.ftruncate(h, int64(size)+1)
		t.content(name)
		t.close(h)
		t.content(name)
		t.stat(name)
	}
}

// rwBad passes what cannot be.
func rwBad(t *T) {
	t.file("f", "content")
	h := t.opened("f", unix.O_RDWR, 0)
	t.pread(h, 1, -1)
	t.pwrite(h, "x", -1)
	t.pwrite(h, "", -1)
	t.ftruncate(h, -1)
	t.truncate("f", -1)
	t.truncate("f", math.MinInt64)
	raw := func(call string, trap, a, b, c, d uintptr) {
		n, _, no := unix.Syscall6(trap, a, b, c, d, 0, 0)
		if no != 0 {
			t.note(call, "%s", unix.ErrnoName(no))
			return
		}
		t.note(call, "%d", n)
	}
	fd := uintptr(h.fd)
	raw("read into no memory", unix.SYS_READ, fd, 8, 10, 0)
	raw("write from no memory", unix.SYS_WRITE, fd, 8, 10, 0)
	raw("pread into no memory", unix.SYS_PREAD64, fd, 8, 10, 2)
	raw("write of nothing from no memory", unix.SYS_WRITE, fd, 8, 0, 0)
	var b [1]byte
	p := uintptr(unsafe.Pointer(&b[0]))
	raw("read of a negative length", unix.SYS_READ, fd, p, ^uintptr(0), 0)
	raw("readv of a negative number", unix.SYS_READV, fd, p, ^uintptr(0), 0)
	raw("open from no memory", unix.SYS_OPENAT, fd, 8, 0, 0)
	raw("fstat into no memory", unix.SYS_FSTAT, fd, 8, 0, 0)
	raw("getdents of a file", unix.SYS_GETDENTS64, fd, p, 1, 0)
	t.stat("f")
	t.content("f")
	bad := handle{-1, "none"}
	t.read(bad, 1)
	t.write(bad, "x")
	t.seek(bad, 0, unix.SEEK_SET)
	t.fstat(bad)
	t.fsync(bad)
	t.ftruncate(bad, 0)
}

// rwLimit goes to the limit of a process, and behind it.
func rwLimit(t *T) {
	var was unix.Rlimit
	t.must(unix.Getrlimit(unix.RLIMIT_FSIZE, &was))
	t.later(func() { _ = unix.Setrlimit(unix.RLIMIT_FSIZE, &was) })
	h := t.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.must(unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 10, Max: was.Max}))
	t.write(h, "0123456789abc")
	t.write(h, "abc")
	t.pwrite(h, "xyz", 8)
	t.pwrite(h, "xyz", 11)
	t.ftruncate(h, 10)
	t.ftruncate(h, 11)
	t.truncate("f", 1<<40)
	t.ftruncate(h, 5)
	t.result("fallocate over the limit", unix.Fallocate(h.fd, 0, 0, 20))
	t.must(unix.Setrlimit(unix.RLIMIT_FSIZE, &was))
	t.write(h, "free again")
	t.content("f")
}

// rwBetween moves bytes inside the kernel.
func rwBetween(t *T) {
	t.file("f", strings.Repeat("0123456789", 20_000))
	t.file("small", "abc")
	in, out := t.opened("f", unix.O_RDONLY, 0), t.open("g", unix.O_CREAT|unix.O_RDWR, 0o644)
	n, err := unix.Sendfile(out.fd, in.fd, nil, 150_000)
	t.count("sendfile", n, err)
	off := int64(5)
	n, err = unix.Sendfile(out.fd, in.fd, &off, 7)
	t.count("sendfile at an offset", n, err)
	t.content("g")
	app := t.opened("small", unix.O_WRONLY|unix.O_APPEND, 0)
	n, err = unix.Sendfile(app.fd, in.fd, nil, 3)
	t.count("sendfile to append", n, err)
	var pipe [2]int
	t.must(unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	t.fds = append(t.fds, pipe[:]...)
	from := int64(10)
	got, err := unix.Splice(in.fd, &from, pipe[1], nil, 20_000, 0)
	t.count("splice to a pipe", int(got), err)
	to := int64(3)
	got, err = unix.Splice(pipe[0], nil, out.fd, &to, 20_000, 0)
	t.count("splice from a pipe", int(got), err)
	t.content("g")
	_, err = unix.Splice(in.fd, nil, out.fd, nil, 10, 0)
	t.result("splice without a pipe", err)
	t.result("fadvise", unix.Fadvise(in.fd, 0, 0, unix.FADV_WILLNEED))
	t.result("fadvise DONTNEED", unix.Fadvise(in.fd, 0, 0, unix.FADV_DONTNEED))
	t.result("fadvise with a wrong advice", unix.Fadvise(in.fd, 0, 0, 99))
	_, _, no := unix.Syscall(unix.SYS_READAHEAD, uintptr(in.fd), 0, 100_000)
	t.note("readahead", "%d", no)
	t.content("f")
	n, err = unix.Vmsplice(pipe[1], []unix.Iovec{}, 0)
	t.count("vmsplice of nothing", n, err)
}

// rwIoctls asks what only some file systems answer.
func rwIoctls(t *T) {
	t.file("f", "content")
	t.file("g", "")
	f, g := t.opened("f", unix.O_RDWR, 0), t.opened("g", unix.O_RDWR, 0)
	t.seek(f, 2, unix.SEEK_SET)
	n, err := unix.IoctlGetInt(f.fd, unix.TIOCINQ)
	t.count("ioctl FIONREAD", n, err)
	_, err = unix.IoctlGetInt(f.fd, unix.TCGETS)
	t.result("ioctl TCGETS", err)
	t.result("ioctl FICLONE", unix.IoctlFileClone(g.fd, f.fd))
	t.result("ioctl FICLONERANGE", unix.IoctlFileCloneRange(g.fd, &unix.FileCloneRange{Src_fd: int64(f.fd), Src_length: 4096}))
	t.content("g")
	_, err = unix.IoctlGetInt(f.fd, unix.FS_IOC_GETFLAGS)
	t.result("ioctl FS_IOC_GETFLAGS", err)
	_, err = unix.IoctlGetInt(f.fd, 2)
	t.result("ioctl FIGETBSZ", err)
	var fiemap [64]byte
	_, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(f.fd), 0xc020660b, uintptr(unsafe.Pointer(&fiemap)))
	t.note("ioctl FS_IOC_FIEMAP", "%s", outcome(errnoOrNil(no)))
	_, _, no = unix.Syscall(unix.SYS_IOCTL, uintptr(f.fd), 0x12345, 0)
	t.note("an unknown ioctl", "%s", unix.ErrnoName(no))
}
