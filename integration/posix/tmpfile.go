//go:build linux

package posix

import (
	"fmt"

	"golang.org/x/sys/unix"
)

var tmpfileCases = []Case{
	{"tmpfile/link", false, tmpfileLink},
	{"tmpfile/errors", false, tmpfileErrors},
	{"tmpfile/rights", true, tmpfileRights},
}

// tmpfileLink makes files without a name and gives some of them one.
func tmpfileLink(t *T) {
	t.times("make it", func() { t.open(".", unix.O_TMPFILE|unix.O_RDWR, 0o640) }, ".")
	h := t.open(".", unix.O_TMPFILE|unix.O_RDWR, 0o6755)
	t.fstat(h)
	t.write(h, "without a name")
	t.pread(h, 20, 0)
	t.fsync(h)
	t.fchmod(h, 0o600)
	t.result("fsetxattr", unix.Fsetxattr(h.fd, "user.a", []byte("v"), 0))
	t.list(".")
	again, err := unix.Open(h.path(), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if t.result("open it by /proc/self/fd", err) {
		t.fds = append(t.fds, again)
		t.pwrite(handle{again, "again"}, "WITH", 0)
	}
	t.times("link it", func() {
		t.result("linkat /proc/self/fd FOLLOW", unix.Linkat(unix.AT_FDCWD, h.path(), unix.AT_FDCWD, "f", unix.AT_SYMLINK_FOLLOW))
	}, ".")
	t.fstat(h)
	t.content("f")
	t.getx("f", "user.a")
	t.link("f", "g")
	t.stat("f")
	t.unlink("f")
	t.unlink("g")
	t.result("linkat when all its names are gone", unix.Linkat(unix.AT_FDCWD, h.path(), unix.AT_FDCWD, "h", unix.AT_SYMLINK_FOLLOW))
	e := t.open(".", unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL, 0o644)
	t.write(e, "never a name")
	t.result("linkat of O_EXCL", unix.Linkat(unix.AT_FDCWD, e.path(), unix.AT_FDCWD, "e", unix.AT_SYMLINK_FOLLOW))
	o := t.open(".", unix.O_TMPFILE|unix.O_WRONLY, 0o644)
	t.write(o, "over")
	t.file("there", "x")
	t.result("linkat over a name", unix.Linkat(unix.AT_FDCWD, o.path(), unix.AT_FDCWD, "there", unix.AT_SYMLINK_FOLLOW))
	t.result("linkat AT_EMPTY_PATH", unix.Linkat(o.fd, "", unix.AT_FDCWD, "by-handle", unix.AT_EMPTY_PATH))
	t.close(o)
	t.content("by-handle")
	t.list(".")
	t.stat(".")
	for i := range 20 {
		h := t.opened(".", unix.O_TMPFILE|unix.O_RDWR, 0o644)
		t.must(ignore(unix.Write(h.fd, fmt.Appendf(nil, "file %d", i))))
		t.must(unix.Linkat(unix.AT_FDCWD, h.path(), unix.AT_FDCWD, fmt.Sprint("n", i), unix.AT_SYMLINK_FOLLOW))
		t.close(h)
	}
	t.content("n7")
}

func tmpfileErrors(t *T) {
	t.file("f", "x")
	t.dir("d")
	t.open("f", unix.O_TMPFILE|unix.O_RDWR, 0o644)
	t.open("none", unix.O_TMPFILE|unix.O_RDWR, 0o644)
	t.open(".", unix.O_TMPFILE|unix.O_RDONLY, 0o644)
	t.open(".", unix.O_TMPFILE|unix.O_CREAT|unix.O_RDWR, 0o644)
	t.open(".", unix.O_TMPFILE|unix.O_RDWR|unix.O_TRUNC|unix.O_APPEND, 0o644)
	d := t.opened("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	t.rmdir("d")
	t.openat(d, ".", unix.O_TMPFILE|unix.O_RDWR, 0o644)
}

func tmpfileRights(t *T) {
	t.dir("closed", "open", "setgid")
	t.must(unix.Chmod("open", 0o777))
	t.must(unix.Chown("setgid", 0, 3000))
	t.must(unix.Chmod("setgid", 0o2777))
	was := unix.Umask(0o077)
	t.later(func() { unix.Umask(was) })
	t.as(1001, 1001, nil, func() {
		t.open("closed", unix.O_TMPFILE|unix.O_RDWR, 0o644)
		for _, dir := range []string{"open", "setgid"} {
			h := t.open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o666)
			t.fstat(h)
			t.result("linkat to closed", unix.Linkat(unix.AT_FDCWD, h.path(), unix.AT_FDCWD, "closed/f", unix.AT_SYMLINK_FOLLOW))
			t.result("linkat to "+dir, unix.Linkat(unix.AT_FDCWD, h.path(), unix.AT_FDCWD, dir+"/f", unix.AT_SYMLINK_FOLLOW))
			t.stat(dir + "/f")
		}
	})
}
