package depot

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/integration/crashdisk"
)

// promises are what a depot has said yes to: which shards of owner 1 stand, by stripe, and which are deleted. What is
// under way may be either.
type promises struct {
	stands map[uint64]bool
	head   *crypt.Bundle
}

// cut is a file system as a power cut left it, and what had been promised before.
type cut struct {
	fs *crashdisk.Disk
	promises
}

// recorder cuts the power, on a copy, before every k-th operation that changes something.
type recorder struct {
	mu     sync.Mutex
	fs     *crashdisk.Disk
	every  int
	ops    int
	now    promises
	busy   map[uint64]bool // stripes that something is being done to
	cuts   []cut
	random *rand.Rand
}

func (r *recorder) watch(op crashdisk.Op) error {
	if !op.Kind.Changes() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ops++; r.ops%r.every != 0 {
		return nil
	}
	p := promises{maps.Clone(r.now.stands), r.now.head}
	for stripe := range r.busy {
		delete(p.stands, stripe)
	}
	loss := crashdisk.Loss{Rand: r.random, Kept: 50 * (len(r.cuts) % 3), Ordered: len(r.cuts)%5 == 4}
	r.cuts = append(r.cuts, cut{r.fs.Cut(loss, nil), p})
	return nil
}

// do runs something that makes a stripe stand or not.
func (r *recorder) do(t *testing.T, stripe uint64, stands bool, f func() error) {
	t.Helper()
	r.mu.Lock()
	r.busy[stripe] = true
	r.mu.Unlock()
	if err := f(); err != nil {
		t.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, stripe)
	r.now.stands[stripe] = stands
}

func content(stripe uint64) []byte { return shard(stripe, 3000+int(stripe)*137) }

// live is a life of a depot: puts, deletes, puts of the deleted, heads, reaping, compaction, and a restart.
func live(t *testing.T, r *recorder, fs vfs.FS) {
	c := &clock{}
	cfg := small(fs, c)
	cfg.SegmentSize = 32 << 10
	v := newVolume(t)
	for round := range uint64(2) {
		d := open(t, cfg)
		put := func(stripe, generation uint64) {
			r.do(t, stripe, true, func() error {
				return store(d, announce(owner(1), content(stripe), stripe, generation), content(stripe))
			})
		}
		remove := func(stripe uint64) {
			r.do(t, stripe, false, func() error {
				return d.Delete(ctx, owner(1), crypt.Sum(content(stripe)), stripe, 1)
			})
		}
		for i := range uint64(20) {
			put(100*round+i, 1)
			if i%5 == 0 {
				b := v.bundle(t, 1, 100*round+i, crypt.ID{})
				if err := d.PutHead(ctx, b); err != nil {
					t.Fatal(err)
				}
				r.mu.Lock()
				r.now.head = &b
				r.mu.Unlock()
			}
		}
		for i := range uint64(16) {
			remove(100*round + i)
		}
		put(100*round+3, 2)
		c.Advance(TrashTime)
		if err := d.Tidy(ctx); err != nil {
			t.Fatal(err)
		}
		put(100*round+50, 1)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// check opens what a power cut left and looks for everything that was promised. Then the power is cut again, so that what
// the start has done is lost but for what it had to make safe, and all is looked at once more.
func (c *cut) check() error {
	cfg := small(c.fs, &clock{})
	cfg.SegmentSize = 32 << 10
	d, err := Open(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := c.kept(d); err != nil {
		return err
	}
	again := small(c.fs.Cut(crashdisk.Loss{}, nil), &clock{})
	again.SegmentSize = cfg.SegmentSize
	twice, err := Open(again)
	if err != nil {
		return fmt.Errorf("after a second cut: %w", err)
	}
	defer func() { _ = twice.Close() }()
	if err := c.kept(twice); err != nil {
		return fmt.Errorf("after a second cut: %w", err)
	}
	return c.goesOn(cfg, &d)
}

// kept looks for everything that was promised.
func (c *cut) kept(d *Depot) error {
	for stripe, stands := range c.stands {
		_, ok, err := d.Has(ctx, owner(1), crypt.Sum(content(stripe)))
		if err != nil || ok != stands {
			return fmt.Errorf("stripe %d: stands %v, %v, promised %v", stripe, ok, err, stands)
		}
		if !stands {
			continue
		}
		if err := verify(d, owner(1), content(stripe)); err != nil {
			return fmt.Errorf("stripe %d: %w", stripe, err)
		}
	}
	if c.head != nil {
		heads, err := d.Heads(ctx, c.head.Owner)
		if err != nil || len(heads) != 1 {
			return fmt.Errorf("%d heads, %w", len(heads), err)
		}
		got, want := counter(&heads[0]), counter(c.head)
		if got < want {
			return fmt.Errorf("head %d, promised %d", got, want)
		}
	}
	return nil
}

// goesOn works with a depot as if nothing had been: what lay torn behind the last record does no harm.
func (c *cut) goesOn(cfg Config, depot **Depot) (err error) {
	d := *depot
	if err := store(d, announce(owner(2), content(999), 999, 1), content(999)); err != nil {
		return err
	}
	if err := d.Tidy(ctx); err != nil {
		return err
	}
	if err := verify(d, owner(2), content(999)); err != nil {
		return err
	}
	u := d.Usage()
	if err := d.Close(); err != nil {
		return err
	}
	if d, err = Open(cfg); err != nil {
		return err
	}
	*depot = d
	if again := d.Usage(); again != u {
		return fmt.Errorf("usage %+v, after a restart %+v", u, again)
	}
	return verify(d, owner(2), content(999))
}

// liveAtOnce is a life in which puts, deletes, puts of what was deleted or forgotten, and tidying happen at the same time.
// What is put has other owners, too, whose claims come and go.
func liveAtOnce(t *testing.T, r *recorder, fs vfs.FS) {
	c := &clock{}
	cfg := small(fs, c)
	cfg.SegmentSize = 32 << 10
	d := open(t, cfg)
	const workers, rounds = 4, 6
	var all sync.WaitGroup
	for w := range uint64(workers) {
		all.Go(func() {
			for i := range uint64(rounds) {
				stripe := 10*w + i%3
				data, generation := content(stripe), i/2+1
				for o := range byte(2) {
					if err := store(d, announce(owner(2+o), data, i, 1), data); err != nil {
						t.Error(err)
					}
				}
				r.do(t, stripe, true, func() error {
					return store(d, announce(owner(1), data, stripe, generation), data)
				})
				if i%2 == 0 {
					r.do(t, stripe, false, func() error {
						return d.Delete(ctx, owner(1), crypt.Sum(data), stripe, generation)
					})
				}
			}
		})
	}
	all.Go(func() {
		for range rounds {
			c.Advance(TrashTime)
			if err := d.Tidy(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPowerCuts(t *testing.T)       { testPowerCuts(t, live) }
func TestPowerCutsAtOnce(t *testing.T) { testPowerCuts(t, liveAtOnce) }

func testPowerCuts(t *testing.T, live func(*testing.T, *recorder, vfs.FS)) {
	every := 5
	if testing.Short() {
		every = 11
	}
	r := &recorder{
		every: every, random: rand.New(rand.NewPCG(1, 2)),
		now: promises{stands: map[uint64]bool{}}, busy: map[uint64]bool{},
	}
	r.fs = crashdisk.New(r.watch)
	live(t, r, r.fs)
	t.Logf("%d operations, %d power cuts", r.ops, len(r.cuts))
	for i := range r.cuts {
		if err := r.cuts[i].check(); err != nil {
			t.Errorf("cut %d of %d: %v", i, len(r.cuts), err)
		}
	}
}
