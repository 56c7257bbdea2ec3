package mount

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAccessTimes(t *testing.T) {
	for words, program := range map[string]string{
		"": "no access times", "relatime": "access times", "atime,nodiratime": "access times of files",
	} {
		dir := mountFor(t, Config{Options: parsed(t, words)})
		inProgram(t, program, dir, 0)
	}
}

func inAccessTimes(t *testing.T, dir string)     { accessTimes(t, dir, true, true) }
func inNoAccessTimes(t *testing.T, dir string)   { accessTimes(t, dir, false, false) }
func inFileAccessTimes(t *testing.T, dir string) { accessTimes(t, dir, true, false) }

// accessTimes reads, lists and follows, and looks which times have moved.
func accessTimes(t *testing.T, dir string, files, dirs bool) {
	file, sub, link := filepath.Join(dir, "f"), filepath.Join(dir, "d"), filepath.Join(dir, "s")
	must(t, os.WriteFile(file, []byte("text"), 0o644))
	must(t, os.Mkdir(sub, 0o755))
	must(t, os.WriteFile(filepath.Join(sub, "in"), nil, 0o644))
	must(t, os.Symlink("f", link))
	read := func() { wantContent(t, file, []byte("text")) }
	list := func() {
		entries, err := os.ReadDir(sub)
		if err != nil || len(entries) != 1 {
			t.Error(len(entries), err)
		}
	}
	follow := func() {
		if to, err := os.Readlink(link); err != nil || to != "f" {
			t.Error(to, err)
		}
	}
	for _, c := range []access{{file, read, files}, {link, follow, files}, {sub, list, dirs}} {
		for range 3 { // each time a change before, and what was read is remembered
			must(t, unix.Lchown(c.path, -1, os.Getegid())) // ctime
			c.wantMoved(t, c.noted)
		}
		c.wantMoved(t, false) // nothing has changed since
		now := time.Now()
		old := []unix.Timespec{unix.NsecToTimespec(now.Add(-25 * time.Hour).UnixNano()), unix.NsecToTimespec(now.Add(-50 * time.Hour).UnixNano())}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, c.path, old, unix.AT_SYMLINK_NOFOLLOW))
		c.wantMoved(t, c.noted) // a day old
		c.wantMoved(t, false)
	}
	if !files {
		return
	}
	must(t, os.Chmod(file, 0o600))
	before := atime(t, file)
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NOATIME, 0)
	must(t, err)
	_, err = unix.Read(fd, make([]byte, 10))
	must(t, err)
	must(t, unix.Close(fd))
	if atime(t, file) != before {
		t.Error("O_NOATIME is not heeded")
	}
}

// access is something that may move the time of access of a path.
type access struct {
	path  string
	use   func()
	noted bool
}

// wantMoved has it happen and looks whether the time has moved.
func (a *access) wantMoved(t *testing.T, want bool) {
	t.Helper()
	before := atime(t, a.path)
	a.use()
	if moved := atime(t, a.path) != before; moved != want {
		t.Errorf("the time of access of %s moved: %v, want %v", a.path, moved, want)
	}
}

func atime(t *testing.T, path string) int64 {
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return st.Atim.Nano()
}
