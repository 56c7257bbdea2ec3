package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/fs/volume/acl"
)

// usersDir is the environment variable that makes this test binary a program
// whose threads are other users, in a mounted folder and in one of the disk:
// what is true there must be true in the mount.
const usersDir = "HAMMOCK_TEST_USERS"

var userSuites = map[string]func(*testing.T){
	"lists": testLists, "inherited lists": testInheritedLists, "lists and set-group-ID": testListByOutsider,
	"set-ID": testSetID, "capabilities": testCapabilities, "trusted": testTrusted, "sticky": testSticky,
	"set-group-ID folder": testSetGIDFolder, "tmpfile": testTmpfile, "removed": testRemoved, "times": testTimes,
	"whiteout": testWhiteout, "running program": testRunning, "list programs": testListPrograms, "xattr limits": testXattrLimits,
}

// TestUsers runs the suites as root with other users in its threads.
func TestUsers(t *testing.T) {
	if dir := os.Getenv(usersDir); dir != "" {
		t.Skip("is inside")
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root, to be other users")
		}
		t.Skip("needs root, to be other users")
	}
	_, dir := mountOrSkip(t, Options{AllowOther: true, Suid: true, Dev: true})
	for _, dir := range []string{dir, t.TempDir()} {
		must(t, os.Chmod(dir, 0o755))
		ctx, cancel := context.WithTimeout(context.Background(), outsideLimit)
		program := outside(ctx, os.Args[0], "-test.run=^TestUsersInside$", "-test.v", "-test.timeout=3m")
		program.Env = append(os.Environ(), usersDir+"="+dir)
		out, err := program.CombinedOutput()
		cancel()
		if err != nil || strings.Count(string(out), "--- PASS: TestUsersInside/") != len(userSuites) {
			t.Errorf("in %s: %v\n%s", dir, err, out)
		}
	}
}

// TestUsersInside is what the program does. Paths are relative, for other users
// may not enter the folders above.
func TestUsersInside(t *testing.T) {
	dir := os.Getenv(usersDir)
	if dir == "" {
		t.Skip("runs as a program of its own, started by TestUsers")
	}
	syscall.Umask(0o022)
	for name, f := range userSuites {
		t.Run(name, func(t *testing.T) {
			own := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			must(t, os.Mkdir(own, 0o755))
			must(t, os.Chdir(own))
			f(t)
		})
	}
}

// Some users, each of a group of its own number.
const (
	ann = 77077
	bob = 77078
)

// as does something as another user, who is in further groups too.
func as(t *testing.T, uid int, groups []uint32, do func() error) error {
	t.Helper()
	var err error
	var done sync.WaitGroup
	done.Go(func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		for _, call := range []func() syscall.Errno{
			func() syscall.Errno {
				_, _, no := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0)
				return no
			},
			func() syscall.Errno {
				_, _, no := syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid))
				return no
			},
			func() syscall.Errno {
				_, _, no := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
				return no
			},
		} {
			if no := call(); no != 0 {
				err = fmt.Errorf("cannot become user %d: %w", uid, no)
				return
			}
		}
		err = do()
	})
	done.Wait()
	return err
}

func file(t *testing.T, name string, uid, gid int, mode uint32) {
	t.Helper()
	must(t, os.WriteFile(name, []byte("text"), 0o600))
	must(t, os.Chown(name, uid, gid))
	must(t, syscall.Chmod(name, mode))
}

func modeOf(t *testing.T, name string) uint32 {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Lstat(name, &st))
	return st.Mode & 0o7777
}

func wantMode(t *testing.T, what, name string, want uint32) {
	t.Helper()
	if got := modeOf(t, name); got != want {
		t.Errorf("%s: mode %o, want %o", what, got, want)
	}
}

func opening(name string, flags int) func() error {
	return func() error {
		f, err := os.OpenFile(name, flags, 0)
		if err == nil {
			err = f.Close()
		}
		return err
	}
}

func writing(name string) func() error {
	return func() error {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("x")
		return errors.Join(err, f.Close())
	}
}

