package powercuts

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/integration/crashdisk"
)

// What a cut can be. All but the first end what was not synced.
const (
	kill  = "kill"
	power = "power cut"
	lost  = "loss of the node, and of a peer at times, and a power cut of its peers"
)

// cut is a copy of the disk at one point, and what it may show.
type cut struct {
	seed   uint64
	point  int
	kind   string
	op     crashdisk.Op
	loss   crashdisk.Loss
	disk   *crashdisk.Disk
	images []*image // that may be there
	synced []*image // that may be there if the power is cut as well
	guest  guest
	again  bool // cut once more while it is opened
	h      house
	log    []string
}

// cutter cuts at every n-th operation, and checks in the background.
type cutter struct {
	t     *testing.T
	every int
	left  int // guarded by life.mu
	ops   int // guarded by life.mu
	life  *life

	work    chan *cut
	pending sync.WaitGroup // cuts that are not checked
	stop    chan struct{}  // closed when no more are made
	done    sync.WaitGroup // workers

	mu     sync.Mutex
	counts map[string]int
	rows   map[string]int
}

// watched is a watch for the next disk of a life: those before it are of the dead.
func (l *life) watched() crashdisk.Watch {
	l.disks++
	mine := l.disks
	return func(op crashdisk.Op) error {
		if op.Kind.Changes() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if mine == l.disks {
				l.about(op)
			}
		}
		return nil
	}
}

// about is told of each operation of the disk before it is done; l.mu is held.
func (l *life) about(op crashdisk.Op) {
	c := l.cuts
	if c == nil || c.left == 0 {
		return
	}
	if c.ops++; c.ops%c.every != 0 {
		return
	}
	c.left--
	c.pending.Add(1)
	c.work <- l.cut(op)
}

// cut takes a copy; l.mu is held.
func (l *life) cut(op crashdisk.Op) *cut {
	c := &cut{seed: l.seed, point: l.cuts.ops, op: op, kind: power, guest: l.guest.promises(), h: *l.h, log: slices.Clone(l.log),
		synced: slices.Clone(l.images[l.synced:])}
	rng := rand.New(rand.NewPCG(l.seed, uint64(c.point)))
	switch n := rng.IntN(10); {
	case n == 0:
		c.loss = crashdisk.Loss{Rand: rng}
	case n < 4:
		c.loss = crashdisk.Loss{Rand: rng, Ordered: true}
	default:
		c.loss = crashdisk.Loss{Rand: rng, Kept: 5 + rng.IntN(95), Noise: n == 9}
	}
	c.again = rng.IntN(4) == 0
	switch n := rng.IntN(10); {
	case n < 2:
		c.kind = kill
	case n < 4 && l.safe >= 0:
		c.kind = lost
	}
	c.images = c.synced
	switch c.kind {
	case kill:
		c.images = slices.Clone(l.images[l.done:])
		c.disk = l.disk.Kill(nil)
	case power:
		c.disk = l.disk.Cut(c.loss, nil)
	case lost:
		c.images = slices.Clone(l.images[l.safe:])
		drop := []string{nodeDir}
		if peer := rng.IntN(2 * peers); peer < peers && !l.thin { // the policy is 2+1
			drop = append(drop, peerDir(peer))
			c.guest.lost(peer)
		}
		c.disk = l.disk.Cut(c.loss, nil, drop...)
	}
	c.h.clock = &clock{now: l.h.clock.Now()}
	return c
}

// check opens the copy and compares it.
func (c *cut) check() error {
	disk := c.disk
	var restore []byte
	if c.kind == lost {
		var err error
		if restore, err = c.recover(); err != nil {
			return err
		}
	}
	var second *crashdisk.Disk
	if c.again && c.kind != lost {
		disk = c.cutAgain(&second)
	}
	r, err := c.h.open(disk, restore)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err = r.compare(c.images); err == nil {
		err = c.guest.check(r)
	}
	if err == nil {
		err = r.alive(c.point%2 == 0)
	}
	if cerr := r.close(); err == nil && cerr != nil {
		err = fmt.Errorf("close: %w", cerr)
	}
	if err == nil && second != nil {
		next := *c
		next.kind, next.disk, next.again, next.images = power, second, false, c.synced
		if err = next.check(); err != nil {
			err = fmt.Errorf("after a %s and a power cut in the start that followed: %w", c.kind, err)
		}
	}
	return err
}

