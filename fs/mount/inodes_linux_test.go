package mount

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/fs/volume"
)

// linkOpen gives an open file a name.
func linkOpen(fd int, name string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}

func testTmpfile(t *testing.T) {
	must(t, os.Chown(".", ann, ann))
	must(t, as(t, ann, nil, func() error {
		fd, err := unix.Open(".", unix.O_TMPFILE|unix.O_RDWR, 0o666)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Nlink != 0 || st.Mode != unix.S_IFREG|0o644 || st.Uid != ann {
			t.Errorf("%+v, %v", st, err)
		}
		if _, err := unix.Write(fd, []byte("content")); err != nil {
			return err
		}
		if err := linkOpen(fd, "named"); err != nil {
			return err
		}
		if err := unix.Fstat(fd, &st); err != nil || st.Nlink != 1 {
			t.Errorf("%+v, %v", st, err)
		}
		wantErrno(t, "a taken name", linkOpen(fd, "named"), syscall.EEXIST)
		return nil
	}))
	if got, err := os.ReadFile("named"); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	fd, err := unix.Open(".", unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL, 0o666)
	must(t, err)
	defer unix.Close(fd)
	wantErrno(t, "O_EXCL", linkOpen(fd, "never"), syscall.ENOENT)
	_, err = unix.Open(".", unix.O_TMPFILE|unix.O_RDONLY, 0o666)
	wantErrno(t, "to read only", err, syscall.EINVAL)
}

// testRemoved uses what has no name any more.
func testRemoved(t *testing.T) {
	for _, replace := range []bool{false, true} {
		file(t, "f", 0, 0, 0o644)
		file(t, "g", 0, 0, 0o644)
		f, err := os.OpenFile("f", os.O_RDWR, 0)
		must(t, err)
		if replace {
			must(t, os.Rename("g", "f"))
		} else {
			must(t, os.Remove("f"))
		}
		fd := int(f.Fd())
		wantErrno(t, "link", linkOpen(fd, "again"), syscall.ENOENT)
		must(t, f.Chmod(0o600))
		must(t, unix.Futimes(fd, []unix.Timeval{{Sec: 5}, {Sec: 6}}))
		must(t, unix.Fsetxattr(fd, "user.a", []byte("1"), 0))
		must(t, unix.Fsetxattr(fd, volume.XattrACL, forAnn(6, 6, 0, 6, 0), 0))
		must(t, f.Truncate(2))
		must(t, f.Sync())
		var st unix.Stat_t
		must(t, unix.Fstat(fd, &st))
		if st.Nlink != 0 || st.Size != 2 || st.Mode&0o7777 != 0o660 {
			t.Errorf("%+v", st)
		}
		got, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", fd)) // opens it again
		if err != nil || string(got) != "te" {
			t.Errorf("%q, %v", got, err)
		}
		must(t, f.Close())
	}
	must(t, os.Mkdir("d", 0o755))
	must(t, unix.Setxattr("d", "user.a", []byte("1"), 0))
	fd, err := unix.Open("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, os.Remove("d"))
	wantErrno(t, "mkdir in it", unix.Mkdirat(fd, "x", 0o755), syscall.ENOENT)
	_, err = unix.Openat(fd, "x", unix.O_CREAT|unix.O_RDWR, 0o600)
	wantErrno(t, "create in it", err, syscall.ENOENT)
	_, err = unix.Openat(fd, ".", unix.O_TMPFILE|unix.O_RDWR, 0o600)
	wantErrno(t, "O_TMPFILE in it", err, syscall.EPERM)
	must(t, unix.Fchmod(fd, 0o700))
	must(t, unix.Fsetxattr(fd, "user.b", []byte("2"), 0))
	buf := make([]byte, 100)
	if n, err := unix.Fgetxattr(fd, "user.a", buf); err != nil || string(buf[:n]) != "1" {
		t.Error(n, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Nlink != 0 || st.Mode&0o7777 != 0o700 {
		t.Errorf("%+v, %v", st, err)
	}
}

// testTimes says for each change which times it changes.
func testTimes(t *testing.T) {
	must(t, os.WriteFile("f", []byte("text"), 0o644))
	must(t, os.WriteFile("empty", nil, 0o644))
	f, err := os.OpenFile("f", os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	omit := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_OMIT}}
	for _, c := range []struct {
		what, name string
		do         func() error
		m, c       bool
	}{
		{"truncate to the same size", "f", func() error { return os.Truncate("f", 4) }, true, true},
		{"ftruncate to the same size", "f", func() error { return f.Truncate(4) }, true, true},
		{"truncate", "f", func() error { return os.Truncate("f", 100) }, true, true},
		{"O_TRUNC of nothing", "empty", opening("empty", os.O_WRONLY|os.O_TRUNC), true, true},
		{"write", "f", writing("f"), true, true},
		{"chmod to the same", "f", func() error { return os.Chmod("f", 0o644) }, false, true},
		{"chown to nobody", "f", func() error { return os.Chown("f", -1, -1) }, false, true},
		{"a new attribute", "f", func() error { return unix.Setxattr("f", "user.a", []byte("1"), 0) }, false, true},
		{"the same attribute", "f", func() error { return unix.Setxattr("f", "user.a", []byte("1"), 0) }, false, false},
		{"a list", "f", func() error { return unix.Setxattr("f", volume.XattrACL, forAnn(6, 6, 6, 6, 6), 0) }, false, true},
		{"removal of no list", "empty", func() error { return unix.Removexattr("empty", volume.XattrACL) }, false, false},
		{"no times", "f", func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, "f", omit, 0) }, false, false},
		{"atime now", "f", func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, "f", now, 0) }, false, true},
		{"link", "f", func() error { return os.Link("f", "f2") }, false, true},
		{"unlink", "f", func() error { return os.Remove("f2") }, false, true},
		{"rename", "f", func() error { return os.Rename("f", "f3") }, false, true},
		{"rename, of the folder", ".", func() error { return os.Rename("f3", "f") }, true, true},
		{"rename onto itself", ".", func() error { return os.Rename("f", "f") }, false, false},
		{"O_TMPFILE, of the folder", ".", opening(".", os.O_RDWR|unix.O_TMPFILE), false, false},
	} {
		before := times(t, c.name)
		tick(t)
		must(t, c.do())
		name := c.name
		if c.what == "rename" {
			name = "f3"
		}
		after := times(t, name)
		if m, ct := after[0] != before[0], after[1] != before[1]; m != c.m || ct != c.c {
			t.Errorf("%s: mtime changed %v, ctime %v; want %v, %v", c.what, m, ct, c.m, c.c)
		}
	}
}