func allocating(name string) func() error {
	return func() error {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, 10), f.Close())
	}
}

// forAnn is a list that gives her something.
func forAnn(owner, user, group, mask, other uint16) []byte {
	return acl.List{{Tag: acl.Owner, Perm: owner}, {Tag: acl.User, Perm: user, ID: ann}, {Tag: acl.OwningGroup, Perm: group},
		{Tag: acl.Mask, Perm: mask}, {Tag: acl.Other, Perm: other}}.Form()
}

func getxattr(t *testing.T, name, attr string) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(name, attr, buf)
	if err != nil {
		t.Errorf("%s of %s: %v", attr, name, err)
		return ""
	}
	return string(buf[:n])
}

func testLists(t *testing.T) {
	file(t, "f", 0, 0, 0o600)
	wantErrno(t, "without a list", as(t, ann, nil, opening("f", os.O_RDWR)), syscall.EACCES)
	must(t, unix.Setxattr("f", volume.XattrACL, forAnn(6, 6, 0, 6, 0), 0))
	wantMode(t, "the mask", "f", 0o660)
	must(t, as(t, ann, nil, opening("f", os.O_RDWR)))
	wantErrno(t, "somebody else", as(t, bob, nil, opening("f", os.O_RDONLY)), syscall.EACCES)
	must(t, syscall.Chmod("f", 0o640))
	must(t, as(t, ann, nil, opening("f", os.O_RDONLY)))
	wantErrno(t, "after chmod", as(t, ann, nil, opening("f", os.O_RDWR)), syscall.EACCES)
	if getxattr(t, "f", volume.XattrACL) != string(forAnn(6, 6, 0, 4, 0)) {
		t.Error("chmod did not change the mask")
	}
	wantErrno(t, "set by somebody else", as(t, ann, nil, func() error {
		return unix.Setxattr("f", volume.XattrACL, forAnn(7, 7, 7, 7, 7), 0)
	}), syscall.EPERM)
	must(t, unix.Removexattr("f", volume.XattrACL))
	must(t, unix.Removexattr("f", volume.XattrACL))
	wantErrno(t, "removed", as(t, ann, nil, opening("f", os.O_RDONLY)), syscall.EACCES)
	wantMode(t, "removed", "f", 0o640)
	_, err := unix.Getxattr("f", volume.XattrACL, nil)
	wantErrno(t, "get none", err, syscall.ENODATA)
	must(t, os.Mkdir("d", 0o700))
	must(t, unix.Setxattr("d", volume.XattrACL, forAnn(7, 7, 0, 7, 0), 0))
	must(t, as(t, ann, nil, func() error { return os.Mkdir("d/hers", 0o755) }))
	wantErrno(t, "somebody else", as(t, bob, nil, func() error { return os.Mkdir("d/his", 0o755) }), syscall.EACCES)
}

func testInheritedLists(t *testing.T) {
	must(t, os.Mkdir("d", 0o777))
	must(t, syscall.Chmod("d", 0o777))
	def := forAnn(7, 6, 5, 7, 0)
	must(t, unix.Setxattr("d", volume.XattrDefaultACL, def, 0))
	wantErrno(t, "on a file", func() error {
		file(t, "f", 0, 0, 0o600)
		return unix.Setxattr("f", volume.XattrDefaultACL, def, 0)
	}(), syscall.EACCES)
	old := syscall.Umask(0o077) // does not count in d
	defer syscall.Umask(old)
	must(t, os.WriteFile("d/f", nil, 0o666))
	must(t, os.Mkdir("d/sub", 0o750))
	must(t, syscall.Mkfifo("d/pipe", 0o660))
	must(t, os.Symlink("f", "d/link"))
	for name, mode := range map[string]uint32{"d/f": 0o660, "d/sub": 0o750, "d/pipe": 0o660, "d/link": 0o777} {
		wantMode(t, "inherited", name, mode)
	}
	if getxattr(t, "d/f", volume.XattrACL) != string(forAnn(6, 6, 5, 6, 0)) || getxattr(t, "d/sub", volume.XattrACL) != string(forAnn(7, 6, 5, 5, 0)) ||
		getxattr(t, "d/sub", volume.XattrDefaultACL) != string(def) {
		t.Error("another list was inherited")
	}
	must(t, as(t, ann, nil, opening("d/f", os.O_RDWR)))
	wantErrno(t, "somebody else", as(t, bob, nil, opening("d/f", os.O_RDONLY)), syscall.EACCES)
	must(t, unix.Removexattr("d", volume.XattrDefaultACL))
	must(t, os.WriteFile("d/g", nil, 0o666))
	wantMode(t, "without a list the umask counts", "d/g", 0o600)
}

