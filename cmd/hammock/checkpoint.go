package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hammockfs/hammock/fs/cache"
	"github.com/hammockfs/hammock/fs/meta"
)

// publishLocally makes a head that survives a power cut here. cited, if given,
// has it name only what has a record; see meta.CheckpointOptions.
func (d *drive) publishLocally(ctx context.Context, fold bool, cited func(context.Context) error) (offer, error) {
	head, counter, err := d.db.Checkpoint(ctx, meta.CheckpointOptions{Fold: fold, Cited: cited})
	if err != nil {
		return offer{}, fmt.Errorf("publish the volume as it is now: %w", err)
	}
	return offer{head: head, counter: counter}, nil
}

// publishWhole makes a head that may go out to keepers as soon as all that it
// names is placed: for that the stripes with that are closed, and have records
// in it. Where nothing can be placed none is given a record, and the head goes
// out only if all data is on peers already. With now it goes out before an older
// one that waits.
func (d *drive) publishWhole(ctx context.Context, fold, now bool) (offer, error) {
	cited, whole := d.closeData, true
	if !d.placeable() {
		whole = d.dataPlaced()
		cited = func(context.Context) error { // the same at the cut: what is placed later has no record in the head
			whole = d.dataPlaced()
			return nil
		}
	} else if err := d.closeData(ctx); err != nil { // most of it before the cut: little is then encoded under it
		return offer{}, err
	}
	o, err := d.publishLocally(ctx, fold, cited)
	if err != nil {
		return o, err
	}
	if !whole {
		return o, nil
	}
	for _, s := range d.cache.Closed() {
		if s.Pinned {
			o.needs = append(o.needs, s.Number)
		}
	}
	d.heads.propose(o, now)
	d.whole = time.Now()
	return o, nil
}

// dataPlaced says whether no data is on this machine only.
func (d *drive) dataPlaced() bool {
	return !d.cache.Filling(meta.ClassData) && !slices.ContainsFunc(d.cache.Closed(), func(s cache.StripeInfo) bool {
		return s.Pinned && s.Class == meta.ClassData
	})
}

// closeData closes the open stripe of data and gives every stripe of data that
// is not placed a record.
func (d *drive) closeData(ctx context.Context) error {
	if _, err := d.cache.CloseStripes(ctx, meta.ClassData); err != nil {
		return fmt.Errorf("close the open stripe of data: %w", err)
	}
	for _, s := range d.cache.Closed() {
		if !s.Pinned || s.Class != meta.ClassData {
			continue
		}
		if _, err := d.placer.Encode(ctx, s.Number); err != nil {
			return err
		}
	}
	return nil
}

// wholeEvery is how long a head may wait for the open stripe of data to fill:
// one that is closed earlier costs space.
const wholeEvery = 10 * time.Minute

// wholeDue says whether it is time for a head that may go out: none waits for
// that, and the newest has not gone out. The lock of checkpoints is held.
func (d *drive) wholeDue() bool {
	return d.placeable() && (d.db.Dirty() || d.heads.behind(d.db.Stats().Counter)) && !d.heads.waits() &&
		(!d.cache.Filling(meta.ClassData) || time.Since(d.whole) >= wholeEvery)
}

// placeable says whether there are enough other stores for anything to be placed.
func (d *drive) placeable() bool { return !d.lonely() && d.placer.Placeable() }

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
