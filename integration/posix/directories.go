//go:build linux

package posix

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

var directoryCases = []Case{
	{"directories/make", false, dirMake},
	{"directories/entries", false, dirEntries},
	{"directories/seek", false, dirSeek},
	{"directories/changing", false, dirChanging},
	{"directories/remove", false, dirRemove},
}

func dirMake(t *T) {
	t.mkdir("d", 0o755)
	t.stat("d")
	t.stat(".")
	t.mkdir("d", 0o755)
	t.mkdir("none/d", 0o755)
	t.mkdir("d/e", 0o700)
	t.stat("d")
	t.mkdir("odd", 0o7777)
	t.stat("odd")
	t.mkdir("zero", 0)
	t.stat("zero")
	t.file("f", "x")
	t.mkdir("f", 0o755)
	t.mkdir("f/d", 0o755)
	t.must(unix.Symlink("d", "s"))
	t.mkdir("s", 0o755)
	t.mkdir("s/x", 0o755)
	t.list("d")
	t.same("d", "d/e/..")
	t.same("d/e/../..", ".")
	var st unix.Stat_t
	t.must(unix.Stat("d", &st))
	t.note("a directory", "takes blocks: %v, has a size: %v", st.Blocks > 0, st.Size > 0)
}

// entry is one of getdents64(2).
type entry struct {
	name string
	off  int64
	typ  uint8
	ino  uint64
}

// getdents reads entries as they lie in at most size bytes.
func getdents(h handle, size int) (list []entry, err error) {
	p, n := make([]byte, size), 0
	if err = again(func() (err error) { n, err = unix.Getdents(h.fd, p); return err }); err != nil {
		return nil, err
	}
	for p = p[:n]; len(p) > 0; {
		length := binary.NativeEndian.Uint16(p[16:])
		name, _, _ := bytes.Cut(p[19:length], []byte{0})
		list = append(list, entry{string(name), int64(binary.NativeEndian.Uint64(p[8:])), p[18], binary.NativeEndian.Uint64(p)})
		p = p[length:]
	}
	return list, nil
}

// all reads a directory from where the handle stands.
func (t *T) all(h handle, size int) (list []entry) {
	for {
		some, err := getdents(h, size)
		t.must(err)
		if len(some) == 0 {
			return list
		}
		list = append(list, some...)
	}
}

func listed(list []entry) string {
	var all []string
	for _, e := range list {
		all = append(all, show(e.name))
	}
	slices.Sort(all)
	return fmt.Sprintf("%d names, sum %s", len(all), sum([]byte(strings.Join(all, " "))))
}

