package cache

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/room"
)

// group is the unit in which stores prove what they return; a fetch of less
// costs as much.
const group = crypt.GroupSize

// region is how much of a large stripe of the index is fetched at once.
const region = 8 * group

// maxAhead is how much more than it was asked for a fetch brings at most.
const maxAhead = 512 << 10

// errNoRemote is what ErrUnreachable wraps where there are no stores.
var errNoRemote = errors.New("no stores are configured")

// sealed fills buf with the bytes of a stripe from off on: from the local file,
// or from the stores by way of it.
func (c *Cache) sealed(ctx context.Context, number uint64, buf []byte, off int) error {
	for range 4 {
		s := c.find(number)
		if s == nil {
			if c.cfg.Remote == nil {
				break
			}
			s = c.newPartial(number)
		}
		err := c.sealedOf(ctx, s, buf, off)
		if !errors.Is(err, errGone) {
			return err
		}
	}
	return c.fetchInto(ctx, number, buf, off) // evicted as fast as it comes
}

// sealedOf is sealed for a known stripe; errGone when it was evicted meanwhile.
func (c *Cache) sealedOf(ctx context.Context, s *stripe, buf []byte, off int) error {
	if s.partial {
		stored, err := c.bring(ctx, s, span{off, off + len(buf)})
		if err != nil {
			return err
		}
		if !stored {
			return c.fetchInto(ctx, s.number, buf, off)
		}
	}
	err := c.readLocal(s, buf, off)
	if err == nil || errors.Is(err, errGone) || s.gone.Load() {
		return gone(s, err)
	}
	if room.Scarce(err) {
		return err // the bytes are as good as ever
	}
	c.rot.Add(1)
	c.cfg.Log.Warn("cannot read a local stripe", "stripe", s.number, "offset", off, "err", err)
	if ferr := c.fetchInto(ctx, s.number, buf, off); ferr != nil {
		return fmt.Errorf("%w: %w: %w", ErrRot, err, ferr)
	}
	return nil
}

// gone makes the error of reading an evicted stripe errGone.
func gone(s *stripe, err error) error {
	if err != nil && s.gone.Load() {
		return errGone
	}
	return err
}

// newPartial enters a stripe of which nothing is here yet.
func (c *Cache) newPartial(number uint64) *stripe {
	class, payload := ClassData, 0
	if c.cfg.Describe != nil {
		if cl, n := c.cfg.Describe(number); cl >= ClassData && cl <= ClassIndex && n > 0 {
			class, payload = cl, n
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.stripes[number]; s != nil {
		return s
	}
	s := &stripe{number: number, class: class, partial: true, state: closed, payload: payload}
	s.name = stripeName(number, class, c.partSeq.Add(1))
	c.stripes[number] = s
	c.touch(s)
	return s
}

// bring makes the bytes of want present in the file of a partial stripe. What
// another goroutine is fetching is waited for and not fetched twice. stored is
// false if they cannot be kept.
func (c *Cache) bring(ctx context.Context, s *stripe, want span) (stored bool, err error) {
	for {
		s.mu.Lock()
		if s.gone.Load() || s.have.covers(want.from, want.to) {
			s.mu.Unlock()
			return true, nil // the reader finds out about gone
		}
		if other := s.overlapping(want); other != nil {
			s.mu.Unlock()
			select {
			case <-other.done:
				continue
			case <-ctx.Done():
				return false, ctx.Err()
			}
		}
		if ctx.Err() != nil { // nobody waits: then nothing is asked for
			s.mu.Unlock()
			return false, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
		}
		f := &coming{span: s.next(want), done: make(chan struct{})}
		s.coming = append(s.coming, f)
		s.mu.Unlock()
		stored, err := c.fetchSpan(ctx, s, f)
		if !stored || err != nil {
			return false, err
		}
	}
}

// overlapping returns a range on its way that has bytes of want. s.mu is held.
func (s *stripe) overlapping(want span) *coming {
	for _, f := range s.coming {
		if f.from < want.to && want.from < f.to {
			return f
		}
	}
	return nil
}

// next chooses what to fetch first so that want gets present: the missing range
// that holds its first missing byte, widened where it does not touch what is
// here or coming, and to what is to be fetched ahead. s.mu is held.
func (s *stripe) next(want span) span {
	wide := s.asPlanned(want, s.widen(want))
	taken := append(spans(nil), s.have...)
	for _, f := range s.coming {
		taken = taken.add(f.from, f.to)
	}
	for from := wide.from; ; {
		g, ok := taken.gap(from, wide.to)
		if !ok {
			return want // cannot be: want has a missing byte
		}
		if g.to > want.from {
			s.lastEnd = g.to
			return g
		}
		from = g.to
	}
}

// widen rounds a range to whole groups, and lets it grow while the stripe is
// read on from where the last fetch ended. Small stripes of metadata, like that
// of a delta, are taken whole. Of a large one with nodes of the index, whose
// neighbours are wanted soon, a region comes at once; the whole of it would make
// a look into a large volume cost what the volume is large. s.mu is held.
func (s *stripe) widen(want span) span {
	if s.payload < want.to {
		return want
	}
	if s.class != ClassData && s.payload <= maxAhead {
		return span{0, s.payload}
	}
	if s.class == ClassIndex {
		return span{want.from / region * region, min((want.to+region-1)/region*region, s.payload)}
	}
	ahead := 0
	if want.from >= s.lastEnd-group && want.from <= s.lastEnd+4*group && s.lastEnd > 0 {
		s.streak++
		ahead = min(group<<min(s.streak, 10), maxAhead)
	} else {
		s.streak = 0
	}
	from := want.from / group * group
	to := (want.to + ahead + group - 1) / group * group
	return span{from, min(to, s.payload)}
}

// fetchSpan fetches f into the file of s and lets those go on who wait for it.
func (c *Cache) fetchSpan(ctx context.Context, s *stripe, f *coming) (stored bool, err error) {
	n := f.to - f.from
	defer func() {
		s.mu.Lock()
		for i, other := range s.coming {
			if other == f {
				s.coming = append(s.coming[:i], s.coming[i+1:]...)
				break
			}
		}
		if stored {
			s.have, s.dirty = s.have.add(f.from, f.to), true
		}
		s.mu.Unlock()
		close(f.done)
	}()
	if !c.charge(s, n) {
		return false, nil
	}
	buf := c.buffers.get(n)
	defer c.buffers.put(buf)
	if err = c.fetchInto(ctx, s.number, *buf, f.from); err == nil {
		if werr := c.overwrite(s, *buf, f.from); werr == nil {
			return true, nil
		} else if !errors.Is(werr, errGone) {
			c.cfg.Log.Warn("cannot keep fetched bytes", "stripe", s.number, "err", werr)
		}
	}
	c.uncharge(s, n)
	return false, err
}

// fetchInto fills buf with the bytes of a stripe from off on, from the stores.
func (c *Cache) fetchInto(ctx context.Context, number uint64, buf []byte, off int) error {
	if c.cfg.Remote == nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, errNoRemote)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	b, err := c.cfg.Remote.Fetch(ctx, number, off, len(buf), buf[:0:len(buf)])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if len(b) != len(buf) {
		return fmt.Errorf("%w: got %d bytes of %d", ErrUnreachable, len(b), len(buf))
	}
	c.fetched.Add(int64(len(b)))
	copy(buf, b) // onto itself, unless the remote had to allocate
	return nil
}
