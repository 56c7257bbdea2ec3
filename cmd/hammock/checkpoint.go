package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/fs/meta"
)

func checkpointOptions(fold bool) meta.CheckpointOptions { return meta.CheckpointOptions{Fold: fold} }

// publishLocally makes a head that survives a power cut here.
func (d *drive) publishLocally(ctx context.Context, fold bool) error {
	if _, _, err := d.db.Checkpoint(ctx, checkpointOptions(fold)); err != nil {
		return fmt.Errorf("publish the volume as it is now: %w", err)
	}
	return nil
}

// offer offers the newest head to the keepers. That some of them cannot be
// reached is no error: they are asked again.
func (d *drive) offer(ctx context.Context) {
	if !d.lonely() {
		d.awaitMeta(ctx)
	}
	if have, of, err := d.publish(ctx); err != nil {
		d.log.Warn("not every keeper has the newest head yet", "have", have, "of", of, "error", err)
	}
}

// metaPatience is how long a head waits for its metadata to be on peers before
// it is put off to the next round.
const metaPatience = 20 * time.Second

// awaitMeta waits until the metadata of the newest head is on peers, or for
// metaPatience.
func (d *drive) awaitMeta(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, metaPatience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !d.metaPlaced() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
