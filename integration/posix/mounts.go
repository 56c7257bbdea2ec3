//go:build linux

package posix

import (
	"syscall"

	"golang.org/x/sys/unix"
)

var mountCases = []Case{
	{"mounts/point", true, mountPoint},
	{"mounts/across", true, mountAcross},
	{"mounts/readonly", true, mountReadOnly},
	{"mounts/flags", true, mountFlags},
	{"mounts/overlay", true, mountOverlay},
}

// mountHere shows the working directory once more, in a directory of it, with
// other flags, until the case ends. The process has mounts of its own.
func (t *T) mountHere(dir string, flags uintptr) {
	t.must(unix.Mount(".", dir, "", unix.MS_BIND, ""))
	t.later(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	t.must(unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NOATIME|flags, ""))
}

// mountPoint changes a directory that something is mounted on.
func mountPoint(t *T) {
	t.dir("d", "point", "d/sub")
	t.must(unix.Mount("d", "point", "", unix.MS_BIND, ""))
	t.later(func() { _ = unix.Unmount("point", unix.MNT_DETACH) })
	t.rmdir("point")
	t.rename("point", "x")
	t.rename("d", "point")
	t.rename("d/sub", "point")
	t.rename2("d", "point", unix.RENAME_EXCHANGE)
	t.unlink("point")
	t.list("point")
	h := t.open("point/f", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.list("d")
	t.result("umount while in use", unix.Unmount("point", 0))
	t.close(h)
	t.result("umount", unix.Unmount("point", 0))
	t.list("point")
	t.rmdir("point")
}

// mountAcross moves and links to another mount, of the same and of others.
func mountAcross(t *T) {
	t.dir("point", "tmp", "d")
	t.file("f", "x")
	t.mountHere("point", 0)
	t.must(unix.Mount("tmpfs", "tmp", "tmpfs", 0, "size=1m"))
	t.later(func() { _ = unix.Unmount("tmp", unix.MNT_DETACH) })
	t.rename("f", "point/g")
	t.link("f", "point/g")
	t.rename("f", "tmp/g")
	t.link("f", "tmp/g")
	t.rename("d", "tmp/d")
	t.rename2("f", "point/d", unix.RENAME_EXCHANGE)
	t.symlink("../f", "tmp/s")
	t.content("tmp/s")
	t.file("tmp/g", "from elsewhere")
	t.rename("tmp/g", "g")
	in, out := t.opened("tmp/g", unix.O_RDONLY, 0), t.open("g", unix.O_CREAT|unix.O_RDWR, 0o644)
	n, err := unix.Sendfile(out.fd, in.fd, nil, 100)
	t.count("sendfile from elsewhere", n, err)
	t.content("point/g")
	t.same("g", "point/g")
}

// mountReadOnly tries every change where none is allowed.
func mountReadOnly(t *T) {
	t.dir("ro", "d")
	t.file("f", "content")
	t.must(unix.Chmod("f", 0o666))
	t.must(unix.Symlink("f", "s"))
	t.mountHere("ro", unix.MS_RDONLY)
	t.content("ro/f")
	t.list("ro/d")
	h := t.open("ro/f", unix.O_RDONLY, 0)
	t.open("ro/f", unix.O_WRONLY, 0)
	t.open("ro/f", unix.O_RDONLY|unix.O_TRUNC, 0)
	t.open("ro/new", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.open("ro/f", unix.O_CREAT|unix.O_RDONLY, 0o644)
	t.open("ro/f", unix.O_CREAT|unix.O_EXCL|unix.O_RDONLY, 0o644)
	t.open("ro", unix.O_TMPFILE|unix.O_RDWR, 0o644)
	t.mkdir("ro/x", 0o755)
	t.mkdir("ro/d", 0o755)
	t.rmdir("ro/d")
	t.unlink("ro/f")
	t.unlink("ro/none")
	t.rename("ro/f", "ro/g")
	t.rename("f", "ro/g")
	t.link("ro/f", "ro/g")
	t.symlink("x", "ro/x")
	t.mknod("ro/x", unix.S_IFIFO|0o644, 0)
	t.chmod("ro/f", 0o600)
	t.chown("ro/f", 1, 1)
	t.lchown("ro/s", 1, 1)
	t.truncate("ro/f", 0)
	t.utimens("ro/f", now, now, 0)
	t.setx("ro/f", "user.a", "v", 0)
	t.remx("ro/f", "user.a")
	t.getx("ro/f", "user.a")
	t.access("ro/f", unix.W_OK)
	t.access("ro/f", unix.R_OK)
	t.fchmod(h, 0o600)
	t.fsync(h)
	t.as(1001, 1001, nil, func() {
		t.open("ro/f", unix.O_WRONLY, 0)
		t.access("ro/f", unix.W_OK)
		t.mkdir("ro/x", 0o755)
	})
	t.content("f")
}

// mountFlags runs programs and opens devices where that is off.
func mountFlags(t *T) {
	t.dir("noexec", "nodev")
	t.program("true", "true", 0o755)
	t.mknod("null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3))
	t.mountHere("noexec", unix.MS_NOEXEC)
	t.mountHere("nodev", unix.MS_NODEV)
	t.exec("a program where none may run", nil, "noexec/true")
	t.access("noexec/true", unix.X_OK)
	t.access("true", unix.X_OK)
	t.exec("a program elsewhere", &syscall.Credential{Uid: 1001, Gid: 1001}, "nodev/true")
	_, err := unix.Mmap(t.opened("noexec/true", unix.O_RDONLY, 0).fd, 0, 100, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	t.result("an executable mapping where none may run", err)
	t.open("nodev/null", unix.O_RDWR, 0)
	t.open("noexec/null", unix.O_RDWR, 0)
	t.mknod("nodev/zero", unix.S_IFCHR|0o666, unix.Mkdev(1, 5))
	t.open("nodev/zero", unix.O_RDWR, 0)
}

// mountOverlay has the folder be the upper layer of an overlay, which wants
// whiteouts and attributes of its own.
func mountOverlay(t *T) {
	t.dir("low", "low/d", "up", "work", "m")
	t.file("low/f", "low")
	t.file("low/d/x", "x")
	t.file("low/gone", "x")
	if !t.result("mount an overlay", unix.Mount("overlay", "m", "overlay", 0, "lowerdir=low,upperdir=up,workdir=work")) {
		return
	}
	t.later(func() { _ = unix.Unmount("m", unix.MNT_DETACH) })
	t.close(t.open("m/new", unix.O_CREAT|unix.O_WRONLY, 0o644))
	t.write(t.open("m/f", unix.O_WRONLY|unix.O_APPEND, 0), " and more")
	t.content("m/f")
	t.content("low/f")
	t.unlink("m/gone")
	t.rename("m/new", "m/newer")
	t.unlink("m/d/x")
	t.rmdir("m/d")
	t.mkdir("m/d", 0o755)
	t.list("m")
	t.list("m/d")
	t.list("up")
	t.lstat("up/gone")
	t.getx("up/d", "trusted.overlay.opaque")
	t.result("umount", unix.Unmount("m", unix.MNT_DETACH))
}
