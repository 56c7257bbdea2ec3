//go:build linux

package posix

import (
	"golang.org/x/sys/unix"
)

var renameCases = []Case{
	{"rename/kinds", false, renameKinds},
	{"rename/directories", false, renameDirectories},
	{"rename/flags", false, renameFlagged},
	{"rename/exchange", false, renameExchange},
	{"rename/rights", true, renameRights},
}

// renameKinds moves each kind over each.
func renameKinds(t *T) {
	kinds := []string{"none", "file", "empty", "full", "link", "fifo"}
	make := func(name, what string) {
		switch what {
		case "file":
			t.file(name, "from "+name)
		case "empty":
			t.dir(name)
		case "full":
			t.dir(name)
			t.file(name+"/x", "x")
		case "link":
			t.must(unix.Symlink("somewhere", name))
		case "fifo":
			t.must(unix.Mkfifo(name, 0o644))
		}
	}
	for _, from := range kinds {
		for _, to := range kinds {
			a, b := "a-"+from+"-"+to, "b-"+from+"-"+to
			make(a, from)
			make(b, to)
			t.rename(a, b)
			t.lstat(a)
			t.lstat(b)
		}
	}
	t.file("one", "x")
	t.must(unix.Link("one", "two"))
	t.rename("one", "two")
	t.rename("one", "one")
	t.stat("one")
	t.rename("none/x", "y")
	t.rename("one", "none/x")
	t.rename("one/x", "y")
	t.rename("one", "two/x")
}

func renameDirectories(t *T) {
	t.dir("a", "a/b", "a/b/c", "d", "e")
	t.rename("a", "a/x")
	t.rename("a", "a/b")
	t.rename("a", "a/b/c/x")
	t.rename("a/b/c", "a/b")
	t.rename("a/b/c", "a")
	t.stat("a")
	t.stat("d")
	t.rename("a/b", "d/b")
	t.stat("a")
	t.stat("d")
	t.list("d/b")
	t.same("d", "d/b/..")
	t.rename("e", "d/b/c")
	t.stat("d/b")
	t.rename("d/b", "a")
	t.list("a")
	t.rename("a/c", "c")
	t.rename("a", "A")
	t.rename("A", "a")
	t.list(".")
	h := t.opened("d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	t.rename("c", "d")
	t.fstat(h)
	t.result("mkdirat in the replaced directory", unix.Mkdirat(h.fd, "x", 0o755))
	t.list(".")
}

func renameFlagged(t *T) {
	t.file("f", "f")
	t.file("g", "g")
	t.dir("d")
	t.rename2("f", "g", unix.RENAME_NOREPLACE)
	t.rename2("f", "f", unix.RENAME_NOREPLACE)
	t.rename2("f", "d", unix.RENAME_NOREPLACE)
	t.rename2("f", "h", unix.RENAME_NOREPLACE)
	t.rename2("none", "g", unix.RENAME_NOREPLACE)
	t.rename2("none", "i", unix.RENAME_NOREPLACE)
	t.rename2("d", "d/x", unix.RENAME_NOREPLACE)
	t.rename2("d", "e", unix.RENAME_NOREPLACE)
	t.rename2("h", "g", unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE)
	t.rename2("h", "g", unix.RENAME_WHITEOUT|unix.RENAME_EXCHANGE)
	t.rename2("h", "g", 1<<10)
	t.rename2("h", "w", unix.RENAME_WHITEOUT)
	t.list(".")
}

func renameExchange(t *T) {
	t.file("f", "f")
	t.dir("d", "d/sub", "e")
	t.must(unix.Symlink("f", "s"))
	t.rename2("f", "s", unix.RENAME_EXCHANGE)
	t.lstat("f")
	t.content("s")
	t.rename2("f", "d", unix.RENAME_EXCHANGE)
	t.list(".")
	t.stat(".")
	t.rename2("d", "f", unix.RENAME_EXCHANGE)
	t.rename2("f", "d/sub", unix.RENAME_EXCHANGE)
	t.stat("d")
	t.stat(".")
	t.lstat("d/sub")
	t.rename2("d/sub", "f", unix.RENAME_EXCHANGE)
	t.rename2("d", "d/sub", unix.RENAME_EXCHANGE)
	t.rename2("d/sub", "d", unix.RENAME_EXCHANGE)
	t.rename2("d", "d/none", unix.RENAME_EXCHANGE)
	t.rename2("d", "none", unix.RENAME_EXCHANGE)
	t.rename2("none", "d", unix.RENAME_EXCHANGE)
	t.rename2("d", "d", unix.RENAME_EXCHANGE)
	t.rename2("d", "e", unix.RENAME_EXCHANGE)
	t.list("e")
	t.rename2("e/sub", "d", unix.RENAME_EXCHANGE)
	t.same("e/sub/..", "e")
	t.stat("e")
	t.must(unix.Link("s", "t"))
	t.rename2("s", "t", unix.RENAME_EXCHANGE)
	t.stat("s")
}

// renameRights moves in and out of directories of others.
func renameRights(t *T) {
	t.dir("open", "closed", "sticky", "open/d", "open/his")
	t.must(unix.Chmod("open", 0o777))
	t.must(unix.Chmod("sticky", 0o1777))
	t.must(unix.Chown("open/his", 1001, 1001))
	t.file("closed/f", "x")
	t.file("open/f", "x")
	t.file("sticky/f", "x")
	t.file("sticky/mine", "x")
	t.must(unix.Chown("sticky/mine", 1001, 1001))
	t.as(1001, 1001, nil, func() {
		t.rename("closed/f", "open/g")
		t.rename("open/f", "closed/g")
		t.rename("closed/f", "closed/g")
		t.rename("closed/none", "open/g")
		t.rename("open/f", "open/g")
		t.rename("sticky/f", "sticky/g")
		t.rename("sticky/f", "open/h")
		t.rename("open/g", "sticky/f")
		t.rename("sticky/mine", "sticky/own")
		t.rename("sticky/own", "sticky/f")
		t.rename2("sticky/own", "sticky/f", unix.RENAME_EXCHANGE)
		t.rename("open/d", "open/D")
		t.rename("open/D", "sticky/D") // its ".." would change, and it is root's
		t.rename("open/his", "sticky/his")
	})
	t.list("open")
	t.list("sticky")
}
