package meta

import "maps"

// maxChanges bounds the records remembered one by one between two checkpoints, and a sixteenth of Config.Memory the bytes
// that this takes; beyond, the next checkpoint is a fold.
const maxChanges = 100_000

// changeCost is about what a remembered record costs in memory beside its key.
const changeCost = 64

// changes is what has changed since the last checkpoint. The commit lock guards it.
type changes struct {
	lost  bool                // too many, or before a restart: only a fold can publish them
	keys  map[string]struct{} // space byte, then the record's key
	marks map[uint64]mark     // to be published before the records
	level int32               // clean, cleanEnough or dirty
	// stripes of data that got a record, kept when the rest is lost: some bytes for each.
	stripes map[uint64]struct{}
	buf     []byte
	size    int64 // bytes, about
	limit   int64
}

func (d *DB) newChanges() *changes {
	return &changes{limit: d.cfg.Memory / 16, keys: make(map[string]struct{}), marks: make(map[uint64]mark), stripes: make(map[uint64]struct{})}
}

func (c *changes) key(space byte, rk []byte) {
	if c.lost {
		return
	}
	c.buf = append(append(c.buf[:0], space), rk...)
	if _, ok := c.keys[string(c.buf)]; ok {
		return
	}
	c.keys[string(c.buf)] = struct{}{}
	c.bound(len(c.buf))
}

func (c *changes) mark(ino uint64, m mark) {
	if c.lost {
		return
	}
	if old, ok := c.marks[ino]; ok {
		m = old.with(m)
	}
	c.marks[ino] = m
	c.bound(24)
}

func (c *changes) bound(n int) {
	c.size += int64(n) + changeCost
	if c.count() > maxChanges || c.size > c.limit {
		c.lose()
	}
}

func (c *changes) lose() { c.lost, c.keys, c.marks = true, nil, nil }

func (c *changes) count() int { return len(c.keys) + len(c.marks) }

// merge takes back what a failed checkpoint had taken.
func (c *changes) merge(o *changes) {
	if o.lost {
		c.lose()
	}
	c.level = max(c.level, o.level)
	maps.Copy(c.stripes, o.stripes)
	for k := range o.keys {
		c.key(k[0], []byte(k[1:]))
	}
	for ino, m := range o.marks {
		c.mark(ino, m)
	}
}
