package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/hammockfs/hammock/crypt"
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

// publisher remembers which keeper has which head, and which heads may go out.
type publisher struct {
	mu      sync.Mutex
	has     map[string]crypt.ID // peer -> the head it acknowledged
	offered *offer              // the newest that keepers may have; nil: none yet
	pending *offer              // the next one, which waits for its stripes; nil: none
}

// offer is a head, and the stripes on this machine only that it may name. A
// keeper replaces the head it has: with one that names what no peer has, the
// loss of this machine would lose what the old head still led to, metadata and
// data. So each waits for its stripes, and has the records of all of them; a
// newer one does not take its place, or a volume that is always written to would
// never publish.
type offer struct {
	head    []byte
	counter uint64
	needs   []uint64
}

// propose makes a head the next that goes out, unless an older one waits for
// its turn; that a head must go out now takes its place.
func (p *publisher) propose(o offer, now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if (p.pending == nil || now) && (p.offered == nil || o.counter > p.offered.counter) {
		p.pending = &o
	}
}

// waits says whether a head waits for its turn: another would be made for nothing.
func (p *publisher) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pending != nil
}

// behind says whether no head with that counter or a higher one has gone out.
func (p *publisher) behind(counter uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offered == nil || p.offered.counter < counter
}

// advance lets the head that waits go out if all that it needs is on peers, and
// says whether it did; unplaced is what is not there.
func (p *publisher) advance(unplaced map[uint64]bool) (*offer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending == nil || slices.ContainsFunc(p.pending.needs, func(s uint64) bool { return unplaced[s] }) {
		return p.offered, false
	}
	p.offered, p.pending = p.pending, nil
	return p.offered, true
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

// keeps takes back that a peer has acknowledged a head, if it is not among those
// that it keeps: it has lost its disk since, or is back with an old one.
func (p *publisher) keeps(peer string, heads []crypt.Bundle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(heads, func(b crypt.Bundle) bool { return crypt.HeadID(b.Head) == p.has[peer] }) {
		delete(p.has, peer)
	}
}

// errNotPlaced says that a head would lead to nowhere.
var errNotPlaced = errors.New("what the newest head names is not on peers yet")

// advance gives the newest head that may go out, nil if there is none, and says
// whether it is a new one.
func (d *drive) advance() (*offer, bool) {
	unplaced := map[uint64]bool{}
	for _, s := range d.cache.Closed() {
		if s.Pinned {
			unplaced[s.Number] = true
		}
	}
	return d.heads.advance(unplaced)
}

// publish sends the newest head that may go out to the keepers that do not have
// it yet, and says its counter and how many of how many have it now. One is sent
// at a time: a keeper that has got a newer one from a sync beside this one does
// not have this one, which is no fault, but would be counted as one. With all,
// those that did not take it are asked again although enough others have it.
func (d *drive) publish(ctx context.Context, all bool) (counter uint64, have, of int, err error) {
	select {
	case d.sending <- struct{}{}:
		defer func() { <-d.sending }()
	case <-ctx.Done():
		return 0, 0, 0, fmt.Errorf("wait for another head to be sent: %w", context.Cause(ctx))
	}
	o, _ := d.advance()
	list := keepersOf(d.node.cert.Owner, d.node.swarm.Peers())
	if err := d.succeeded(); err != nil {
		return 0, 0, len(list), err
	}
	if o == nil {
		return 0, 0, len(list), errNotPlaced
	}
	if have = d.having(o.head, list); !all && enoughKeepers(have, len(list)) {
		return o.counter, have, len(list), nil
	}
	have, err = d.send(ctx, o.head, list)
	return o.counter, have, len(list), err
}

// send gives a head to the keepers that do not have it yet.
func (d *drive) send(ctx context.Context, head []byte, list []swarm.Peer) (have int, err error) {
	id := crypt.HeadID(head)
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
				if serr := d.askKeeper(ctx, p); serr != nil {
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
		return 0, serr
	}
	return d.having(head, list), err
}

// having counts the keepers that have a head.
func (d *drive) having(head []byte, list []swarm.Peer) (n int) {
	id := crypt.HeadID(head)
	for _, p := range list {
		if d.heads.acknowledged(p.ID, id) {
			n++
		}
	}
	return n
}

// enoughKeepers says whether a recovery, which asks more than a third of them,
// meets one that has the head.
func enoughKeepers(have, of int) bool { return have*3 >= of*2 }

// publishAgain offers the newest head that may go out to keepers that do not
// have it. That some of them cannot be reached is no error: they are asked again.
func (d *drive) publishAgain(ctx context.Context) {
	if d.db.Head() == nil || d.over.Load() {
		return
	}
	_, have, of, err := d.publish(ctx, true)
	if err != nil && !errors.Is(err, errNotPlaced) && ctx.Err() == nil {
		d.log.Warn("not every keeper has the newest head yet", "have", have, "of", of, "error", err)
	}
}

// checkpoint moves small data of files that have been quiet for quietFor into
// chunks. If it is time to publish it then makes a head of what has changed,
// here, and one that may go out to keepers when it is time for that, too.
func (d *drive) checkpoint(ctx context.Context, publish bool) error {
	if err := d.lockCheckpoints(ctx); err != nil {
		return err
	}
	defer d.unlockCheckpoints()
	if err := d.volume.WriteBack(ctx, quietFor); err != nil {
		return err
	}
	var err error
	switch {
	case !publish:
	case d.wholeDue():
		_, err = d.publishWhole(ctx, false, false)
	case d.db.Dirty():
		_, err = d.publishLocally(ctx, false, nil)
	}
	return err
}
