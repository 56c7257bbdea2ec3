//go:build linux

package posix

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

var nameCases = []Case{
	{"names/length", false, nameLength},
	{"names/bytes", false, nameBytes},
	{"names/dots", false, nameDots},
	{"names/slashes", false, nameSlashes},
	{"names/empty", false, nameEmpty},
}

// nameLength uses the longest name and one that is too long with every call.
func nameLength(t *T) {
	t.file("f", "x")
	long, longer := strings.Repeat("n", 255), strings.Repeat("n", 256)
	t.close(t.open(long, unix.O_CREAT|unix.O_WRONLY, 0o644))
	t.stat(long)
	t.rename(long, "back")
	t.mkdir(long, 0o755)
	t.rmdir(long)
	t.symlink("f", long)
	t.readlink(long)
	t.unlink(long)
	t.link("f", long)
	t.unlink(long)
	t.mknod(long, unix.S_IFIFO|0o644, 0)
	t.list(".")
	t.open(longer, unix.O_CREAT|unix.O_WRONLY, 0o644)
	t.open(longer, unix.O_RDONLY, 0)
	t.stat(longer)
	t.mkdir(longer, 0o755)
	t.rmdir(longer)
	t.unlink(longer)
	t.symlink("f", longer)
	t.readlink(longer)
	t.link("f", longer)
	t.link(longer, "g")
	t.mknod(longer, unix.S_IFIFO|0o644, 0)
	t.rename("f", longer)
	t.rename(longer, "g")
	t.truncate(longer, 0)
	t.chmod(longer, 0o600)
	t.chdir(longer)
	t.stat("f/" + longer)
	t.stat("nothing/" + longer)
	utf := strings.Repeat("ü", 127) + "n" // 255 bytes
	t.mkdir(utf, 0o700)
	t.mkdir(utf+"n", 0o700)
}

// nameBytes makes a file of each name of one byte, and some odd ones.
func nameBytes(t *T) {
	t.dir("bytes")
	made := 0
	for b := 1; b < 256; b++ {
		if b == '/' || b == '.' {
			continue
		}
		t.must(os.WriteFile("bytes/"+string([]byte{byte(b)}), []byte{byte(b)}, 0o644))
		made++
	}
	entries, err := os.ReadDir("bytes")
	t.must(err)
	var all []string
	for _, e := range entries {
		p, err := os.ReadFile("bytes/" + e.Name())
		t.must(err)
		all = append(all, e.Name()+string(p))
	}
	slices.Sort(all)
	t.note("names of one byte", "%d made, %d listed, sum %s", made, len(all), sum([]byte(strings.Join(all, ""))))
	for _, name := range []string{"a", "A", "ä", "a\u0308", "\xff\xfe", " ", "-rf", "*", "\n", "...", "..a", "a\tb", "CON", "a:b", "a\\b", "~"} {
		t.mkdir(name, 0o755)
	}
	t.list(".")
	for _, name := range []string{"B", "...", "\xff\xfe", "Ä"} {
		t.stat(name)
	}
}

// nameDots uses the names that every directory has.
func nameDots(t *T) {
	t.dir("d", "d/e")
	t.mkdir(".", 0o755)
	t.mkdir("d/.", 0o755)
	t.mkdir("d/..", 0o755)
	t.rmdir(".")
	t.rmdir("d/.")
	t.rmdir("d/e/..")
	t.unlink(".")
	t.unlink("d/..")
	t.rename("d/.", "x")
	t.rename("d/..", "x")
	t.rename("d", ".")
	t.rename("d", "d/e/..")
	t.rename2("d", "d/e/..", unix.RENAME_NOREPLACE)
	t.rename2("d/.", "d/e", unix.RENAME_EXCHANGE)
	t.symlink("d", ".")
	t.symlink("d", "d/..")
	t.link("d/.", "x")
	t.mknod("d/.", unix.S_IFIFO|0o644, 0)
	t.open(".", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.open("..", unix.O_CREAT|unix.O_EXCL, 0o644)
	t.open("d/e/../e/./..", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	t.same("d", "d/e/..")
	t.same("d", "d/.")
}

// nameSlashes ends names in slashes, which asks for a directory.
func nameSlashes(t *T) {
	t.file("f", "x")
	t.dir("d")
	t.must(unix.Symlink("d", "sd"))
	t.must(unix.Symlink("f", "sf"))
	t.must(unix.Symlink("nothing", "sn"))
	t.mkdir("new/", 0o755)
	t.mkdir("new2//", 0o755)
	t.mkdir("f/", 0o755)
	t.mkdir("sn/", 0o755)
	t.mkdir("sd/", 0o755)
	for _, name := range []string{"f/", "sf/", "sd/", "sn/", "nothing/", "f/x", "f/.", "f/..", "nothing/.", "nothing/.."} {
		t.stat(name)
	}
	t.lstat("sd/")
	t.lstat("sd")
	t.readlink("sd/")
	t.open("f/", unix.O_RDONLY, 0)
	t.open("made/", unix.O_CREAT|unix.O_WRONLY, 0o644)
	t.open("d/", unix.O_CREAT|unix.O_WRONLY, 0o644)
	t.open("sd/", unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	t.unlink("f/")
	t.unlink("d/")
	t.unlink("sd/")
	t.rmdir("sd/")
	t.rmdir("sd")
	t.rmdir("f/")
	t.rename("f", "g/")
	t.rename("f/", "g")
	t.rename("new/", "renamed/")
	t.rename("new2/", "renamed2")
	t.rename("sd/", "x")
	t.rename("sd", "x/")
	t.link("f/", "g")
	t.link("f", "g/")
	t.symlink("f", "g/")
	t.mknod("g/", unix.S_IFREG|0o644, 0)
	t.rmdir("renamed/")
	t.list(".")
	t.stat("//..//." + "//")
}

// nameEmpty uses the empty name and the longest paths.
func nameEmpty(t *T) {
	t.file("f", "x")
	t.open("", unix.O_RDONLY, 0)
	t.open("", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.stat("")
	t.mkdir("", 0o755)
	t.rmdir("")
	t.unlink("")
	t.rename("f", "")
	t.rename("", "f")
	t.link("", "g")
	t.link("f", "")
	t.symlink("", "s")
	t.symlink("f", "")
	t.readlink("")
	t.chdir("")
	t.truncate("", 0)
	for _, n := range []int{4095, 4096, 5000} {
		path := strings.Repeat("./", n/2) + strings.Repeat("f", n%2)
		var st unix.Stat_t
		t.result(fmt.Sprintf("stat of a path of %d bytes", n), unix.Stat(path, &st))
		t.result(fmt.Sprintf("symlink to a path of %d bytes", n), unix.Symlink(path, fmt.Sprint("s", n)))
	}
	t.lstat("s4095")
	p := make([]byte, 5000)
	n, err := unix.Readlink("s4095", p)
	t.count("readlink s4095", n, err)
	n, err = unix.Readlink("s4095", p[:10])
	t.count("readlink s4095 into 10 bytes", n, err)
	n, err = unix.Readlink("f", p)
	t.count("readlink f", n, err)
}
