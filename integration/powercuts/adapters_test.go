package powercuts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/depot"
)

// What stands between cache, records and placer, as in cmd/hammock, and between
// the placer and depots, where the network is missing.
type (
	numbers  struct{ *running }
	index    struct{ *running }
	remote   struct{ *running }
	payloads struct{ *running }
	journal  struct{ *running }
	stores   struct{ *running }
)

func (n numbers) NextStripe() (uint64, error) { return n.db.NextStripe() }

func (i index) FindChunk(id crypt.ID) (crypt.Ref, bool)  { return i.db.FindChunk(id) }
func (i index) AddChunk(id crypt.ID, r *crypt.Ref) error { return i.db.AddChunk(id, r) }

func (r remote) Fetch(ctx context.Context, stripe uint64, off, n int, dst []byte) ([]byte, error) {
	record, err := r.db.Record(ctx, stripe)
	if err != nil {
		return dst, fmt.Errorf("find out where stripe %x is: %w", stripe, err)
	}
	return r.placer.Fetch(ctx, stripe, record, off, n, dst)
}

func (p payloads) Payload(ctx context.Context, stripe uint64, dst []byte) ([]byte, uint8, error) {
	b, class, err := p.cache.Payload(ctx, stripe, dst)
	if errors.Is(err, cache.ErrNotHere) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return b, class, err
}

func (j journal) Intend(ctx context.Context, stripe uint64, record []byte) error {
	return j.db.Intend(ctx, stripe, record)
}

func (j journal) Placed(ctx context.Context, stripe uint64, record []byte) error {
	err := j.db.Placed(ctx, stripe, record)
	if err == nil {
		j.cache.Unpin(stripe)
	}
	return err
}

func (j journal) Record(ctx context.Context, stripe uint64) ([]byte, error) {
	b, err := j.db.Record(ctx, stripe)
	if errors.Is(err, meta.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return b, err
}

func (s stores) Stores() (list []placement.StoreInfo) {
	if s.db == nil {
		return nil
	}
	for _, e := range s.db.Stores() {
		list = append(list, placement.StoreInfo{Number: e.Number, Name: e.Peer, Machine: e.Machine, Free: 1 << 40, Reliability: 1, Online: true})
	}
	return list
}

func (s stores) Store(number uint32) (placement.Store, bool) {
	for i := range peers {
		if uint32(i+1) == number {
			return shelf{s.running, i}, true
		}
	}
	return nil, false
}

// record is the parsed record of a stripe.
func (r *running) record(stripe uint64) (placement.Record, bool) {
	b, err := r.db.Record(ctx, stripe)
	if err != nil || len(b) == 0 {
		return placement.Record{}, false
	}
	rec, err := placement.ParseRecord(b)
	return rec, err == nil
}

func (r *running) placed(stripe uint64) bool {
	rec, ok := r.record(stripe)
	return ok && rec.Placed
}

func (r *running) describe(stripe uint64) (class uint8, payload int) {
	rec, _ := r.record(stripe)
	return rec.Class, int(rec.Payload)
}

// shelf is one peer's depot as a store.
type shelf struct {
	r *running
	i int
}

func (s shelf) Put(ctx context.Context, p placement.Put, data []byte) error {
	return give(ctx, s.r.depots[s.i], depot.Put{Owner: s.r.root.Owner(), Shard: p.Shard, Stripe: p.Stripe, Generation: p.Generation, Size: int64(len(data))}, data)
}

// give puts a shard into a depot.
func give(ctx context.Context, d *depot.Depot, p depot.Put, data []byte) error {
	res, err := d.Reserve(ctx, p)
	if err != nil {
		return err
	}
	defer res.Abort()
	if _, err := res.Write(data); err != nil {
		return err
	}
	return res.Commit(ctx)
}

func (s shelf) ReadRange(ctx context.Context, id crypt.ID, size, off, n int64, dst []byte) ([]byte, error) {
	has, slice, err := s.r.depots[s.i].Slice(ctx, s.r.root.Owner(), id, off, n, nil)
	if errors.Is(err, depot.ErrNotFound) || errors.Is(err, depot.ErrRotten) {
		return dst, fmt.Errorf("%w: %w", placement.ErrNoShard, err)
	}
	if err != nil {
		return dst, err
	}
	b, err := crypt.AppendVerified(dst, slice, id, size, off, n)
	if err != nil || has != size {
		return dst, errors.Join(placement.ErrWrongBytes, err)
	}
	return b, nil
}
