package main

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

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
		free := min(d.cache.Room(), max(0, u.Limit-u.Bytes), d.db.Room())
		return uint64(u.Bytes + free), uint64(free)
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

// shares says how much of the disk below a folder of the state is left free, and
// how much of it a ballast holds for what has been taken from programs already.
func (s state) shares(folder string) (keep, reserve int64) {
	u, err := vfs.Default.GetDiskUsage(s.path(folder))
	if err != nil { // it is not there yet
		u, err = vfs.Default.GetDiskUsage(s.dir)
	}
	if err != nil {
		return 0, 0 // a disk that cannot tell
	}
	return int64(min(u.TotalBytes/50, 1<<30)), int64(min(u.TotalBytes/16, dirtyBudget+dirtyBudget/3))
}

// dirty is how many written bytes may wait in memory: as many as find their place
// in the ballasts, should somebody fill the disk before they are committed.
func (s state) dirty() int64 {
	limit := int64(dirtyBudget)
	for _, folder := range []string{"cache", recordsDir} {
		if _, reserve := s.shares(folder); reserve > 0 {
			limit = min(limit, reserve/4*3)
		}
	}
	return max(limit, 1<<20)
}

// shareOfFiles is a part of the descriptors of this process, where they are few,
// and at most so many.
func shareOfFiles(part, most int) int { return min(max(descriptors()/part, 16), most) }

// tend does what has to be done every few seconds for the disks of the volume.
func (d *drive) tend(ctx context.Context) {
	d.cache.Tick(ctx)
	if err := d.db.Tend(ctx); err != nil {
		d.log.Debug("no room for a ballast beside the records", "error", err)
	}
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
