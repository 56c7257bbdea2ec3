//go:build linux

package posix

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var attributeCases = []Case{
	{"attributes/modes", false, attrModes},
	{"attributes/owners", true, attrOwners},
	{"attributes/setid", true, attrSetID},
	{"attributes/statx", false, attrStatx},
	{"attributes/umask", false, attrUmask},
	{"attributes/statfs", false, attrStatfs},
	{"attributes/setgid directory", true, attrSetgidDir},
	{"attributes/sticky", true, attrSticky},
}

func attrModes(t *T) {
	t.file("f", "x")
	t.dir("d")
	for _, name := range []string{"f", "d"} {
		for _, mode := range []uint32{0, 0o777, 0o4755, 0o2755, 0o1755, 0o7777, 0o10644, 0o644} {
			t.chmod(name, mode)
			t.stat(name)
		}
	}
	t.must(unix.Symlink("f", "s"))
	t.chmod("s", 0o640)
	t.stat("f")
	t.lstat("s")
	t.chmod("none", 0o644)
	t.chmod("f/x", 0o644)
	h := t.opened("f", unix.O_RDONLY, 0)
	t.fchmod(h, 0o4600)
	t.fstat(h)
	_, _, no := unix.Syscall6(unix.SYS_FCHMODAT2, ^uintptr(99), uintptr(ptrTo("s")), 0o600, unix.AT_SYMLINK_NOFOLLOW, 0, 0)
	t.note("fchmodat2 of a link", "%s", outcome(errnoOrNil(no)))
}

// attrOwners gives files away, as root and as others.
func attrOwners(t *T) {
	t.file("f", "x")
	t.must(unix.Symlink("f", "s"))
	t.chown("f", 1001, 1002)
	t.stat("f")
	t.chown("f", -1, 5)
	t.stat("f")
	t.chown("f", 7, -1)
	t.stat("f")
	t.chown("f", 1<<31, 1<<31+1)
	t.stat("f")
	t.chown("f", 65534, 4294967294)
	t.stat("f")
	t.lchown("s", 11, 12)
	t.lstat("s")
	t.stat("f")
	t.chown("s", 13, 14)
	t.stat("f")
	t.chown("none", 1, 1)
	t.file("his", "x")
	t.chown("his", 1001, 1001)
	h := t.opened("his", unix.O_RDONLY, 0)
	t.as(1001, 1001, []int{2001, 2002}, func() {
		t.chown("his", 1001, 2001)
		t.chown("his", -1, 2002)
		t.chown("his", -1, 2003)
		t.chown("his", 1002, -1)
		t.chown("his", 1001, 1001)
		t.fchown(h, -1, 2001)
		t.chown("f", 1001, 1001)
		t.chown("f", -1, -1)
		t.chmod("f", 0o777)
		t.chmod("his", 0o2755) // a group of his
		t.stat("his")
	})
	t.chown("his", 1001, 3000)
	t.as(1001, 1001, nil, func() {
		t.chmod("his", 0o2755) // a group that is not his: the bit goes
		t.stat("his")
		t.chmod("his", 0o4711)
		t.stat("his")
	})
}

// attrSetID shows what takes set-ID bits away.
func attrSetID(t *T) {
	modes := []uint32{0o6777, 0o6767, 0o2745, 0o4700}
	reset := func(mode uint32) {
		_ = os.Remove("f")
		t.file("f", "content")
		t.must(unix.Chown("f", 1001, 1001))
		t.must(unix.Chmod("f", mode))
	}
	for _, uid := range []int{0, 1001, 1002} {
		for _, mode := range modes {
			for _, what := range []string{"write", "truncate", "chown", "chown nothing", "mmap", "fallocate"} {
				reset(mode)
				do := func() { t.change(what) }
				if uid == 0 {
					do()
				} else {
					t.as(uid, uid, nil, do)
				}
				var st unix.Stat_t
				t.must(unix.Stat("f", &st))
				t.note(fmt.Sprintf("%o after %s by %d", mode, what, uid), "%o", st.Mode&0o7777)
			}
		}
	}
	t.dir("d")
	t.must(unix.Chmod("d", 0o6777))
	t.chown("d", 1001, 1001)
	t.stat("d")
	t.must(unix.Chmod("d", 0o6777))
	t.as(1001, 1001, nil, func() { t.chown("d", 1001, 1001) })
	t.stat("d")
}

