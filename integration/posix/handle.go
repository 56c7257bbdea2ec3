//go:build linux

package posix

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// handle is an open file; fd is -1 if it could not be opened, and what is done
// with it then says EBADF.
type handle struct {
	fd   int
	name string
}

func (h handle) String() string { return "<" + show(h.name) + ">" }

// here stands for the working directory.
var here = handle{unix.AT_FDCWD, "."}

func (t *T) open(name string, flags int, mode uint32) handle {
	return t.openat(here, name, flags, mode)
}

func (t *T) openat(dir handle, name string, flags int, mode uint32) handle {
	call := "open " + show(name)
	if dir != here {
		call = "openat " + dir.String() + " " + show(name)
	}
	call += " " + openNames(flags)
	if flags&unix.O_CREAT != 0 || flags&unix.O_TMPFILE == unix.O_TMPFILE {
		call += fmt.Sprintf(" %o", mode)
	}
	h := handle{-1, name}
	err := again(func() (err error) {
		h.fd, err = unix.Openat(dir.fd, name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	if t.result(call, err) {
		t.fds = append(t.fds, h.fd)
	}
	return h
}

// opened opens for a preparation.
func (t *T) opened(name string, flags int, mode uint32) handle {
	fd := -1
	t.must(again(func() (err error) {
		fd, err = unix.Open(name, flags|unix.O_CLOEXEC, mode)
		return err
	}))
	t.fds = append(t.fds, fd)
	return handle{fd, name}
}

func (t *T) close(h handle) bool {
	for i, fd := range t.fds {
		if fd == h.fd {
			t.fds = append(t.fds[:i], t.fds[i+1:]...)
			break
		}
	}
	return t.result("close "+h.String(), unix.Close(h.fd))
}

// count writes down how many bytes a call took or gave.
func (t *T) count(call string, n int, err error) bool {
	return t.answer(call, err, func() string { return fmt.Sprint(n) })
}

func (t *T) write(h handle, data string) bool {
	n := 0
	err := again(func() (err error) { n, err = unix.Write(h.fd, []byte(data)); return err })
	return t.count(fmt.Sprintf("write %v %s", h, show(data)), n, err)
}

func (t *T) pwrite(h handle, data string, off int64) bool {
	n := 0
	err := again(func() (err error) { n, err = unix.Pwrite(h.fd, []byte(data), off); return err })
	return t.count(fmt.Sprintf("pwrite %v %s at %d", h, show(data), off), n, err)
}

func (t *T) read(h handle, size int) bool {
	n, p := 0, make([]byte, size)
	err := again(func() (err error) { n, err = unix.Read(h.fd, p); return err })
	return t.answer(fmt.Sprintf("read %v %d", h, size), err, func() string { return brief(p[:n]) })
}

func (t *T) pread(h handle, size int, off int64) bool {
	n, p := 0, make([]byte, size)
	err := again(func() (err error) { n, err = unix.Pread(h.fd, p, off); return err })
	return t.answer(fmt.Sprintf("pread %v %d at %d", h, size, off), err, func() string { return brief(p[:n]) })
}

func (t *T) seek(h handle, off int64, whence int) bool {
	word := fmt.Sprint(whence)
	if whence < len(whences) {
		word = whences[whence]
	}
	n, err := unix.Seek(h.fd, off, whence)
	return t.answer(fmt.Sprintf("lseek %v %d %s", h, off, word), err, func() string { return fmt.Sprint(n) })
}

func (t *T) ftruncate(h handle, size int64) bool {
	return t.result(fmt.Sprintf("ftruncate %v %d", h, size), again(func() error { return unix.Ftruncate(h.fd, size) }))
}

func (t *T) fsync(h handle) bool {
	return t.result("fsync "+h.String(), again(func() error { return unix.Fsync(h.fd) }))
}

func (t *T) fdatasync(h handle) bool {
	return t.result("fdatasync "+h.String(), again(func() error { return unix.Fdatasync(h.fd) }))
}

func (t *T) fchmod(h handle, mode uint32) bool {
	return t.result(fmt.Sprintf("fchmod %v %o", h, mode), again(func() error { return unix.Fchmod(h.fd, mode) }))
}

func (t *T) fchown(h handle, uid, gid int) bool {
	return t.result(fmt.Sprintf("fchown %v %d:%d", h, uid, gid), again(func() error { return unix.Fchown(h.fd, uid, gid) }))
}

func (t *T) fstat(h handle) bool {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstat(h.fd, &st) })
	return t.answer("fstat "+h.String(), err, func() string { return describe(&st) })
}

// path is a name of the open file itself.
func (h handle) path() string { return fmt.Sprintf("/proc/self/fd/%d", h.fd) }