// tick waits until the clock by which the kernel stamps files goes on.
func tick(t *testing.T) {
	t.Helper()
	var from, now unix.Timespec
	must(t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &from))
	for now = from; now == from; time.Sleep(time.Millisecond) {
		must(t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now))
	}
}

func times(t *testing.T, name string) [2]unix.Timespec {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(name, &st))
	return [2]unix.Timespec{st.Mtim, st.Ctim}
}

func testWhiteout(t *testing.T) {
	rename := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
	}
	file(t, "a", 0, 0, 0o644)
	file(t, "b", 0, 0, 0o644)
	must(t, os.MkdirAll("d/e", 0o755))
	must(t, rename("a", "c", unix.RENAME_WHITEOUT))
	var st unix.Stat_t
	if err := unix.Lstat("a", &st); err != nil || st.Mode != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	wantErrno(t, "whiteout and exchange", rename("c", "b", unix.RENAME_WHITEOUT|unix.RENAME_EXCHANGE), syscall.EINVAL)
	wantErrno(t, "noreplace and exchange", rename("c", "b", unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE), syscall.EINVAL)
	wantErrno(t, "noreplace", rename("c", "b", unix.RENAME_NOREPLACE), syscall.EEXIST)
	wantErrno(t, "exchange with nothing", rename("c", "nothing", unix.RENAME_EXCHANGE), syscall.ENOENT)
	wantErrno(t, "exchange with what it is in", rename("d", "d/e", unix.RENAME_EXCHANGE), syscall.EINVAL)
	wantErrno(t, "exchange with what holds it", rename("d/e", "d", unix.RENAME_EXCHANGE), syscall.EINVAL)
	wantErrno(t, "over what holds it", rename("d/e", "d", 0), syscall.ENOTEMPTY)
	must(t, rename("b", "d/e", unix.RENAME_EXCHANGE))
	var top, d unix.Stat_t
	must(t, unix.Lstat("d", &d))
	must(t, unix.Lstat(".", &top))
	if d.Nlink != 2 || top.Nlink != 4 {
		t.Errorf("%d and %d links", d.Nlink, top.Nlink)
	}
}

// testRunning runs a program from the folder, which cannot be written meanwhile.
func testRunning(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	must(t, err)
	program, err := os.ReadFile(sleep)
	must(t, err)
	must(t, os.WriteFile("sleep", program, 0o755))
	ctx, cancel := context.WithTimeout(context.Background(), outsideLimit)
	defer cancel()
	run := exec.CommandContext(ctx, "./sleep", "60")
	run.WaitDelay = 5 * time.Second
	must(t, run.Start())
	wantErrno(t, "a running program", opening("sleep", os.O_WRONLY)(), syscall.ETXTBSY)
	must(t, os.Remove("sleep"))
	must(t, run.Process.Kill())
	_ = run.Wait()
	must(t, os.Symlink("loop", "loop"))
	wantErrno(t, "a loop", opening("loop", os.O_RDONLY)(), syscall.ELOOP)
	wantErrno(t, "O_NOFOLLOW", opening("loop", os.O_RDONLY|unix.O_NOFOLLOW)(), syscall.ELOOP)
}

