package cache

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/hammockfs/hammock/room"
)

// keepShare is the part of the limit that data leaves to metadata.
const keepShare = 50

// dataLimit is how many sealed bytes there may be for data to come in.
func (c *Cache) dataLimit() int64 { return c.cfg.Limit - c.cfg.Limit/keepShare }

// fits reports whether n more bytes of the class may be written. Cache.mu is
// held. Only data is ever refused.
func (c *Cache) fits(class uint8, n int) bool {
	return class != ClassData || c.used+int64(n) <= c.dataLimit()
}

// Pin keeps a stripe from being evicted. Partial ones are never pinned.
func (c *Cache) Pin(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.stripes[number]; s != nil && !s.partial {
		c.pin(s, true)
	}
}

// Unpin says that a closed stripe is placed elsewhere: it may be evicted, and
// need not be synced any more. An open one stays pinned.
func (c *Cache) Unpin(number uint64) {
	c.mu.Lock()
	s := c.stripes[number]
	if s == nil || s.state != closed {
		c.mu.Unlock()
		return
	}
	c.pin(s, false)
	delete(c.unsynced, s)
	size := s.size
	c.mu.Unlock()
	if !s.partial && !s.suspect {
		c.list.add(number, size)
	}
}

// Drop evicts everything that is not pinned and forgets all opened blocks. It
// returns the sealed bytes that were freed.
func (c *Cache) Drop(ctx context.Context) (int64, error) {
	c.memory.InvalidateAll()
	return c.evict(1 << 62), ctx.Err()
}

// makeRoom evicts so that n more bytes fit, and a little more, so that the next
// callers find room without a search. false: it is not there, and nothing more
// can be evicted.
func (c *Cache) makeRoom(n int64) bool {
	c.mu.Lock()
	need := c.used + n - c.dataLimit()
	c.mu.Unlock()
	return need <= 0 || c.evict(need+c.cfg.Limit/64) > 0
}

// evict removes unpinned stripes, the least recently used first and those of
// class index last, until want bytes are gone or nothing is left.
func (c *Cache) evict(want int64) (freed int64) {
	var victims []*stripe
	c.mu.Lock()
	for _, s := range c.evictable() {
		if freed >= want {
			break
		}
		freed += int64(s.size)
		c.forget(s)
		victims = append(victims, s)
	}
	c.mu.Unlock()
	if len(victims) > 0 {
		c.list.sync() // or a power cut might leave neither the file nor the word that it was evicted
	}
	for _, s := range victims {
		c.removeFiles(s)
	}
	return freed
}

// evictable lists what may go, in the order of going. Cache.mu is held. The
// order is made anew each time: uses are counted without a lock that way, and a
// search among ten thousand stripes costs about a millisecond.
func (c *Cache) evictable() []*stripe {
	type candidate struct {
		s     *stripe
		clock int64
	}
	var list []candidate
	for _, s := range c.stripes {
		if s.state == closed && !s.pinned {
			list = append(list, candidate{s, s.clock.Load()})
		}
	}
	slices.SortFunc(list, func(a, b candidate) int {
		if ai, bi := a.s.class == ClassIndex, b.s.class == ClassIndex; ai != bi {
			if ai {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.clock, b.clock)
	})
	out := make([]*stripe, len(list))
	for i := range list {
		out[i] = list[i].s
	}
	return out
}

// forget takes s out of the books. Cache.mu is held; removeFiles follows
// without it.
func (c *Cache) forget(s *stripe) {
	s.gone.Store(true)
	c.pin(s, false)
	c.used -= int64(s.size)
	delete(c.stripes, s.number)
	delete(c.unsynced, s)
}

// removeFiles deletes the files of a stripe that is gone. Those who are reading
// it finish on the open file.
func (c *Cache) removeFiles(s *stripe) {
	c.handles.drop(s)
	if s.partial {
		c.remove(s.name + mapSuffix)
	}
	c.remove(s.name)
}

func (c *Cache) remove(name string) {
	err := c.cfg.FS.Remove(c.cfg.FS.PathJoin(c.cfg.Dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.cfg.Log.Warn("cannot remove a file of the cache", "file", name, "err", err)
	}
}

// charge enters n bytes fetched into a partial stripe, evicting others where
// there is no room. false: they cannot be kept.
func (c *Cache) charge(s *stripe, n int) bool {
	if c.low() > 0 && c.evict(int64(n)) < int64(n) {
		return false
	}
	c.makeRoom(int64(n))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut || s.gone.Load() || !c.fits(ClassData, n) {
		return false
	}
	c.resize(s, n)
	return true
}

// uncharge takes back a charge of bytes that did not come.
func (c *Cache) uncharge(s *stripe, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.gone.Load() {
		c.resize(s, -n)
	}
}

// low is how many bytes the disk has less than KeepFree.
func (c *Cache) low() int64 {
	if c.cfg.KeepFree <= 0 {
		return 0
	}
	return max(0, c.cfg.KeepFree-c.ballast.Left())
}

// yield evicts while the disk has less left than KeepFree. Nothing is refused
// for that: what is written had been promised its place by Room.
func (c *Cache) yield() {
	if n := c.low(); n > 0 {
		c.evict(n)
	}
}

// relieve makes room where the disk has none for n bytes that must be written: it
// evicts, else it drops the ballast. false: there is nothing left to give.
func (c *Cache) relieve(n int) bool {
	if c.evict(int64(n)) > 0 {
		return true
	}
	dropped := c.ballast.Drop()
	if dropped {
		c.cfg.Log.Warn("the disk of the cache is full; until there is room, only what was written before is taken")
	}
	return dropped
}

// tend makes the ballast again where it was dropped, once there is room.
func (c *Cache) tend() {
	c.yield()
	if _, err := c.ballast.Restore(); err != nil {
		c.cfg.Log.Debug("the disk of the cache has no room for a ballast", "err", err)
	}
}

// Room is how many more sealed bytes of data could be written: what is free, of
// the limit and of the disk, and what could be evicted. Safe for concurrent use,
// and cheap.
func (c *Cache) Room() int64 {
	disk := c.ballast.Spare()
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.dataLimit() - c.pinned
	if disk != room.Endless {
		left = min(left, disk-c.cfg.KeepFree+c.used-c.pinned)
	}
	return max(0, left)
}

// RoomGrows returns a channel that is closed when Room grows next. Safe for
// concurrent use.
func (c *Cache) RoomGrows() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.grows == nil {
		c.grows = make(chan struct{})
	}
	return c.grows
}

// pin changes whether a stripe may be evicted. Cache.mu is held.
func (c *Cache) pin(s *stripe, pinned bool) {
	if s.pinned == pinned {
		return
	}
	s.pinned = pinned
	if pinned {
		c.pinned += int64(s.size)
		return
	}
	c.pinned -= int64(s.size)
	if c.grows != nil {
		close(c.grows)
		c.grows = nil
	}
}

// resize changes what a stripe counts for by n bytes. Cache.mu is held.
func (c *Cache) resize(s *stripe, n int) {
	s.size += n
	c.used += int64(n)
	if s.pinned {
		c.pinned += int64(n)
	}
}
