package model

import (
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// space are the operations on where a file has bytes.
func (m *Machine) space() map[string]action {
	return map[string]action{
		"fallocate": {Allocate, m.allocate}, "punch": {Allocate, m.punch}, "copy": {Copy, m.copy}, "copy again": {Copy, m.copy},
		"lseek": {Seek, m.seek},
	}
}

// collapse and insert are not among the modes: the kernel has no request for
// them (see Differences).
var allocModes = rapid.SampledFrom([]int{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE,
	unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE})

// near draws an offset at which a range of much may begin: not so far away that
// the native filesystem has no room for it.
func near(t *rapid.T) int64 { return offset(t) % (6 << 20) }

func (m *Machine) allocate(t *rapid.T) {
	h := m.file(t)
	if h == nil {
		return
	}
	m.of(h.gen).spaced = true
	m.do(t, &Call{Op: Allocate, By: h.by, File: h.n, Off: near(t), Len: length(t), Flags: allocModes.Draw(t, "mode")})
	m.lookOpen(t)
}

func (m *Machine) punch(t *rapid.T) {
	if h := m.file(t); h != nil {
		m.do(t, &Call{Op: Allocate, By: h.by, File: h.n, Off: near(t), Len: length(t), Flags: unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE})
		m.lookOpen(t)
	}
}

// copy copies from one file into another, or into another part of the same, of
// the same process. Where the source has holes ext4 writes zeros.
func (m *Machine) copy(t *rapid.T) {
	from := m.file(t)
	if from == nil {
		return
	}
	var mine []*handle
	for _, h := range m.files {
		if h.by == from.by && (h.flags|from.flags)&unix.O_DIRECT == 0 {
			mine = append(mine, h)
		}
	}
	if len(mine) == 0 {
		return
	}
	to := mine[rapid.IntRange(0, len(mine)-1).Draw(t, "into")]
	m.of(to.gen).spaced = true
	c := &Call{Op: Copy, By: from.by, File: from.n, Off: near(t), From: to.n, Off2: near(t), Len: max(1, length(t))}
	if from.gen == to.gen { // the end must not run away from the copy
		c.Len = min(c.Len, max(1, m.Truth.size(from.n)-c.Off))
	}
	m.do(t, c)
	m.lookOpen(t)
}

// seek asks where there is data, or none. What ext4 has only allocated it may
// call data; then the answer need only be right.
func (m *Machine) seek(t *rapid.T) {
	h := m.file(t)
	if h == nil {
		return
	}
	c := &Call{Op: Seek, By: h.by, File: h.n, Off: offset(t), Flags: rapid.SampledFrom([]int{unix.SEEK_DATA, unix.SEEK_HOLE}).Draw(t, "whence")}
	if !m.of(h.gen).spaced {
		m.do(t, c)
		return
	}
	r, _ := m.both(c)
	end := r.N
	switch size := m.Truth.size(h.n); {
	case c.Off >= size && r.Errno != unix.ENXIO:
		m.fatal(t, "%s: %s behind the end, which is %d", c, show(r), size)
	case c.Off >= size || c.Flags == unix.SEEK_HOLE:
		return
	case r.Errno == unix.ENXIO:
		end = size
	}
	p := m.Truth.contents(h.n)
	for i := c.Off; i < min(end, int64(len(p))); i++ {
		if p[i] != 0 {
			m.fatal(t, "%s: %s, but at %d there is %#x", c, show(r), i, p[i])
		}
	}
}

// compareBlocks says whether the blocks of a file under test are those of its
// pages with data, no more and no less. It asks for them last: what a mapping has
// written is in the kernel's pages and not counted before the kernel sends it,
// which looking for data makes it do.
func (m *Machine) compareBlocks(t *rapid.T, file int, size int64) {
	var data int64
	for off := int64(0); off < size; {
		r := m.Test.Do(&Call{Op: Seek, File: file, Off: off, Flags: unix.SEEK_DATA})
		if r.Errno == unix.ENXIO {
			break
		}
		end := m.Test.Do(&Call{Op: Seek, File: file, Off: r.N, Flags: unix.SEEK_HOLE})
		if r.Errno != 0 || end.Errno != 0 || end.N <= r.N || r.N < off {
			m.fatal(t, "data at %d ends at %d: %s %s", r.N, end.N, short(r.Errno), short(end.Errno))
		}
		data += (end.N+block-1)/block - r.N/block
		off = end.N
	}
	if blocks := m.Test.Do(&Call{Op: Fstat, File: file}).Stat.Blocks; blocks != data*block/512 {
		m.fatal(t, "%d blocks where %d pages have data", blocks, data)
	}
}
