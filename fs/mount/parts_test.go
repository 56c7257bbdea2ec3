package mount

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/hammockfs/hammock/fs/volume"
)

func TestParseOptions(t *testing.T) {
	o, err := ParseOptions("ro, allow_other,noexec,sync=peers,,x-systemd.automount,nofail,suid,nosuid")
	want := Options{ReadOnly: true, AllowOther: true, NoExec: true, SyncPeers: true}
	if err != nil || !reflect.DeepEqual(o, want) {
		t.Errorf("%+v, %v", o, err)
	}
	for _, list := range []string{"foo", "ro,bar=1", "sync=moon", "RO"} {
		_, err := ParseOptions(list)
		if word := list[strings.Index(list, ",")+1:]; err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v", list, err)
		}
	}
	if o, err := ParseOptions(""); err != nil || !reflect.DeepEqual(o, Options{}) {
		t.Error("the empty list is not the zero options")
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add("ro,noexec")
	f.Fuzz(func(t *testing.T, list string) {
		if o, err := ParseOptions(list); err == nil && o.flags() == 0 {
			t.Error("no flags")
		}
	})
}

func TestOptionsNeedRoot(t *testing.T) {
	for _, o := range []Options{{Suid: true}, {Dev: true}} {
		if o.check(false) == nil || o.check(true) != nil {
			t.Errorf("%+v", o)
		}
	}
	conf := filepath.Join(t.TempDir(), "fuse.conf")
	for text, want := range map[string]bool{"#user_allow_other\n": false, "mount_max = 9\nuser_allow_other\n": true} {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if userAllowOther(conf) != want {
			t.Errorf("%q", text)
		}
	}
}

func TestFlagsAndWordsAgree(t *testing.T) {
	o := Options{ReadOnly: true, NoExec: true, Sync: true}
	want := uintptr(syscall.MS_RDONLY | syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC | syscall.MS_NOATIME | syscall.MS_SYNCHRONOUS)
	if o.flags() != want || strings.Join(o.words(), ",") != "ro,nosuid,nodev,noexec,noatime,sync" {
		t.Errorf("%x %v", o.flags(), o.words())
	}
}

func TestErrno(t *testing.T) {
	missing := &fs.PathError{Op: "open", Path: "stripe", Err: syscall.ENOENT}
	for _, c := range []struct {
		err  error
		want syscall.Errno
	}{
		{nil, 0},
		{fmt.Errorf("look up %q: %w", "x", volume.ErrNotExist), syscall.ENOENT},
		{volume.ErrExist, syscall.EEXIST},
		{volume.ErrPerm, syscall.EPERM},
		{volume.ErrNoSpace, syscall.ENOSPC},
		{volume.ErrUnreachable, syscall.EIO},
		// Failures of our own disk are no answers about files of the volume.
		{fmt.Errorf("read: %w", missing), syscall.EIO},
		{fmt.Errorf("%w: %w", volume.ErrUnreachable, fs.ErrNotExist), syscall.EIO},
		{fmt.Errorf("read: %w", syscall.EACCES), syscall.EIO},
		{fmt.Errorf("write: %w", syscall.ENOSPC), syscall.ENOSPC},
		{fmt.Errorf("write: %w", syscall.EDQUOT), syscall.ENOSPC},
		{errKilled, syscall.EINTR},
		{fmt.Errorf("fetch: %w", errTooLate), syscall.EIO},
		{errors.New("anything else"), syscall.EIO},
	} {
		if got := errno(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, ns := range []int64{0, 1, -1, 1e9, -1e9, -1500000000, 1700000000123456789, math.MaxInt64 / 2, math.MinInt64 / 2} {
		if sec, nsec := split(ns); join(sec, nsec) != ns || nsec >= 1e9 {
			t.Errorf("%d becomes %d and %d", ns, int64(sec), nsec)
		}
	}
	for sec, want := range map[int64]int64{math.MaxInt64: math.MaxInt64, 1 << 40: math.MaxInt64, math.MinInt64: math.MinInt64, -1 << 40: math.MinInt64} {
		if got := join(uint64(sec), 0); got != want {
			t.Errorf("second %d is %d", sec, got)
		}
	}
}

func TestChanges(t *testing.T) {
	in := &fuse.SetAttrInCommon{Valid: fuse.FATTR_MODE | fuse.FATTR_MTIME | fuse.FATTR_ATIME | fuse.FATTR_ATIME_NOW, Mode: 0o100640, Mtime: 5, Mtimensec: 7}
	set := changes(in, 99)
	if *set.Mode != 0o640 || *set.Mtime != 5e9+7 || *set.Atime != 99 || set.UID != nil || set.Size != nil || set.KillPriv {
		t.Errorf("%+v", set)
	}
	if changesAny(fuse.FATTR_FH|fuse.FATTR_LOCKOWNER) || !changesAny(fuse.FATTR_FH|fuse.FATTR_MTIME_NOW) {
		t.Error("what changes nothing is taken for a change, or the reverse")
	}
	if set := changes(&fuse.SetAttrInCommon{Valid: fuse.FATTR_UID}, 0); set.UID == nil || !set.KillPriv {
		t.Error("a new owner inherits set-ID bits")
	}
}

func TestParseMounts(t *testing.T) {
	list, err := parseMounts(strings.NewReader(`22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:45 / /mnt/my\040files rw,nosuid - fuse.hammock hammock rw,user_id=0
41 22 0:46 /sub /x rw shared:5 master:3 - tmpfs none rw
short line
`))
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	m, ok := mountedAt(list, "/mnt/my files")
	if !ok || m.device != "0:45" || m.fstype != fsType {
		t.Errorf("%+v", m)
	}
	if _, ok := mountedAt(list, "/mnt"); ok {
		t.Error("found a mount where none is")
	}
}

func TestPendingKill(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tcat\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n": false,
		"SigPnd:\t0000000000000100\n":                                        true,
		"ShdPnd:\t0000000000004100\n":                                        true,
		"SigBlk:\t0000000000000100\n":                                        false,
		"SigPnd:\t0000000000400000\n":                                        false, // SIGURG
	} {
		if pendingKill(status) != want {
			t.Errorf("%q", status)
		}
	}
	if beingKilled(uint32(os.Getpid())) || beingKilled(0) {
		t.Error("we are not being killed")
	}
}

func TestEffective(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tsh\nCapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n": true,
		"CapEff:\t0000000000200000\n":                                       true,
		"CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000000\n":            false,
		"CapEff:\tnonsense\n":                                               false,
		"":                                                                  false,
	} {
		if effective(status, capSysAdmin) != want {
			t.Errorf("%q", status)
		}
	}
	if isAdmin(0) {
		t.Error("a caller whom we cannot see is trusted")
	}
}

