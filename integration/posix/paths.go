//go:build linux

package posix

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

var pathCases = []Case{
	{"paths/symlinks", false, pathSymlinks},
	{"paths/deep", false, pathDeep},
	{"paths/openat2", false, pathResolve},
	{"paths/at", false, pathAt},
}

// pathSymlinks follows links: loops, chains, dangling ones.
func pathSymlinks(t *T) {
	t.file("f", "content")
	t.dir("d")
	t.symlink("loop", "loop")
	t.symlink("b", "a")
	t.symlink("a", "b")
	t.stat("loop")
	t.stat("a")
	t.stat("a/x")
	t.lstat("a")
	t.open("loop", unix.O_RDONLY, 0)
	t.open("loop", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.open("loop", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o644)
	t.truncate("a", 0)
	t.chmod("a", 0o600)
	t.chdir("loop")
	t.mkdir("loop/x", 0o755)
	t.rename("loop/x", "y")
	t.rename("loop", "loop2")
	t.must(unix.Symlink("f", "c0"))
	for i := range 41 {
		t.must(unix.Symlink(fmt.Sprint("c", i), fmt.Sprint("c", i+1)))
	}
	t.stat("c39")
	t.stat("c40")
	t.lstat("c40")
	t.symlink("nowhere", "dangling")
	t.open("dangling", unix.O_RDONLY, 0)
	t.open("dangling", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o644)
	t.open("dangling", unix.O_CREAT|unix.O_RDWR|unix.O_NOFOLLOW, 0o644)
	t.mkdir("dangling", 0o755)
	t.mknod("dangling", unix.S_IFIFO|0o644, 0)
	t.open("dangling", unix.O_CREAT|unix.O_RDWR, 0o640)
	t.lstat("nowhere")
	t.symlink("d/", "slashed")
	t.stat("slashed")
	t.symlink("f/", "wrong")
	t.stat("wrong")
	t.symlink("f", "f")
	for _, n := range []int{59, 60, 255, 1000, 4095} { // ext4 keeps up to 59 bytes in the inode
		name := fmt.Sprint("l", n)
		t.symlink(strings.Repeat("x", n), name)
		t.lstat(name)
		t.readlink(name)
	}
	t.symlink("x", "mode")
	t.lstat("mode")
	t.result("fchmodat mode AT_SYMLINK_NOFOLLOW", unix.Fchmodat(unix.AT_FDCWD, "mode", 0o600, unix.AT_SYMLINK_NOFOLLOW))
}

// pathDeep goes deeper than any path can name.
func pathDeep(t *T) {
	start := t.opened(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	t.later(func() { _ = unix.Fchdir(start.fd) })
	name := strings.Repeat("d", 200)
	for i := range 60 { // 12,060 bytes
		t.must(unix.Mkdir(name, 0o755))
		if err := unix.Chdir(name); err != nil {
			t.note("chdir", "level %d: %s", i, outcome(err))
			return
		}
	}
	t.file("f", "at the bottom")
	t.content("f")
	t.stat(".")
	_, err := unix.Getcwd(make([]byte, 20_000))
	t.result("getcwd", err)
	t.result("fchdir to the start", unix.Fchdir(start.fd))
	t.stat(strings.Repeat(name+"/", 20))
	t.stat(strings.Repeat(name+"/", 21))
	t.result("remove all", os.RemoveAll(name))
	t.list(".")
}

// pathResolve opens with the limits of openat2(2).
func pathResolve(t *T) {
	t.dir("d", "d/e")
	t.file("f", "out")
	t.file("d/f", "in")
	t.must(unix.Symlink("f", "d/s"))
	t.must(unix.Symlink("../f", "d/up"))
	t.must(unix.Symlink("/f", "d/abs"))
	t.must(unix.Symlink("e", "d/se"))
	d := t.opened("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	try := func(name string, resolve uint64, how unix.OpenHow) {
		how.Resolve = resolve
		fd, err := unix.Openat2(d.fd, name, &how)
		call := fmt.Sprintf("openat2 <d> %s %s %s", show(name), openNames(int(how.Flags)), names(resolveFlags, resolve))
		if t.result(call, err) {
			t.fds = append(t.fds, fd)
			t.read(handle{fd, name}, 10)
		}
	}
	for _, name := range []string{"f", "s", "../f", "up", "abs", "/f", "e/../f", "e/../../f", "se/../f"} {
		for _, r := range []uint64{unix.RESOLVE_BENEATH, unix.RESOLVE_IN_ROOT, unix.RESOLVE_NO_SYMLINKS} {
			try(name, r, unix.OpenHow{})
		}
	}
	try("/proc/self/exe", unix.RESOLVE_NO_MAGICLINKS, unix.OpenHow{})
	try("../../../../../../../../proc/version", unix.RESOLVE_NO_XDEV, unix.OpenHow{})
	try("f", unix.RESOLVE_BENEATH|unix.RESOLVE_IN_ROOT, unix.OpenHow{})
	try("f", 1<<40, unix.OpenHow{})
	try("f", 0, unix.OpenHow{Mode: 0o644})
	try("new", unix.RESOLVE_BENEATH, unix.OpenHow{Flags: unix.O_CREAT | unix.O_RDWR, Mode: 0o640})
	try("new", 0, unix.OpenHow{Flags: unix.O_CREAT | unix.O_RDWR, Mode: 0o200640})
	t.stat("d/new")
}

// pathAt uses calls that begin at an open directory.
func pathAt(t *T) {
	t.dir("d", "d/e")
	t.file("f", "x")
	d := t.open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	p := t.open("d", unix.O_PATH, 0)
	f := t.open("f", unix.O_RDONLY, 0)
	t.close(t.openat(d, "made", unix.O_CREAT|unix.O_WRONLY, 0o644))
	t.close(t.openat(p, "made2", unix.O_CREAT|unix.O_WRONLY, 0o644))
	t.openat(f, "x", unix.O_RDONLY, 0)
	t.openat(handle{-1, "closed"}, "x", unix.O_RDONLY, 0)
	t.result("mkdirat <d> m", unix.Mkdirat(d.fd, "m", 0o755))
	t.result("mkdirat <f> m", unix.Mkdirat(f.fd, "m", 0o755))
	t.result("unlinkat <d> m", unix.Unlinkat(d.fd, "m", 0))
	t.result("unlinkat <d> m REMOVEDIR", unix.Unlinkat(d.fd, "m", unix.AT_REMOVEDIR))
	t.result("unlinkat <d> made REMOVEDIR", unix.Unlinkat(d.fd, "made", unix.AT_REMOVEDIR))
	t.result("unlinkat <d> made wrong flag", unix.Unlinkat(d.fd, "made", 1<<20))
	t.result("renameat <d> made <p> moved", unix.Renameat(d.fd, "made", p.fd, "moved"))
	t.result("linkat <d> moved . outside", unix.Linkat(d.fd, "moved", unix.AT_FDCWD, "outside", 0))
	t.result("symlinkat <d> s", unix.Symlinkat("moved", d.fd, "s"))
	t.result("linkat s without following", unix.Linkat(d.fd, "s", d.fd, "s2", 0))
	t.result("linkat s with following", unix.Linkat(d.fd, "s", d.fd, "s3", unix.AT_SYMLINK_FOLLOW))
	t.list("d")
	t.same("d/s3", "d/moved")
	var st unix.Stat_t
	t.result("fstatat <f> empty path", unix.Fstatat(f.fd, "", &st, unix.AT_EMPTY_PATH))
	t.result("fstatat <f> empty path, not allowed", unix.Fstatat(f.fd, "", &st, 0))
	t.result("fchdir <f>", unix.Fchdir(f.fd))
	t.result("faccessat <d> e", unix.Faccessat(d.fd, "e", unix.X_OK, 0))
	t.result("rename d e/.. while open", unix.Renameat(unix.AT_FDCWD, "d", d.fd, "e/d"))
	t.rename("d", "D")
	t.close(t.openat(d, "after", unix.O_CREAT|unix.O_WRONLY, 0o644))
	t.list("D")
}
