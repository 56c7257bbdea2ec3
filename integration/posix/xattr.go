//go:build linux

package posix

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

func (t *T) setx(name, attr, value string, flags int) bool {
	call := fmt.Sprintf("setxattr %s %s %s", show(name), show(attr), show(value))
	if flags != 0 {
		call += " " + names(xattrFlags, uint64(flags))
	}
	return t.result(call, again(func() error { return unix.Lsetxattr(name, attr, []byte(value), flags) }))
}

func (t *T) getx(name, attr string) bool {
	p, n := make([]byte, 65<<10), 0
	err := again(func() (err error) { n, err = unix.Lgetxattr(name, attr, p); return err })
	return t.answer("getxattr "+show(name)+" "+show(attr), err, func() string { return brief(p[:n]) })
}

func (t *T) remx(name, attr string) bool {
	return t.result("removexattr "+show(name)+" "+show(attr), again(func() error { return unix.Lremovexattr(name, attr) }))
}

// listx writes down the sorted names of attributes. What a security module of
// the machine has put there is none of them.
func (t *T) listx(name string) bool {
	p, n := make([]byte, 65<<10), 0
	err := again(func() (err error) { n, err = unix.Llistxattr(name, p); return err })
	return t.answer("listxattr "+show(name), err, func() string {
		list := strings.Split(strings.TrimRight(string(p[:n]), "\x00"), "\x00")
		list = slices.DeleteFunc(list, func(s string) bool { return s == "security.selinux" })
		slices.Sort(list)
		if len(list) > 8 {
			return fmt.Sprintf("%d names", len(list))
		}
		return strings.Join(list, " ")
	})
}

var xattrCases = []Case{
	{"xattrs/flags", false, xattrFlagged},
	{"xattrs/sizes", false, xattrSizes},
	{"xattrs/names", false, xattrNames},
	{"xattrs/kinds", true, xattrKinds},
	{"xattrs/rights", true, xattrRights},
}

func xattrFlagged(t *T) {
	t.file("f", "x")
	t.getx("f", "user.a")
	t.listx("f")
	t.setx("f", "user.a", "one", unix.XATTR_REPLACE)
	t.setx("f", "user.a", "one", unix.XATTR_CREATE)
	t.setx("f", "user.a", "two", unix.XATTR_CREATE)
	t.getx("f", "user.a")
	t.setx("f", "user.a", "three", unix.XATTR_REPLACE)
	t.setx("f", "user.b", "", 0)
	t.getx("f", "user.b")
	t.setx("f", "user.b", "x", unix.XATTR_CREATE|unix.XATTR_REPLACE)
	t.setx("f", "user.c", "x", unix.XATTR_CREATE|unix.XATTR_REPLACE)
	t.setx("f", "user.a", "x", 1<<10)
	t.listx("f")
	t.remx("f", "user.a")
	t.remx("f", "user.a")
	t.getx("f", "user.a")
	t.setx("none", "user.a", "x", 0)
	t.getx("none", "user.a")
	t.listx("none")
	t.remx("none", "user.a")
	t.getx("f/x", "user.a")
	t.rename("f", "g")
	t.link("g", "h")
	t.listx("h")
	h := t.opened("g", unix.O_RDONLY, 0)
	t.result("fsetxattr of O_RDONLY", unix.Fsetxattr(h.fd, "user.d", []byte("by handle"), 0))
	t.getx("h", "user.d")
	t.unlink("g")
	t.unlink("h")
	b := make([]byte, 20)
	n, err := unix.Fgetxattr(h.fd, "user.d", b)
	t.answer("fgetxattr when it is unlinked", err, func() string { return string(b[:n]) })
}