func TestNamed(t *testing.T) {
	for name, want := range map[string]fuse.Status{
		"user.a": fuse.OK, "security.capability": fuse.OK, "trusted.a": fuse.OK, volume.XattrACL: fuse.OK, volume.XattrDefaultACL: fuse.OK,
		"user.": fuse.EINVAL, "user": fuse.Status(syscall.EOPNOTSUPP), "system.nfs4_acl": fuse.Status(syscall.EOPNOTSUPP), "": fuse.Status(syscall.EOPNOTSUPP),
	} {
		if got := named(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// newRequest is a request of a caller whose fate is in dying.
func newRequest(cancel chan struct{}, dying *atomic.Bool) *request {
	return &request{Context: context.Background(), cancel: cancel, until: time.Now().Add(waitLimit), killed: func(uint32) bool { return dying.Load() }}
}

func TestStraySignalEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancel, dying := make(chan struct{}), new(atomic.Bool)
		r := newRequest(cancel, dying)
		defer r.end()
		done := r.Done()
		close(cancel)
		time.Sleep(5 * time.Second)
		if r.Err() != nil {
			t.Fatal("a stray signal ended the wait:", r.Err())
		}
		dying.Store(true)
		<-done
		if !errors.Is(r.Err(), errKilled) {
			t.Error(r.Err())
		}
	})
}

func TestWaitHasALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, dying := time.Now(), new(atomic.Bool)
		r := newRequest(nil, dying)
		defer r.end()
		<-r.Done()
		if time.Since(start) != waitLimit || !errors.Is(r.Err(), errTooLate) {
			t.Error(time.Since(start), r.Err())
		}
	})
}

func TestRequestThatNobodyWaitsFor(t *testing.T) {
	dying := new(atomic.Bool)
	dying.Store(true)
	r := newRequest(nil, dying)
	if r.Err() != nil || r.done != nil {
		t.Error("a watcher was started")
	}
	r.end()
	child, cancel := context.WithCancel(newRequest(nil, dying))
	cancel()
	<-child.Done()
}

func TestCheckPoint(t *testing.T) {
	dir := t.TempDir()
	empty, full, file := filepath.Join(dir, "empty"), filepath.Join(dir, "full"), filepath.Join(dir, "file")
	for _, err := range []error{os.Mkdir(empty, 0o700), os.Mkdir(full, 0o700), os.WriteFile(file, nil, 0o600), os.WriteFile(filepath.Join(full, "letter"), nil, 0o600), os.Symlink("empty", filepath.Join(dir, "link"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		dir      string
		nonempty bool
		keep     []string
		want     string
	}{
		{empty, false, nil, ""},
		{filepath.Join(dir, "link"), false, nil, ""},
		{full, true, nil, ""},
		{full, false, nil, `is not empty (it has "letter")`},
		{filepath.Join(dir, "nowhere"), false, nil, "does not exist; make it first"},
		{file, false, nil, "is not a directory"},
		{"/proc", false, nil, "has something mounted on it already (proc)"},
		{dir, true, []string{filepath.Join(full, "state")}, "lies inside the mount point"},
		{empty, false, []string{filepath.Join(dir, "empty2")}, ""},
	} {
		_, err := CheckPoint(c.dir, c.nonempty, c.keep...)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.dir, err, c.want)
		}
	}
}

func TestCheckDevice(t *testing.T) {
	if err := checkDevice(filepath.Join(t.TempDir(), "fuse")); err == nil || !strings.Contains(err.Error(), "this system has no FUSE") {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := helper(); err != nil && !strings.Contains(err.Error(), "fusermount3 is not installed") {
		t.Error(err)
	}
}
