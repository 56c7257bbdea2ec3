//go:build linux

package posix

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var permissionCases = []Case{
	{"permissions/files", true, permFiles},
	{"permissions/directories", true, permDirectories},
	{"permissions/root", true, permRoot},
	{"permissions/links", true, permLinks},
	{"permissions/calls", true, permCalls},
}

// users are an owner, a member of the group, and somebody else.
var users = []struct {
	name     string
	uid, gid int
	groups   []int
}{
	{"owner", 1001, 1001, nil}, {"member", 1002, 1002, []int{3000}}, {"other", 1003, 1003, nil},
}

// permFiles opens files of every mode that matters as each of the users.
func permFiles(t *T) {
	for _, mode := range []uint32{0o000, 0o400, 0o200, 0o600, 0o040, 0o020, 0o004, 0o002, 0o066, 0o777, 0o070} {
		name := fmt.Sprintf("f%03o", mode)
		t.file(name, "x")
		t.must(unix.Chown(name, 1001, 3000))
		t.must(unix.Chmod(name, mode))
		for _, u := range users {
			t.as(u.uid, u.gid, u.groups, func() {
				t.open(name, unix.O_RDONLY, 0)
				t.open(name, unix.O_WRONLY, 0)
				t.open(name, unix.O_RDWR, 0)
				t.access(name, unix.R_OK)
				t.access(name, unix.W_OK)
				t.access(name, unix.X_OK)
			})
		}
	}
}

// permDirectories lists, enters and changes directories.
func permDirectories(t *T) {
	for _, mode := range []uint32{0o000, 0o444, 0o111, 0o222, 0o555, 0o333, 0o666, 0o777, 0o750} {
		name := fmt.Sprintf("d%03o", mode)
		t.dir(name, name+"/sub")
		t.file(name+"/f", "x")
		t.must(unix.Chmod(name+"/f", 0o666))
		t.must(unix.Chown(name, 1001, 3000))
		t.must(unix.Chmod(name, mode))
		for _, u := range users[:2] {
			t.as(u.uid, u.gid, u.groups, func() {
				t.list(name)
				t.stat(name + "/f")
				t.stat(name + "/none")
				t.open(name+"/f", unix.O_RDONLY, 0)
				t.close(t.open(name+"/new"+u.name, unix.O_CREAT|unix.O_RDWR, 0o644))
				t.unlink(name + "/new" + u.name)
				t.mkdir(name+"/sub", 0o755)
				t.rmdir(name + "/none")
				t.access(name, unix.R_OK|unix.W_OK|unix.X_OK)
			})
		}
	}
}

// permRoot is allowed nearly all.
func permRoot(t *T) {
	t.dir("d")
	t.file("d/f", "x")
	t.must(unix.Chown("d", 1001, 1001))
	t.must(unix.Chmod("d", 0))
	t.must(unix.Chown("d/f", 1001, 1001))
	t.must(unix.Chmod("d/f", 0))
	t.list("d")
	t.open("d/f", unix.O_RDWR, 0)
	t.access("d/f", unix.R_OK|unix.W_OK)
	t.access("d/f", unix.X_OK)
	t.must(unix.Chmod("d/f", 0o001))
	t.access("d/f", unix.X_OK)
	t.close(t.open("d/new", unix.O_CREAT|unix.O_RDWR, 0o644))
	t.stat("d/new")
	t.chmod("d/f", 0o600)
	t.utimens("d/f", now, now, 0)
	t.unlink("d/f")
}

// permLinks is about names: links to what one may not read, links through
// directories that one may not enter.
func permLinks(t *T) {
	t.dir("closed", "open")
	t.must(unix.Chmod("closed", 0o700))
	t.must(unix.Chmod("open", 0o777))
	t.file("closed/f", "x")
	t.file("secret", "x")
	t.must(unix.Chmod("secret", 0o600))
	t.must(os.Symlink("../closed/f", "open/s"))
	t.as(1001, 1001, nil, func() {
		t.link("secret", "open/l")
		t.link("closed/f", "open/l2")
		t.open("open/s", unix.O_RDONLY, 0)
		t.readlink("open/s")
		t.lstat("open/s")
		t.stat("open/s")
		t.rename("open/s", "open/t")
		t.unlink("open/t")
		t.chdir("closed")
		t.symlink("/root/anything", "open/x")
		t.unlink("secret")
		t.rename("secret", "open/secret")
	})
}

// permCalls is what only the owner or root may do.
func permCalls(t *T) {
	t.file("f", "x")
	t.must(unix.Chmod("f", 0o666))
	t.dir("d")
	t.must(unix.Chmod("d", 0o777))
	t.as(1001, 1001, nil, func() {
		t.chmod("f", 0o666)
		t.chown("f", 1001, -1)
		t.setx("f", "user.a", "v", 0)
		t.setx("f", "trusted.a", "v", 0)
		t.setx("f", "security.a", "v", 0)
		t.getx("f", "trusted.a")
		t.remx("f", "user.a")
		t.mknod("d/null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3))
		t.mknod("d/white", unix.S_IFCHR|0o666, 0)
		t.mknod("d/block", unix.S_IFBLK|0o666, unix.Mkdev(7, 99))
		t.mknod("d/fifo", unix.S_IFIFO|0o666, 0)
		t.mknod("d/sock", unix.S_IFSOCK|0o666, 0)
		t.mknod("d/file", unix.S_IFREG|0o666, 0)
		t.mknod("d/dir", unix.S_IFDIR|0o777, 0)
		t.mknod("d/link", unix.S_IFLNK|0o777, 0)
		t.mknod("d/plain", 0o666, 0)
		t.stat("d/plain")
		t.mknod("d/none/x", unix.S_IFIFO|0o666, 0)
		t.mknod("new", unix.S_IFIFO|0o666, 0)
		t.open("f", unix.O_RDONLY|unix.O_NOATIME, 0)
		t.result("chroot", unix.Chroot("d"))
	})
	t.list("d")
}
