package volume

import (
	"context"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/fs/meta"
)

const (
	// roomLimit is for how long a write waits for a full cache in which nothing
	// becomes free.
	roomLimit = 30 * time.Second
	// roomPoll is how often a write that waits asks whether stripes still leave.
	roomPoll = 100 * time.Millisecond
)

// relieve keeps the written bytes in memory within their budget and within what
// the cache can still take: what is being sealed of the file is awaited, a file that
// has much of them commits its own, else everything is committed. The bytes that are about to come have been promised.
func (v *Volume) relieve(ctx context.Context, in *inode) error {
	if v.fits() {
		return nil
	}
	in.mu.Lock()
	var err error
	if len(in.file.sealing) > 0 { // that may be enough
		err = v.applySealed(ctx, in, 1)
	}
	if err == nil && !v.fits() && in.file.pending() > v.cfg.Dirty/4 {
		err = v.commit(ctx, in)
	}
	in.mu.Unlock()
	if err != nil || v.fits() {
		return err
	}
	if err := v.commitAll(ctx, time.Time{}); err != nil {
		return err
	}
	if err := v.awaitRoom(ctx); err != nil {
		return fmt.Errorf("write to inode %d: %w", in.ino, err)
	}
	return nil
}

// fits says whether the written bytes, and those that are promised, may wait in
// memory: within the budget, and with room in the cache for all of them, so that
// a full cache is the failure of a write and not of a close.
func (v *Volume) fits() bool {
	return v.dirtyBytes.Load() <= v.cfg.Dirty && v.roomy()
}

// roomy counts with what sealing adds: 16 bytes for each block of 64 KiB or less.
func (v *Volume) roomy() bool {
	n := v.dirtyBytes.Load() + v.promised.Load()
	n += n/1024 + meta.Page
	return n <= v.cache.Room() && n <= v.db.Room()
}

// growable refuses what would make something new while the disk of the records
// has room only for what must go on: removals, and bytes that were taken before.
func (v *Volume) growable() error {
	if err := v.writable(); err != nil {
		return err
	}
	if v.db.Room() == 0 {
		return errDiskFull
	}
	return nil
}

// awaitRoom waits until what is promised may be written to the cache: a program
// that writes faster than stores take stripes is held up, and not told that there
// is no space, while there soon will be.
func (v *Volume) awaitRoom(ctx context.Context) error {
	for {
		grows := v.cache.RoomGrows() // before the look, or it might be missed
		if v.roomy() {
			return nil
		}
		if err := v.awaitGrowth(ctx, grows, v.roomy); err != nil {
			return err
		}
	}
}

// awaitGrowth waits until grows is closed, or there is room by itself, as when
// others free some of the disk. ErrNoSpace if no stripe leaves the cache, or none
// has for roomLimit.
func (v *Volume) awaitGrowth(ctx context.Context, grows <-chan struct{}, enough func() bool) error {
	late := time.NewTimer(roomLimit)
	defer late.Stop()
	poll := time.NewTicker(roomPoll)
	defer poll.Stop()
	for {
		leaving := v.cfg.Leaving != nil && v.cfg.Leaving()
		select {
		case <-grows: // maybe it was the last
			return nil
		default:
		}
		if !leaving {
			return ErrNoSpace
		}
		select {
		case <-grows:
			return nil
		case <-poll.C:
			if enough() {
				return nil
			}
		case <-late.C:
			return ErrNoSpace
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
