package model

import (
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// contents are the operations on open files and what is in them.
func (m *Machine) contents() map[string]action {
	return map[string]action{
		"open": {Open, m.open}, "open again": {Open, m.open}, "tmpfile": {Tmpfile, m.tmpfile}, "close": {Close, m.close}, "write": {Write, m.write},
		"write more": {Write, m.write}, "write on": {Write, m.write}, "read": {Read, m.read}, "read more": {Read, m.read},
		"ftruncate": {Ftruncate, m.ftruncate}, "fsync": {Fsync, m.fsync}, "fdatasync": {Fdatasync, m.fdatasync},
		"whole file": {Open, m.wholeFile}, "truncate": {Truncate, m.truncate},
	}
}

var (
	sizes = rapid.SampledFrom([]int64{0, 1, 10, 4095, 4096, 4097, 10_000, 65_535, 65_536, 100_000, 700_000, 4 << 20, 5 << 20})
	small = rapid.SampledFrom([]int64{1, 10, 1000, 4096, 9000})
)

// offset draws where to read or write.
func offset(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(0, 20_000), rapid.Map(rapid.Int64Range(0, 300), func(p int64) int64 { return p * 4096 }),
		rapid.Int64Range(0, 6<<20), rapid.SampledFrom([]int64{4<<20 - 1, 4 << 20, 1 << 33})).Draw(t, "off")
}

// length draws how much to read or write.
func length(t *rapid.T) int64 { return rapid.OneOf(small, sizes).Draw(t, "len") }

// span draws where in a file something is done, such as O_DIRECT takes it.
func (h *handle) span(t *rapid.T) (off, n int64) {
	off, n = offset(t), length(t)
	if h.flags&unix.O_DIRECT != 0 {
		off, n = off/block*block, (n+block-1)/block*block
	}
	return off, n
}

// access is how a file may be opened; mostly for all.
var access = rapid.SampledFrom([]int{unix.O_RDWR, unix.O_RDWR, unix.O_RDWR, unix.O_WRONLY, unix.O_RDONLY})

func (m *Machine) open(t *rapid.T) {
	flags := rapid.SampledFrom([]int{0, unix.O_CREAT, unix.O_CREAT, unix.O_CREAT | unix.O_EXCL, unix.O_TRUNC,
		unix.O_CREAT | unix.O_TRUNC, unix.O_CREAT | unix.O_APPEND, unix.O_APPEND, unix.O_CREAT | unix.O_DIRECT,
		unix.O_CREAT | unix.O_SYNC, unix.O_CREAT | unix.O_DSYNC | unix.O_APPEND, unix.O_NOFOLLOW}).Draw(t, "flags") | access.Draw(t, "access")
	p := m.path(t, "path")
	if m.special(p) {
		p = ""
	}
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		flags &^= unix.O_TRUNC // open(2): unspecified
	}
	m.openAs(t, &Call{Op: Open, By: who(t), Path: p, Flags: flags, Mode: perms.Draw(t, "mode")})
	m.look(t, who(t), p)
}

// tmpfile makes a file without a name, that linkat may give one.
func (m *Machine) tmpfile(t *rapid.T) {
	flags := rapid.SampledFrom([]int{unix.O_RDWR, unix.O_RDWR, unix.O_WRONLY, unix.O_RDWR | unix.O_EXCL}).Draw(t, "flags")
	m.openAs(t, &Call{Op: Tmpfile, By: who(t), Path: m.dirPath(t), Flags: flags | unix.O_TMPFILE, Mode: modes.Draw(t, "mode")})
	m.lookOpen(t)
}

// openAs opens a file and keeps it.
func (m *Machine) openAs(t *rapid.T, c *Call) {
	if len(m.files) >= maxFiles {
		m.closeAt(t, rapid.IntRange(0, len(m.files)-1).Draw(t, "close"))
	}
	if r := m.Truth.Do(&Call{Op: Lookup, Path: c.Path}); r.Stat.is(unix.S_IFDIR) && c.Flags&unix.O_ACCMODE == unix.O_RDONLY {
		return // directories are opened as streams
	}
	c.File = m.next()
	if m.do(t, c).Errno != 0 {
		return
	}
	h := &handle{n: c.File, by: c.By, flags: c.Flags}
	h.gen = m.Truth.Do(&Call{Op: Fstat, File: h.n}).Stat.Gen
	m.files = append(m.files, h)
}

