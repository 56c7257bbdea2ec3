package storm

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// workIn is the variable that makes a test binary a worker: a process that does
// what it is told in one folder of the mount, call by call. A process that tests
// a mount must not be the one that hangs with it.
const workIn = "HAMMOCK_STORM_WORK_IN"

// call is one call of a program; names are relative to the worker's folder.
type call struct {
	Op     string
	Name   string
	To     string
	Flags  int
	Handle int
	Source int // handle that copyrange reads
	Off    int64
	From   int64 // where copyrange reads
	Len    int64
	Data   []byte
}

func (c *call) String() string {
	s := c.Op
	if c.Name != "" {
		s += " " + c.Name
	}
	if c.To != "" {
		s += " -> " + c.To
	}
	if c.Off != 0 || c.Len != 0 || c.Data != nil {
		s += fmt.Sprintf(" [%d, +%d)", c.Off, max(c.Len, int64(len(c.Data))))
	}
	return s
}

// answer is what a call returned.
type answer struct {
	N     int64
	Errno syscall.Errno
	Err   string // what is not an errno
	Data  []byte
	Tree  []seen
}

func (a *answer) err() error {
	if a.Errno != 0 {
		return a.Errno
	}
	if a.Err != "" {
		return errors.New(a.Err)
	}
	return nil
}

// work answers calls until there are no more.
func work(dir string, in io.Reader, out io.Writer) error {
	calls, answers := gob.NewDecoder(in), gob.NewEncoder(out)
	w := worker{dir: dir, open: map[int]int{}}
	for {
		var c call
		if err := calls.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a call: %w", err)
		}
		var a answer
		if err := w.do(&c, &a); err != nil && !errors.As(err, &a.Errno) {
			a.Err = err.Error()
		}
		if err := answers.Encode(&a); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
}

type worker struct {
	dir  string
	open map[int]int // handle to descriptor
}

func (w *worker) do(c *call, a *answer) (err error) {
	name, to := filepath.Join(w.dir, c.Name), filepath.Join(w.dir, c.To)
	fd := w.open[c.Handle]
	switch c.Op {
	case "open":
		fd, err = syscall.Open(name, c.Flags|syscall.O_CLOEXEC, 0o644)
		if err == nil {
			w.open[c.Handle] = fd
		}
	case "close":
		delete(w.open, c.Handle)
		err = syscall.Close(fd)
	case "write":
		a.N, err = wrote(syscall.Pwrite(fd, c.Data, c.Off))
	case "append":
		a.N, err = wrote(syscall.Write(fd, c.Data))
	case "fsync":
		err = syscall.Fsync(fd)
	case "fdatasync":
		err = syscall.Fdatasync(fd)
	case "ftruncate":
		err = syscall.Ftruncate(fd, c.Len)
	case "copyrange":
		a.N, err = copyRange(w.open[c.Source], c.From, fd, c.Off, c.Len)
	case "store":
		err = store(name, c.Off, c.Data)
	case "truncate":
		err = syscall.Truncate(name, c.Len)
	case "mkdir":
		err = syscall.Mkdir(name, 0o755)
	case "rmdir":
		err = syscall.Rmdir(name)
	case "unlink":
		err = syscall.Unlink(name)
	case "rename":
		err = syscall.Rename(name, to)
	case "exchange":
		err = unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	case "link":
		err = syscall.Link(name, to)
	case "symlink":
		err = syscall.Symlink(c.To, name)
	case "read":
		a.Data, err = os.ReadFile(name)
	case "tree":
		a.Tree, err = tree(w.dir)
	default:
		err = fmt.Errorf("there is no call %s", c.Op)
	}
	return err
}

func wrote(n int, err error) (int64, error) { return int64(max(n, 0)), err }

// copyRange shares a range of one file with another, all of it if it can be.
func copyRange(from int, off int64, to int, at, n int64) (done int64, err error) {
	for done < n {
		src, dst := off+done, at+done
		k, err := unix.CopyFileRange(from, &src, to, &dst, int(n-done), 0)
		if err != nil || k == 0 {
			return done, err
		}
		done += int64(k)
	}
	return done, nil
}

// store writes through a shared mapping and has it written back. The file is as
// long as it has to be.
func store(name string, off int64, data []byte) error {
	fd, err := syscall.Open(name, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	page := off &^ int64(os.Getpagesize()-1)
	b, err := unix.Mmap(fd, page, int(off-page)+len(data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copied := copyMapped(b[off-page:], data)
	return errors.Join(copied, unix.Msync(b, unix.MS_SYNC), unix.Munmap(b))
}

// tree reads everything below a folder.
func tree(dir string) (list []seen, err error) {
	read := map[uint64]bool{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return fmt.Errorf("lstat %s: %w", path, err)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		s := seen{Name: rel, Ino: st.Ino, Links: uint64(st.Nlink)}
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFDIR:
			s.Kind = 'd'
		case syscall.S_IFLNK:
			s.Kind = 'l'
			s.Target, err = os.Readlink(path)
		case syscall.S_IFREG:
			s.Kind = 'f'
			if !read[s.Ino] {
				read[s.Ino] = true
				if s.Data, err = os.ReadFile(path); errors.Is(err, syscall.EIO) {
					s.Data, s.Err, err = nil, err.Error(), nil
				}
			}
			if err == nil && s.Data != nil && int64(len(s.Data)) != st.Size {
				err = fmt.Errorf("%s: stat says %d bytes, and %d can be read", rel, st.Size, len(s.Data))
			}
		default:
			s.Kind = '?'
		}
		list = append(list, s)
		return err
	})
	return list, err
}
