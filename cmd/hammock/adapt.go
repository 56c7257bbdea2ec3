package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/depot"
)

// depotServer lets peers put shards into a depot.
type depotServer struct {
	*depot.Depot
	gives bool // else it keeps heads only
}

func (d depotServer) Reserve(ctx context.Context, owner crypt.OwnerKey, p wire.Put, size int64) (wire.Reservation, error) {
	if !d.gives {
		return nil, fmt.Errorf("%w: this node gives no space", depot.ErrFull)
	}
	r, err := d.Depot.Reserve(ctx, depot.Put{Owner: owner, Shard: p.Shard, Stripe: p.Stripe, Generation: p.Generation, Size: size})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// wireErrors says which kinds of failure peers are told of.
var wireErrors = []struct{ from, to error }{
	{depot.ErrNotFound, wire.ErrNotFound},
	{depot.ErrRotten, wire.ErrNotFound},
	{depot.ErrFull, wire.ErrFull},
	{depot.ErrQuota, wire.ErrQuota},
	{depot.ErrTooLarge, wire.ErrTooLarge},
	{depot.ErrShort, wire.ErrWrongHash},
	{depot.ErrWrongBytes, wire.ErrWrongHash},
	{depot.ErrExpired, wire.ErrBusy},
	{depot.ErrStale, wire.ErrStale},
	{depot.ErrTooManyHeads, wire.ErrStale},
	{depot.ErrCounter, wire.ErrStale},
}

func wireError(err error) error {
	for _, e := range wireErrors {
		if errors.Is(err, e.from) {
			return fmt.Errorf("%w: %v", e.to, err)
		}
	}
	return err
}

// peerStore is a peer as a place for shards.
type peerStore struct{ peer *wire.Peer }

func (s peerStore) Put(ctx context.Context, p placement.Put, data []byte) error {
	return storeError(s.peer.Put(ctx, wire.Put{Shard: p.Shard, Stripe: p.Stripe, Generation: p.Generation}, data))
}

func (s peerStore) ReadRange(ctx context.Context, id crypt.ID, size, off, n int64, dst []byte) ([]byte, error) {
	b, err := s.peer.ReadRange(ctx, id, size, off, n, dst)
	return b, storeError(err)
}

// Delete implements placement.Deleter. A peer that will not delete for this
// device is not asked for ever: it lets the shard go with its lease.
func (s peerStore) Delete(ctx context.Context, p placement.Put) error {
	err := s.peer.Delete(ctx, wire.Put{Shard: p.Shard, Stripe: p.Stripe, Generation: p.Generation})
	if errors.Is(err, wire.ErrStale) || errors.Is(err, wire.ErrDenied) {
		return nil
	}
	return storeError(err)
}

// storeErrors turns what a peer answers into what placement acts upon.
var storeErrors = []struct{ from, to error }{
	{wire.ErrNotFound, placement.ErrNoShard},
	{wire.ErrWrongBytes, placement.ErrWrongBytes},
	{wire.ErrWrongHash, placement.ErrWrongBytes},
	{wire.ErrFull, placement.ErrFull},
	{wire.ErrQuota, placement.ErrFull},
}

func storeError(err error) error {
	for _, e := range storeErrors {
		if errors.Is(err, e.from) {
			return refused{kind: e.to, err: err}
		}
	}
	return err
}

// refused is what a peer answered, in its own words: which shard of which
// stripe it was about, placement says already.
type refused struct{ kind, err error }

func (r refused) Error() string {
	var said *wire.Refusal
	if errors.As(r.err, &said) {
		return said.Error()
	}
	return r.err.Error()
}

func (r refused) Unwrap() []error { return []error{r.kind, r.err} }
