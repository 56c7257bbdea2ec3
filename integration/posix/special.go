//go:build linux

package posix

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var specialCases = []Case{
	{"special/fifo", false, specialFifo},
	{"special/socket", false, specialSocket},
	{"special/devices", true, specialDevices},
	{"special/make", true, specialMake},
}

func specialFifo(t *T) {
	t.mknod("p", unix.S_IFIFO|0o640, 0)
	t.stat("p")
	t.open("p", unix.O_WRONLY|unix.O_NONBLOCK, 0)
	r := t.open("p", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	w := t.open("p", unix.O_WRONLY|unix.O_NONBLOCK, 0)
	t.read(r, 10)
	t.write(w, "through")
	t.read(r, 4)
	t.read(r, 10)
	t.seek(r, 0, unix.SEEK_SET)
	t.pread(r, 1, 0)
	t.ftruncate(w, 0)
	t.fsync(w)
	t.times("write to a FIFO", func() { t.write(w, "x") }, "p")
	t.rename("p", "q")
	t.write(w, "moved")
	again := t.open("q", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	t.read(again, 10)
	t.unlink("q")
	t.write(w, "unlinked")
	t.read(r, 20)
	t.close(w)
	t.read(r, 1)
	t.close(r)
	t.close(again)
	t.mknod("p", unix.S_IFIFO|0o640, 0)
	t.link("p", "hard")
	a, b := t.open("p", unix.O_RDWR, 0), t.open("hard", unix.O_RDWR, 0)
	t.write(a, "one pipe")
	t.read(b, 20)
	t.stat("hard")
	t.setx("p", "user.a", "v", 0)
	t.setx("p", "security.a", "v", 0)
}

func specialSocket(t *T) {
	socket := func() handle {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		t.must(err)
		t.fds = append(t.fds, fd)
		return handle{fd, "socket"}
	}
	addr := func(name string) *unix.SockaddrUnix { return &unix.SockaddrUnix{Name: name} }
	s, c := socket(), socket()
	t.result("connect to none", unix.Connect(c.fd, addr("s")))
	t.result("bind s", unix.Bind(s.fd, addr("s")))
	t.stat("s")
	t.result("connect before listen", unix.Connect(c.fd, addr("s")))
	t.result("listen", unix.Listen(s.fd, 5))
	t.result("connect", unix.Connect(c.fd, addr("s")))
	fd, _, err := unix.Accept4(s.fd, unix.SOCK_CLOEXEC)
	if t.result("accept", err) {
		t.fds = append(t.fds, fd)
		t.write(c, "hello")
		t.read(handle{fd, "accepted"}, 10)
	}
	t.result("bind where a socket is", unix.Bind(socket().fd, addr("s")))
	t.file("f", "x")
	t.result("bind where a file is", unix.Bind(socket().fd, addr("f")))
	t.result("bind in no directory", unix.Bind(socket().fd, addr("none/s")))
	t.result("connect to a file", unix.Connect(socket().fd, addr("f")))
	t.open("s", unix.O_RDWR, 0)
	t.rename("s", "t")
	t.result("connect by the new name", unix.Connect(socket().fd, addr("t")))
	t.link("t", "u")
	t.result("connect by a further name", unix.Connect(socket().fd, addr("u")))
	t.unlink("t")
	t.unlink("u")
	t.result("connect when it is unlinked", unix.Connect(socket().fd, addr("t")))
	t.result("bind again", unix.Bind(socket().fd, addr("t")))
	d, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	t.must(err)
	t.fds = append(t.fds, d)
	t.result("bind of datagrams", unix.Bind(d, addr("d")))
	t.result("connect of a stream to datagrams", unix.Connect(socket().fd, addr("d")))
}

func specialDevices(t *T) {
	t.mknod("null", unix.S_IFCHR|0o666, unix.Mkdev(1, 3))
	t.mknod("zero", unix.S_IFCHR|0o444, unix.Mkdev(1, 5))
	t.mknod("large", unix.S_IFCHR|0o600, unix.Mkdev(4095, 1048575))
	t.mknod("block", unix.S_IFBLK|0o600, unix.Mkdev(259, 1048575))
	for _, name := range []string{"null", "zero", "large", "block"} {
		t.stat(name)
	}
	n, z := t.open("null", unix.O_RDWR, 0), t.open("zero", unix.O_RDONLY, 0)
	t.write(n, "gone")
	t.read(n, 4)
	t.read(z, 4)
	t.open("large", unix.O_RDONLY, 0)
	t.open("block", unix.O_RDONLY, 0)
	t.close(t.open("null", unix.O_WRONLY|unix.O_TRUNC|unix.O_CREAT, 0o644))
	t.open("null", unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o644)
	t.truncate("null", 0)
	t.times("write to a device", func() { t.write(n, "x") }, "null")
	t.rename("null", "moved")
	t.link("moved", "hard")
	t.stat("hard")
	t.unlink("moved")
	t.chmod("hard", 0o600)
	t.as(1001, 1001, nil, func() {
		t.open("hard", unix.O_RDONLY, 0)
		t.open("zero", unix.O_RDONLY, 0)
	})
	t.mknod("white", unix.S_IFCHR, 0)
	t.stat("white")
	t.open("white", unix.O_RDONLY, 0)
}

// specialMake makes what mknod(2) can make, and what it cannot.
func specialMake(t *T) {
	for i, mode := range []uint32{0, unix.S_IFREG, unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFDIR, unix.S_IFLNK, 0o130000, 0o030000} {
		name := fmt.Sprint("n", i)
		t.mknod(name, mode|0o4640, 0)
		t.stat(name)
	}
	t.mknod("n1", unix.S_IFIFO|0o644, 0)
	t.mknod("none/x", unix.S_IFIFO|0o644, 0)
	t.mknod("n1/x", unix.S_IFIFO|0o644, 0)
	h := t.open("n1", unix.O_RDWR, 0)
	t.write(h, "made by mknod")
	t.content("n1")
	abs, err := filepath.Abs(".")
	t.must(err)
	t.must(os.Symlink(abs, "abs"))
	t.mknod("abs/through", unix.S_IFIFO|0o600, 0)
	t.list(".")
}
