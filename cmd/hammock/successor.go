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

// lookForSuccessor asks a keeper which heads it has, and whether one of them is
// of a newer device. If so, the volume is frozen: the two would otherwise grow
// apart without anybody noticing.
func (d *drive) lookForSuccessor(ctx context.Context, p swarm.Peer) error {
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

// askEvery is how often a keeper is asked what it keeps while it is connected.
const askEvery = time.Hour

// askKeepers asks each keeper when it is connected, and now and then: an old
// machine that is switched on again should not go on writing until its first head
// is refused, and a keeper that lost the newest head gets it again from
// publishAgain, though nothing changes here for years. asked is when those that
// are connected have answered.
func (d *drive) askKeepers(ctx context.Context, asked map[string]time.Time) {
	for _, p := range keepersOf(d.node.cert.Owner, d.node.swarm.Peers()) {
		if !p.Connected {
			delete(asked, p.ID)
		}
		if !p.Connected || d.over.Load() || time.Since(asked[p.ID]) < askEvery {
			continue
		}
		actx, cancel := context.WithTimeout(ctx, waitTimeout)
		if d.lookForSuccessor(actx, p) == nil {
			asked[p.ID] = time.Now()
		}
		cancel()
	}
}
