package mount

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOptionWords(t *testing.T) {
	for list, want := range map[string]Options{
		"rw,relatime":                           {Atime: true},
		"relatime,noatime":                      {},
		"atime,nodiratime":                      {Atime: true, NoDirAtime: true},
		"sync,dirsync,async":                    {DirSync: true},
		"fsname=/var/lib/hammock":               {Source: "/var/lib/hammock"},
		"uidmap=0:100000:65536,gidmap=5:6":      {UIDs: IDMap{{0, 100000, 65536}}, GIDs: IDMap{{5, 6, 1}}},
		"uidmap=1:2,uidmap=1000:1001/7:8:9":     {UIDs: IDMap{{1000, 1001, 1}, {7, 8, 9}}},
		"suid,dev,exec,default_permissions":     {Suid: true, Dev: true},
		"user=anna,comment=x y,X-mount.mkdir":   {},
		"uring=on,uring=off":                    {Uring: UringOff},
		"uring=auto":                            {},
		"uring=on":                              {Uring: UringOn},
		"_netdev,nofail,auto,owner,x-gvfs-hide": {},
	} {
		if o, err := ParseOptions(list); err != nil || !reflect.DeepEqual(o, want) {
			t.Errorf("%q: %+v, %v", list, o, err)
		}
	}
	for list, want := range map[string]string{
		"ro,remount":           "remount cannot be had: options cannot be changed while it is mounted",
		"allow_root":           "allow_other admits all users",
		"strictatime":          "relatime is what can be had",
		"uidmap=1":             `option uidmap: "1" is not VOLUME:LOCAL`,
		"uidmap=":              "is not VOLUME:LOCAL",
		"gidmap=1:2:0":         `option gidmap: "1:2:0" has no numbers`,
		"uidmap=1:4294967295":  "above 4294967294",
		"uidmap=1:4294967296":  "is not a number from 0",
		"uidmap=1:2/5:2":       `"5:2" maps what another part maps already`,
		"uidmap=1:2:10/5:90":   "maps what another part maps",
		"uidmap=1:2:3:4":       "is not VOLUME:LOCAL",
		"uring=yes":            `option uring: "yes" is not auto, on or off`,
		"uidmap":               "is not VOLUME:LOCAL",
		"passphrase_file=/etc": `unknown mount option "passphrase_file=/etc"`,
	} {
		if _, err := ParseOptions(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", list, err, want)
		}
	}
	if _, err := ParseOptions("no such"); !errors.Is(err, ErrUnknownOption) {
		t.Error(err)
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	needRoot(t)
	v := newVolume(t)
	s, err := Mount(context.Background(), Config{Dir: openDir(t), Volume: v})
	must(t, err)
	inProgram(t, "prepare", s.Dir(), 0)
	unmount(t, s)
	before, err := v.GetAttr(context.Background(), 1)
	must(t, err)
	dir := mountFor(t, Config{Volume: v, Options: parsed(t, "ro,relatime,sync")})
	inProgram(t, "read only", dir, 0)
	// Root may tell the kernel otherwise.
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT, ""))
	inProgram(t, "refused remount", dir, 0)
	if after, err := v.GetAttr(context.Background(), 1); err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("%+v became %+v, %v", before, after, err)
	}
}

// inPrepare makes what other programs find.
func inPrepare(t *testing.T, dir string) {
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("text"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("text"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "d/in"), []byte("text"), 0o644))
	must(t, os.Symlink("f", filepath.Join(dir, "s")))
	must(t, os.Mkdir(filepath.Join(dir, "tmp"), 0o777))
	must(t, unix.Chmod(filepath.Join(dir, "tmp"), 0o1777))
	must(t, os.WriteFile(filepath.Join(dir, "tmp/roots"), nil, 0o666))
	must(t, unix.Setxattr(filepath.Join(dir, "f"), "user.colour", []byte("red"), 0))
}

func inReadOnly(t *testing.T, dir string) {
	wantContent(t, filepath.Join(dir, "s"), []byte("text"))
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 5 {
		t.Error(len(entries), err)
	}
	// A file that is there may be opened with O_CREAT.
	f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDONLY|os.O_CREATE, 0o644)
	must(t, err)
	must(t, f.Close())
	wantErrno(t, "access", unix.Access(filepath.Join(dir, "f"), unix.W_OK), syscall.EROFS)
	wantNoChange(t, dir)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Flags&unix.ST_RDONLY == 0 {
		t.Errorf("flags %x, %v", st.Flags, err)
	}
}

