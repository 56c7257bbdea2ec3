package main

import (
	"context"
	"errors"
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

// lookForSuccessor asks a keeper that did not take our head whether it has one
// of a newer device. If so, the volume is frozen: the two would otherwise grow
// apart without anybody noticing.
func (d *drive) lookForSuccessor(ctx context.Context, p swarm.Peer) error {
	bundles, err := d.node.client.Peer(p.ID).Heads(ctx, d.node.cert.Owner)
	if err != nil {
		return err
	}
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

// seekSuccessor asks each keeper once, when it is first connected: an old machine
// that is switched on again should not go on writing until its first head is
// refused. asked is the keepers that have answered.
func (d *drive) seekSuccessor(ctx context.Context, asked map[string]bool) {
	for _, p := range keepersOf(d.node.cert.Owner, d.node.swarm.Peers()) {
		if !p.Connected || asked[p.ID] || d.over.Load() {
			continue
		}
		actx, cancel := context.WithTimeout(ctx, waitTimeout)
		asked[p.ID] = d.lookForSuccessor(actx, p) == nil
		cancel()
	}
}
