package cache

import (
	"slices"

	"github.com/hammockfs/hammock/crypt"
)

const (
	aheadWorkers = 4
	aheadQueue   = 64
	// mostAhead is how much of a stripe is fetched ahead at once: more would have
	// left the processor's cache before it is written to the disk's.
	mostAhead = 1 << 20
	// mostWhole is the largest stripe that is fetched as a whole, for there are
	// buffers of that size.
	mostWhole = 1 << maxShift
)

// absence is what is wanted of a stripe.
type absence struct {
	stripe uint64
	spans
}

// startPrefetch starts the goroutines that fetch ahead; Close ends them.
func (c *Cache) startPrefetch() {
	c.ahead = make(chan absence, aheadQueue)
	for range aheadWorkers {
		c.wg.Go(func() {
			for {
				select {
				case a := <-c.ahead:
					c.prefetch(a)
				case <-c.ctx.Done():
					return
				}
			}
		})
	}
}

// prefetch brings what is absent into the local file. That it fails shows when
// somebody needs the bytes. Who needs them before their turn has come fetches
// them in the same pieces.
func (c *Cache) prefetch(a absence) {
	s := c.find(a.stripe)
	if s == nil {
		s = c.newPartial(a.stripe)
	}
	if !s.partial {
		return
	}
	pieces := c.pieces(s, a)
	s.plan(pieces)
	defer s.unplan(pieces)
	for _, p := range pieces {
		if _, err := c.bring(c.ctx, s, p); err != nil {
			return
		}
	}
}

// pieces cuts what is absent into what is fetched at once. Where shards are
// lost, and a quarter of a stripe is wanted, that is all of it, which comes at the
// price of a part.
func (c *Cache) pieces(s *stripe, a absence) (all []span) {
	if s.class == ClassData && s.payload <= mostWhole && a.end() <= s.payload && s.payload <= 4*a.size() &&
		c.cfg.Lossy != nil && c.cfg.Lossy(c.ctx, s.number) {
		return []span{{0, s.payload}}
	}
	for _, w := range a.spans {
		for ; w.from < w.to; w.from += mostAhead {
			all = append(all, span{w.from, min(w.to, w.from+mostAhead)})
		}
	}
	return all
}

// plan notes what is about to be fetched, if it can be seen that there is so much.
func (s *stripe) plan(pieces []span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pieces[len(pieces)-1].to <= s.payload {
		s.planned = append(s.planned, pieces...)
	}
}

// unplan forgets what plan has noted.
func (s *stripe) unplan(pieces []span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pieces {
		if i := slices.Index(s.planned, p); i >= 0 {
			s.planned = slices.Delete(s.planned, i, i+1)
		}
	}
}

// asPlanned lets a range grow to the pieces that it touches. s.mu is held.
func (s *stripe) asPlanned(want, wide span) span {
	for _, p := range s.planned {
		if p.from < want.to && want.from < p.to {
			wide = span{min(wide.from, p.from), max(wide.to, p.to)}
		}
	}
	return wide
}

// Prefetch begins to fetch what is missing of the chunks and returns at once.
// Neighbours in a stripe are fetched as one, in whatever order they are wanted:
// those of one file are sealed side by side. Requests beyond what can be queued
// are dropped.
func (c *Cache) Prefetch(refs []crypt.Ref) {
	if c.cfg.Remote == nil {
		return
	}
	for _, a := range c.absent(refs) {
		select {
		case c.ahead <- a:
		default:
		}
	}
}

// absent gives what the chunks need of stripes that are not wholly here, those
// first that the chunks need first.
func (c *Cache) absent(refs []crypt.Ref) (list []absence) {
	at := map[uint64]int{}
	for i := range refs {
		r := &refs[i]
		if checkRef(r) != nil || c.Has(r.Stripe) {
			continue
		}
		k, ok := at[r.Stripe]
		if !ok {
			k = len(list)
			at[r.Stripe] = k
			list = append(list, absence{stripe: r.Stripe})
		}
		list[k].spans = list[k].add(int(r.Offset), int(r.Offset)+r.SealedLen())
	}
	return list
}
