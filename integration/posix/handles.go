//go:build linux

package posix

import (
	"golang.org/x/sys/unix"
)

var handleCases = []Case{
	{"handles/open", true, handlesOpen},
	{"handles/notify", false, handlesNotify},
}

// handlesOpen opens files by handles, as a server of files does.
func handlesOpen(t *T) {
	t.file("f", "content")
	t.dir("d")
	at := t.opened(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for _, name := range []string{"f", "d", "none"} {
		h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, name, 0)
		if !t.result("name_to_handle_at "+name, err) {
			continue
		}
		fd, err := unix.OpenByHandleAt(at.fd, h, unix.O_RDONLY|unix.O_CLOEXEC)
		if !t.result("open_by_handle_at "+name, err) {
			continue
		}
		t.fds = append(t.fds, fd)
		t.fstat(handle{fd, name})
		t.read(handle{fd, name}, 20)
		t.as(1001, 1001, nil, func() {
			_, err := unix.OpenByHandleAt(at.fd, h, unix.O_RDONLY|unix.O_CLOEXEC)
			t.result("open_by_handle_at "+name, err)
		})
		t.rename(name, name+"2")
		fd, err = unix.OpenByHandleAt(at.fd, h, unix.O_RDONLY|unix.O_CLOEXEC)
		if t.result("open_by_handle_at after a rename", err) {
			t.fds = append(t.fds, fd)
		}
	}
}

// handlesNotify asks for what else a handle can do.
func handlesNotify(t *T) {
	d := t.opened(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	_, err := unix.FcntlInt(uintptr(d.fd), unix.F_NOTIFY, 4) // DN_CREATE
	t.result("F_NOTIFY", err)
	_, err = unix.FcntlInt(uintptr(d.fd), unix.F_NOTIFY, 0)
	t.result("F_NOTIFY of nothing", err)
	t.file("f", "x")
	f := t.opened("f", unix.O_RDWR, 0)
	for _, cmd := range []struct {
		name string
		cmd  int
	}{{"F_NOTIFY of a file", unix.F_NOTIFY}, {"F_GETPIPE_SZ of a file", unix.F_GETPIPE_SZ}, {"F_GET_SEALS of a file", unix.F_GET_SEALS},
		{"F_GETSIG", unix.F_GETSIG}, {"F_GETOWN", unix.F_GETOWN}, {"an unknown fcntl", 9999}} {
		n, err := unix.FcntlInt(uintptr(f.fd), cmd.cmd, 4)
		t.count(cmd.name, n, err)
	}
	e, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	t.must(err)
	t.fds = append(t.fds, e)
	t.result("epoll of a file", unix.EpollCtl(e, unix.EPOLL_CTL_ADD, f.fd, &unix.EpollEvent{Events: unix.EPOLLIN}))
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN | unix.POLLOUT}}, 1000)
	t.count("poll of a file", n, err)
}
