package model

import (
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// unsynced is what has happened to a file since it was last safe from the death
// of the filesystem: since its last close or fsync.
type unsynced struct {
	base   []byte // what it was then, as far as it is looked at
	size   int64  // its size now
	least  int64  // the least and the most that its size has been since
	most   int64
	writes []*Call
	gaps   [][2]int64 // where a write behind the end has left zeros
	zeros  bool       // a change of size may have left zeros anywhere
	any    bool       // other changes than writes were made, so that bytes are not looked at
}

// looked is how much of a file's beginning is held against what was written.
const looked = 8 << 20

// noteChange keeps what a call is about to change, if it is not safe when it
// returns.
func (m *Machine) noteChange(c *Call) {
	h := m.numbered(c)
	if h == nil || h.flags&unix.O_ACCMODE == unix.O_RDONLY || m.unsynced[h.gen] != nil {
		return
	}
	base := m.Truth.contents(h.n)
	u := &unsynced{base: base, size: m.Truth.size(h.n)}
	u.least, u.most = u.size, u.size
	m.unsynced[h.gen] = u
}

// numbered is the open file that a call writes to; nil for other calls.
func (m *Machine) numbered(c *Call) *handle {
	n := c.File
	switch c.Op {
	case Copy:
		n = c.From
	case Write, Allocate:
	default:
		return nil
	}
	return m.handleOf(n)
}

func (m *Machine) handleOf(n int) *handle {
	i := slices.IndexFunc(m.files, func(h *handle) bool { return h.n == n })
	if i < 0 {
		return nil
	}
	return m.files[i]
}

// noteDone notes what a call of the truth's has changed, or made safe.
func (m *Machine) noteDone(c *Call, r *Result) {
	switch c.Op {
	case Write, Copy, Allocate:
		h := m.numbered(c)
		if h == nil {
			return
		}
		if u := m.unsynced[h.gen]; r.Errno == 0 && u != nil {
			u.changed(c, m.Truth.size(h.n), h.flags&unix.O_APPEND != 0)
		}
		if h.flags&(unix.O_SYNC|unix.O_DSYNC) != 0 {
			delete(m.unsynced, h.gen)
		}
	case Ftruncate, Truncate, Open:
		for _, h := range m.files {
			if u := m.unsynced[h.gen]; u != nil {
				u.resized(m.Truth.size(h.n))
			}
		}
	case Fsync, Fdatasync:
		if h := m.handleOf(c.File); h != nil && r.Errno == 0 {
			delete(m.unsynced, h.gen)
		}
	}
}

// safe notes that a file was closed: not by who only reads, for that says
// nothing of what others have written.
func (m *Machine) safe(h *handle) {
	if h.flags&unix.O_ACCMODE != unix.O_RDONLY {
		delete(m.unsynced, h.gen)
	}
}

func (u *unsynced) changed(c *Call, size int64, atEnd bool) {
	if c.Op != Write {
		u.any = true
	} else {
		w := *c
		if atEnd {
			w.Off = size - c.Len
		}
		u.writes = append(u.writes, &w)
		if w.Off > u.size {
			u.gaps = append(u.gaps, [2]int64{u.size, w.Off})
		}
	}
	u.size = size
	u.least, u.most = min(u.least, size), max(u.most, size)
}

func (u *unsynced) resized(size int64) {
	if size != u.size {
		u.size, u.zeros = size, true
		u.least, u.most = min(u.least, size), max(u.most, size)
	}
}

// How much is made safe before the filesystem dies.
const (
	synced = iota // everything is synced
	closed        // everything is closed
	asItIs        // nothing is
)

// Kill has the filesystem under test die by die, which brings it back as it was
// found after that. What was open is lost with it; what had been closed or
// synced must be there, and of other files nothing that nobody wrote.
func (m *Machine) Kill(t *rapid.T, die func()) {
	for i := range m.maps {
		m.msyncAt(t, i)
	}
	switch rapid.SampledFrom([]int{synced, closed, asItIs, asItIs}).Draw(t, "safe") {
	case synced:
		m.SyncAll(t)
	case closed:
		m.CloseAll(t)
	}
	m.Note("kill")
	die()
	m.Forget()
	left := m.unsynced
	m.unsynced = map[string]*unsynced{}
	if len(left) > 0 {
		m.settle(t, left, "")
	}
}

// settle looks at the files below a directory that were not safe, and makes
// them the same on both.
func (m *Machine) settle(t *rapid.T, left map[string]*unsynced, dir string) {
	for _, e := range m.Truth.Do(&Call{Op: ReadDir, Path: dir}).Entries {
		p := path.Join(dir, e.Name)
		if e.Type == syscall.S_IFDIR>>12 {
			m.settle(t, left, p)
			continue
		}
		gen := m.Truth.Do(&Call{Op: Lstat, Path: p}).Stat.Gen
		u := left[gen]
		if u == nil {
			continue
		}
		delete(left, gen)
		m.plausible(t, u, p)
		h := m.of(gen)
		h.ctimes, h.mtimes = [2]int64{}, [2]int64{}
		// With a size that neither has, so that the truncation changes both.
		m.both(&Call{Op: Truncate, Path: p, Off: u.most + 1})
		m.do(t, &Call{Op: Truncate, Path: p})
		m.both(&Call{Op: Lutimens, Path: p, Off: 1, Off2: 1})
		m.look(t, 0, p)
	}
}

// plausible fails if a file has what it never had.
func (m *Machine) plausible(t *rapid.T, u *unsynced, p string) {
	r := m.Test.Do(&Call{Op: Lstat, Path: p})
	if r.Errno != 0 || r.Stat.Size < u.least || r.Stat.Size > u.most {
		m.fatal(t, "%q, which was not synced: %s, size %d; it had from %d to %d bytes", p, short(r.Errno), r.Stat.Size, u.least, u.most)
	}
	if u.any {
		return
	}
	n := m.next()
	const step = 1 << 20
	m.Test.Do(&Call{Op: Open, Path: p, File: n, Flags: unix.O_RDONLY})
	for off := int64(0); off < looked; off += step {
		c := &Call{Op: Read, File: n, Off: off, Len: step}
		r := m.Test.Do(c)
		if r.Errno != 0 {
			m.fatal(t, "%q, which was not synced: %s: %s", p, c, short(r.Errno))
		}
		if i := u.foreign(r.Data, off); i >= 0 {
			m.fatal(t, "%q, which was not synced, has bytes at %d that nobody wrote there: % x", p, off+int64(i), r.Data[i:min(i+8, len(r.Data))])
		}
		if len(r.Data) < step {
			break
		}
	}
	m.Test.Do(&Call{Op: Close, File: n})
}

// foreign is the index of the first byte at off that is neither what was there
// when the file was safe nor what was written since; -1 if there is none.
func (u *unsynced) foreign(p []byte, off int64) int {
	ours := make([]bool, len(p))
	u.own(ours, p, off, 0, u.base)
	for _, w := range u.writes {
		if w.Off < off+int64(len(p)) && w.Off+w.Len > off {
			u.own(ours, p, off, w.Off, bytesOf(w.Seed, w.Len))
		}
	}
	for _, g := range u.gaps {
		for x := max(g[0], off); x < min(g[1], off+int64(len(p))); x++ {
			ours[x-off] = ours[x-off] || p[x-off] == 0
		}
	}
	for i, ok := range ours {
		if !ok && !(u.zeros && p[i] == 0) {
			return i
		}
	}
	return -1
}

// own marks the bytes of p, which lies at off, that are those of q, at at.
func (*unsynced) own(ours []bool, p []byte, off, at int64, q []byte) {
	for x := max(off, at); x < min(off+int64(len(p)), at+int64(len(q))); x++ {
		ours[x-off] = ours[x-off] || p[x-off] == q[x-at]
	}
}
