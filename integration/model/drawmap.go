package model

import (
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// mappings are the operations on files through memory.
func (m *Machine) mappings() map[string]action {
	return map[string]action{
		"mmap": {Map, m.mmap}, "mmap load": {Map, m.mapRead}, "mmap store": {Map, m.mapWrite}, "msync": {Map, m.msync}, "munmap": {Map, m.unmap},
	}
}

func (m *Machine) mmap(t *rapid.T) {
	h := m.file(t)
	if h == nil || h.flags&unix.O_ACCMODE != unix.O_RDWR {
		return
	}
	if len(m.maps) >= maxMaps {
		m.unmapAt(t, 0)
	}
	c := &Call{Op: Map, By: h.by, From: h.n, File: m.next(), Off: rapid.Int64Range(0, 20).Draw(t, "page") * block,
		Len: rapid.Int64Range(1, 40).Draw(t, "pages") * block}
	if m.do(t, c).Errno == 0 {
		m.maps = append(m.maps, &handle{n: c.File, by: h.by, gen: h.gen, off: c.Off, len: c.Len})
	}
}

// mapping draws a mapping; nil if there is none, and one is made instead.
func (m *Machine) mapping(t *rapid.T) *handle {
	if len(m.maps) == 0 {
		m.mmap(t)
		return nil
	}
	return m.maps[rapid.IntRange(0, len(m.maps)-1).Draw(t, "mapping")]
}

// mapRead reads through a mapping, at times behind the end of the file.
func (m *Machine) mapRead(t *rapid.T) {
	h := m.mapping(t)
	if h == nil {
		return
	}
	off := rapid.Int64Range(0, h.len-1).Draw(t, "off")
	c := &Call{Op: MapRead, By: h.by, File: h.n, Off: off, Len: min(h.len-off, small.Draw(t, "len"))}
	test, truth := m.both(c)
	m.sameBytes(t, c, test, truth)
}

// mapWrite writes through a mapping, but not behind the end of the file in its
// last page: what becomes of such bytes POSIX does not say.
func (m *Machine) mapWrite(t *rapid.T) {
	h := m.mapping(t)
	if h == nil {
		return
	}
	size := m.sizeOf(h)
	if size <= h.off {
		return
	}
	off := rapid.Int64Range(0, min(h.len, size-h.off)-1).Draw(t, "off")
	m.wasMapped(h.gen)
	m.do(t, &Call{Op: MapWrite, By: h.by, File: h.n, Off: off, Len: min(h.len-off, size-h.off-off, small.Draw(t, "len")), Seed: m.data()})
	if u := m.unsynced[h.gen]; u != nil {
		u.any = true
	}
	m.lookOpen(t)
}

// sizeOf is the size of a mapping's file, if somebody has it open or its
// mapping does not reach behind it.
func (m *Machine) sizeOf(h *handle) int64 {
	for _, f := range m.files {
		if f.gen == h.gen {
			return m.Truth.Do(&Call{Op: Fstat, File: f.n}).Stat.Size
		}
	}
	return 0
}

func (m *Machine) msync(t *rapid.T) {
	if len(m.maps) > 0 {
		m.msyncAt(t, rapid.IntRange(0, len(m.maps)-1).Draw(t, "mapping"))
	}
}

func (m *Machine) msyncAt(t *rapid.T, i int) {
	h := m.maps[i]
	m.do(t, &Call{Op: Msync, By: h.by, File: h.n})
	delete(m.unsynced, h.gen)
}

func (m *Machine) unmap(t *rapid.T) {
	if len(m.maps) > 0 {
		m.unmapAt(t, rapid.IntRange(0, len(m.maps)-1).Draw(t, "mapping"))
	}
}

// unmapAt ends a mapping, after what was stored through it is safe: when it
// arrives else is the kernel's.
func (m *Machine) unmapAt(t *rapid.T, i int) {
	h := m.maps[i]
	m.msyncAt(t, i)
	m.maps = append(m.maps[:i], m.maps[i+1:]...)
	m.do(t, &Call{Op: Unmap, By: h.by, File: h.n})
}
