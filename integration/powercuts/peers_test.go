package powercuts

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/fs/meta"
	"github.com/hammockfs/hammock/placement/depot"
)

func (l *life) flushAll() {
	for _, id := range slices.Sorted(maps.Keys(l.open)) {
		l.flush(id)
	}
}

// checkpoint publishes here.
func (l *life) checkpoint() {
	l.flushAll()
	fold := l.rng.IntN(2) == 0
	l.commit(func() error {
		if err := l.r.volume.WriteBack(ctx, 0); err != nil {
			return err
		}
		_, _, err := l.r.db.Checkpoint(ctx, meta.CheckpointOptions{Fold: fold})
		return err
	}, func(*image) {}, "checkpoint, fold %v", fold)
	l.acknowledged(false)
}

// sync brings everything to the peers.
func (l *life) sync() {
	l.flushAll()
	fold := l.rng.IntN(3) == 0
	l.commit(func() error { return l.r.sync(fold) }, func(*image) {}, "sync, fold %v", fold)
	l.acknowledged(true)
}

// evict throws out what is on peers, so that what is read next comes from there.
func (l *life) evict() {
	l.flushAll() // the end of reading commits as well
	l.note("evict")
	_, err := l.r.cache.Drop(ctx)
	must(l.t, err)
	if path := l.pick(modeReg); path != "" {
		f, err := l.r.volume.Open(ctx, l.ino(path), false)
		must(l.t, err)
		p := make([]byte, 1<<20)
		_, err = f.Read(ctx, p, 0)
		must(l.t, err)
		must(l.t, f.Release(ctx))
	}
	l.r.cache.Tick(ctx)
}

// restart ends the house and opens it again: in order, or by a kill. At times a
// peer has lost everything meanwhile, and is given it again.
func (l *life) restart() {
	killed := l.rng.IntN(2) == 0
	l.note("restart, killed %v", killed)
	old := l.r
	if killed {
		l.mu.Lock()
		l.disk = l.disk.Kill(l.watched())
		l.mu.Unlock()
		must(l.t, old.close()) // of the other disk, which nobody looks at any more
	} else {
		l.closeAll()
		must(l.t, old.close())
		l.acknowledged(false)
	}
	clear(l.open)
	clear(l.pending)
	wiped := -1
	if !killed && l.rng.IntN(2) == 0 {
		wiped = l.rng.IntN(peers)
		l.wipe(wiped)
	}
	r, err := l.h.open(l.disk, nil)
	must(l.t, err)
	l.r = r
	if wiped >= 0 {
		must(l.t, l.repair())
		must(l.t, l.giveHead(wiped))
		l.mu.Lock()
		l.thin = false
		l.mu.Unlock()
	}
}

// wipe empties a peer's disk.
func (l *life) wipe(i int) {
	l.note("peer %d is wiped", i)
	l.mu.Lock()
	l.guest.lost(i)
	l.thin = true
	l.mu.Unlock()
	must(l.t, l.disk.RemoveAll(peerDir(i)))
}

// repair rebuilds all that is missing.
func (l *life) repair() error {
	var stripes []uint64
	err := l.r.db.Stripes(ctx, func(stripe uint64, _ []byte) error {
		stripes = append(stripes, stripe)
		return nil
	})
	for _, s := range stripes {
		if err == nil {
			err = l.r.placer.Repair(ctx, s)
		}
	}
	return err
}

// giveHead gives a peer the heads that others keep, as drive does when it meets a
// keeper that has lost them.
func (l *life) giveHead(wiped int) error {
	heads, err := l.r.depots[(wiped+1)%peers].Heads(ctx, l.h.root.Owner())
	for _, b := range heads {
		if err == nil {
			err = l.r.depots[wiped].PutHead(ctx, b)
		}
	}
	return err
}

// guest is another owner who has shards and heads at the peers, and what they
// promised him.
type guest struct {
	root    *crypt.Root
	genesis crypt.Genesis
	device  *crypt.Device
	cert    []byte

	stands  map[claim]bool
	busy    map[claim]bool // under way: either may be
	heads   [peers]uint64  // newest counter that was taken
	counter uint64
	next    uint64
}

// claim is a shard of the guest at one peer.
type claim struct {
	peer   int
	stripe uint64
}