// testListByOutsider: an owner who is not in the file's group cannot keep its
// set-group-ID bit.
func testListByOutsider(t *testing.T) {
	file(t, "f", ann, bob, 0o2755)
	set := func() error { return unix.Setxattr("f", volume.XattrACL, forAnn(7, 6, 5, 7, 5), 0) }
	must(t, as(t, ann, []uint32{bob}, set))
	wantMode(t, "by a member", "f", 0o2775)
	must(t, unix.Removexattr("f", volume.XattrACL))
	must(t, as(t, ann, nil, set))
	wantMode(t, "by somebody else", "f", 0o775)
}

func testSetID(t *testing.T) {
	for _, c := range []struct {
		what string
		uid  int
		do   func() error
		mode uint32
		want uint32
	}{
		{"a write", ann, writing("f"), 0o6777, 0o777},
		{"a write by root", 0, writing("f"), 0o6777, 0o6777},
		{"truncate", ann, func() error { return os.Truncate("f", 2) }, 0o6777, 0o777},
		{"truncate by root", 0, func() error { return os.Truncate("f", 2) }, 0o6777, 0o6777},
		{"O_TRUNC", ann, opening("f", os.O_WRONLY|os.O_TRUNC), 0o6777, 0o777},
		{"O_TRUNC by root", 0, opening("f", os.O_WRONLY|os.O_TRUNC), 0o6777, 0o6777},
		{"fallocate", ann, allocating("f"), 0o6777, 0o777},
		{"fallocate by root", 0, allocating("f"), 0o6777, 0o6777},
		{"chown by root", 0, func() error { return os.Chown("f", bob, -1) }, 0o6777, 0o777},
		{"chown to nobody by root", 0, func() error { return os.Chown("f", -1, -1) }, 0o6777, 0o777},
		{"chown by root without group execute", 0, func() error { return os.Chown("f", -1, bob) }, 0o6767, 0o2767},
		{"chmod by root", 0, func() error { return syscall.Chmod("f", 0o6755) }, 0o777, 0o6755},
	} {
		file(t, "f", bob, bob, c.mode)
		must(t, as(t, c.uid, nil, c.do))
		wantMode(t, c.what, "f", c.want)
	}
	file(t, "g", ann, bob, 0o755)
	must(t, as(t, ann, nil, func() error { return syscall.Chmod("g", 0o6755) }))
	wantMode(t, "chmod outside the group", "g", 0o4755)
	file(t, "h", ann, ann, 0o6755)
	must(t, as(t, ann, []uint32{bob}, func() error { return os.Chown("h", -1, bob) }))
	wantMode(t, "chgrp by the owner", "h", 0o755)
	wantErrno(t, "chown by the owner", as(t, ann, nil, func() error { return os.Chown("h", bob, -1) }), syscall.EPERM)
	file(t, "i", 0, 0, 0o4755)
	_ = as(t, ann, nil, func() error { return os.Chown("i", -1, -1) })
	wantMode(t, "chown to nobody by somebody else", "i", 0o4755)
	must(t, os.Mkdir("d", 0o755))
	must(t, syscall.Chmod("d", 0o6755))
	must(t, os.Chown("d", ann, ann))
	wantMode(t, "chown of a folder", "d", 0o6755)
}

// capability is the value of an effective, empty set.
const capability = "\x01\x00\x00\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

