//go:build linux

package posix

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

var mmapCases = []Case{
	{"mmap/shared", false, mmapShared},
	{"mmap/private", false, mmapPrivate},
	{"mmap/end", false, mmapEnd},
	{"mmap/errors", false, mmapErrors},
	{"mmap/two", false, mmapTwo},
}

const (
	readWrite = unix.PROT_READ | unix.PROT_WRITE
	page      = 4096
)

// mapped maps a part of a file until the case ends.
func (t *T) mapped(h handle, off int64, length, prot, flags int) []byte {
	m, err := unix.Mmap(h.fd, off, length, prot, flags)
	t.must(err)
	t.later(func() { _ = unix.Munmap(m) })
	return m
}

// mmapShared writes through a mapping and reads by calls, and the reverse.
func mmapShared(t *T) {
	t.file("f", strings.Repeat("0123456789", 1000))
	h := t.opened("f", unix.O_RDWR, 0)
	m := t.mapped(h, 0, 10_000, readWrite, unix.MAP_SHARED)
	t.note("the mapping shows", "%s", brief(m))
	copy(m[5000:], "through the mapping")
	t.pread(h, 19, 5000)
	t.content("f")
	t.pwrite(h, "by a call", 4090)
	t.note("the mapping shows", "%q", m[4085:4105])
	t.result("msync", unix.Msync(m, unix.MS_SYNC))
	t.result("msync ASYNC", unix.Msync(m, unix.MS_ASYNC))
	t.result("msync INVALIDATE", unix.Msync(m, unix.MS_INVALIDATE))
	t.content("f")
	o := t.mapped(t.opened("f", unix.O_RDONLY, 0), page, 100, unix.PROT_READ, unix.MAP_SHARED)
	m[page+7] = '!'
	t.note("another mapping shows", "%q", o[:10])
	t.close(h)
	copy(m[9000:], "after close")
	t.content("f")
	t.result("madvise DONTNEED", unix.Madvise(m, unix.MADV_DONTNEED))
	t.note("the mapping shows", "%s", brief(m))
	t.unlink("f")
	copy(m[1:], "unlinked")
	t.result("msync", unix.Msync(m, unix.MS_SYNC))
	t.note("the mapping shows", "%q", m[:12])
}

// mmapPrivate writes to pages that are nobody else's.
func mmapPrivate(t *T) {
	t.file("f", strings.Repeat("0123456789", 1000))
	h := t.opened("f", unix.O_RDWR, 0)
	m := t.mapped(h, 0, 10_000, readWrite, unix.MAP_PRIVATE)
	copy(m, "private")
	t.content("f")
	t.pwrite(h, "changed", page)
	t.note("a page that was not written", "%q", m[page:page+10])
	t.pwrite(h, "changed", 10)
	t.note("a page that was", "%q", m[:20])
	r := t.mapped(t.opened("f", unix.O_RDONLY, 0), 0, 100, readWrite, unix.MAP_PRIVATE)
	r[0] = 'r'
	t.result("msync", unix.Msync(m, unix.MS_SYNC))
	t.content("f")
}

// touch reads a byte of a mapping, or says that there is none.
func touch(m []byte, i int) (text string) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			text = "SIGBUS"
		}
	}()
	return fmt.Sprintf("%q", m[i])
}

// mmapEnd looks behind the end of a file, and cuts files under a mapping.
func mmapEnd(t *T) {
	t.file("f", "short")
	h := t.opened("f", unix.O_RDWR, 0)
	m := t.mapped(h, 0, 4*page, readWrite, unix.MAP_SHARED)
	t.note("the last byte", "%s", touch(m, 4))
	t.note("behind the end in the page", "%s", touch(m, 5))
	t.note("in the next page", "%s", touch(m, page))
	t.ftruncate(h, 3*page)
	t.note("in the next page", "%s", touch(m, page))
	t.note("in the last page", "%s", touch(m, 3*page))
	copy(m[2*page:], "third")
	t.ftruncate(h, page)
	t.note("in the page that was cut", "%s", touch(m, 2*page))
	t.ftruncate(h, 3*page)
	t.note("in the page that is back", "%s", touch(m, 2*page))
	t.content("f")
	copy(m[page:], strings.Repeat("y", page))
	t.ftruncate(h, page+100)
	t.ftruncate(h, 2*page)
	t.pread(h, 20, page+90)
	t.note("the mapping there", "%q", m[page+90:page+110])
	t.close(t.open("f", unix.O_WRONLY|unix.O_TRUNC, 0))
	t.note("when the file is empty", "%s", touch(m, 0))
	t.pwrite(h, "again", 0)
	m[10] = 'x' // behind the end
	t.content("f")
	t.ftruncate(h, 20)
	t.pread(h, 20, 0)
}

