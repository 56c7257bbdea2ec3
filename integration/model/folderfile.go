package model

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func (d *Folder) openFile(c *Call, _ *Result) error {
	fd, err := unix.Open(d.at(c.Path), c.Flags|unix.O_CLOEXEC, c.Mode)
	if err == nil {
		d.open[c.File] = &opened{by: c.By, fd: fd}
	}
	return err
}

// fd is the descriptor that a number of an open file stands for.
func (d *Folder) fd(n int) int {
	if f := d.open[n]; f != nil {
		return f.fd
	}
	return -1
}

func (d *Folder) close(c *Call, _ *Result) error {
	f := d.open[c.File]
	delete(d.open, c.File)
	switch {
	case f == nil:
		return syscall.EBADF
	case f.mem != nil:
		return unix.Munmap(f.mem)
	}
	return unix.Close(f.fd)
}

func (d *Folder) read(c *Call, r *Result) error {
	p := aligned(c.Len)
	n, err := unix.Pread(d.fd(c.File), p, c.Off)
	r.Data = p[:max(n, 0)]
	return err
}

func (d *Folder) write(c *Call, r *Result) error {
	n, err := unix.Pwrite(d.fd(c.File), bytesOf(c.Seed, c.Len), c.Off)
	r.N = int64(n)
	return err
}

func (d *Folder) ftruncate(c *Call, _ *Result) error { return unix.Ftruncate(d.fd(c.File), c.Off) }

func (d *Folder) fsync(c *Call, _ *Result) error { return unix.Fsync(d.fd(c.File)) }

func (d *Folder) fdatasync(c *Call, _ *Result) error { return unix.Fdatasync(d.fd(c.File)) }

func (d *Folder) fchmod(c *Call, _ *Result) error { return unix.Fchmod(d.fd(c.File), c.Mode) }

// futimens is utimensat(2) without a path, as glibc makes it.
func (d *Folder) futimens(c *Call, _ *Result) error {
	ts := timespecs(c)
	_, _, no := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(d.fd(c.File)), 0, uintptr(unsafe.Pointer(&ts[0])), 0, 0, 0)
	if no != 0 {
		return no
	}
	return nil
}

func (d *Folder) fsetxattr(c *Call, _ *Result) error {
	return unix.Fsetxattr(d.fd(c.File), c.To, c.value(), c.Flags)
}

func (d *Folder) fgetxattr(c *Call, r *Result) error {
	p := make([]byte, c.Len)
	n, err := unix.Fgetxattr(d.fd(c.File), c.To, p)
	return r.valueOf(p, n, err)
}

func (d *Folder) seek(c *Call, r *Result) (err error) {
	r.N, err = unix.Seek(d.fd(c.File), c.Off, c.Flags)
	return err
}

func (d *Folder) allocate(c *Call, _ *Result) error {
	return unix.Fallocate(d.fd(c.File), uint32(c.Flags), c.Off, c.Len)
}

// copy copies until nothing is left: a system call may stop early.
func (d *Folder) copy(c *Call, r *Result) error {
	in, out := c.Off, c.Off2
	for r.N < c.Len {
		n, err := unix.CopyFileRange(d.fd(c.File), &in, d.fd(c.From), &out, int(c.Len-r.N), 0)
		if n <= 0 {
			return err
		}
		r.N += int64(n)
	}
	return nil
}

// proc is another name of an open file.
func (d *Folder) proc(n int) string { return fmt.Sprintf("/proc/self/fd/%d", d.fd(n)) }

func (d *Folder) linkat(c *Call, _ *Result) error {
	return unix.Linkat(unix.AT_FDCWD, d.proc(c.File), unix.AT_FDCWD, d.at(c.To), unix.AT_SYMLINK_FOLLOW)
}

func (d *Folder) lstat(c *Call, r *Result) error {
	return d.statx(unix.AT_FDCWD, d.at(c.Path), unix.AT_SYMLINK_NOFOLLOW, &r.Stat)
}

func (d *Folder) stat(c *Call, r *Result) error {
	return d.statx(unix.AT_FDCWD, d.at(c.Path), 0, &r.Stat)
}

func (d *Folder) fstat(c *Call, r *Result) error {
	return d.statx(d.fd(c.File), "", unix.AT_EMPTY_PATH, &r.Stat)
}