func testCapabilities(t *testing.T) {
	for _, c := range []struct {
		what string
		uid  int
		do   func() error
		kept bool
	}{
		{"a read", ann, opening("f", os.O_RDONLY), true},
		{"chmod", 0, func() error { return syscall.Chmod("f", 0o766) }, true},
		{"a write by root", 0, writing("f"), false},
		{"a write", ann, writing("f"), false},
		{"truncate", 0, func() error { return os.Truncate("f", 1) }, false},
		{"O_TRUNC", ann, opening("f", os.O_WRONLY|os.O_TRUNC), false},
		{"fallocate", ann, allocating("f"), false},
		{"chown", 0, func() error { return os.Chown("f", bob, bob) }, false},
		{"chown to nobody", 0, func() error { return os.Chown("f", -1, -1) }, false},
	} {
		file(t, "f", 0, 0, 0o777)
		must(t, unix.Setxattr("f", "security.capability", []byte(capability), 0))
		must(t, as(t, c.uid, nil, c.do))
		_, err := unix.Getxattr("f", "security.capability", nil)
		if kept := err == nil; kept != c.kept || !kept && !errors.Is(err, syscall.ENODATA) {
			t.Errorf("after %s: %v", c.what, err)
		}
	}
}

func names(t *testing.T, file string) []string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Listxattr(file, buf)
	if err != nil {
		t.Error(err)
		return nil
	}
	list := strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(list)
	return list
}

func testTrusted(t *testing.T) {
	file(t, "f", ann, ann, 0o644)
	must(t, unix.Setxattr("f", "trusted.secret", []byte("1"), 0))
	must(t, unix.Setxattr("f", "user.open", []byte("1"), 0))
	if got := names(t, "f"); !slices.Equal(got, []string{"trusted.secret", "user.open"}) {
		t.Errorf("root sees %q", got)
	}
	must(t, as(t, ann, nil, func() error {
		if got := names(t, "f"); !slices.Equal(got, []string{"user.open"}) {
			t.Errorf("the owner sees %q", got)
		}
		_, err := unix.Getxattr("f", "trusted.secret", nil)
		wantErrno(t, "get", err, syscall.ENODATA)
		wantErrno(t, "set", unix.Setxattr("f", "trusted.mine", nil, 0), syscall.EPERM)
		return nil
	}))
}

func testSticky(t *testing.T) {
	must(t, os.Mkdir("d", 0o777))
	must(t, syscall.Chmod("d", 0o1777))
	file(t, "d/f", bob, bob, 0o666)
	wantErrno(t, "unlink", as(t, ann, nil, func() error { return os.Remove("d/f") }), syscall.EPERM)
	wantErrno(t, "rename", as(t, ann, nil, func() error { return os.Rename("d/f", "d/g") }), syscall.EPERM)
	must(t, as(t, ann, nil, func() error { return os.WriteFile("d/hers", nil, 0o666) }))
	wantErrno(t, "replace", as(t, ann, nil, func() error { return os.Rename("d/hers", "d/f") }), syscall.EPERM)
	must(t, as(t, bob, nil, func() error { return os.Remove("d/f") }))
}

func testSetGIDFolder(t *testing.T) {
	must(t, os.Mkdir("d", 0o777))
	must(t, os.Chown("d", 0, bob))
	must(t, syscall.Chmod("d", 0o2777))
	must(t, as(t, ann, nil, func() error {
		return errors.Join(os.WriteFile("d/f", nil, 0o644), os.Mkdir("d/sub", 0o755), os.Symlink("f", "d/s"))
	}))
	for name, mode := range map[string]uint32{"d/f": 0o644, "d/sub": 0o2755, "d/s": 0o777} {
		var st syscall.Stat_t
		must(t, syscall.Lstat(name, &st))
		if st.Gid != bob || st.Uid != ann || st.Mode&0o7777 != mode {
			t.Errorf("%s: owner %d:%d, mode %o", name, st.Uid, st.Gid, st.Mode)
		}
	}
	must(t, as(t, ann, nil, func() error {
		fd, err := unix.Open("d/g", unix.O_CREAT|unix.O_RDWR, 0o2775)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	}))
	wantMode(t, "made by somebody outside the group", "d/g", 0o755)
}
