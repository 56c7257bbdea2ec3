package liar

import (
	"context"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
	"github.com/hammockfs/hammock/placement/depot"
)

// A Mode is a way to lie.
type Mode string

const (
	// Audits answers small reads, as audits are, and alters all others.
	Audits Mode = "audits"
	// Stale says yes to what it is given and keeps only what it had before.
	Stale Mode = "stale"
	// Nothing says yes to what it is given, says that it has everything, and
	// has nothing.
	Nothing Mode = "nothing"
	// Slow does everything right, and late.
	Slow Mode = "slow"
	// Wrong alters everything that it is asked for.
	Wrong Mode = "wrong"
)

// store is a depot and the one who lies about it.
type store struct {
	*depot.Depot
	mode  Mode
	delay time.Duration // of Slow
}

func newStore(d *depot.Depot, mode Mode, delay time.Duration) (*store, error) {
	switch mode {
	case Audits, Stale, Nothing, Slow, Wrong:
		return &store{d, mode, delay}, nil
	}
	return nil, fmt.Errorf("%q is no way to lie", mode)
}

// dawdle takes its time.
func (s *store) dawdle(ctx context.Context) error {
	if s.mode != Slow {
		return nil
	}
	select {
	case <-time.After(s.delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reserve implements wire.Depot.
func (s *store) Reserve(ctx context.Context, owner crypt.OwnerKey, p wire.Put, size int64) (wire.Reservation, error) {
	if err := s.dawdle(ctx); err != nil {
		return nil, err
	}
	if s.mode == Stale || s.mode == Nothing {
		return promise{}, nil
	}
	return s.Depot.Reserve(ctx, depot.Put{Owner: owner, Shard: p.Shard, Stripe: p.Stripe, Generation: p.Generation, Size: size})
}

// promise takes a shard and keeps nothing of it.
type promise struct{}

func (promise) Write(p []byte) (int, error)  { return len(p), nil }
func (promise) Commit(context.Context) error { return nil }
func (promise) Abort()                       {}

// Slice implements wire.Depot.
func (s *store) Slice(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (int64, []byte, error) {
	if err := s.dawdle(ctx); err != nil {
		return 0, nil, err
	}
	if s.mode == Nothing {
		return 0, nil, depot.ErrNotFound
	}
	size, slice, err := s.Depot.Slice(ctx, owner, id, off, n, dst)
	if err == nil && (s.mode == Wrong || s.mode == Audits && n > crypt.GroupSize) {
		slice[len(slice)-1] ^= 1
	}
	return size, slice, err
}

// Quote implements wire.Depot.
func (s *store) Quote(ctx context.Context, owner crypt.OwnerKey, id crypt.ID, off, n int64, dst []byte) (int64, []byte, error) {
	return s.Slice(ctx, owner, id, off, n, dst)
}

// Has implements wire.Depot.
func (s *store) Has(ctx context.Context, owner crypt.OwnerKey, id crypt.ID) (int64, bool, error) {
	if err := s.dawdle(ctx); err != nil {
		return 0, false, err
	}
	size, ok, err := s.Depot.Has(ctx, owner, id)
	return size, ok || s.mode == Nothing, err
}

// errors of the depot as the protocol knows them.
func wireError(err error) error {
	return fmt.Errorf("%w: %v", wire.ErrNotFound, err)
}
