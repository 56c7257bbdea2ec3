package crashdisk

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// sector is what a disk writes whole, most of the time.
const sector = 512

// Loss says what a power cut does to what was not synced. The zero value loses
// all of it.
type Loss struct {
	Rand *rand.Rand // needed for all but the zero value
	// Ordered keeps all that was done until a moment, which is drawn, and tears the
	// write of that moment.
	Ordered bool
	// Kept is otherwise the probability, in percent, that a sector or a name is newer
	// than the last sync of it.
	Kept int
	// Noise fills what was never written, and lies before the end of its file, with
	// random bytes. They are zero otherwise.
	Noise bool
}

// Cut returns the disk that a power cut leaves, and which nothing watches yet but
// watch, which may be nil. drop names folders of the root that are lost wholly.
func (d *Disk) Cut(loss Loss, watch Watch, drop ...string) *Disk {
	d.mu.RLock()
	defer d.mu.RUnlock()
	c := &copier{loss: loss, done: map[*inode]*inode{}}
	if loss.Ordered {
		first := d.oldest(d.root, d.clock+1, map[*inode]bool{})
		c.until = first - 1 + loss.Rand.Uint64N(d.clock+2-first)
	}
	after := New(watch)
	after.root = c.cut(d.root)
	for _, name := range drop {
		delete(after.root.names, name)
		delete(after.root.safeNames, name)
	}
	return after
}

// oldest is the time of the oldest change that is not safe, or t.
func (d *Disk) oldest(n *inode, t uint64, seen map[*inode]bool) uint64 {
	if seen[n] {
		return t
	}
	seen[n] = true
	if len(n.writes) > 0 {
		t = min(t, n.writes[0].at)
	}
	if len(n.changes) > 0 {
		t = min(t, n.changes[0].at)
	}
	for _, child := range n.names {
		t = d.oldest(child, t, seen)
	}
	return t
}

// Kill returns the disk as it is, with what is safe and what is not, for a process
// that is started after this one was killed. watch may be nil.
func (d *Disk) Kill(watch Watch) *Disk {
	d.mu.Lock() // for share
	defer d.mu.Unlock()
	after := New(watch)
	after.clock = d.clock
	done := map[*inode]*inode{}
	var share func(n *inode) *inode
	shareAll := func(names map[string]*inode) map[string]*inode {
		if names == nil {
			return nil
		}
		all := make(map[string]*inode, len(names))
		for name, child := range names {
			all[name] = share(child)
		}
		return all
	}
	share = func(n *inode) *inode {
		if n == nil || done[n] != nil {
			return done[n]
		}
		n.own = false
		m := &inode{dir: n.dir, data: n.data, safe: n.safe, writes: slices.Clip(n.writes), dirty: n.dirty}
		done[n] = m
		m.names, m.safeNames = shareAll(n.names), shareAll(n.safeNames)
		for _, c := range n.changes {
			c.n = share(c.n)
			m.changes = append(m.changes, c)
		}
		return m
	}
	after.root = share(d.root)
	return after
}

// copier makes what is left of inodes.
type copier struct {
	loss  Loss
	until uint64 // of an ordered cut
	done  map[*inode]*inode
}

func (c *copier) cut(n *inode) *inode {
	if m := c.done[n]; m != nil {
		return m
	}
	m := &inode{dir: n.dir}
	c.done[n] = m
	if !n.dir {
		m.data = c.content(n)
		m.safe = m.data
		return m
	}
	names := maps.Clone(n.safeNames)
	for i := range n.changes {
		if ch := &n.changes[i]; c.keeps(ch.at) {
			ch.apply(names)
		}
	}
	// In order, so that a seed draws the same for the same disk.
	m.names = make(map[string]*inode, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		m.names[name] = c.cut(names[name])
	}
	m.safeNames = maps.Clone(m.names)
	return m
}

// keeps says whether a change of a name is kept.
func (c *copier) keeps(at uint64) bool {
	if c.loss.Ordered {
		return at <= c.until
	}
	return c.lot()
}

func (c *copier) lot() bool {
	return c.loss.Kept > 0 && c.loss.Rand.IntN(100) < c.loss.Kept
}

// content is what is left in a file.
func (c *copier) content(n *inode) []byte {
	if len(n.writes) == 0 || !c.loss.Ordered && c.loss.Kept == 0 {
		return n.safe
	}
	if c.loss.Ordered {
		return c.prefix(n)
	}
	size := c.length(n)
	b := make([]byte, size)
	if c.loss.Noise && size > len(n.safe) {
		for i := len(n.safe); i < size; i++ {
			b[i] = byte(c.loss.Rand.Uint32())
		}
	}
	copy(b, n.safe)
	for at, list := range touched(n.writes, size) {
		c.sector(b, at*sector, n, list)
	}
	return b
}

// prefix is a file with all writes until a moment, the last of them torn.
func (c *copier) prefix(n *inode) []byte {
	m := inode{data: n.safe}
	for i := range n.writes {
		w := &n.writes[i]
		if w.at > c.until {
			break
		}
		p := w.data
		if w.at == c.until && !w.within() {
			p = p[:c.loss.Rand.IntN(len(p)+1)]
		}
		m.put(0, p, w.off)
	}
	return m.data
}

// length draws one of the lengths that a file has had since it was synced.
func (c *copier) length(n *inode) int {
	size := len(n.safe)
	if !c.lot() {
		return size
	}
	upto := c.loss.Rand.IntN(len(n.writes)) + 1
	if c.lot() {
		upto = len(n.writes)
	}
	for i := range n.writes[:upto] {
		size = max(size, n.writes[i].end())
	}
	return size
}

// touched lists, for each sector before size, the writes that reached into it.
func touched(writes []write, size int) [][]int {
	list := make([][]int, (size+sector-1)/sector)
	for i := range writes {
		for s := writes[i].off / sector; s < len(list) && s*sector < writes[i].end(); s++ {
			list[s] = append(list[s], i)
		}
	}
	return list
}

// sector draws a version of the sector at off, which some writes of n reached into.
func (c *copier) sector(b []byte, off int, n *inode, list []int) {
	if len(list) == 0 || !c.lot() {
		return
	}
	upto := len(list)
	if !c.lot() {
		upto = 1 + c.loss.Rand.IntN(len(list))
	}
	end := min(off+sector, len(b))
	newer := make([]byte, end-off) // who writes a part of a new sector clears the rest
	copy(newer, n.safe[min(off, len(n.safe)):])
	whole := true
	for _, i := range list[:upto] {
		w := &n.writes[i]
		whole = whole && w.within()
		if from, to := max(off, w.off), min(end, w.end()); from < to {
			copy(newer[from-off:to-off], w.data[from-w.off:])
		}
	}
	if !whole && c.loss.Rand.IntN(8) == 0 {
		newer = newer[:c.loss.Rand.IntN(len(newer)+1)]
	}
	copy(b[off:], newer)
}
