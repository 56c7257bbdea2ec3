//go:build linux

package posix

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var linkCases = []Case{
	{"links/hard", false, linkHard},
	{"links/kinds", false, linkKinds},
	{"links/many", false, linkMany},
	{"unlink/open", false, unlinkOpen},
	{"unlink/kinds", false, unlinkKinds},
	{"unlink/directories", false, unlinkDirectories},
}

func linkHard(t *T) {
	t.file("f", "content")
	t.dir("d")
	t.link("f", "g")
	t.link("f", "d/h")
	t.stat("f")
	t.same("f", "d/h")
	t.link("f", "g")
	t.link("f", "d")
	t.link("f", "f")
	t.link("none", "x")
	t.link("f", "none/x")
	t.link("f/x", "y")
	t.link("f", "g/y")
	t.chmod("g", 0o600)
	t.stat("f")
	w := t.opened("d/h", unix.O_WRONLY|unix.O_APPEND, 0)
	t.write(w, " more")
	t.content("g")
	t.unlink("f")
	t.stat("g")
	t.rename("g", "d/h")
	t.stat("g")
	t.stat("d/h")
	t.rename("g", "k")
	t.rename("k", "d/k")
	t.unlink("d/k")
	t.stat("d/h")
	t.rmdir("d")
	t.unlink("d/h")
	t.rmdir("d")
}

func linkKinds(t *T) {
	t.dir("d")
	t.file("f", "x")
	t.must(unix.Symlink("f", "s"))
	t.must(unix.Symlink("none", "sn"))
	t.must(unix.Mkfifo("p", 0o644))
	t.must(unix.Mknod("sock", unix.S_IFSOCK|0o644, 0))
	for _, name := range []string{"d", "s", "sn", "p", "sock"} {
		t.link(name, name+"2")
	}
	for _, name := range []string{"s2", "p2", "sock2"} {
		t.lstat(name)
	}
	t.same("s", "s2")
	t.result("linkat s FOLLOW", unix.Linkat(unix.AT_FDCWD, "s", unix.AT_FDCWD, "s3", unix.AT_SYMLINK_FOLLOW))
	t.same("f", "s3")
	t.result("linkat sn FOLLOW", unix.Linkat(unix.AT_FDCWD, "sn", unix.AT_FDCWD, "s4", unix.AT_SYMLINK_FOLLOW))
	t.result("linkat d FOLLOW", unix.Linkat(unix.AT_FDCWD, "d", unix.AT_FDCWD, "s5", unix.AT_SYMLINK_FOLLOW))
	t.result("linkat with an unknown flag", unix.Linkat(unix.AT_FDCWD, "f", unix.AT_FDCWD, "s6", 1<<20))
	h := t.opened("f", unix.O_RDONLY, 0)
	t.result("linkat /proc/self/fd FOLLOW", unix.Linkat(unix.AT_FDCWD, h.path(), unix.AT_FDCWD, "s7", unix.AT_SYMLINK_FOLLOW))
	t.unlink("f")
	t.unlink("s3")
	t.unlink("s7")
	t.result("linkat of a file without a name", unix.Linkat(unix.AT_FDCWD, h.path(), unix.AT_FDCWD, "s8", unix.AT_SYMLINK_FOLLOW))
	t.result("linkat of it by AT_EMPTY_PATH", unix.Linkat(h.fd, "", unix.AT_FDCWD, "s8", unix.AT_EMPTY_PATH))
	t.list(".")
}

func linkMany(t *T) {
	t.file("f", "x")
	t.dir("d")
	for i := range 1000 {
		t.must(unix.Link("f", fmt.Sprint("d/", i)))
	}
	t.stat("f")
	for i := range 500 {
		t.must(unix.Unlink(fmt.Sprint("d/", 2*i)))
	}
	t.stat("f")
	for i := range 300 {
		t.must(unix.Mkdir(fmt.Sprint("d/d", i), 0o755))
	}
	t.stat("d")
	t.rename("d/d7", "d7")
	t.stat("d")
	t.stat(".")
}