func inRemounted(t *testing.T, dir string) {
	if unix.Access(filepath.Join(dir, "f"), unix.W_OK) != nil {
		t.Error("the kernel still knows that it is read-only: this shows nothing")
	}
	wantNoChange(t, dir)
}

// wantNoChange tries every change there is.
func wantNoChange(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	_, err := os.OpenFile(at("f"), os.O_WRONLY, 0)
	wantErrno(t, "open to write", err, syscall.EROFS)
	_, err = os.OpenFile(at("new"), os.O_WRONLY|os.O_CREATE, 0o644)
	wantErrno(t, "create", err, syscall.EROFS)
	_, err = unix.Open(at("f"), unix.O_RDONLY|unix.O_TRUNC, 0)
	wantErrno(t, "O_TRUNC", err, syscall.EROFS)
	_, err = unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	wantErrno(t, "O_TMPFILE", err, syscall.EROFS)
	for what, err := range map[string]error{
		"truncate": os.Truncate(at("f"), 1), "chmod": os.Chmod(at("f"), 0o600), "chown": os.Chown(at("f"), 1, 1),
		"utimes":  unix.UtimesNanoAt(unix.AT_FDCWD, at("f"), []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0),
		"mkdir":   unix.Mkdir(at("new"), 0o755),
		"mknod":   unix.Mkfifo(at("new"), 0o644),
		"symlink": unix.Symlink("f", at("new")), "link": unix.Link(at("f"), at("new")),
		"rename": unix.Rename(at("f"), at("new")), "unlink": unix.Unlink(at("f")), "rmdir": unix.Rmdir(at("d")),
		"setxattr": unix.Setxattr(at("f"), "user.a", nil, 0), "removexattr": unix.Removexattr(at("f"), "user.colour"),
	} {
		wantErrno(t, what, err, syscall.EROFS)
	}
}

func TestFlagsOfMount(t *testing.T) {
	needRoot(t)
	for _, c := range []struct{ words, shown string }{
		{"", "nosuid,nodev,noatime"},
		{"suid,dev,relatime,nodiratime", "nodiratime,relatime"},
		{"noexec,sync,dirsync", "noexec,sync,dirsync"},
	} {
		dir := mountFor(t, Config{Options: parsed(t, c.words+",fsname=the source")})
		list, err := os.ReadFile("/proc/self/mounts")
		must(t, err)
		line := ""
		for l := range strings.Lines(string(list)) {
			if strings.Contains(l, " "+dir+" ") {
				line = l
			}
		}
		if !strings.HasPrefix(line, `the\040source `) || !strings.Contains(line, "default_permissions") {
			t.Errorf("%s: %s", c.words, line)
		}
		for word := range strings.SplitSeq(c.shown, ",") {
			if !strings.Contains(line, word) {
				t.Errorf("%s: %s is missing in %s", c.words, word, line)
			}
		}
	}
}

// TestSetIDAndDevices shows what nosuid, nodev and noexec do, and their absence.
func TestSetIDAndDevices(t *testing.T) {
	needRoot(t)
	for _, words := range []string{"allow_other", "allow_other,suid,dev", "allow_other,noexec"} {
		t.Setenv("HAMMOCK_TEST_WORDS", words)
		dir := mountFor(t, Config{Options: parsed(t, words)})
		inProgram(t, "flags", dir, 0)
	}
}

