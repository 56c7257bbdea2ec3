package mount

import (
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// crowdLimit is how many reads may wait for stores that give nothing. The
	// kernel has only maxBackground requests of its readahead, and the like, under
	// way at a time: with all of them waiting, nobody could read what is here.
	crowdLimit = maxBackground * 3 / 4
	// crowdPatience is how long a larger crowd waits without one of them being
	// served before those who wait longest give up.
	crowdPatience = 5 * time.Second
)

var errCrowded = errors.New("stores give nothing, and too many others wait for them, too")

// crowd is all reads that wait for something.
type crowd struct {
	limit   int // how many may wait
	mu      sync.Mutex
	waiting []waiter  // the one that waits longest first; guarded by mu
	served  time.Time // when the last one had what it waited for; guarded by mu
	timer   *time.Timer
}

type waiter struct {
	*request
	since time.Time
}

// enter is called by a request that begins to wait. Those without a crowd may.
func (c *crowd) enter(r *request) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, waiter{r, time.Now()})
	c.watch()
}

// leave is called when it does not wait any more.
func (c *crowd) leave(r *request, served bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = slices.DeleteFunc(c.waiting, func(w waiter) bool { return w.request == r })
	if served {
		c.served = time.Now()
	}
	c.watch()
}

// watch sets the timer for the moment at which too large a crowd has waited for
// long enough. mu is held.
func (c *crowd) watch() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if len(c.waiting) > c.limit {
		c.timer = time.AfterFunc(time.Until(c.stalled()), c.thin)
	}
}

// stalled is when the one that waits longest will have waited for crowdPatience
// in which nobody was served. mu is held.
func (c *crowd) stalled() time.Time {
	from := c.waiting[0].since
	if c.served.After(from) {
		from = c.served
	}
	return from.Add(crowdPatience)
}

// thin sends away those that wait longest.
func (c *crowd) thin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) > c.limit && !time.Now().Before(c.stalled()) {
		close(c.waiting[0].crowded)
		c.waiting = c.waiting[1:]
	}
	c.watch()
}
