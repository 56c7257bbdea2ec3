package main

import (
	"context"
	"time"

	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/placement"
)

// space is what the volume can hold, for statfs: what is stored, and what the
// stores would still take or, with none, what the cache would. A stripe counts
// once, be it here, on peers or both.
func (d *drive) space() (total, free uint64) {
	u := d.cache.Usage()
	list := d.stores.Stores()
	code, ok := d.policy.Code(meta.ClassData, len(list))
	if !ok {
		return uint64(u.Limit), uint64(max(0, u.Limit-u.Bytes))
	}
	var remote int64
	for _, s := range list {
		if !s.Here {
			remote += s.Free
		}
	}
	left := max(0, remote/int64(code.N())*int64(code.K)-u.Pinned) // what waits to be placed will be there, too
	used := d.stored.Load() + d.placer.Stats().PlacedBytes + u.Pinned
	return uint64(used + left), uint64(left)
}

// countAgain is how long countStored waits after a failure.
const countAgain = time.Minute

// countStored adds up what was on peers when this run began. After a recovery
// that has to be fetched first, so nobody waits for it.
func (d *drive) countStored(ctx context.Context) {
	for {
		sum := -d.placer.Stats().PlacedBytes // of this run, and in the table already
		err := d.db.Stripes(ctx, func(_ uint64, record []byte) error {
			r, err := placement.ParseRecord(record)
			if err == nil && r.Placed {
				sum += int64(r.Payload)
			}
			return err
		})
		if err == nil {
			d.stored.Store(max(0, sum))
			return
		}
		d.log.Debug("what is stored cannot be added up yet", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(countAgain):
		}
	}
}
