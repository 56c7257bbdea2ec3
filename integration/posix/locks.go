//go:build linux

package posix

import (
	"golang.org/x/sys/unix"
)

var lockCases = []Case{
	{"locks/posix", false, lockPosix},
	{"locks/blocking", false, lockBlocking},
	{"locks/deadlock", false, lockDeadlock},
	{"locks/ofd", false, lockOFD},
	{"locks/flock", false, lockFlock},
	{"locks/mixed", false, lockMixed},
	{"locks/leases", false, lockLeases},
}

// lockPosix is about record locks that belong to processes.
func lockPosix(t *T) {
	t.file("f", "0123456789")
	a, b := t.peer("a"), t.peer("b")
	a.do("open 1 f")
	b.do("open 1 f")
	b.do("openr 2 f")
	a.do("posix 1 set w 0 10")
	b.do("posix 1 set w 0 10")
	b.do("posix 1 set r 9 1")
	b.do("posix 1 get w 0 0")
	b.do("posix 1 get w 10 5")
	b.do("posix 1 set w 10 5")
	b.do("posix 2 set w 20 1")
	b.do("posix 2 set r 20 1")
	a.do("posix 1 get w 0 0")
	a.do("posix 1 set u 3 4")
	b.do("posix 1 get w 0 0")
	b.do("posix 1 set w 3 4")
	b.do("posix 1 set w 2 3")
	a.do("posix 1 set r 0 3")
	b.do("posix 1 set r 0 3")
	a.do("posix 1 set w 0 3")
	b.do("posix 1 set r -5 3")
	b.do("posix 1 set r 9223372036854775807 2")
	b.do("posix 9 set r 0 1")
	b.do("posix 1 set w 100 -50")
	a.do("posix 1 get r 60 1")
	a.do("open 2 f")
	a.do("close 2") // gives all locks of the process on the file away
	b.do("posix 1 set w 0 10")
	a.do("posix 1 get w 0 0")
	b.kill()
	a.do("posix 1 get w 0 0")
	a.do("posix 1 set w 0 0")
	a.do("posix 1 get r 1000000 1")
}

// lockBlocking waits for locks, and stops waiting for each reason there is.
func lockBlocking(t *T) {
	t.file("f", "0123456789")
	a, b := t.peer("a"), t.peer("b")
	a.do("open 1 f")
	b.do("open 1 f")
	for _, kind := range []string{"posix 1 wait w 0 5", "ofd 1 wait w 0 5", "flock 1 ex"} {
		take, give := "posix 1 set w 0 5", "posix 1 set u 0 5"
		if kind[0] == 'o' {
			take, give = "ofd 1 set w 0 5", "ofd 1 set u 0 5"
		} else if kind[0] == 'f' {
			take, give = "flock 1 ex", "flock 1 un"
		}
		a.do(take)
		b.begin(kind)
		t.waits("f")
		b.interrupt()
		b.ends(kind + ", interrupted,")
		b.begin(kind)
		t.waits("f")
		a.do(give)
		b.ends(kind + ", given,")
		b.do(give)
		a.do(take)
		b.begin(kind)
		t.waits("f")
		a.do("close 1")
		b.ends(kind + ", closed,")
		b.do(give)
		a.do("open 1 f")
		a.do(take)
		c := t.peer("c")
		c.do("open 1 f")
		c.begin(kind)
		t.waits("f")
		c.kill() // who waits is killed
		c.ends(kind + ", killed,")
		b.begin(kind)
		t.waits("f")
		a.kill() // who holds it is killed
		b.ends(kind + ", its holder killed,")
		b.do(give)
		a = t.peer("a")
		a.do("open 1 f")
	}
}

// lockDeadlock has two processes wait for each other.
func lockDeadlock(t *T) {
	t.file("f", "0123456789")
	t.file("g", "0123456789")
	a, b := t.peer("a"), t.peer("b")
	for _, p := range []*peer{a, b} {
		p.do("open 1 f")
		p.do("open 2 g")
	}
	a.do("posix 1 set w 0 5")
	b.do("posix 1 set w 5 5")
	b.begin("posix 1 wait w 0 5")
	t.waits("f")
	a.do("posix 1 wait w 5 5")
	a.do("posix 1 set u 0 5")
	b.ends("posix 1 wait w 0 5")
	b.do("posix 1 set u 0 0")
	a.do("posix 1 set w 0 1")
	b.do("posix 2 set w 0 1")
	b.begin("posix 1 wait w 0 1")
	t.waits("f")
	a.do("posix 2 wait w 0 1")
	a.do("close 1")
	b.ends("posix 1 wait w 0 1")
}