func inFlags(t *testing.T, dir string) {
	words, id, zero := os.Getenv("HAMMOCK_TEST_WORDS"), filepath.Join(dir, "id"), filepath.Join(dir, "zero")
	from, err := exec.LookPath("id")
	must(t, err)
	text, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(id, text, 0o755))
	must(t, os.Chmod(id, 0o755))
	must(t, unix.Chmod(id, 0o4755))
	must(t, unix.Mknod(zero, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
	must(t, os.Chmod(zero, 0o666))
	become(t, somebody)
	out, err := exec.Command(id, "-u").CombinedOutput()
	if strings.Contains(words, "noexec") {
		wantErrno(t, "exec", err, syscall.EACCES)
	} else {
		must(t, err)
	}
	if got := string(out) == "0\n"; got != strings.Contains(words, ",suid") {
		t.Errorf("%s: a set-ID program says it is %q", words, out)
	}
	f, err := os.Open(zero)
	if !strings.Contains(words, ",dev") {
		wantErrno(t, "a device", err, syscall.EACCES)
		return
	}
	must(t, err)
	must(t, f.Close())
}

func TestSyncOptions(t *testing.T) {
	needRoot(t)
	for words, want := range map[string]int32{"sync": 9, "dirsync": 6, "async": 0} {
		var calls atomic.Int32
		dir := mountFor(t, Config{Options: parsed(t, "sync=peers,"+words), SyncPeers: func(context.Context) error { calls.Add(1); return nil }})
		inProgram(t, map[bool]string{true: "sync", false: "dirsync"}[words == "sync"], dir, 0)
		if n := calls.Load(); n != want {
			t.Errorf("%s: %d syncs, want %d", words, n, want)
		}
	}
}

// inDirSync makes six changes of directories and three others.
func inDirSync(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	f, err := os.Create(at("f"))
	must(t, err)
	_, err = f.WriteString("text")
	must(t, err)
	must(t, f.Close())
	must(t, os.Mkdir(at("d"), 0o755))
	must(t, os.Symlink("f", at("s")))
	must(t, os.Rename(at("f"), at("g")))
	must(t, os.Chmod(at("g"), 0o600))
	must(t, os.Truncate(at("g"), 1))
	must(t, os.Remove(at("g")))
	must(t, os.Remove(at("s")))
}

func inSync(t *testing.T, dir string) { inDirSync(t, dir) }

// TestSyncedHandles opens files to be synced, for changes that are no write.
func TestSyncedHandles(t *testing.T) {
	needRoot(t)
	var calls atomic.Int32
	dir := mountFor(t, Config{Options: parsed(t, "sync=peers"), SyncPeers: func(context.Context) error { calls.Add(1); return nil }})
	for how, flags := range map[string]int{"O_SYNC": unix.O_SYNC, "O_DSYNC": unix.O_DSYNC, "neither": 0} {
		t.Setenv("HAMMOCK_TEST_FLAGS", fmt.Sprint(flags))
		calls.Store(0)
		inProgram(t, "synced handles", dir, 0)
		want := int32(2)
		if flags == 0 {
			want = 0
		}
		if n := calls.Load(); n != want {
			t.Errorf("%s: an fallocate and a copy_file_range are %d syncs, want %d", how, n, want)
		}
	}
}

func inSyncedHandles(t *testing.T, dir string) {
	flags, err := strconv.Atoi(os.Getenv("HAMMOCK_TEST_FLAGS"))
	must(t, err)
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	must(t, os.WriteFile(from, make([]byte, 10_000), 0o644))
	src, err := os.Open(from)
	must(t, err)
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_RDWR|flags, 0o644)
	must(t, err)
	must(t, unix.Fallocate(int(dst.Fd()), 0, 0, 20_000))
	n, err := unix.CopyFileRange(int(src.Fd()), nil, int(dst.Fd()), nil, 10_000, 0)
	if n != 10_000 {
		t.Errorf("copied %d bytes, %v", n, err)
	}
	must(t, dst.Close())
	must(t, src.Close())
}

// TestWhoMayEnter mounts as root and enters as somebody else.
func TestWhoMayEnter(t *testing.T) {
	needRoot(t)
	for words, program := range map[string]string{"": "denied", "allow_other": "other user"} {
		dir := mountFor(t, Config{Options: parsed(t, words)})
		inProgram(t, "prepare", dir, 0)
		inProgram(t, program, dir, somebody)
	}
}

// inDenied finds a folder that is somebody else's alone, root's or not.
func inDenied(t *testing.T, dir string) {
	_, err := os.Stat(dir)
	wantErrno(t, "stat", err, syscall.EACCES)
	_, err = os.ReadDir(dir)
	wantErrno(t, "list", err, syscall.EACCES)
	_, err = os.Stat(filepath.Join(dir, "f"))
	wantErrno(t, "look up", err, syscall.EACCES)
}