// file draws an open file; nil if none is, and one is opened instead.
func (m *Machine) file(t *rapid.T) *handle {
	if len(m.files) == 0 {
		m.open(t)
		return nil
	}
	return m.files[rapid.IntRange(0, len(m.files)-1).Draw(t, "file")]
}

func (m *Machine) close(t *rapid.T) {
	if len(m.files) > 0 {
		m.closeAt(t, rapid.IntRange(0, len(m.files)-1).Draw(t, "file"))
	}
}

func (m *Machine) closeAt(t *rapid.T, i int) {
	h := m.files[i]
	m.files = append(m.files[:i], m.files[i+1:]...)
	m.do(t, &Call{Op: Close, By: h.by, File: h.n})
	m.safe(h)
}

func (m *Machine) write(t *rapid.T) {
	h := m.file(t)
	if h == nil {
		return
	}
	off, n := h.span(t)
	m.do(t, &Call{Op: Write, By: h.by, File: h.n, Off: off, Len: n, Seed: m.data()})
	m.lookOpen(t)
}

func (m *Machine) read(t *rapid.T) {
	if h := m.file(t); h != nil {
		off, n := h.span(t)
		m.readAt(t, h, off, n)
	}
}

// readAt compares bytes of an open file, and returns how many there are.
func (m *Machine) readAt(t *rapid.T, h *handle, off, n int64) int64 {
	c := &Call{Op: Read, By: h.by, File: h.n, Off: off, Len: n}
	test, truth := m.both(c)
	m.sameBytes(t, c, test, truth)
	return int64(len(truth.Data))
}

// sameBytes fails unless two reads gave the same, and says where they part.
func (m *Machine) sameBytes(t *rapid.T, c *Call, test, truth *Result) {
	if test.Errno != truth.Errno || len(test.Data) != len(truth.Data) {
		m.fatal(t, "%s: %s, %d bytes; the truth is %s, %d bytes", c, short(test.Errno), len(test.Data), short(truth.Errno), len(truth.Data))
	}
	for i, b := range truth.Data {
		if test.Data[i] != b {
			end := min(i+8, len(truth.Data))
			m.fatal(t, "%s: wrong bytes from offset %d on: % x; the truth is % x", c, c.Off+int64(i), test.Data[i:end], truth.Data[i:end])
		}
	}
}

func (m *Machine) ftruncate(t *rapid.T) {
	if h := m.file(t); h != nil {
		m.do(t, &Call{Op: Ftruncate, By: h.by, File: h.n, Off: offset(t)})
		m.lookOpen(t)
	}
}

func (m *Machine) truncate(t *rapid.T) {
	p := m.path(t, "path")
	if m.special(p) {
		p = ""
	}
	m.change(t, &Call{Op: Truncate, By: who(t), Path: p, Off: offset(t)})
}

func (m *Machine) fsync(t *rapid.T) {
	if h := m.file(t); h != nil {
		m.do(t, &Call{Op: Fsync, By: h.by, File: h.n})
	}
}

func (m *Machine) fdatasync(t *rapid.T) {
	if h := m.file(t); h != nil {
		m.do(t, &Call{Op: Fdatasync, By: h.by, File: h.n})
	}
}

// wholeFile makes a file as most programs do: open, write, close.
func (m *Machine) wholeFile(t *rapid.T) {
	p, by := m.path(t, "path"), who(t)
	if m.special(p) {
		p = ""
	}
	c := &Call{Op: Open, By: by, Path: p, File: m.next(), Flags: unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC, Mode: 0o644}
	if m.do(t, c).Errno == 0 {
		m.do(t, &Call{Op: Write, By: by, File: c.File, Len: sizes.Draw(t, "len"), Seed: m.data()})
		gen := m.Truth.Do(&Call{Op: Fstat, File: c.File}).Stat.Gen
		m.do(t, &Call{Op: Close, By: by, File: c.File})
		delete(m.unsynced, gen)
	}
	m.look(t, who(t), p)
}
