package cache

import (
	"fmt"
	"strings"
)

// scan enters the stripes that are in the folder, and deletes what is left of
// interrupted work.
func (c *Cache) scan() error {
	if err := c.cfg.FS.MkdirAll(c.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make cache folder: %w", err)
	}
	if err := c.syncFolder(c.cfg.FS.PathDir(c.cfg.Dir)); err != nil {
		return err
	}
	if err := c.list.load(); err != nil {
		return fmt.Errorf("read the list of synced stripes: %w", err)
	}
	names, err := c.cfg.FS.List(c.cfg.Dir)
	if err != nil {
		return fmt.Errorf("list cache folder: %w", err)
	}
	present := make(map[string]bool, len(names))
	for _, name := range names {
		present[name] = true
	}
	for _, name := range names {
		number, class, partial, ok := parseName(name)
		switch {
		case !ok:
			c.scanOther(name, present)
		case partial != 0:
			c.scanPartial(&stripe{number: number, class: class, name: name, partial: true}, partial)
		default:
			if err := c.scanWhole(&stripe{number: number, class: class, name: name}); err != nil {
				return err
			}
		}
	}
	here := func(n uint64) bool { return c.stripes[n] != nil }
	if err := c.list.begin(here); err != nil {
		c.cfg.Log.Warn("the next start will take longer", "err", err)
	}
	return nil
}

// scanOther removes maps without a stripe and temporary files. Whatever is not
// ours is left alone.
func (c *Cache) scanOther(name string, present map[string]bool) {
	base, temp := strings.CutSuffix(name, tempSuffix)
	base, isMap := strings.CutSuffix(base, mapSuffix)
	if _, _, partial, ok := parseName(base); ok && partial != 0 && isMap && (temp || !present[base]) {
		c.remove(name)
	}
}

// scanWhole enters a stripe that was made here. It is taken to be unsynced,
// unless the list says otherwise: the process that wrote it may have been
// killed.
func (c *Cache) scanWhole(s *stripe) error {
	info, err := c.cfg.FS.Stat(c.cfg.FS.PathJoin(c.cfg.Dir, s.name))
	if err != nil {
		return fmt.Errorf("size of stripe file %s: %w", s.name, err)
	}
	if info.Size() == 0 || info.Size() > 1<<31 {
		c.cfg.Log.Info("no chunk is in this stripe file", "file", s.name, "size", info.Size())
		c.remove(s.name)
		return nil
	}
	s.size, s.written = int(info.Size()), int(info.Size())
	s.pinned, s.writes = true, 1
	c.enter(s)
	if n, ok := c.list.has(s.number); ok && n == s.size {
		s.synced, s.inDir = s.writes, true
		return nil
	}
	s.suspect = true
	c.unsynced[s] = struct{}{}
	return nil
}

// scanPartial enters a partial stripe if its map can be read.
func (c *Cache) scanPartial(s *stripe, seq uint64) {
	c.partSeq.Store(max(c.partSeq.Load(), seq))
	b, err := c.readFile(s.name + mapSuffix)
	if err == nil {
		s.payload, s.have, err = parseMap(b)
	}
	if other := c.stripes[s.number]; err != nil || other != nil {
		c.removeFiles(s)
		return
	}
	s.size = s.have.size()
	c.enter(s)
}

// enter adds a stripe of a former run. One that was made here wins over what
// was fetched of it.
func (c *Cache) enter(s *stripe) {
	if other := c.stripes[s.number]; other != nil {
		c.forget(other)
		c.removeFiles(other)
	}
	s.state, s.idle = closed, make(chan struct{})
	close(s.idle)
	c.stripes[s.number] = s
	c.used += int64(s.size)
	if s.pinned {
		c.pinned += int64(s.size)
	}
}
