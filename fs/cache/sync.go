package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Sync puts on disk what has been written to the given stripes, or to all when
// none is given: what a Put had returned for before Sync was called survives a
// power cut afterwards. Stripes that are not here, or are partial, are passed
// over. Syncing what is synced costs next to nothing; several callers that wait
// for one stripe share one fdatasync.
func (c *Cache) Sync(ctx context.Context, stripes ...uint64) error {
	return c.syncAll(ctx, c.toSync(stripes))
}

// syncsAtOnce is how many files are synced at a time. A sync mostly waits for the
// disk to say that it has flushed, and those that come together share that.
const syncsAtOnce = 4

// syncAll syncs the stripes of a list, also behind one that cannot be, and returns
// the first error.
func (c *Cache) syncAll(ctx context.Context, list []*stripe) error {
	var g errgroup.Group
	g.SetLimit(syncsAtOnce)
	for _, s := range list {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return c.syncStripe(s)
		})
	}
	return g.Wait()
}

// toSync picks the stripes with writes that are not on disk yet.
func (c *Cache) toSync(numbers []uint64) []*stripe {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*stripe
	if len(numbers) == 0 {
		for s := range c.unsynced {
			out = append(out, s)
		}
		return out
	}
	for _, n := range numbers {
		if s := c.stripes[n]; s != nil {
			if _, ok := c.unsynced[s]; ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// syncStripe brings all writes done so far to disk, and the directory entry.
func (c *Cache) syncStripe(s *stripe) error {
	want := c.writesOf(s)
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	if s.syncErr != nil {
		return s.syncErr
	}
	if s.inDir && s.synced >= want {
		return nil
	}
	upto := c.writesOf(s)
	err := c.syncFile(s)
	if errors.Is(err, errGone) {
		return nil // unpinned and evicted: it is safe elsewhere
	}
	if err != nil {
		s.syncErr = fmt.Errorf("sync stripe %x: %w", s.number, fullDisk(err))
		c.abandon(s)
		return s.syncErr
	}
	s.synced, s.inDir = upto, true
	c.mu.Lock()
	whole := s.writes == upto
	if whole {
		delete(c.unsynced, s)
	}
	final, size := whole && s.state == closed, s.size
	c.mu.Unlock()
	if final && !s.suspect {
		c.list.add(s.number, size)
	}
	return nil
}

func (c *Cache) writesOf(s *stripe) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.writes
}

// syncFile syncs the data of s, then the directory if s is new in it. s.syncMu
// is held.
func (c *Cache) syncFile(s *stripe) error {
	hd, err := c.handles.acquire(s)
	if err != nil {
		return err
	}
	err = hd.SyncData()
	c.handles.release(hd)
	if err != nil || s.inDir {
		return err
	}
	return c.syncFolder(c.cfg.Dir)
}

// syncFolder makes the names in a folder durable.
func (c *Cache) syncFolder(dir string) error {
	d, err := c.cfg.FS.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	if err = errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// abandon closes a stripe that could not be synced, so that new chunks go to
// another file.
func (c *Cache) abandon(s *stripe) {
	c.mu.Lock()
	shut := s.state == open && s.written > 0
	if shut {
		c.shutStripe(s)
	}
	c.mu.Unlock()
	if shut {
		c.wrote(s, 0, nil)
	}
}

// CloseStripes closes the open stripe of the class (of every class if 0), waits
// until all writes to it are done, syncs it, and returns the numbers of the
// stripes closed; OnClosed has been called for them. Stripes that were being
// closed already are waited for and counted. An empty stripe stays open.
func (c *Cache) CloseStripes(ctx context.Context, class uint8) ([]uint64, error) {
	all := c.closeWhere(func(s *stripe) bool { return class == 0 || s.class == class })
	var numbers []uint64
	for _, s := range all {
		select {
		case <-s.idle:
		case <-ctx.Done():
			return numbers, ctx.Err()
		}
		if s.gone.Load() {
			continue // no write to it succeeded
		}
		if err := c.syncStripe(s); err != nil {
			return numbers, err
		}
		numbers = append(numbers, s.number)
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Tick closes open data stripes by age, saves maps of partial stripes, and gives
// way to others on a disk that gets full. It is meant to be called every few
// seconds, by one goroutine.
func (c *Cache) Tick(ctx context.Context) {
	now := c.cfg.Now()
	c.closeWhere(func(s *stripe) bool {
		return s.class == ClassData && s.state == open && s.old(now)
	})
	if ctx.Err() != nil {
		return
	}
	c.tend()
	if err := c.saveMaps(c.partials()); err != nil {
		c.cfg.Log.Warn("what was fetched will be fetched again after a restart", "err", err)
	}
}

// old says whether an open stripe has waited long enough for more chunks.
func (s *stripe) old(now time.Time) bool {
	age := now.Sub(s.born)
	return age >= closeAgeSmall || age >= closeAge && s.size >= closeSmall
}

// closeWhere shuts the open stripes that hold something and that pick wants. It
// returns them, and those wanted that are being closed already. pick is called
// with Cache.mu held.
func (c *Cache) closeWhere(pick func(*stripe) bool) []*stripe {
	c.mu.Lock()
	var all, shut []*stripe
	for _, s := range c.open {
		if s != nil && s.size > 0 && pick(s) {
			c.shutStripe(s)
			shut = append(shut, s)
		}
	}
	for _, s := range c.stripes {
		if s.state == closing && pick(s) {
			all = append(all, s)
		}
	}
	c.mu.Unlock()
	for _, s := range shut {
		c.wrote(s, 0, nil)
	}
	return all
}