// dirEntries compares what is listed with what is there.
func dirEntries(t *T) {
	t.dir("d")
	t.file("d/f", "x")
	t.dir("d/sub")
	t.must(unix.Symlink("f", "d/s"))
	t.must(unix.Mkfifo("d/p", 0o644))
	t.must(unix.Mknod("d/sock", unix.S_IFSOCK|0o644, 0))
	list := t.all(t.opened("d", unix.O_RDONLY|unix.O_DIRECTORY, 0), 4096)
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for _, e := range list {
		var st unix.Stat_t
		t.must(unix.Lstat("d/"+e.name, &st))
		t.note("entry "+e.name, "type %d, inode as stat says: %v", e.typ, st.Ino == e.ino)
	}
	h := t.opened("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	_, err := getdents(h, 20)
	t.result("getdents into 20 bytes", err)
	_, err = getdents(t.opened("d/f", unix.O_RDONLY, 0), 4096)
	t.result("getdents of a file", err)
	_, err = getdents(t.opened("d", unix.O_PATH, 0), 4096)
	t.result("getdents of O_PATH", err)
	for i := range 1500 {
		t.must(os.WriteFile(fmt.Sprintf("d/%04d-%s", i, strings.Repeat("n", i%200)), nil, 0o644))
	}
	for _, size := range []int{300, 4096, 1 << 20} {
		t.note(fmt.Sprintf("1,506 entries by %d bytes", size), "%s", listed(t.all(t.opened("d", unix.O_RDONLY, 0), size)))
	}
}

// dirSeek goes back to places that it has been told.
func dirSeek(t *T) {
	t.dir("d")
	for i := range 400 {
		t.must(os.WriteFile(fmt.Sprint("d/", i), nil, 0o644))
	}
	h := t.opened("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	list := t.all(h, 2000)
	t.note("listing", "%s", listed(list))
	_, err := unix.Seek(h.fd, 0, unix.SEEK_SET)
	t.result("rewind", err)
	again := t.all(h, 3000)
	t.note("the same order after rewind", "%v", slices.EqualFunc(list, again, func(a, b entry) bool { return a.name == b.name }))
	wrong := 0
	for i := 0; i+1 < len(list); i += 7 {
		if _, err := unix.Seek(h.fd, list[i].off, unix.SEEK_SET); err != nil {
			wrong++
			continue
		}
		next, err := getdents(h, 500)
		if err != nil || len(next) == 0 || next[0].name != list[i+1].name {
			wrong++
		}
	}
	t.note("places that lead elsewhere", "%d", wrong)
	_, err = unix.Seek(h.fd, list[len(list)-1].off, unix.SEEK_SET)
	t.result("seek to the end", err)
	t.note("behind the last", "%d entries", len(t.all(h, 500)))
	for i := range 200 { // places hold while entries go
		t.must(unix.Unlink(fmt.Sprint("d/", 2*i)))
	}
	left := map[string]bool{}
	for _, e := range list {
		left[e.name] = e.name == "." || e.name == ".." || (e.name[len(e.name)-1]-'0')%2 == 1
	}
	wrong = 0
	for i := 0; i+1 < len(list); i += 13 {
		_, err := unix.Seek(h.fd, list[i].off, unix.SEEK_SET)
		t.must(err)
		var want []string
		for _, e := range list[i+1:] {
			if left[e.name] {
				want = append(want, e.name)
			}
		}
		var got []string
		for _, e := range t.all(h, 700) {
			if left[e.name] { // whether others are listed is not specified
				got = append(got, e.name)
			}
		}
		if !slices.Equal(got, want) {
			wrong++
		}
	}
	t.note("places that lead elsewhere when half the entries are gone", "%d", wrong)
}

// dirChanging reads a directory that changes between two reads: what was there
// all the time is listed once.
func dirChanging(t *T) {
	t.dir("d")
	for i := range 1000 {
		t.must(os.WriteFile(fmt.Sprint("d/stays", i), nil, 0o644))
		t.must(os.WriteFile(fmt.Sprint("d/goes", i), nil, 0o644))
	}
	h := t.opened("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	seen, step := map[string]int{}, 0
	for {
		some, err := getdents(h, 1500)
		t.must(err)
		if len(some) == 0 {
			break
		}
		for _, e := range some {
			seen[e.name]++
		}
		for range 20 {
			if step < 1000 {
				t.must(unix.Unlink(fmt.Sprint("d/goes", step)))
				t.must(os.WriteFile(fmt.Sprint("d/comes", step), nil, 0o644))
				t.must(unix.Rename(fmt.Sprint("d/comes", step), fmt.Sprint("d/came", step)))
				step++
			}
		}
	}
	missing, twice := 0, 0
	for i := range 1000 {
		switch seen[fmt.Sprint("stays", i)] {
		case 0:
			missing++
		case 1:
		default:
			twice++
		}
	}
	for name, n := range seen {
		if n > 1 && !strings.HasPrefix(name, "stays") {
			twice++
		}
	}
	t.note("of 1,000 entries that stay", "%d missing, %d listed twice", missing, twice)
	for i := step; i < 1000; i++ {
		t.must(unix.Unlink(fmt.Sprint("d/goes", i)))
		t.must(os.WriteFile(fmt.Sprint("d/came", i), nil, 0o644))
	}
	t.note("afterwards", "%s", listed(t.all(t.opened("d", unix.O_RDONLY, 0), 1<<16)))
}

// dirRemove removes all while it lists, as rm -r does.
func dirRemove(t *T) {
	t.dir("d")
	for i := range 500 {
		t.must(os.MkdirAll(fmt.Sprintf("d/%d/sub", i%50), 0o755))
		t.must(os.WriteFile(fmt.Sprintf("d/%d/f%d", i%50, i), nil, 0o644))
	}
	t.stat("d")
	t.rmdir("d")
	t.result("remove all", os.RemoveAll("d"))
	t.stat("d")
	t.dir("e")
	for i := range 300 {
		t.must(os.WriteFile(fmt.Sprint("e/", i), nil, 0o644))
	}
	h := t.opened("e", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for {
		some, err := getdents(h, 400)
		t.must(err)
		if len(some) == 0 {
			break
		}
		for _, e := range some {
			if e.name != "." && e.name != ".." {
				t.must(unix.Unlink("e/" + e.name))
			}
		}
	}
	t.rmdir("e")
	_, err := getdents(h, 400)
	t.result("getdents of the removed directory", err)
	_, err = unix.Seek(h.fd, 0, unix.SEEK_SET)
	t.result("rewind it", err)
	t.note("entries of the removed directory", "%d", len(t.all(h, 400)))
}
