package tree

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// nodeCost is what a cached node costs in memory beside its bytes, roughly.
const nodeCost = 256

// cache keeps the nodes used last, by their pointers, within a number of bytes. A node that several want at once is
// loaded once.
type cache struct {
	max int64

	mu     sync.Mutex
	used   int64
	byPtr  map[string]*list.Element // of *node
	recent *list.List               // front: used last
	loads  map[string]*loading
}

// loading is a node on its way; n and err are set before done is closed.
type loading struct {
	done chan struct{}
	n    *node
	err  error
}

func newCache(max int64) *cache {
	return &cache{max: max, byPtr: map[string]*list.Element{}, recent: list.New(), loads: map[string]*loading{}}
}

// get returns the node at p, by load if it is not here. A load that ended because its own caller gave up is not an
// answer for the others.
func (c *cache) get(ctx context.Context, p Pointer, load func() (*node, error)) (*node, error) {
	for {
		c.mu.Lock()
		if e, ok := c.byPtr[string(p)]; ok {
			c.recent.MoveToFront(e)
			c.mu.Unlock()
			return e.Value.(*node), nil
		}
		l, ok := c.loads[string(p)]
		if !ok {
			l = &loading{done: make(chan struct{})}
			c.loads[string(p)] = l
			c.mu.Unlock()
			return c.fill(p, l, load)
		}
		c.mu.Unlock()
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if !errors.Is(l.err, context.Canceled) && !errors.Is(l.err, context.DeadlineExceeded) {
			return l.n, l.err
		}
	}
}

func (c *cache) fill(p Pointer, l *loading, load func() (*node, error)) (*node, error) {
	l.err = errors.New("the load of a tree node did not return") // should load panic
	defer func() {
		c.mu.Lock()
		delete(c.loads, string(p))
		c.mu.Unlock()
		close(l.done)
	}()
	l.n, l.err = load()
	if l.err == nil {
		c.put(l.n)
	}
	return l.n, l.err
}

// put takes a node in and lets the least used ones go.
func (c *cache) put(n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byPtr[string(n.at)]; ok {
		return
	}
	c.byPtr[string(n.at)] = c.recent.PushFront(n)
	c.used += n.cost()
	for c.used > c.max && c.recent.Len() > 0 {
		e := c.recent.Back()
		old := c.recent.Remove(e).(*node)
		delete(c.byPtr, string(old.at))
		c.used -= old.cost()
	}
}

func (n *node) cost() int64 {
	return int64(len(n.b)+2*len(n.at)+nodeCost) + int64(n.n*80*min(n.level, 1))
}
