package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hammockfs/hammock/net/swarm"
)

// errSucceeded ends the publishing of a device that a newer one of the same
// owner has taken over from: no keeper takes its heads any more.
var errSucceeded = errors.New("this volume was recovered on another machine, which has taken over: nothing that is written here reaches peers any more, " +
	"so the folder is read-only now. What was synced before is safe there. Copy out what is only here (`hammock status PATH` tells), then delete this state")

// succeeded says whether a newer device has taken over; it is errSucceeded then.
func (d *drive) succeeded() error {
	if d.over.Load() {
		return errSucceeded
	}
	return nil
}

// askKeeper asks a keeper which heads it has. If one of them is of a newer device,
// the volume is frozen: the two would otherwise grow apart without anybody
// noticing.
func (d *drive) askKeeper(ctx context.Context, p swarm.Peer) error {
	bundles, err := d.node.client.Peer(p.ID).Heads(ctx, d.node.cert.Owner)
	if err != nil {
		return err
	}
	d.heads.keeps(p.ID, bundles)
	for _, b := range bundles {
		v, err := b.Parse(time.Time{})
		if err != nil || v.Head == nil || v.Head.Volume != d.node.genesis.ID() || v.Head.WriterEpoch <= d.node.cert.WriterEpoch {
			continue
		}
		if d.over.CompareAndSwap(false, true) {
			d.volume.Freeze()
			d.log.Error(errSucceeded.Error(), "device", v.Head.Device.String())
		}
		return errSucceeded
	}
	return nil
}

// A keeper is asked again askEvery after it has answered, and askAgain after it
// has not.
const (
	askEvery = time.Hour
	askAgain = 10 * time.Second
)

// askKeepers asks the keepers whose time it is, each when it is connected and now
// and then: an old machine that is switched on again should not go on writing until
// its first head is refused, and a keeper that lost the newest head gets it again
// from publishAgain, though nothing changes here for years. next is when each that
// is connected is to be asked.
func (d *drive) askKeepers(ctx context.Context, next map[string]time.Time) {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	var due []swarm.Peer
	for _, p := range keepersOf(d.node.cert.Owner, d.node.swarm.Peers()) {
		switch {
		case !p.Connected:
			delete(next, p.ID)
		case !d.over.Load() && !time.Now().Before(next[p.ID]):
			due = append(due, p)
		}
	}
	answers := make([]error, len(due))
	var asking sync.WaitGroup
	for i, p := range due {
		asking.Go(func() { answers[i] = d.askKeeper(ctx, p) })
	}
	asking.Wait()
	for i, p := range due {
		wait := askEvery
		if answers[i] != nil {
			wait = askAgain
		}
		next[p.ID] = time.Now().Add(wait)
	}
}