func mmapErrors(t *T) {
	t.file("f", "content")
	t.dir("d")
	t.must(unix.Mkfifo("p", 0o644))
	try := func(what string, h handle, off int64, length, prot, flags int) {
		m, err := unix.Mmap(h.fd, off, length, prot, flags)
		if t.result("mmap "+what, err) {
			t.must(unix.Munmap(m))
		}
	}
	r, w, rw := t.opened("f", unix.O_RDONLY, 0), t.opened("f", unix.O_WRONLY, 0), t.opened("f", unix.O_RDWR, 0)
	a := t.opened("f", unix.O_RDWR|unix.O_APPEND, 0)
	try("shared and writable of O_RDONLY", r, 0, 7, readWrite, unix.MAP_SHARED)
	try("private and writable of O_RDONLY", r, 0, 7, readWrite, unix.MAP_PRIVATE)
	try("of O_WRONLY", w, 0, 7, unix.PROT_READ, unix.MAP_SHARED)
	try("private of O_WRONLY", w, 0, 7, unix.PROT_WRITE, unix.MAP_PRIVATE)
	try("of O_APPEND", a, 0, 7, readWrite, unix.MAP_SHARED)
	try("of nothing", rw, 0, 0, unix.PROT_READ, unix.MAP_SHARED)
	try("at an odd offset", rw, 7, 7, unix.PROT_READ, unix.MAP_SHARED)
	try("far behind the end", rw, 1<<30, 7, unix.PROT_READ, unix.MAP_SHARED)
	try("without a kind", rw, 0, 7, unix.PROT_READ, 0)
	try("executable", rw, 0, 7, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	try("shared, validated", rw, 0, 7, unix.PROT_READ, unix.MAP_SHARED_VALIDATE)
	try("with MAP_SYNC", rw, 0, 7, readWrite, unix.MAP_SHARED_VALIDATE|unix.MAP_SYNC)
	try("populated", rw, 0, 7, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	try("of a directory", t.opened("d", unix.O_RDONLY, 0), 0, 7, unix.PROT_READ, unix.MAP_SHARED)
	try("of a FIFO", t.opened("p", unix.O_RDWR, 0), 0, 7, unix.PROT_READ, unix.MAP_SHARED)
	try("of no file", handle{-1, "none"}, 0, 7, unix.PROT_READ, unix.MAP_SHARED)
	m := t.mapped(r, 0, page, unix.PROT_READ, unix.MAP_SHARED)
	t.result("mprotect to write of O_RDONLY", unix.Mprotect(m, readWrite))
	m = t.mapped(rw, 0, page, unix.PROT_READ, unix.MAP_SHARED)
	t.result("mprotect to write of O_RDWR", unix.Mprotect(m, readWrite))
	t.result("mlock", unix.Mlock(m))
	t.result("munlock", unix.Munlock(m))
}

// mmapTwo maps a file that grows, with holes, in several places.
func mmapTwo(t *T) {
	h := t.open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
	t.ftruncate(h, 64*page)
	m := t.mapped(h, 0, 64*page, readWrite, unix.MAP_SHARED)
	for i := 0; i < 64; i += 5 {
		copy(m[i*page+i:], fmt.Sprint("page ", i))
	}
	t.content("f")
	second := t.mapped(h, 10*page, 20*page, readWrite, unix.MAP_SHARED)
	t.note("the second mapping", "%s", brief(second))
	copy(second[page:], "from the second")
	t.note("in the first", "%q", m[11*page:11*page+20])
	for i := range 64 {
		t.must(ignore(unix.Pwrite(h.fd, []byte{byte('a' + i%26)}, int64(i*page+100))))
	}
	t.note("the first mapping", "%s", brief(m))
	t.fsync(h)
	p, err := os.ReadFile("f")
	t.must(err)
	t.note("file and mapping", "equal: %v", string(p) == string(m))
	t.rename("f", "g")
	m[0] = 'R'
	t.fdatasync(h)
	t.content("g")
}

func ignore(_ int, err error) error { return err }
