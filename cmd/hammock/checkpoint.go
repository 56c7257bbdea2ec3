package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/fs/meta"
)

func checkpointOptions(fold bool) meta.CheckpointOptions { return meta.CheckpointOptions{Fold: fold} }

// publishLocally makes a head that survives a power cut here.
func (d *drive) publishLocally(ctx context.Context, fold bool) (offer, error) {
	head, counter, err := d.db.Checkpoint(ctx, checkpointOptions(fold))
	if err != nil {
		return offer{}, fmt.Errorf("publish the volume as it is now: %w", err)
	}
	return offer{head: head, counter: counter}, nil
}

// metaPatience is how long a sync looks whether what a head names is on peers
// before it asks the placer again.
const metaPatience = 20 * time.Second

// awaitOffer waits until a head of at least that counter may go out, or for
// metaPatience.
func (d *drive) awaitOffer(ctx context.Context, counter uint64) {
	ctx, cancel := context.WithTimeout(ctx, metaPatience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if o, _ := d.advance(); o != nil && o.counter >= counter {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
