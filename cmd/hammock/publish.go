package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/net/swarm"
	"github.com/hammockfs/hammock/net/wire"
)

// keepers is how many members keep the heads of an owner.
const keepers = 9

// keepersOf chooses the peers that keep an owner's heads: by rendezvous hashing
// of the owner over the members, so that everybody who knows the members finds
// the same ones; all, if they are few. The owner's own devices are none, unless
// they give space: those of before are gone for good, and would be counted as
// keepers that never answer.
func keepersOf(owner crypt.OwnerKey, peers []swarm.Peer) []swarm.Peer {
	type ranked struct {
		peer  swarm.Peer
		score crypt.ID
	}
	var list []ranked
	for _, p := range peers {
		if p.Owner == owner && p.Gives == 0 {
			continue
		}
		list = append(list, ranked{p, crypt.Sum(slices.Concat([]byte("hammock 1 keeper"), owner[:], p.Device[:]))})
	}
	slices.SortFunc(list, func(a, b ranked) int { return bytes.Compare(b.score[:], a.score[:]) })
	var chosen []swarm.Peer
	for _, r := range list[:min(keepers, len(list))] {
		chosen = append(chosen, r.peer)
	}
	return chosen
}

// publisher remembers which keeper has which head.
type publisher struct {
	mu  sync.Mutex
	has map[string]crypt.ID // peer -> the head it acknowledged
}

func (p *publisher) acknowledged(peer string, head crypt.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.has[peer] == head
}

// note remembers that a peer has acknowledged a head.
func (p *publisher) note(peer string, head crypt.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.has == nil {
		p.has = map[string]crypt.ID{}
	}
	p.has[peer] = head
}

// errNotPlaced says that a head would lead to nowhere: a keeper replaces the
// head it has, and with a new one whose metadata is only on this machine the
// loss of this machine would lose what the old one still led to.
var errNotPlaced = errors.New("its metadata is not on peers yet")

// metaPlaced says whether all metadata that a head leads through is on peers.
func (d *drive) metaPlaced() bool {
	for _, s := range d.cache.Closed() {
		if s.Pinned && s.Class != meta.ClassData {
			return false
		}
	}
	return true
}

// publish sends the newest head to the keepers that do not have it yet and says
// how many of how many have it now.
func (d *drive) publish(ctx context.Context) (have, of int, err error) {
	head := d.db.Head()
	if head == nil {
		return 0, 0, errors.New("there is no head yet")
	}
	id := crypt.HeadID(head)
	list := keepersOf(d.node.cert.Owner, d.node.swarm.Peers())
	if err := d.succeeded(); err != nil {
		return 0, len(list), err
	}
	if len(list) > 0 && !d.metaPlaced() {
		return 0, len(list), errNotPlaced
	}
	var g errgroup.Group
	for _, p := range list {
		if d.heads.acknowledged(p.ID, id) {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, waitTimeout)
			defer cancel()
			err := d.node.client.Peer(p.ID).PutHead(ctx, d.node.bundle(head))
			if errors.Is(err, wire.ErrStale) {
				if serr := d.lookForSuccessor(ctx, p); serr != nil {
					return serr
				}
			}
			if err != nil {
				return fmt.Errorf("give the newest head to %s: %w", p.Name, err)
			}
			d.heads.note(p.ID, id)
			return nil
		})
	}
	err = g.Wait()
	if serr := d.succeeded(); serr != nil {
		return 0, len(list), serr
	}
	for _, p := range list {
		if d.heads.acknowledged(p.ID, id) {
			have++
		}
	}
	return have, len(list), err
}

// publishAgain offers the newest head to keepers that have just appeared.
func (d *drive) publishAgain(ctx context.Context) {
	if d.db.Head() == nil || d.over.Load() {
		return
	}
	if have, of, err := d.publish(ctx); err != nil && ctx.Err() == nil {
		d.log.Warn("not every keeper has the newest head yet", "have", have, "of", of, "error", err)
	}
}

// checkpoint publishes what has changed. Small data of files that have been
// quiet that long moves into chunks first.
func (d *drive) checkpoint(ctx context.Context, quiet time.Duration) error {
	made, err := d.checkpointQuiet(ctx, quiet)
	if made {
		d.offer(ctx)
	}
	return err
}

// checkpointQuiet makes a head if something changed, and says whether it did.
func (d *drive) checkpointQuiet(ctx context.Context, quiet time.Duration) (made bool, err error) {
	if err := d.lockCheckpoints(ctx); err != nil {
		return false, err
	}
	defer d.unlockCheckpoints()
	if err := d.volume.WriteBack(ctx, quiet); err != nil {
		return false, err
	}
	if !d.db.Dirty() {
		return false, nil
	}
	err = d.publishLocally(ctx, false)
	return err == nil, err
}
