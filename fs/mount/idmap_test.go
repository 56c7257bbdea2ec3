package mount

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/fs/volume"
	"github.com/hammockfs/hammock/fs/volume/acl"
)

func TestIDMap(t *testing.T) {
	m, err := parseIDMap("1000:5000/0:100000:1000/2000:0")
	must(t, err)
	for there, local := range map[uint32]uint32{1000: 5000, 0: 100000, 999: 100999, 2000: 0, 1001: 65534, 65534: 65534, math.MaxUint32: 65534} {
		if got := m.out(there); got != local {
			t.Errorf("%d is shown as %d, want %d", there, got, local)
		}
	}
	for local, want := range map[uint32]int64{5000: 1000, 100000: 0, 100999: 999, 0: 2000, 101000: -1, 1000: -1, 65534: -1, math.MaxUint32: -1} {
		if got, ok := m.in(local); ok != (want >= 0) || ok && int64(got) != want {
			t.Errorf("%d becomes %d, %v, want %d", local, got, ok, want)
		}
	}
	var none IDMap
	if id, ok := none.in(7); none.out(7) != 7 || id != 7 || !ok {
		t.Error("no map changes numbers")
	}
}

// TestIDMapRoundTrip makes maps and compares them with a table of each number.
func TestIDMapRoundTrip(t *testing.T) {
	number := rapid.Uint32Range(0, 40)
	rapid.Check(t, func(t *rapid.T) {
		list, out, in := "", map[uint32]uint32{}, map[uint32]uint32{}
		for i := range rapid.IntRange(1, 4).Draw(t, "parts") {
			v, l, n := number.Draw(t, "volume"), number.Draw(t, "local"), rapid.Uint32Range(1, 10).Draw(t, "count")
			if i > 0 {
				list += "/"
			}
			list += fmt.Sprintf("%d:%d:%d", v, l, n)
			for k := range n {
				_, a := out[v+k]
				_, b := in[l+k]
				if a || b {
					if _, err := parseIDMap(list); err == nil {
						t.Fatalf("%s maps a number twice", list)
					}
					return
				}
				out[v+k], in[l+k] = l+k, v+k
			}
		}
		m, err := parseIDMap(list)
		if err != nil {
			t.Fatal(list, err)
		}
		for id := range uint32(60) {
			want, ok := out[id]
			if !ok {
				want = overflowID
			}
			if got := m.out(id); got != want {
				t.Fatalf("%s shows %d as %d, want %d", list, id, got, want)
			}
			back, known := m.in(id)
			if want, ok := in[id]; ok != known || ok && back != want {
				t.Fatalf("%s: %d becomes %d, %v, want %d, %v", list, id, back, known, want, ok)
			}
			if known && m.out(back) != id {
				t.Fatalf("%s: %d does not come back", list, id)
			}
		}
	})
}

// TestOwnersAreMapped mounts with maps and without, and compares.
func TestOwnersAreMapped(t *testing.T) {
	needRoot(t)
	v := newVolume(t)
	s, err := Mount(context.Background(), Config{Dir: openDir(t), Volume: v, Options: parsed(t, "uidmap=0:0/1000:12345,gidmap=0:0/2000:12345,allow_other")})
	must(t, err)
	inProgram(t, "map", s.Dir(), 0)
	inProgram(t, "user's folder", filepath.Join(s.Dir(), "home"), somebody)
	unmount(t, s)
	inProgram(t, "owners", mountFor(t, Config{Volume: v}), 0)
}