// unlinkOpen goes on with files that have no name any more.
func unlinkOpen(t *T) {
	t.file("f", "content")
	t.file("over", "other content")
	f, o := t.opened("f", unix.O_RDWR, 0), t.opened("over", unix.O_RDWR, 0)
	r := t.opened("f", unix.O_RDONLY, 0)
	t.unlink("f")
	t.open("f", unix.O_RDONLY, 0)
	t.fstat(f)
	t.pwrite(f, "C", 0)
	t.pread(r, 10, 0)
	t.fchmod(f, 0o600)
	t.fchown(f, -1, -1)
	t.ftruncate(f, 3)
	t.fsync(f)
	t.fstat(r)
	t.result("fsetxattr <f>", unix.Fsetxattr(f.fd, "user.a", []byte("value"), 0))
	b := make([]byte, 10)
	n, err := unix.Fgetxattr(f.fd, "user.a", b)
	t.answer("fgetxattr <f>", err, func() string { return string(b[:n]) })
	t.result("fremovexattr <f>", unix.Fremovexattr(f.fd, "user.a"))
	fd, err := unix.Open(f.path(), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if t.result("open again by /proc/self/fd", err) {
		t.fds = append(t.fds, fd)
		t.pwrite(handle{fd, "f"}, "again", 3)
		t.pread(f, 10, 0)
	}
	t.file("f", "a new one")
	t.pread(f, 10, 0)
	t.file("new", "replacement")
	t.rename("new", "over")
	t.fstat(o)
	t.pread(o, 20, 0)
	t.pwrite(o, "O", 0)
	t.content("over")
	t.rename2("over", "f", unix.RENAME_EXCHANGE)
	t.content("f")
	t.result("utimens of the file without a name", unix.UtimesNanoAt(unix.AT_FDCWD, f.path(), []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
	t.close(r)
	t.close(f)
	t.list(".")
}

func unlinkKinds(t *T) {
	t.dir("d", "full")
	t.file("f", "x")
	t.file("full/f", "x")
	t.must(unix.Symlink("full", "s"))
	t.must(unix.Mkfifo("p", 0o644))
	t.unlink("d")
	t.rmdir("f")
	t.rmdir("s")
	t.rmdir("p")
	t.rmdir("full")
	t.unlink("none")
	t.rmdir("none")
	t.unlink("none/x")
	t.unlink("f/x")
	t.rmdir("f/x")
	t.unlink("s/f")
	t.unlink("s")
	t.rmdir("full")
	t.unlink("p")
	t.rmdir("d")
	t.rmdir("d")
	t.list(".")
}

// unlinkDirectories goes on in directories that have been removed.
func unlinkDirectories(t *T) {
	start := t.opened(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	t.later(func() { _ = unix.Fchdir(start.fd) })
	t.dir("d")
	d := t.opened("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	t.chdir("d")
	t.rmdir("../d")
	t.fstat(d)
	t.stat(".")
	t.stat("..")
	t.mkdir("x", 0o755)
	t.open("x", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.symlink("x", "y")
	t.mknod("x", unix.S_IFIFO|0o644, 0)
	t.link("../none", "x")
	t.must(unix.Fchdir(start.fd))
	t.file("f", "x")
	t.must(unix.Fchdir(d.fd))
	t.link("../f", "x")
	t.rename("../f", "x")
	t.list(".")
	t.open("none", unix.O_RDONLY, 0)
	t.unlink("none")
	t.chmod(".", 0o700)
	t.result("utimens .", unix.UtimesNanoAt(unix.AT_FDCWD, ".", []unix.Timespec{{Sec: 1}, {Sec: 2}}, 0))
	t.setx(".", "user.a", "v", 0)
	t.getx(".", "user.a")
	t.open(".", unix.O_RDONLY, 0)
	t.open(".", unix.O_TMPFILE|unix.O_RDWR, 0o644)
	_, err := unix.Getcwd(make([]byte, 5000))
	t.result("getcwd", err)
	t.rmdir(".")
	t.fsync(d)
	t.chdir("..")
	t.dir("d")
	t.list(".")
	t.fstat(d)
}