func (d *Folder) statx(fd int, path string, flags int, s *Stat) error {
	var x unix.Statx_t
	if err := unix.Statx(fd, path, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x); err != nil {
		return err
	}
	ns := func(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }
	*s = Stat{
		Ino: x.Ino, Mode: uint32(x.Mode), Nlink: x.Nlink, UID: x.Uid, GID: x.Gid, Rdev: unix.Mkdev(x.Rdev_major, x.Rdev_minor),
		Size: int64(x.Size), Blocks: int64(x.Blocks), Atime: ns(x.Atime), Mtime: ns(x.Mtime), Ctime: ns(x.Ctime), Btime: ns(x.Btime),
	}
	if !d.gens {
		return nil
	}
	follow := unix.AT_SYMLINK_FOLLOW
	if flags&unix.AT_SYMLINK_NOFOLLOW != 0 {
		follow = 0
	}
	h, _, err := unix.NameToHandleAt(fd, path, follow|flags&unix.AT_EMPTY_PATH)
	if err == nil {
		s.Gen = hex.EncodeToString(h.Bytes())
	}
	return err
}

// size is the size of an open file.
func (d *Folder) size(n int) int64 { return d.Do(&Call{Op: Fstat, File: n}).Stat.Size }

// contents is the beginning of an open file, as far as looked, however it was
// opened.
func (d *Folder) contents(n int) []byte {
	f, err := os.Open(d.proc(n))
	if err != nil {
		return nil
	}
	defer f.Close()
	p, _ := io.ReadAll(io.LimitReader(f, looked))
	return p
}

func (d *Folder) mmap(c *Call, _ *Result) error {
	mem, err := unix.Mmap(d.fd(c.From), c.Off, int(c.Len), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		d.open[c.File] = &opened{by: c.By, fd: -1, mem: mem}
	}
	return err
}

// touch uses a mapping. Behind the end of its file that is SIGBUS, which counts
// as EFAULT.
func (d *Folder) touch(c *Call, use func(mem []byte)) (err error) {
	f := d.open[c.File]
	if f == nil || f.mem == nil || c.Off+c.Len > int64(len(f.mem)) {
		return syscall.EBADF
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = syscall.EFAULT
		}
	}()
	use(f.mem[c.Off : c.Off+c.Len])
	return nil
}

func (d *Folder) mapRead(c *Call, r *Result) error {
	return d.touch(c, func(mem []byte) { r.Data = append([]byte(nil), mem...) })
}

func (d *Folder) mapWrite(c *Call, _ *Result) error {
	p := bytesOf(c.Seed, c.Len)
	return d.touch(c, func(mem []byte) { copy(mem, p) })
}

func (d *Folder) msync(c *Call, _ *Result) error {
	f := d.open[c.File]
	if f == nil || f.mem == nil {
		return syscall.EBADF
	}
	return unix.Msync(f.mem, unix.MS_SYNC)
}

func (d *Folder) unmap(c *Call, _ *Result) error { return d.close(c, nil) }

func (d *Folder) opendir(c *Call, _ *Result) error {
	fd, err := unix.Open(d.at(c.Path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		d.open[c.File] = &opened{by: c.By, fd: fd}
	}
	return err
}

func (d *Folder) getdents(c *Call, r *Result) (err error) {
	r.Entries, err = dents(d.fd(c.File), make([]byte, c.Len))
	return err
}

func (d *Folder) seekdir(c *Call, _ *Result) error {
	_, err := unix.Seek(d.fd(c.File), c.Off, unix.SEEK_SET)
	return err
}

func (d *Folder) listdir(c *Call, r *Result) (err error) {
	r.Entries, err = list(d.proc(c.File))
	return err
}

// dents reads the next entries of a directory, as many as there is room for: a
// number, a cookie, the entry's length, its type and its name, of struct
// linux_dirent64.
func dents(fd int, room []byte) (entries []Entry, err error) {
	n, err := unix.Getdents(fd, room)
	for rest := room[:max(n, 0)]; len(rest) > 0; {
		size := binary.NativeEndian.Uint16(rest[16:])
		entries = append(entries, Entry{
			Name: unix.ByteSliceToString(rest[19:size]), Type: rest[18],
			Ino: binary.NativeEndian.Uint64(rest), Cookie: int64(binary.NativeEndian.Uint64(rest[8:])),
		})
		rest = rest[size:]
	}
	return entries, err
}

// crowdName is the name of a file of a crowd.
func crowdName(c *Call, i int64) string {
	return fmt.Sprintf("%s%ccrowd %d", c.Path, os.PathSeparator, c.Off+i)
}