// inMap is root's part where 1000 of the volume is 12345 here.
func inMap(t *testing.T, dir string) {
	home, alien := filepath.Join(dir, "home"), filepath.Join(dir, "alien")
	must(t, os.Mkdir(home, 0o755))
	must(t, os.Chown(home, somebody, somebody))
	wantOwner(t, home, somebody, somebody)
	must(t, os.WriteFile(alien, nil, 0o644))
	wantErrno(t, "chown to a user without a number", os.Chown(alien, 1000, -1), syscall.EOVERFLOW)
	wantErrno(t, "chown to a group without a number", os.Chown(alien, -1, 2000), syscall.EOVERFLOW)
	shared := filepath.Join(dir, "shared")
	must(t, os.WriteFile(shared, nil, 0o644))
	must(t, unix.Setxattr(shared, volume.XattrACL, listFor(somebody, somebody), 0))
	wantList(t, shared, somebody, somebody)
	wantErrno(t, "a list with a user without a number", unix.Setxattr(alien, volume.XattrACL, listFor(1000, somebody), 0), syscall.EINVAL)
	wantErrno(t, "a list with a group without a number", unix.Setxattr(alien, volume.XattrACL, listFor(somebody, 2000), 0), syscall.EINVAL)
	wantErrno(t, "no list at all", unix.Setxattr(alien, volume.XattrACL, []byte{2, 0, 0, 0, 1}, 0), syscall.EINVAL)
	must(t, os.Chmod(dir, 0o777))
	// Somebody without a number may look, as permissions allow, and make nothing.
	runtime.LockOSThread() // and never unlocked: this thread is spent
	must(t, rawSetID(unix.SYS_SETRESGID, 777))
	must(t, rawSetID(unix.SYS_SETRESUID, 777))
	_, err := os.ReadFile(alien)
	must(t, err)
	wantErrno(t, "mkdir", unix.Mkdir(filepath.Join(dir, "new"), 0o755), syscall.EOVERFLOW)
	wantErrno(t, "symlink", unix.Symlink("x", filepath.Join(dir, "new")), syscall.EOVERFLOW)
	wantErrno(t, "mkfifo", unix.Mkfifo(filepath.Join(dir, "new"), 0o644), syscall.EOVERFLOW)
	wantErrno(t, "create", os.WriteFile(filepath.Join(dir, "new"), nil, 0o644), syscall.EOVERFLOW)
}

// rawSetID changes the calling thread alone.
func rawSetID(call uintptr, id uintptr) error {
	if _, _, err := syscall.RawSyscall(call, id, id, id); err != 0 {
		return err
	}
	return nil
}

func inUsersFolder(t *testing.T, dir string) {
	uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
	for name, make := range map[string]func(string) error{
		"file":   func(p string) error { return os.WriteFile(p, nil, 0o644) },
		"folder": func(p string) error { return unix.Mkdir(p, 0o755) },
		"fifo":   func(p string) error { return unix.Mkfifo(p, 0o644) },
		"link":   func(p string) error { return unix.Symlink("x", p) },
		"nameless": func(p string) error {
			fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, p, unix.AT_SYMLINK_FOLLOW)
		},
	} {
		path := filepath.Join(dir, name)
		must(t, make(path))
		wantOwner(t, path, uid, gid)
	}
	must(t, unix.Link(filepath.Join(dir, "file"), filepath.Join(dir, "again")))
	must(t, os.Chmod(filepath.Join(dir, "file"), 0o600))
	wantOwner(t, filepath.Join(dir, "again"), uid, gid)
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, filepath.Join(dir, "file"), unix.AT_STATX_FORCE_SYNC, unix.STATX_ALL, &x); err != nil || x.Uid != uid || x.Gid != gid {
		t.Errorf("statx says %d:%d, %v", x.Uid, x.Gid, err)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		wantOwner(t, filepath.Join(dir, e.Name()), uid, gid)
	}
}

// inOwners sees the numbers of the volume.
func inOwners(t *testing.T, dir string) {
	for _, name := range []string{"home", "home/file", "home/again", "home/folder", "home/fifo", "home/link", "home/nameless"} {
		wantOwner(t, filepath.Join(dir, name), 1000, 2000)
	}
	wantOwner(t, filepath.Join(dir, "alien"), 0, 0)
	wantList(t, filepath.Join(dir, "shared"), 1000, 2000)
}