func xattrSizes(t *T) {
	t.file("f", "x")
	t.setx("f", "user.a", strings.Repeat("v", 100), 0)
	for _, size := range []int{0, 1, 99, 100, 101} {
		p := make([]byte, size)
		n, err := unix.Getxattr("f", "user.a", p)
		t.count(fmt.Sprintf("getxattr into %d bytes", size), n, err)
	}
	for _, size := range []int{0, 1, 6, 7, 8} {
		p := make([]byte, size)
		n, err := unix.Listxattr("f", p)
		t.count(fmt.Sprintf("listxattr into %d bytes", size), n, err)
	}
	for _, size := range []int{1000, 3000, 65537} {
		t.setx("f", "user.large", strings.Repeat("L", size), 0)
		t.getx("f", "user.large")
	}
	for _, size := range []int{8192, 65536} {
		t.result(fmt.Sprintf("setxattr of %d bytes", size), unix.Setxattr("f", "user.larger", make([]byte, size), 0))
	}
	t.remx("f", "user.larger")
	t.remx("f", "user.large")
	bytes := make([]byte, 256)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	t.setx("f", "user.bytes", string(bytes), 0)
	t.getx("f", "user.bytes")
	t.setx("f", "user.bytes", "short", 0)
	t.getx("f", "user.bytes")
}

func xattrNames(t *T) {
	t.file("f", "x")
	for _, name := range []string{"", "a", "user", "user.", "user.a b", "user.\xff\xfe", "user.a.b.c", "USER.a", "other.a", "system.a", "users.a",
		"user." + strings.Repeat("n", 250), "user." + strings.Repeat("n", 251), "user." + strings.Repeat("n", 300)} {
		t.setx("f", name, "v", 0)
		t.getx("f", name)
		t.remx("f", name)
		t.setx("f", name, "v", unix.XATTR_REPLACE)
	}
	for i := range 20 {
		t.must(unix.Setxattr("f", fmt.Sprint("user.n", i), []byte("v"), 0))
	}
	t.listx("f")
	n, err := unix.Listxattr("f", nil)
	t.count("listxattr asked for the size", n, err)
}

// xattrKinds sets attributes of each space on each kind of inode.
func xattrKinds(t *T) {
	t.file("file", "x")
	t.dir("dir")
	t.must(unix.Symlink("file", "link"))
	t.must(unix.Mkfifo("fifo", 0o644))
	t.must(unix.Mknod("sock", unix.S_IFSOCK|0o644, 0))
	t.must(unix.Mknod("dev", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 3))))
	for _, name := range []string{"file", "dir", "link", "fifo", "sock", "dev"} {
		for _, attr := range []string{"user.a", "trusted.a", "security.a"} {
			t.setx(name, attr, "v", 0)
			t.getx(name, attr)
		}
		t.listx(name)
		t.getx(name, "user.none")
		t.remx(name, "user.a")
		t.remx(name, "trusted.a")
	}
	t.result("setxattr through a link", unix.Setxattr("link", "user.b", []byte("v"), 0))
	t.listx("file")
	t.must(unix.Chmod("dir", 0o1777))
	t.must(unix.Chmod("file", 0o444))
	t.setx("file", "user.c", "v", 0)
}

func xattrRights(t *T) {
	t.file("readable", "x")
	t.file("writable", "x")
	t.must(unix.Chmod("writable", 0o666))
	t.file("closed", "x")
	t.must(unix.Chmod("closed", 0o600))
	t.dir("sticky", "his")
	t.must(unix.Chmod("sticky", 0o1777))
	t.must(unix.Chown("his", 1001, 1001))
	for _, name := range []string{"readable", "writable", "closed", "sticky"} {
		for _, space := range []string{"user.", "trusted.", "security."} {
			t.must(unix.Setxattr(name, space+"a", []byte("v"), 0))
		}
	}
	t.as(1001, 1001, nil, func() {
		for _, name := range []string{"readable", "writable", "closed", "sticky", "his"} {
			for _, attr := range []string{"user.a", "trusted.a", "security.a"} {
				t.getx(name, attr)
				t.setx(name, attr, "w", 0)
				t.remx(name, attr)
			}
		}
	})
}
