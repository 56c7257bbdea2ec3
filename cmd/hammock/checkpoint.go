package main

import (
	"context"
	"fmt"

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

// publishNow makes a head if something changed and offers it to the keepers.
// That some of them cannot be reached is no error: they are asked again.
func (d *drive) publishNow(ctx context.Context, fold bool) error {
	if !d.db.Dirty() && !fold {
		return nil
	}
	if err := d.publishLocally(ctx, fold); err != nil {
		return err
	}
	if have, of, err := d.publish(ctx); err != nil {
		d.log.Warn("not every keeper has the newest head yet", "have", have, "of", of, "error", err)
	}
	return nil
}