// listFor is an access control list for one user and one group.
func listFor(uid, gid uint32) []byte {
	return acl.List{{Tag: acl.Owner, Perm: 6}, {Tag: acl.User, Perm: 4, ID: uid}, {Tag: acl.OwningGroup, Perm: 4},
		{Tag: acl.Group, Perm: 4, ID: gid}, {Tag: acl.Mask, Perm: 4}, {Tag: acl.Other}}.Form()
}

func wantList(t *testing.T, path string, uid, gid uint32) {
	t.Helper()
	buf := make([]byte, 200)
	n, err := unix.Getxattr(path, volume.XattrACL, buf)
	if err != nil || !bytes.Equal(buf[:n], listFor(uid, gid)) {
		t.Errorf("%s: %x, %v", path, buf[:max(n, 0)], err)
	}
}

// TestUnmappedOwnersAreNobody has owners in the volume that have no number here.
func TestUnmappedOwnersAreNobody(t *testing.T) {
	needRoot(t)
	dir := mountFor(t, Config{Options: parsed(t, "uidmap=1:2,gidmap=1:2")})
	wantOwner(t, dir, overflowID, overflowID)
}

// TestIdmappedMount clones a mount with the kernel's own translation of owners,
// where the kernel has that for FUSE (since 6.12).
func TestIdmappedMount(t *testing.T) {
	needRoot(t)
	dir, clone := mountFor(t, Config{Options: parsed(t, "allow_other,idmapped")}), openDir(t)
	inProgram(t, "prepare", dir, 0)
	if err := cloneMapped(t, dir, clone, 0, 100000, 65536); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("this kernel has no idmapped mounts of FUSE: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(clone, unix.MNT_DETACH)) })
	inProgram(t, "kernel's map", clone, 0)
	inProgram(t, "made through the kernel's map", dir, 0)
}

// inKernelMap sees the volume's 0 as 100000. Root here has no number there.
func inKernelMap(t *testing.T, dir string) {
	wantOwner(t, filepath.Join(dir, "f"), 100000, 100000)
	wantErrno(t, "mkdir by root", unix.Mkdir(filepath.Join(dir, "roots"), 0o755), syscall.EOVERFLOW)
	must(t, os.Chown(filepath.Join(dir, "f"), 101000, 101000))
	become(t, 101000)
	must(t, os.Mkdir(filepath.Join(dir, "tmp/own"), 0o755))
	wantOwner(t, filepath.Join(dir, "tmp/own"), 101000, 101000)
	must(t, os.Chmod(filepath.Join(dir, "f"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("mine"), 0))
	_, err := os.ReadFile(filepath.Join(dir, "secret"))
	wantErrno(t, "read a secret", err, syscall.EACCES)
	if names, err := os.ReadDir(dir); err != nil || len(names) != 5 {
		t.Error(len(names), err)
	}
	must(t, unix.Setxattr(filepath.Join(dir, "f"), "user.a", []byte("b"), 0))
}

func inKernelMapped(t *testing.T, dir string) {
	wantOwner(t, filepath.Join(dir, "f"), 1000, 1000)
	wantOwner(t, filepath.Join(dir, "tmp/own"), 1000, 1000)
	wantContent(t, filepath.Join(dir, "f"), []byte("mine"))
}

// cloneMapped mounts what is mounted at from once more at to, with the owners
// of a user namespace: volume numbers from inside on are those from outside on.
func cloneMapped(t *testing.T, from, to string, inside, outside, n int) error {
	holder := exec.Command("sleep", "60")
	mapping := []syscall.SysProcIDMap{{ContainerID: inside, HostID: outside, Size: n}}
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: mapping, GidMappings: mapping, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		return err
	}
	defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	must(t, err)
	defer ns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return err
	}
	return unix.MoveMount(tree, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH)
}
