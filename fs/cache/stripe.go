package cache

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// state of a stripe; see the package comment.
type state uint8

const (
	open state = iota
	closing
	closed
)

// stripe is one stripe file. Fields without a note never change.
type stripe struct {
	number  uint64
	class   uint8
	partial bool
	suspect bool // of a former run, and not known to be whole: see syncedList
	name    string
	clock   atomic.Int64 // when it was last used, in ticks of Cache.clock
	gone    atomic.Bool  // evicted; set under Cache.mu, never unset
	handle  *handle      // guarded by handles.mu
	idle    chan struct{}

	// Guarded by Cache.mu.
	state   state
	pinned  bool
	size    int       // bytes it counts for: reserved, or fetched
	written int       // where the last good write ends
	writers int       // writes going on
	writes  uint64    // writes done
	born    time.Time // first append

	// The sync state. syncMu is held during fdatasync, so that those who come
	// meanwhile wait and then find their work done.
	syncMu  sync.Mutex
	synced  uint64 // value of writes that is on disk
	syncErr error  // the first failure, kept for good
	inDir   bool   // its directory entry is on disk

	// Partial stripes: what is here and what is on its way.
	mu      sync.Mutex
	have    spans
	coming  []*coming
	planned []span // what is fetched ahead next
	dirty   bool   // have differs from the map on disk
	payload int    // length, 0 if not known
	lastEnd int    // where the last fetch ended
	streak  int    // fetches in a row that went on from there
}

// coming is a range that a goroutine is fetching.
type coming struct {
	span
	done chan struct{}
}

// reserve takes room for n bytes in the open stripe of the class. A nil stripe
// without an error means that there is no open one: call grow and try again. A
// negative offset means that the chunk would not fit in that stripe, which is
// shut: call wrote for it without an end, and try again.
func (c *Cache) reserve(class uint8, n int) (s *stripe, off int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut {
		return nil, 0, ErrClosed
	}
	if !c.fits(class, n) {
		return nil, 0, ErrFull
	}
	s = c.open[class]
	if s == nil {
		return nil, 0, nil
	}
	target := c.target(class)
	if s.size > 0 && s.size+n > 2*target {
		c.shutStripe(s)
		return s, -1, nil
	}
	off = s.size
	c.take(s, n)
	if s.size >= target {
		s.state, c.open[class] = closing, nil
	}
	return s, off, nil
}

// take enters a write of n bytes at the end of s. Cache.mu is held.
func (c *Cache) take(s *stripe, n int) {
	if s.size == 0 {
		s.born = c.cfg.Now()
	}
	c.resize(s, n)
	s.writers++
	c.touch(s)
}

// shutStripe lets no more chunks into an open stripe. Cache.mu is held. The
// caller counts as a writer and calls wrote without an end when it has let go
// of the lock.
func (c *Cache) shutStripe(s *stripe) {
	s.state, c.open[s.class] = closing, nil
	s.writers++
}

// wrote ends a write to s that reached up to end. The last one of a closing
// stripe finishes it.
func (c *Cache) wrote(s *stripe, end int, err error) {
	c.mu.Lock()
	s.writers--
	if err == nil && end > 0 {
		s.written = max(s.written, end)
		s.writes++
		c.unsynced[s] = struct{}{}
	}
	last := s.state == closing && s.writers == 0
	if last {
		s.state = closed
		c.resize(s, s.written-s.size)
	}
	empty := s.written == 0
	if last && empty {
		c.forget(s)
	}
	c.mu.Unlock()
	if !last {
		return
	}
	select {
	case c.behind <- struct{}{}:
	default:
	}
	if empty {
		c.removeFiles(s)
	} else if c.cfg.OnClosed != nil {
		c.cfg.OnClosed(s.number, s.class)
	}
	close(s.idle)
}

// grow makes a new open stripe for the class if there is none.
func (c *Cache) grow(class uint8) error {
	c.growing[class].Lock()
	defer c.growing[class].Unlock()
	c.mu.Lock()
	there := c.open[class] != nil
	c.mu.Unlock()
	if there {
		return nil
	}
	s, err := c.create(class)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stripes[s.number] = s
	c.open[class] = s
	return nil
}

// create makes the file of a new stripe, not yet known to anybody.
func (c *Cache) create(class uint8) (*stripe, error) {
	c.yield()
	number, err := c.cfg.Numbers.NextStripe()
	if err != nil {
		return nil, fmt.Errorf("number for a new stripe: %w", err)
	}
	s := &stripe{number: number, class: class, name: stripeName(number, class, 0), pinned: true, idle: make(chan struct{})}
	hd, err := c.handles.acquire(s)
	if err != nil {
		return nil, fullDisk(err)
	}
	c.handles.release(hd)
	return s, nil
}

// target returns the payload length at which a stripe of the class is closed.
func (c *Cache) target(class uint8) int {
	return min(max(c.cfg.Target(class), 1), 1<<30)
}

// touch marks s as just used.
func (c *Cache) touch(s *stripe) { s.clock.Store(c.clock.Add(1)) }
