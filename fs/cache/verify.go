package cache

import (
	"context"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
)

// Local says how many bytes of a stripe there are if all of it is on this machine, open ones included.
func (c *Cache) Local(number uint64) (bytes int, ok bool) {
	c.mu.Lock()
	s := c.stripes[number]
	if s != nil && !s.partial {
		defer c.mu.Unlock()
		return s.size, true
	}
	c.mu.Unlock()
	if s == nil {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.payload, s.payload > 0 && s.have.covers(0, s.payload)
}

// Verify reads the sealed bytes of a chunk from the disk, or from the stores where they are not here, and opens all of
// them. What was opened before and is remembered is not believed. rotten says that the bytes on this disk were wrong
// and have been replaced by good ones of the stores. Errors are those of ReadAt.
func (c *Cache) Verify(ctx context.Context, r *crypt.Ref) (rotten bool, err error) {
	if err := checkRef(r); err != nil {
		return false, err
	}
	sealed, plain := c.buffers.get(r.SealedLen()), c.buffers.get(int(r.Len))
	defer c.buffers.put(sealed)
	defer c.buffers.put(plain)
	if err := c.sealed(ctx, r.Stripe, *sealed, int(r.Offset)); err != nil {
		return false, fmt.Errorf("read stripe %x at %d: %w", r.Stripe, r.Offset, err)
	}
	if b, err := crypt.Open((*plain)[:0], r, *sealed); err == nil && len(b) == int(r.Len) {
		return false, nil
	}
	for i := range r.Blocks {
		at := r.BlockOffset(i)
		if _, err := c.openBlock(ctx, r, i, (*sealed)[at:at+int(r.Blocks[i].Len)], (*plain)[:0]); err != nil {
			return true, fmt.Errorf("read stripe %x at %d: %w", r.Stripe, r.Offset, err)
		}
	}
	return true, nil
}
