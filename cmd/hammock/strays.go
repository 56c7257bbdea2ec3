package main

import (
	"context"
	"fmt"

	"github.com/hammockfs/hammock/placement"
)

// findStrays queues the stripes that are neither here nor noted as placed: they
// were on their way to peers when another machine, which this one follows after a
// recovery, made the head. What arrived is with the peers, and an upload that has
// nothing to send finds that out. It reads the whole table of stripes.
func (d *drive) findStrays(ctx context.Context) (found int, err error) {
	var list []placement.Record
	err = d.db.Stripes(ctx, func(stripe uint64, record []byte) error {
		r, err := placement.ParseRecord(record)
		if err == nil && !r.Placed && !d.cache.Has(stripe) {
			list = append(list, r)
		}
		return ctx.Err() // what makes no sense is told elsewhere
	})
	if err != nil {
		return 0, fmt.Errorf("look for stripes that were on their way: %w", err)
	}
	for _, r := range list {
		d.placer.Enqueue(r.Stripe, r.Class)
	}
	return len(list), nil
}

// awaitStrays waits, but not for ever, until it is known where they are.
func (d *drive) awaitStrays(ctx context.Context) error {
	n, err := d.findStrays(ctx)
	if err != nil || n == 0 || d.lonely() {
		return err
	}
	within, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	if err := d.placer.Wait(within); err != nil {
		d.log.Debug("not all that was on its way at the recovery has been found", "error", err)
	}
	return ctx.Err()
}
