//go:build linux

package posix

import (
	"os"

	"golang.org/x/sys/unix"
)

// timesOfCalls shows which times of an inode a call changes. It needs root
// because only root's run is free of the access times of the truth's disk.
func timesOfCalls(t *T) {
	t.file("f", "content")
	t.must(unix.Symlink("f", "s"))
	t.dir("d")
	h := t.opened("f", unix.O_RDWR, 0)
	t.times("read", func() { t.pread(h, 3, 0) }, "f")
	t.times("write", func() { t.pwrite(h, "C", 0) }, "f", ".")
	t.times("write nothing", func() { t.pwrite(h, "", 0) }, "f")
	t.times("fsync", func() { t.fsync(h) }, "f")
	t.times("ftruncate to less", func() { t.ftruncate(h, 3) }, "f")
	t.times("ftruncate to more", func() { t.ftruncate(h, 30) }, "f")
	t.times("ftruncate to the same", func() { t.ftruncate(h, 30) }, "f")
	t.times("truncate to the same", func() { t.truncate("f", 30) }, "f")
	t.times("truncate to less", func() { t.truncate("f", 3) }, "f")
	t.times("chmod", func() { t.chmod("f", 0o600) }, "f", ".")
	t.times("chmod to the same", func() { t.chmod("f", 0o600) }, "f")
	t.times("chown to the same", func() { t.chown("f", os.Getuid(), os.Getgid()) }, "f")
	t.times("chown of nothing", func() { t.chown("f", -1, -1) }, "f")
	t.times("lchown", func() { t.lchown("s", os.Getuid(), os.Getgid()) }, "s", "f")
	t.times("setxattr", func() { t.setx("f", "user.a", "v", 0) }, "f")
	t.times("setxattr to the same", func() { t.setx("f", "user.a", "v", 0) }, "f")
	t.times("getxattr", func() { t.getx("f", "user.a") }, "f")
	t.times("removexattr", func() { t.remx("f", "user.a") }, "f")
	t.times("removexattr of none", func() { t.remx("f", "user.a") }, "f")
	t.times("stat", func() { t.stat("f") }, "f")
	t.times("access", func() { t.access("f", unix.R_OK) }, "f")
	t.times("readlink", func() { t.readlink("s") }, "s")
	t.times("list", func() { t.list("d") }, "d")
	t.times("open and close", func() { t.close(t.open("f", unix.O_RDWR, 0)) }, "f")
	t.times("link", func() { t.link("f", "g") }, "f", ".")
	t.times("rename", func() { t.rename("g", "h") }, "f", ".")
	t.times("rename to another name of the same", func() { t.rename("h", "f") }, "f", ".")
	t.times("unlink of one of two names", func() { t.unlink("h") }, "f", ".")
	t.times("a failing chmod", func() { t.chmod("f/x", 0) }, "f")
	t.times("a failing write", func() { t.pwrite(h, "x", -1) }, "f")
	m, err := unix.Mmap(h.fd, 0, 3, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	t.must(err)
	t.later(func() { _ = unix.Munmap(m) })
	t.times("write to a mapping, and msync", func() {
		m[0] = 'M'
		t.result("msync", unix.Msync(m, unix.MS_SYNC))
	}, "f")
	t.content("f")
}

// timesOfParents shows which times of directories a change of names changes.
func timesOfParents(t *T) {
	t.dir("a", "b", "a/sub", "a/full")
	t.file("a/full/f", "x")
	t.times("create", func() { t.close(t.open("a/f", unix.O_CREAT|unix.O_RDWR, 0o644)) }, "a", "b")
	t.times("create what exists", func() { t.open("a/f", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o644) }, "a")
	t.times("mkdir", func() { t.mkdir("a/d", 0o755) }, "a", "a/d")
	t.times("mkdir below", func() { t.mkdir("a/d/e", 0o755) }, "a", "a/d")
	t.times("rmdir", func() { t.rmdir("a/d/e") }, "a", "a/d")
	t.times("mknod", func() { t.mknod("a/p", unix.S_IFIFO|0o644, 0) }, "a")
	t.times("symlink", func() { t.symlink("x", "a/s") }, "a", "a/s")
	t.times("link", func() { t.link("a/f", "b/f2") }, "a", "b", "a/f")
	t.times("rename within", func() { t.rename("a/f", "a/g") }, "a", "a/g")
	t.times("rename to another", func() { t.rename("a/g", "b/g") }, "a", "b", "b/g")
	t.times("rename over", func() { t.rename("b/g", "a/p") }, "a", "b", "a/p")
	t.times("rename of a directory", func() { t.rename("a/d", "b/d") }, "a", "b", "b/d")
	t.times("exchange", func() { t.rename2("a/s", "b/d", unix.RENAME_EXCHANGE) }, "a", "b", "a/s", "b/d")
	t.times("unlink", func() { t.unlink("a/p") }, "a", "b/f2")
	t.times("a failing unlink", func() { t.unlink("a/none") }, "a")
	t.times("a failing rmdir", func() { t.rmdir("a/full") }, "a", "a/full")
	t.times("a failing rename", func() { t.rename("a/full", "a/full/x") }, "a", "a/full")
	t.times("a write below", func() { t.file("a/full/f", "y") }, "a", "a/full")
	t.times("chmod below", func() { t.chmod("a/full", 0o700) }, "a", "a/full")
}