// lockOFD is about record locks that belong to open files.
func lockOFD(t *T) {
	t.file("f", "0123456789")
	a, b := t.peer("a"), t.peer("b")
	a.do("open 1 f")
	a.do("open 2 f")
	b.do("open 1 f")
	a.do("ofd 1 set w 0 5")
	a.do("ofd 2 set w 0 5")
	a.do("ofd 2 set r 4 1")
	a.do("ofd 2 get w 0 0")
	b.do("ofd 1 get w 0 0")
	b.do("posix 1 get w 0 0")
	b.do("posix 1 set w 0 5")
	a.do("posix 1 set w 0 5")
	a.do("ofd 2 set w 5 5")
	a.do("close 2")
	b.do("ofd 1 set w 5 5")
	a.do("ofd 1 set r 0 5")
	b.do("ofd 1 set r 0 5")
	b.kill()
	a.do("ofd 1 set w 0 0")
	a.do("close 1")
	a.do("open 1 f")
	a.do("ofd 1 get w 0 0")
}

// lockFlock is about whole files.
func lockFlock(t *T) {
	t.file("f", "x")
	t.dir("d")
	a, b := t.peer("a"), t.peer("b")
	a.do("open 1 f")
	a.do("open 2 f")
	b.do("openr 1 f")
	a.do("flock 1 sh nb")
	b.do("flock 1 sh nb")
	a.do("flock 1 ex nb")
	b.do("flock 1 un")
	a.do("flock 1 ex nb")
	a.do("flock 2 sh nb")
	b.do("flock 1 sh nb")
	a.do("close 2")
	b.do("flock 1 sh nb")
	a.do("close 1")
	b.do("flock 1 ex nb")
	b.do("flock 9 ex nb")
	b.do("openr 3 d")
	a.do("openr 3 d")
	a.do("flock 3 ex nb")
	b.do("flock 3 sh nb")
	a.kill()
	b.do("flock 3 sh nb")
	t.rename("f", "g")
	c := t.peer("c")
	c.do("open 1 g")
	c.do("flock 1 sh nb")
	b.kill()
	c.do("flock 1 ex nb")
	h := t.opened("g", unix.O_RDWR, 0)
	t.result("flock with a wrong word", unix.Flock(h.fd, 64))
}

// lockMixed shows that the kinds do not keep each other out, and that locks do
// not keep reads and writes out.
func lockMixed(t *T) {
	t.file("f", "0123456789")
	a, b := t.peer("a"), t.peer("b")
	a.do("open 1 f")
	b.do("open 1 f")
	a.do("flock 1 ex nb")
	b.do("posix 1 set w 0 0")
	b.do("flock 1 sh nb")
	a.do("posix 1 set r 0 1")
	h := t.open("f", unix.O_RDWR, 0)
	t.pwrite(h, "written", 0)
	t.pread(h, 10, 0)
	t.unlink("f")
	a.do("posix 1 get w 0 0")
	a.do("flock 1 un")
	b.do("flock 1 ex nb")
}

// lockLeases asks to be told when somebody opens a file.
func lockLeases(t *T) {
	t.file("f", "x")
	t.dir("d")
	r, w := t.opened("f", unix.O_RDONLY, 0), t.opened("d", unix.O_RDONLY, 0)
	lease := func(call string, h handle, cmd, arg int) {
		n, err := unix.FcntlInt(uintptr(h.fd), cmd, arg)
		t.count(call, n, err)
	}
	lease("F_GETLEASE", r, unix.F_GETLEASE, 0)
	lease("F_SETLEASE read", r, unix.F_SETLEASE, unix.F_RDLCK)
	lease("F_GETLEASE", r, unix.F_GETLEASE, 0)
	lease("F_SETLEASE none", r, unix.F_SETLEASE, unix.F_UNLCK)
	lease("F_SETLEASE of a directory", w, unix.F_SETLEASE, unix.F_RDLCK)
}