func (g *guest) begin() error {
	phrase, err := crypt.NewPhrase()
	if err != nil {
		return err
	}
	if g.root, err = crypt.RootFromPhrase(phrase); err != nil {
		return err
	}
	g.stands, g.busy, g.device = map[claim]bool{}, map[claim]bool{}, crypt.NewDevice()
	if g.genesis, err = g.root.NewGenesis(crypt.Genesis{Version: 1, Time: 1, Suite: crypt.SuiteAES}); err != nil {
		return err
	}
	cert, err := g.root.Certify(crypt.Certificate{Device: g.device.Key(), Wrap: g.device.Wrap(), WriterEpoch: 1,
		Rights: crypt.RightWrite, NotBefore: 1, NotAfter: 4_000_000_000})
	if err != nil {
		return err
	}
	g.cert, err = cert.Marshal()
	return err
}

// promises is a copy of what was promised, without what is under way.
func (g *guest) promises() guest {
	c := guest{root: g.root, stands: maps.Clone(g.stands), heads: g.heads}
	for k := range g.busy {
		delete(c.stands, k)
	}
	return c
}

// lost forgets what a peer has promised.
func (g *guest) lost(peer int) {
	g.heads[peer] = 0
	maps.DeleteFunc(g.stands, func(k claim, _ bool) bool { return k.peer == peer })
}

// shard is what the guest put for a stripe.
func (g *guest) shard(stripe uint64) []byte {
	return random(rand.New(rand.NewPCG(stripe, 1)), 2000+int(stripe)*1373%60_000)
}

func (g *guest) bundle(counter uint64) (crypt.Bundle, error) {
	b := crypt.Bundle{Owner: g.root.Owner(), Certificate: g.cert, Secrets: [][]byte{{1}}}
	var err error
	if b.Genesis, err = g.genesis.Marshal(); err != nil {
		return b, err
	}
	b.Head, err = crypt.SealHead(g.device, crypt.NewKey(), crypt.Head{Volume: g.genesis.ID(), WriterEpoch: 1, Counter: counter}, []byte("body"))
	return b, err
}

// change does something after which a claim stands or not.
func (l *life) change(k claim, stands bool, do func() error) {
	l.mu.Lock()
	l.guest.busy[k] = true
	l.log = append(l.log, fmt.Sprintf("guest's stripe %d at peer %d: stands %v", k.stripe, k.peer, stands))
	l.mu.Unlock()
	must(l.t, do())
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.guest.busy, k)
	l.guest.stands[k] = stands
}

// guestPut puts something new, or what was deleted.
func (l *life) guestPut() {
	k := claim{l.rng.IntN(peers), l.guest.next}
	if old, ok := l.guestClaim(false); ok && l.rng.IntN(3) == 0 {
		k = old
	} else {
		l.guest.next++
	}
	data := l.guest.shard(k.stripe)
	l.change(k, true, func() error {
		return give(ctx, l.r.depots[k.peer], depot.Put{Owner: l.guest.root.Owner(), Shard: crypt.Sum(data), Stripe: k.stripe,
			Generation: uint64(len(l.log)), Size: int64(len(data))}, data)
	})
}

// guestClaim draws one that stands, or does not.
func (l *life) guestClaim(stands bool) (claim, bool) {
	var list []claim
	for k, is := range l.guest.stands {
		if is == stands {
			list = append(list, k)
		}
	}
	if len(list) == 0 {
		return claim{}, false
	}
	slices.SortFunc(list, func(a, b claim) int { return int(a.stripe) - int(b.stripe) })
	return list[l.rng.IntN(len(list))], true
}

func (l *life) guestDelete() {
	for range 3 {
		k, ok := l.guestClaim(true)
		if !ok {
			return
		}
		id := crypt.Sum(l.guest.shard(k.stripe))
		l.change(k, false, func() error {
			return l.r.depots[k.peer].Delete(ctx, l.guest.root.Owner(), id, k.stripe, uint64(len(l.log)))
		})
	}
}

func (l *life) guestHead() {
	peer := l.rng.IntN(peers)
	l.guest.counter++
	b, err := l.guest.bundle(l.guest.counter)
	must(l.t, err)
	l.note("guest's head %d to peer %d", l.guest.counter, peer)
	must(l.t, l.r.depots[peer].PutHead(ctx, b))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.guest.heads[peer] = l.guest.counter
}

// tidy lets a week pass, after which the peers clear away what was deleted.
func (l *life) tidy() {
	l.note("a week passes")
	l.h.clock.advance(depot.TrashTime)
	for _, d := range l.r.depots {
		must(l.t, d.Tidy(ctx))
	}
}