// change does something to f that may take its set-ID bits away.
func (t *T) change(what string) {
	switch what {
	case "write":
		h := t.open("f", unix.O_WRONLY, 0)
		t.write(h, "C")
	case "truncate":
		t.truncate("f", 3)
	case "chown":
		t.chown("f", -1, 1001)
	case "fallocate":
		h := t.open("f", unix.O_RDWR, 0)
		t.allocate(h, 0, 0, 100)
	case "chown nothing":
		t.chown("f", -1, -1)
	case "mmap":
		h := t.open("f", unix.O_RDWR, 0)
		m, err := unix.Mmap(h.fd, 0, 7, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if t.result("mmap", err) {
			m[0] = 'M'
			t.must(unix.Msync(m, unix.MS_SYNC))
			t.must(unix.Munmap(m))
		}
	}
}

// attrStatx asks for more than stat(2) tells.
func attrStatx(t *T) {
	t.times("create", func() { t.file("f", "x") }, ".")
	s := stampsOf("f")
	t.note("birth of a new file", "as its ctime or before: %v", s[3] > 0 && s[3] <= s[2])
	tick(t)
	t.file("f", "content")
	t.must(unix.Chmod("f", 0o600))
	t.must(unix.Rename("f", "g"))
	t.note("birth when it has been written and moved", "the same: %v", stampsOf("g")[3] == s[3])
	var x unix.Statx_t
	t.must(unix.Statx(unix.AT_FDCWD, "g", 0, unix.STATX_ALL, &x))
	t.note("statx", "mask has basic and birth: %v, nlink %d, size %d", x.Mask&0xfff == 0xfff, x.Nlink, x.Size)
	t.result("statx with an unknown flag", unix.Statx(unix.AT_FDCWD, "g", 1<<20, unix.STATX_ALL, &x))
	t.result("statx with a reserved mask", unix.Statx(unix.AT_FDCWD, "g", 0, 1<<31, &x))
	t.result("statx of none", unix.Statx(unix.AT_FDCWD, "none", 0, unix.STATX_ALL, &x))
	h := t.opened("g", unix.O_RDONLY, 0)
	t.result("statx <g>", unix.Statx(h.fd, "", unix.AT_EMPTY_PATH, unix.STATX_ALL, &x))
	t.result("statx FORCE_SYNC", unix.Statx(unix.AT_FDCWD, "g", unix.AT_STATX_FORCE_SYNC, unix.STATX_ALL, &x))
	t.result("statx DONT_SYNC", unix.Statx(unix.AT_FDCWD, "g", unix.AT_STATX_DONT_SYNC, unix.STATX_ALL, &x))
	t.note("block size", "a power of two of at least 4096: %v", x.Blksize >= 4096 && x.Blksize&(x.Blksize-1) == 0)
}

func attrUmask(t *T) {
	was := unix.Umask(0o022)
	t.later(func() { unix.Umask(was) })
	for _, mask := range []int{0, 0o027, 0o077, 0o777} {
		unix.Umask(mask)
		f, d, p, l := fmt.Sprintf("f%o", mask), fmt.Sprintf("d%o", mask), fmt.Sprintf("p%o", mask), fmt.Sprintf("l%o", mask)
		t.close(t.open(f, unix.O_CREAT|unix.O_RDWR, 0o6777))
		t.mkdir(d, 0o1777)
		t.mknod(p, unix.S_IFIFO|0o666, 0)
		t.symlink("f", l)
		for _, name := range []string{f, d, p, l} {
			t.lstat(name)
		}
		t.chmod(f, 0o777)
		t.stat(f)
	}
}

func attrStatfs(t *T) {
	var st unix.Statfs_t
	t.result("statfs", unix.Statfs(".", &st))
	t.note("statfs", "names of %d bytes, blocks of %d, free no more than all: %v, some free: %v",
		st.Namelen, st.Bsize, st.Bfree <= st.Blocks && st.Bavail <= st.Bfree, st.Bavail > 0)
	t.result("statfs of none", unix.Statfs("none", &st))
	t.file("f", "x")
	h := t.opened("f", unix.O_RDONLY, 0)
	t.result("fstatfs", unix.Fstatfs(h.fd, &st))
}

// attrSetgidDir makes things in directories that hand their group down.
func attrSetgidDir(t *T) {
	t.dir("g", "plain")
	t.must(unix.Chown("g", 0, 3000))
	t.must(unix.Chmod("g", 0o2777))
	t.must(unix.Chmod("plain", 0o777))
	make := func(dir, who string) {
		t.close(t.open(dir+"/f"+who, unix.O_CREAT|unix.O_RDWR, 0o2755))
		t.close(t.open(dir+"/n"+who, unix.O_CREAT|unix.O_RDWR, 0o2644))
		t.mkdir(dir+"/d"+who, 0o755)
		t.mkdir(dir+"/e"+who, 0o2755)
		t.symlink("x", dir+"/s"+who)
		t.mknod(dir+"/p"+who, unix.S_IFIFO|0o2664, 0)
		for _, n := range []string{"/f", "/n", "/d", "/e", "/s", "/p"} {
			t.lstat(dir + n + who)
		}
	}
	for _, dir := range []string{"g", "plain"} {
		make(dir, "0")
		t.as(1001, 1001, []int{2001}, func() { make(dir, "1") })
		t.as(1002, 1002, []int{3000}, func() { make(dir, "2") })
	}
	t.mkdir("g/d0/below", 0o700)
	t.stat("g/d0/below")
	t.rename("plain/f0", "g/moved")
	t.stat("g/moved")
}

// attrSticky removes and moves in directories where only owners may.
func attrSticky(t *T) {
	t.dir("s")
	t.must(unix.Chmod("s", 0o1777))
	for _, name := range []string{"root", "his", "other", "dir", "hisdir"} {
		if name == "dir" || name == "hisdir" {
			t.dir("s/" + name)
		} else {
			t.file("s/"+name, "x")
		}
	}
	t.must(unix.Chmod("s/root", 0o666))
	t.must(unix.Chown("s/his", 1001, 1001))
	t.must(unix.Chown("s/hisdir", 1001, 1001))
	t.must(unix.Chown("s/other", 1002, 1002))
	t.as(1001, 1001, nil, func() {
		t.unlink("s/root")
		t.unlink("s/other")
		t.rmdir("s/dir")
		t.rename("s/root", "s/x")
		t.rename("s/his", "s/root")
		t.link("s/his", "s/link")
		t.unlink("s/his")
		t.rmdir("s/hisdir")
		t.close(t.open("s/new", unix.O_CREAT|unix.O_RDWR, 0o644))
		t.unlink("s/new")
		t.symlink("x", "s/mine")
		t.readlink("s/mine")
	})
	t.must(unix.Chown("s", 1003, 1003))
	t.as(1003, 1003, nil, func() { // the directory's owner may
		t.unlink("s/root")
		t.rmdir("s/dir")
		t.unlink("s/other")
	})
	t.list("s")
}
