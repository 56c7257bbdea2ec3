//go:build linux

package posix

import (
	"encoding/binary"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

var inotifyEvents = []flag{
	{unix.IN_ACCESS, "ACCESS"}, {unix.IN_MODIFY, "MODIFY"}, {unix.IN_ATTRIB, "ATTRIB"}, {unix.IN_CLOSE_WRITE, "CLOSE_WRITE"},
	{unix.IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"}, {unix.IN_OPEN, "OPEN"}, {unix.IN_MOVED_FROM, "MOVED_FROM"}, {unix.IN_MOVED_TO, "MOVED_TO"},
	{unix.IN_CREATE, "CREATE"}, {unix.IN_DELETE, "DELETE"}, {unix.IN_DELETE_SELF, "DELETE_SELF"}, {unix.IN_MOVE_SELF, "MOVE_SELF"},
	{unix.IN_IGNORED, "IGNORED"}, {unix.IN_ISDIR, "ISDIR"}, {unix.IN_UNMOUNT, "UNMOUNT"},
}

var inotifyCases = []Case{
	{"inotify/directory", false, inotifyDirectory},
	{"inotify/file", false, inotifyFile},
	{"inotify/errors", false, inotifyErrors},
}

// watcher tells what inotify has seen since it was last asked.
type watcher struct {
	t     *T
	fd    int
	names map[int32]string
}

func (t *T) watch(names ...string) *watcher {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	t.must(err)
	t.fds = append(t.fds, fd)
	w := &watcher{t, fd, map[int32]string{}}
	for _, name := range names {
		wd, err := unix.InotifyAddWatch(fd, name, unix.IN_ALL_EVENTS)
		t.must(err)
		w.names[int32(wd)] = name
	}
	return w
}

// saw writes down the events of what has just been done.
func (w *watcher) saw(what string) {
	var all []string
	p := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, p)
		if err != nil {
			break
		}
		for q := p[:n]; len(q) > 0; {
			wd, mask, length := int32(binary.NativeEndian.Uint32(q)), binary.NativeEndian.Uint32(q[4:]), binary.NativeEndian.Uint32(q[12:])
			name := strings.TrimRight(string(q[16:16+length]), "\x00")
			all = append(all, w.names[wd]+"/"+name+" "+names(inotifyEvents, uint64(mask)))
			q = q[16+length:]
		}
	}
	w.t.note("events of: "+what, "%s", strings.Join(slices.Compact(all), ", "))
}

func inotifyDirectory(t *T) {
	t.dir("d", "e", "d/sub")
	w := t.watch("d", "e")
	do := func(what string, f func()) { f(); w.saw(what) }
	do("create", func() { t.close(t.open("d/f", unix.O_CREAT|unix.O_WRONLY, 0o644)) })
	do("write", func() {
		h := t.open("d/f", unix.O_RDWR, 0)
		t.write(h, "content")
		t.pread(h, 3, 0)
		t.fsync(h)
		t.close(h)
	})
	do("truncate", func() { t.truncate("d/f", 2) })
	do("open with O_TRUNC", func() { t.close(t.open("d/f", unix.O_WRONLY|unix.O_TRUNC, 0)) })
	do("chmod", func() { t.chmod("d/f", 0o600) })
	do("utimens", func() { t.utimens("d/f", now, now, 0) })
	do("setxattr", func() { t.setx("d/f", "user.a", "v", 0) })
	do("link", func() { t.link("d/f", "d/g") })
	do("rename", func() { t.rename("d/g", "d/h") })
	do("rename over", func() { t.rename("d/f", "d/h") })
	do("rename to another", func() { t.rename("d/f", "e/f") })
	do("exchange", func() { t.rename2("e/f", "d/sub", unix.RENAME_EXCHANGE) })
	do("mkdir", func() { t.mkdir("d/dir", 0o755) })
	do("rmdir", func() { t.rmdir("d/dir") })
	do("symlink", func() { t.symlink("x", "d/s") })
	do("mknod", func() { t.mknod("d/p", unix.S_IFIFO|0o644, 0) })
	do("unlink", func() { t.unlink("d/h"); t.unlink("d/s"); t.unlink("d/p") })
	do("stat", func() { t.stat("d/sub") })
	do("list", func() { t.list("d") })
	do("failing calls", func() { t.unlink("d/none"); t.mkdir("d/sub", 0o755); t.rmdir("d") })
	do("chmod of the directory", func() { t.chmod("d", 0o700) })
	do("rename of the directory", func() { t.rename("d", "D") })
	do("create after that", func() { t.close(t.open("D/new", unix.O_CREAT|unix.O_WRONLY, 0o644)) })
	do("rmdir of the directory", func() { t.unlink("D/new"); t.unlink("D/sub"); t.rmdir("D") })
}

func inotifyFile(t *T) {
	t.file("f", "content")
	t.file("over", "x")
	t.must(unix.Link("f", "other"))
	w := t.watch("f", "over")
	do := func(what string, f func()) { f(); w.saw(what) }
	h := t.opened("f", unix.O_RDWR, 0)
	do("open", func() {})
	do("write", func() { t.pwrite(h, "C", 0) })
	do("ftruncate", func() { t.ftruncate(h, 3) })
	do("a mapping", func() {
		m := t.mapped(h, 0, 3, readWrite, unix.MAP_SHARED)
		m[0] = 'm'
		t.must(unix.Msync(m, unix.MS_SYNC))
	})
	do("write by another name", func() {
		o := t.open("other", unix.O_WRONLY, 0)
		t.write(o, "O")
		t.close(o)
	})
	do("chown", func() { t.chown("f", -1, -1) })
	do("rename", func() { t.rename("f", "g") })
	do("rename over", func() { t.rename("g", "over") })
	do("unlink of one of two names", func() { t.unlink("over") })
	do("unlink of the last name", func() { t.unlink("other") })
	do("fchmod when it is unlinked", func() { t.fchmod(h, 0o600) })
	do("close", func() { t.close(h) })
}

func inotifyErrors(t *T) {
	t.file("f", "x")
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	t.must(err)
	t.fds = append(t.fds, fd)
	add := func(name string, mask uint32) {
		_, err := unix.InotifyAddWatch(fd, name, mask)
		t.result("inotify_add_watch "+show(name)+" "+names(inotifyEvents, uint64(mask)), err)
	}
	add("none", unix.IN_CREATE)
	add("f", unix.IN_CREATE|unix.IN_ONLYDIR)
	add("f", 0)
	add("f", unix.IN_MODIFY)
	add("f", unix.IN_MODIFY|unix.IN_MASK_CREATE)
	t.must(unix.Symlink("f", "s"))
	add("s", unix.IN_MODIFY|unix.IN_DONT_FOLLOW|unix.IN_MASK_CREATE)
	_, err = unix.InotifyRmWatch(fd, 99)
	t.result("inotify_rm_watch of none", err)
}
