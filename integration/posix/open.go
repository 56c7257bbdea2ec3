//go:build linux

package posix

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var openCases = []Case{
	{"open/create", false, openCreate},
	{"open/kinds", false, openKinds},
	{"open/truncate", false, openTruncate},
	{"open/append", false, openAppend},
	{"open/path", false, openPath},
	{"open/modes", false, openModes},
	{"open/sync", false, openSync},
	{"open/direct", false, openDirect},
	{"open/status", false, openStatus},
}

func openCreate(t *T) {
	t.open("f", unix.O_RDONLY, 0)
	t.open("f", unix.O_RDWR, 0)
	t.open("d/f", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.open("f", unix.O_CREAT|unix.O_RDWR, 0o640)
	t.stat("f")
	t.open("f", unix.O_CREAT|unix.O_RDWR, 0o777)
	t.stat("f")
	t.open("f", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o640)
	t.open("g", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o600)
	t.open("h", unix.O_EXCL|unix.O_RDWR, 0)
	t.open("f", unix.O_EXCL|unix.O_RDWR, 0)
	t.open("f/g", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.open("f", unix.O_ACCMODE, 0)
	t.open("i", unix.O_CREAT, 0o1644)
	t.stat("i")
	t.open("j", unix.O_CREAT|unix.O_RDWR, 0o7777)
	t.stat("j")
	t.must(unix.Symlink("f", "s"))
	t.open("s", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o644)
	t.open("s", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.open("s", unix.O_NOFOLLOW|unix.O_RDONLY, 0)
	t.open("f", unix.O_NOFOLLOW|unix.O_RDONLY, 0)
	t.times("create k", func() { t.open("k", unix.O_CREAT|unix.O_RDWR, 0o644) }, "k", ".")
	t.times("open k again", func() { t.open("k", unix.O_CREAT|unix.O_RDWR, 0o644) }, "k", ".")
	t.list(".")
}

// openKinds opens what is no regular file.
func openKinds(t *T) {
	t.dir("d")
	t.file("f", "x")
	t.must(unix.Mkfifo("p", 0o644))
	t.must(unix.Mknod("sock", unix.S_IFSOCK|0o644, 0))
	t.must(unix.Symlink("d", "sd"))
	t.open("d", unix.O_RDONLY, 0)
	t.open("d", unix.O_WRONLY, 0)
	t.open("d", unix.O_RDWR, 0)
	t.open("d", unix.O_CREAT, 0o644)
	t.open("d", unix.O_TRUNC, 0)
	t.open("d", unix.O_RDONLY|unix.O_APPEND, 0)
	t.open("d", unix.O_CREAT|unix.O_DIRECTORY, 0o755)
	t.open("new", unix.O_CREAT|unix.O_DIRECTORY, 0o755)
	t.open("f", unix.O_DIRECTORY, 0)
	t.open("sd", unix.O_DIRECTORY, 0)
	t.open("sd", unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	t.open("p", unix.O_WRONLY|unix.O_NONBLOCK, 0)
	t.open("p", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	t.open("p", unix.O_WRONLY|unix.O_NONBLOCK, 0)
	t.open("p", unix.O_CREAT|unix.O_EXCL, 0o644)
	t.open("p", unix.O_DIRECTORY, 0)
	t.open("sock", unix.O_RDONLY, 0)
	t.open("sock", unix.O_RDWR, 0)
	t.open("sock", unix.O_PATH, 0)
	d := t.opened("d", unix.O_RDONLY, 0)
	t.read(d, 10)
	t.pread(d, 10, 0)
	t.write(d, "x")
	t.ftruncate(d, 0)
	t.fsync(d)
	t.fdatasync(d)
	t.fstat(d)
}

func openTruncate(t *T) {
	t.file("f", "content")
	t.times("truncate by opening", func() { t.close(t.open("f", unix.O_WRONLY|unix.O_TRUNC, 0)) }, "f", ".")
	t.stat("f")
	t.times("truncate the empty file", func() { t.close(t.open("f", unix.O_WRONLY|unix.O_TRUNC, 0)) }, "f")
	t.file("g", "content")
	h := t.opened("g", unix.O_RDWR, 0)
	t.close(t.open("g", unix.O_RDONLY|unix.O_TRUNC, 0))
	t.fstat(h)
	t.pread(h, 10, 0)
	t.pwrite(h, "y", 4)
	t.content("g")
	t.close(t.open("g", unix.O_CREAT|unix.O_TRUNC|unix.O_RDWR, 0o600))
	t.stat("g")
	t.open("none", unix.O_TRUNC|unix.O_RDWR, 0)
	t.must(unix.Mkfifo("p", 0o644))
	t.open("p", unix.O_TRUNC|unix.O_RDONLY|unix.O_NONBLOCK, 0)
}

// openAppend has several handles append to one file.
func openAppend(t *T) {
	t.file("f", "begin ")
	a := t.open("f", unix.O_WRONLY|unix.O_APPEND, 0)
	b := t.open("f", unix.O_RDWR|unix.O_APPEND, 0)
	c := t.open("f", unix.O_WRONLY, 0)
	t.write(a, "a1 ")
	t.write(b, "b1 ")
	t.write(a, "a2 ")
	t.write(c, "BEGIN")
	t.seek(b, 0, unix.SEEK_SET)
	t.write(b, "b2 ")
	t.seek(b, 0, unix.SEEK_CUR)
	t.pwrite(a, "pw ", 0) // Linux appends all the same
	t.content("f")
	_, err := unix.FcntlInt(uintptr(c.fd), unix.F_SETFL, unix.O_APPEND)
	t.result("F_SETFL O_APPEND", err)
	t.write(c, "c2")
	t.content("f")
	n, err := unix.Pwritev2(c.fd, [][]byte{[]byte("xx")}, 0, unix.RWF_NOAPPEND)
	t.count("pwritev2 RWF_NOAPPEND at 0", n, err)
	d := t.opened("f", unix.O_RDWR, 0)
	n, err = unix.Pwritev2(d.fd, [][]byte{[]byte("END")}, 0, unix.RWF_APPEND)
	t.count("pwritev2 RWF_APPEND at 0", n, err)
	t.content("f")
	t.ftruncate(d, 3)
	t.write(a, "after truncate")
	t.content("f")
	for i := range 100 {
		h := []handle{a, b, c}[i%3]
		_, err := unix.Write(h.fd, fmt.Appendf(nil, "%02d", i))
		t.must(err)
	}
	t.content("f")
}

// openPath uses handles that only name a file.
func openPath(t *T) {
	t.file("f", "content")
	t.dir("d")
	t.must(unix.Symlink("f", "s"))
	p := t.open("f", unix.O_PATH, 0)
	t.fstat(p)
	t.read(p, 1)
	t.write(p, "x")
	t.fchmod(p, 0o600)
	t.fchown(p, -1, -1)
	t.ftruncate(p, 0)
	t.fsync(p)
	t.seek(p, 0, unix.SEEK_SET)
	_, err := unix.Mmap(p.fd, 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	t.result("mmap <f>", err)
	_, err = unix.Fgetxattr(p.fd, "user.a", nil)
	t.result("fgetxattr <f>", err)
	t.result("fchdir <f>", unix.Fchdir(p.fd))
	t.result("flock <f>", unix.Flock(p.fd, unix.LOCK_SH))
	var st unix.Statfs_t
	t.result("fstatfs <f>", unix.Fstatfs(p.fd, &st))
	t.result("chmod of what /proc/self/fd names", unix.Chmod(p.path(), 0o600))
	t.stat("f")
	fd, err := unix.Open(p.path(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if t.result("open of what /proc/self/fd names", err) {
		t.fds = append(t.fds, fd)
		t.read(handle{fd, "f"}, 10)
	}
	l := t.open("s", unix.O_PATH|unix.O_NOFOLLOW, 0)
	t.fstat(l)
	b := make([]byte, 10)
	n, err := unix.Readlinkat(l.fd, "", b)
	t.answer("readlinkat <s>", err, func() string { return string(b[:n]) })
	t.result("linkat <f> AT_EMPTY_PATH", unix.Linkat(p.fd, "", unix.AT_FDCWD, "hard", unix.AT_EMPTY_PATH))
	t.same("f", "hard")
	t.open("f", unix.O_PATH|unix.O_DIRECTORY, 0)
	t.open("none", unix.O_PATH|unix.O_CREAT, 0o644)
	t.unlink("f")
	t.unlink("hard")
	t.fstat(p)
}

// openModes writes through handles that the mode would not give again.
func openModes(t *T) {
	h := t.open("f", unix.O_CREAT|unix.O_RDWR, 0o400)
	t.write(h, "allowed")
	t.pread(h, 10, 0)
	t.stat("f")
	h = t.open("g", unix.O_CREAT|unix.O_WRONLY, 0)
	t.write(h, "allowed")
	t.fchmod(h, 0)
	t.write(h, " still")
	t.stat("g")
	r := t.opened("f", unix.O_RDONLY, 0)
	w := t.opened("f", unix.O_WRONLY|unix.O_CREAT, 0o644)
	t.write(r, "x")
	t.pwrite(r, "x", 0)
	t.ftruncate(r, 0)
	t.read(w, 1)
	t.pread(w, 1, 0)
	t.fsync(r)
	t.close(r)
	t.close(r)
	t.fstat(r)
	t.fchmod(r, 0o600)
	d, err := unix.Dup(w.fd)
	t.must(err)
	dup := handle{d, "f"}
	t.fds = append(t.fds, d)
	t.seek(w, 3, unix.SEEK_SET)
	t.seek(dup, 0, unix.SEEK_CUR)
	t.write(dup, "OW")
	t.close(w)
	t.write(dup, "ED!")
	t.content("f")
}

func openSync(t *T) {
	for _, flag := range []int{unix.O_SYNC, unix.O_DSYNC} {
		h := t.open("f", unix.O_CREAT|unix.O_RDWR|flag, 0o644)
		t.write(h, "synced")
		t.pwrite(h, "later", 5000)
		t.ftruncate(h, 5003)
		t.fsync(h)
		t.fdatasync(h)
		t.content("f")
	}
	h := t.opened("f", unix.O_RDWR, 0)
	n, err := unix.Pwritev2(h.fd, [][]byte{[]byte("a"), []byte("bc")}, 1, unix.RWF_DSYNC)
	t.count("pwritev2 RWF_DSYNC", n, err)
	n, err = unix.Pwritev2(h.fd, [][]byte{[]byte("a"), []byte("bc")}, 1, 1<<20)
	t.count("pwritev2 with an unknown flag", n, err)
	t.result("sync_file_range", unix.SyncFileRange(h.fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER))
	t.result("sync_file_range with an unknown flag", unix.SyncFileRange(h.fd, 0, 0, 1<<20))
	t.result("syncfs", unix.Syncfs(h.fd))
	d := t.opened(".", unix.O_RDONLY, 0)
	t.fsync(d)
	t.must(unix.Mkfifo("p", 0o644))
	p := t.opened("p", unix.O_RDWR, 0)
	t.fsync(p)
}

// openDirect reads and writes in whole blocks.
func openDirect(t *T) {
	h := t.open("f", unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT, 0o644)
	// A mapping begins at a page, which is what O_DIRECT asks for.
	m, err := unix.Mmap(-1, 0, 64<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	t.must(err)
	t.later(func() { _ = unix.Munmap(m) })
	for i := range m {
		m[i] = byte(i >> 8)
	}
	n, err := unix.Pwrite(h.fd, m[:16<<10], 0)
	t.count("direct pwrite of 16 KiB at 0", n, err)
	n, err = unix.Pwrite(h.fd, m[:4096], 32<<10)
	t.count("direct pwrite of 4 KiB at 32 KiB", n, err)
	n, err = unix.Pread(h.fd, m[:64<<10], 0)
	t.answer("direct pread of 64 KiB", err, func() string { return brief(m[:n]) })
	n, err = unix.Pread(h.fd, m[:4096], 64<<10)
	t.count("direct pread behind the end", n, err)
	t.stat("f")
	t.content("f")
	b := t.opened("f", unix.O_RDWR, 0)
	t.pwrite(b, "through the cache", 100)
	n, err = unix.Pread(h.fd, m[:4096], 0)
	t.answer("direct pread of what was written through the cache", err, func() string { return brief(m[100:117]) })
	copy(m, "directly")
	n, err = unix.Pwrite(h.fd, m[:4096], 0)
	t.count("direct pwrite over cached pages", n, err)
	t.pread(b, 8, 0)
	n, err = unix.Pwrite(h.fd, m[1:101], 7)
	t.count("direct pwrite of 100 bytes, not aligned", n, err)
	n, err = unix.Pread(h.fd, m[1:101], 7)
	t.count("direct pread of 100 bytes, not aligned", n, err)
	_, err = unix.FcntlInt(uintptr(b.fd), unix.F_SETFL, unix.O_DIRECT)
	t.result("F_SETFL O_DIRECT", err)
	t.open(".", unix.O_DIRECT|unix.O_RDONLY, 0)
}

// openStatus asks handles for their flags and changes them.
func openStatus(t *T) {
	t.file("f", "x")
	for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY | unix.O_APPEND, unix.O_RDWR | unix.O_SYNC, unix.O_RDWR | unix.O_DSYNC | unix.O_NONBLOCK, unix.O_PATH} {
		h := t.open("f", flags, 0)
		got, err := unix.FcntlInt(uintptr(h.fd), unix.F_GETFL, 0)
		t.answer("F_GETFL", err, func() string { return openNames(got &^ unix.O_LARGEFILE &^ 0o100000) })
		_, err = unix.FcntlInt(uintptr(h.fd), unix.F_SETFL, unix.O_NONBLOCK|unix.O_APPEND|unix.O_NOATIME)
		t.result("F_SETFL", err)
		got, err = unix.FcntlInt(uintptr(h.fd), unix.F_GETFL, 0)
		t.answer("F_GETFL", err, func() string { return openNames(got &^ unix.O_LARGEFILE &^ 0o100000) })
	}
}
