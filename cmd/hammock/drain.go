package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hammockfs/hammock/placement"
)

// syncReport is what a sync says while it runs.
type syncReport struct {
	Phase  string `json:"phase"`
	Done   int64  `json:"done"`
	Total  int64  `json:"total"`
	Error  string `json:"error,omitempty"` // why it takes longer
	Result string `json:"result,omitempty"`
}

// silent takes the progress of a sync that nobody watches.
func silent(syncReport) {}

// errNoPeers and errSolo are the honest answers of a sync that has nowhere to
// go.
var (
	errNoPeers = errors.New("everything is synced on this machine, but there is no peer to hold it: losing this machine loses it. " +
		"Invite other machines (`hammock invite`); what is here flows out to them by itself")
	errSolo = errors.New("everything is synced on this machine, but the policy of this volume is solo, which keeps everything here: losing this machine loses it")
)

// errNotSafe begins the errors of a sync that did not come to its end.
var errNotSafe = errors.New("not everything is on peers yet")

// lockCheckpoints lets one checkpoint run at a time.
func (d *drive) lockCheckpoints(ctx context.Context) error {
	select {
	case d.checkpoints <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another checkpoint: %w", context.Cause(ctx))
	}
}

func (d *drive) unlockCheckpoints() { <-d.checkpoints }

// sync returns when losing this machine would lose nothing. It tells progress
// to report. While it waits for peers, others may checkpoint.
func (d *drive) sync(ctx context.Context, fold bool, report func(syncReport)) error {
	report(syncReport{Phase: "commit"})
	if err := d.settle(ctx); err != nil {
		return err
	}
	if d.lonely() {
		return d.syncHere(ctx, fold)
	}
	if !d.looked.Load() { // the last run may have been a recovery's
		if _, err := d.findStrays(ctx); err != nil {
			return fmt.Errorf("%w: %w", errNotSafe, err)
		}
		d.looked.Store(true)
	}
	if err := d.waitPlaced(ctx, "upload", report); err != nil {
		return err
	}
	counter, err := d.checkpointHere(ctx, fold)
	if err != nil {
		return err
	}
	have, of, err := d.deliver(ctx, counter, report)
	if err != nil {
		return err
	}
	report(syncReport{Phase: "done", Result: fmt.Sprintf("everything is on peers; %d of %d keepers have the newest head", have, of)})
	return nil
}

// checkpointHere makes a head that survives a power cut here, and returns its
// counter. All that it names is in closed stripes then, and has records.
// Only that is done one at a time: whoever then waits for peers, perhaps for
// days, holds up nobody.
func (d *drive) checkpointHere(ctx context.Context, fold bool) (counter uint64, err error) {
	if err := d.lockCheckpoints(ctx); err != nil {
		return 0, fmt.Errorf("%w: %w", errNotSafe, err)
	}
	defer d.unlockCheckpoints()
	o, err := d.publishWhole(ctx, fold, true)
	return o.counter, err
}

// deliver brings a head of at least that counter, and what it names, to peers.
func (d *drive) deliver(ctx context.Context, counter uint64, report func(syncReport)) (have, of int, err error) {
	for {
		if err := d.waitPlaced(ctx, "metadata", report); err != nil {
			return 0, 0, err
		}
		var sent uint64
		sent, have, of, err = d.publish(ctx, false)
		if sent < counter && !errors.Is(err, errSucceeded) {
			err = errNotPlaced
		}
		switch {
		case errors.Is(err, errSucceeded):
			return have, of, err
		case errors.Is(err, errNotPlaced) && !d.placeable():
			return have, of, fmt.Errorf("%w: %w", errNotSafe, placement.ErrTooFew)
		case errors.Is(err, errNotPlaced) && ctx.Err() == nil:
			d.awaitOffer(ctx, counter)
			continue
		case errors.Is(err, errNotPlaced):
			return have, of, fmt.Errorf("%w: %w", errNotSafe, context.Cause(ctx))
		case !enoughKeepers(have, of):
			return have, of, tooFewKeepers(have, of, err)
		}
		return have, of, nil
	}
}

// tooFewKeepers is the error of a head that too few have; err is what they said.
func tooFewKeepers(have, of int, err error) error {
	few := fmt.Errorf("only %d of the %d keepers have taken the newest head; the data is on peers, but a recovery might find an older state. "+
		"Try again when more members are online", have, of)
	if err == nil {
		return few
	}
	return fmt.Errorf("%w: %w", few, err)
}

// settle moves everything that was written into closed, synced stripes.
func (d *drive) settle(ctx context.Context) error {
	if err := d.lockCheckpoints(ctx); err != nil {
		return fmt.Errorf("%w: %w", errNotSafe, err)
	}
	defer d.unlockCheckpoints()
	if err := d.volume.WriteBack(ctx, 0); err != nil {
		return err
	}
	if err := d.volume.Sync(ctx); err != nil {
		return err
	}
	if _, err := d.cache.CloseStripes(ctx, 0); err != nil {
		return fmt.Errorf("close the open stripes: %w", err)
	}
	return nil
}

// syncHere is the sync of a volume that has nowhere to go. It always returns an
// error.
func (d *drive) syncHere(ctx context.Context, fold bool) error {
	if _, err := d.checkpointHere(ctx, fold); err != nil {
		return err
	}
	if d.policy.Needs() == 0 {
		return errSolo
	}
	return errNoPeers
}

// lonely says whether nothing can be placed: the policy is solo, or there is no
// other store.
func (d *drive) lonely() bool {
	if d.policy.Needs() == 0 {
		return true
	}
	for _, s := range d.stores.Stores() {
		if !s.Here {
			return false
		}
	}
	return true
}

// waitPlaced waits until the upload queue is empty and tells how far it is.
func (d *drive) waitPlaced(ctx context.Context, phase string, report func(syncReport)) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	finished := make(chan error, 1)
	go func() { finished <- d.placer.Wait(waiting) }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	total, failed := d.placer.Stats().QueuedBytes, d.placer.Stats().Failed
	report(syncReport{Phase: phase, Total: total})
	for {
		select {
		case err := <-finished:
			if err != nil {
				return fmt.Errorf("%w: %w", errNotSafe, err)
			}
			return nil
		case <-tick.C:
			s := d.placer.Stats()
			total = max(total, s.QueuedBytes)
			r := syncReport{Phase: phase, Done: total - s.QueuedBytes, Total: total}
			if s.Failed > failed && s.LastError != nil {
				r.Error = s.LastError.Error()
			}
			report(r)
		}
	}
}

// onlyHere says how much is on this machine only.
func (d *drive) onlyHere() (stripes int, bytes int64) {
	for _, s := range d.cache.Closed() {
		if s.Pinned {
			stripes++
			bytes += int64(s.Payload)
		}
	}
	return stripes, bytes
}