// cutAgain watches the copy, and cuts once more at some operation.
func (c *cut) cutAgain(second **crashdisk.Disk) *crashdisk.Disk {
	rng := rand.New(rand.NewPCG(c.seed, uint64(c.point)+1<<32))
	at := 1 + rng.IntN(60)
	var mu sync.Mutex
	var disk *crashdisk.Disk
	n := 0
	disk = c.disk.Kill(func(op crashdisk.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if !op.Kind.Changes() {
			return nil
		}
		if n++; n == at {
			*second = disk.Cut(crashdisk.Loss{Rand: rng, Kept: rng.IntN(100), Ordered: rng.IntN(3) == 0}, nil)
		}
		return nil
	})
	return disk
}

// recover makes the house that of a new device, and returns the newest head that
// the peers keep.
func (c *cut) recover() ([]byte, error) {
	r := &running{house: &c.h, disk: c.disk}
	var best []byte
	var counter uint64
	for i := range r.depots {
		if err := r.openDepot(i); err != nil {
			return nil, err
		}
		heads, err := r.depots[i].Heads(ctx, c.h.root.Owner())
		if err != nil {
			return nil, err
		}
		for j := range heads {
			h, err := crypt.ParseHead(heads[j].Head)
			if err != nil {
				return nil, err
			}
			if h.Counter > counter {
				best, counter = heads[j].Head, h.Counter
			}
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no peer keeps a head")
	}
	if err := r.close(); err != nil {
		return nil, err
	}
	return best, c.h.newDevice(2)
}

// component says which part of the house a path belongs to.
func component(path string) string {
	for _, c := range []struct{ has, is string }{{"/journal", "journal"}, {"/overlay", "index"}, {"/cache", "cache"},
		{"/segments", "depot segments"}, {"/index", "depot index"}} {
		if strings.Contains(path, c.has) {
			return c.is
		}
	}
	return "folders"
}

func (c *cutter) worker() {
	for {
		select {
		case k := <-c.work:
			c.look(k)
		case <-c.stop:
			return
		}
	}
}

// look checks one cut, and counts it.
func (c *cutter) look(k *cut) {
	defer c.pending.Done()
	if c.t.Failed() {
		return
	}
	ended := time.AfterFunc(2*patience, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("a check hangs: seed %d, point %d, %s", k.seed, k.point, k.kind))
	})
	err := k.check()
	ended.Stop()
	if err != nil {
		c.t.Errorf("seed %d, %s before operation %d (%s %s), kept %d %%, ordered %v, noise %v: %v\nafter:\n%s",
			k.seed, k.kind, k.point, k.op.Kind, k.op.Path, k.loss.Kept, k.loss.Ordered, k.loss.Noise, err, strings.Join(k.log, "\n"))
	}
	c.mu.Lock()
	c.counts[component(k.op.Path)]++
	c.rows[k.kind]++
	c.mu.Unlock()
}

// number reads a number from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s: %v", name, text, err)
	}
	return n
}

// TestPowerCuts lives lives until so many cuts have been made. HAMMOCK_CUTS says how many,
// HAMMOCK_SEED is that of the first life.
func TestPowerCuts(t *testing.T) {
	want := int(number(t, "HAMMOCK_CUTS", 200))
	seed := number(t, "HAMMOCK_SEED", uint64(time.Now().UnixNano())%1_000_000)
	t.Logf("HAMMOCK_SEED=%d", seed)
	c := &cutter{t: t, work: make(chan *cut, 2), stop: make(chan struct{}), counts: map[string]int{}, rows: map[string]int{}}
	for range 2 {
		c.done.Go(c.worker)
	}
	lives := 0
	defer func() {
		if l := c.life; l != nil {
			l.mu.Lock()
			l.cuts = nil
			l.mu.Unlock()
		}
		c.pending.Wait()
		close(c.stop)
		c.done.Wait()
		t.Logf("%d lives, %s, %s", lives, table(c.rows), table(c.counts))
	}()
	for c.left = want; c.left > 0 && !t.Failed(); lives++ {
		c.every, c.ops = 7, 0
		c.live(seed+uint64(lives), 80)
	}
}

func table(counts map[string]int) string {
	var rows []string
	sum := 0
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		rows = append(rows, fmt.Sprintf("%s %d", k, counts[k]))
		sum += counts[k]
	}
	return fmt.Sprintf("%d: %s", sum, strings.Join(rows, ", "))
}

// live lives one life, with cuts.
func (c *cutter) live(seed uint64, steps int) {
	l := newLife(c.t, seed)
	c.life = l
	must(c.t, l.r.volume.Sync(ctx)) // the root is there
	l.mu.Lock()
	l.cuts = c
	l.mu.Unlock()
	for range steps {
		if c.t.Failed() {
			break
		}
		l.step()
	}
	l.mu.Lock()
	l.cuts = nil
	l.mu.Unlock()
	l.end()
}