// inOtherUser finds a folder of root's that others may enter.
func inOtherUser(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	wantContent(t, at("f"), []byte("text"))
	for what, c := range map[string]struct {
		err  error
		want syscall.Errno
	}{
		"read a secret":          {unix.Access(at("secret"), unix.R_OK), syscall.EACCES},
		"write":                  {unix.Access(at("f"), unix.W_OK), syscall.EACCES},
		"make a folder":          {unix.Mkdir(at("new"), 0o755), syscall.EACCES},
		"remove":                 {unix.Unlink(at("f")), syscall.EACCES},
		"chmod":                  {unix.Chmod(at("f"), 0o777), syscall.EPERM},
		"chown":                  {unix.Chown(at("f"), somebody, somebody), syscall.EPERM},
		"remove under sticky":    {unix.Unlink(at("tmp/roots")), syscall.EPERM},
		"rename under sticky":    {unix.Rename(at("tmp/roots"), at("tmp/mine")), syscall.EPERM},
		"set a time":             {unix.UtimesNanoAt(unix.AT_FDCWD, at("f"), []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0), syscall.EPERM},
		"set a trusted xattr":    {unix.Setxattr(at("f"), "trusted.a", nil, 0), syscall.EPERM},
		"set a user xattr":       {unix.Setxattr(at("f"), "user.a", nil, 0), syscall.EACCES},
		"make a device":          {unix.Mknod(at("tmp/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), syscall.EPERM},
		"truncate":               {unix.Truncate(at("f"), 0), syscall.EACCES},
		"a file where he may":    {os.WriteFile(at("tmp/own"), []byte("own"), 0o600), 0},
		"a folder where he may":  {unix.Mkdir(at("tmp/folder"), 0o755), 0},
		"a fifo where he may":    {unix.Mkfifo(at("tmp/fifo"), 0o600), 0},
		"a symlink where he may": {unix.Symlink("x", at("tmp/link")), 0},
	} {
		if c.want == 0 {
			must(t, c.err)
		} else {
			wantErrno(t, what, c.err, c.want)
		}
	}
	_, err := os.ReadFile(at("secret"))
	wantErrno(t, "read a secret", err, syscall.EACCES)
	for _, name := range []string{"own", "folder", "fifo", "link"} {
		wantOwner(t, at("tmp/"+name), somebody, somebody)
	}
	must(t, os.Chmod(at("tmp/own"), 0o640))
	must(t, os.Rename(at("tmp/own"), at("tmp/other")))
	must(t, os.Remove(at("tmp/other")))
}

func wantOwner(t *testing.T, path string, uid, gid uint32) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || st.Uid != uid || st.Gid != gid {
		t.Errorf("%s is %d:%d's, want %d:%d, %v", path, st.Uid, st.Gid, uid, gid, err)
	}
}

// TestUserMounts has an ordinary user mount, through fusermount3. Nobody else
// may then enter, root neither.
func TestUserMounts(t *testing.T) {
	needRoot(t)
	if _, err := helper(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	base := openDir(t)
	dir := filepath.Join(base, "mnt")
	must(t, os.Mkdir(dir, 0o755))
	const named = 1 // fusermount3 wants a user that has a name: daemon
	must(t, os.Chown(base, named, named))
	must(t, os.Chown(dir, named, named))
	t.Setenv("TMPDIR", base)
	ctx, cancel := context.WithTimeout(context.Background(), outsideLimit)
	defer cancel()
	cmd := program(ctx, "a user's mount", dir, named)
	leave, err := cmd.StdinPipe()
	must(t, err)
	cmd.Stderr = os.Stderr // fusermount3 writes there
	said, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines, all := bufio.NewScanner(said), ""
	for lines.Scan() {
		all += lines.Text() + "\n"
		if lines.Text() == "mounted" {
			inProgram(t, "denied", dir, 0)
			must(t, leave.Close())
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(all, "mounted\n") {
		t.Errorf("%v\n%s", err, all)
	}
}

func inUsersMount(t *testing.T, dir string) {
	for words, want := range map[string]string{"suid": "need root", "dev": "need root", "allow_other": "needs root, or a line"} {
		_, err := Mount(context.Background(), Config{Dir: dir, Volume: nil, Options: parsed(t, words)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", words, err)
		}
	}
	s, err := Mount(context.Background(), Config{Dir: dir, Volume: newVolume(t), Options: parsed(t, "noexec,relatime,fsname=of mine")})
	must(t, err)
	inProgram(t, "user's folder", dir, 0)
	list, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	if want := `of\040mine ` + dir + " fuse.hammock rw,nosuid,nodev,noexec,relatime,"; !strings.Contains(string(list), want) {
		t.Errorf("no %q in\n%s", want, list)
	}
	fmt.Println("mounted")
	_, err = io.ReadAll(os.Stdin)
	must(t, err)
	unmount(t, s)
}