func testXattrLimits(t *testing.T) {
	file(t, "f", 0, 0, 0o644)
	long := "user." + strings.Repeat("n", 250)
	must(t, unix.Setxattr("f", long, nil, 0))
	if getxattr(t, "f", long) != "" {
		t.Error("an empty value is not empty")
	}
	wantErrno(t, "a name of 256 bytes", unix.Setxattr("f", long+"n", nil, 0), syscall.ERANGE)
	wantErrno(t, "more than 64 KiB", unix.Setxattr("f", "user.a", make([]byte, 64<<10+1), 0), syscall.E2BIG)
	wantErrno(t, "replace nothing", unix.Setxattr("f", "user.a", nil, unix.XATTR_REPLACE), syscall.ENODATA)
	must(t, unix.Setxattr("f", "user.a", []byte("12345"), unix.XATTR_CREATE))
	wantErrno(t, "create again", unix.Setxattr("f", "user.a", nil, unix.XATTR_CREATE), syscall.EEXIST)
	_, err := unix.Getxattr("f", "user.a", make([]byte, 4))
	wantErrno(t, "too little room", err, syscall.ERANGE)
	_, err = unix.Listxattr("f", make([]byte, 4))
	wantErrno(t, "too little room for names", err, syscall.ERANGE)
	if n, err := unix.Listxattr("f", nil); err != nil || n != len(long)+1+len("user.a")+1 {
		t.Errorf("a list of %d bytes, %v", n, err)
	}
	must(t, os.Symlink("f", "s"))
	wantErrno(t, "of a symbolic link", unix.Lsetxattr("s", "user.a", nil, 0), syscall.EPERM)
	wantErrno(t, "a list of a symbolic link", unix.Lsetxattr("s", volume.XattrACL, forAnn(7, 7, 7, 7, 7), 0), syscall.EOPNOTSUPP)
	for name, want := range map[string]syscall.Errno{"user.": syscall.EINVAL, "system.x": syscall.EOPNOTSUPP, "x": syscall.EOPNOTSUPP} {
		wantErrno(t, name, unix.Setxattr("f", name, nil, 0), want)
	}
	wantErrno(t, "half a list", unix.Setxattr("f", volume.XattrACL, forAnn(7, 7, 7, 7, 7)[:10], 0), syscall.EINVAL)
}

// testListPrograms has programs copy access control lists.
func testListPrograms(t *testing.T) {
	must(t, os.Mkdir("src", 0o755))
	file(t, "src/f", 0, 0, 0o640)
	run := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), outsideLimit)
		defer cancel()
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.WaitDelay = 5 * time.Second
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, program := range []string{"setfacl", "rsync", "tar"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	run("setfacl", "-m", fmt.Sprintf("u:%d:rw,g:%d:r", ann, bob), "src/f")
	run("setfacl", "-d", "-m", fmt.Sprintf("u:%d:rwx", ann), "src")
	run("mkdir", "src/sub")
	must(t, os.WriteFile("src/sub/g", bytes.Repeat([]byte("x"), 5000), 0o666))
	want := run("getfacl", "-R", "src")
	if !strings.Contains(want, fmt.Sprintf("default:user:%d:rwx", ann)) || !strings.Contains(want, fmt.Sprintf("user:%d:rw-\n", ann)) {
		t.Errorf("getfacl says\n%s", want)
	}
	run("cp", "-a", "src", "cp")
	run("rsync", "-aA", "src/", "rsync/")
	run("tar", "--acls", "-cf", "t.tar", "src")
	run("mkdir", "tar")
	run("tar", "--acls", "-xf", "t.tar", "-C", "tar")
	for _, copied := range []string{"cp", "rsync", "tar/src"} {
		if got := run("getfacl", "-R", copied); strings.ReplaceAll(got, "# file: "+copied, "# file: src") != want {
			t.Errorf("after %s getfacl says\n%s, not\n%s", copied, got, want)
		}
	}
	run("setfacl", "-R", "-b", "src")
	if got := run("getfacl", "-R", "src"); strings.Contains(got, fmt.Sprint(ann)) {
		t.Errorf("after removal getfacl says\n%s", got)
	}
}
