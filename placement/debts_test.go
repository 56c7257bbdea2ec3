package placement_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

type debtKey struct {
	store  uint32
	stripe uint64
	shard  crypt.ID
}

func (k debtKey) compare(o debtKey) int {
	switch {
	case k.store != o.store:
		return int(k.store) - int(o.store)
	case k.stripe != o.stripe:
		return int(k.stripe) - int(o.stripe)
	}
	return slices.Compare(k.shard[:], o.shard[:])
}

// debtbook keeps debts as a state would.
type debtbook struct {
	mu sync.Mutex
	m  map[debtKey]uint64
}

func (b *debtbook) Owe(_ context.Context, debts []placement.Debt) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range debts {
		b.m[debtKey{d.Store, d.Stripe, d.Shard}] = d.Generation
	}
	return nil
}

func (b *debtbook) Paid(_ context.Context, debts []placement.Debt) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range debts {
		delete(b.m, debtKey{d.Store, d.Stripe, d.Shard})
	}
	return nil
}

func (b *debtbook) Debts(_ context.Context, after *placement.Debt, limit int) (list []placement.Debt, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, g := range b.m {
		if after == nil || k.compare(debtKey{after.Store, after.Stripe, after.Shard}) > 0 {
			list = append(list, placement.Debt{Store: k.store, Stripe: k.stripe, Shard: k.shard, Generation: g})
		}
	}
	slices.SortFunc(list, func(x, y placement.Debt) int {
		return debtKey{x.Store, x.Stripe, x.Shard}.compare(debtKey{y.Store, y.Stripe, y.Shard})
	})
	return list[:min(limit, len(list))], nil
}

// expectNoOrphans fails if a store has a shard that no record says to be there, or if something is still owed.
func (w *world) expectNoOrphans(book *debtbook) {
	w.t.Helper()
	named := map[uint32]map[crypt.ID]bool{}
	for _, n := range w.numbers() {
		named[n] = map[crypt.ID]bool{}
	}
	w.mu.Lock()
	stripes := slices.Collect(maps.Keys(w.journal))
	w.mu.Unlock()
	for _, stripe := range stripes {
		for _, s := range w.record(stripe).Shards {
			if s.Held {
				named[s.Store][s.ID] = true
			}
		}
	}
	for _, n := range w.numbers() {
		for _, id := range w.mem[n].IDs() {
			if !named[n][id] {
				w.t.Errorf("store %d keeps shard %v for nothing", n, id)
			}
		}
	}
	book.mu.Lock()
	defer book.mu.Unlock()
	if len(book.m) > 0 {
		w.t.Errorf("%d shards are still owed", len(book.m))
	}
}

// TestDebts: whatever leaves a shard at a store for nothing, the store is told in the end.
func TestDebts(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world, p *placement.Placer, store uint32)
		after func(w *world, p *placement.Placer, store uint32)
	}{
		{"away for long and back", func(w *world, _ *placement.Placer, n uint32) {
			w.set(n, func(i *placement.StoreInfo) { i.Online = false })
			time.Sleep(80 * time.Hour)
		}, func(w *world, _ *placement.Placer, n uint32) {
			w.set(n, func(i *placement.StoreInfo) { i.Online = true })
		}},
		{"declared lost and forgiven", func(w *world, p *placement.Placer, n uint32) {
			if err := p.Declare(context.Background(), n); err != nil {
				w.t.Error(err)
			}
			time.Sleep(time.Hour)
		}, func(w *world, p *placement.Placer, n uint32) {
			if err := p.Forgive(context.Background(), n); err != nil {
				w.t.Error(err)
			}
		}},
		{"slow", func(w *world, _ *placement.Placer, n uint32) {
			w.faults(n, storetest.Faults{Delay: 8 * time.Second})
			time.Sleep(3 * time.Hour)
		}, func(w *world, _ *placement.Placer, n uint32) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 8)
				cfg := watched(w)
				p, stop := w.start(cfg)
				defer stop()
				w.placeAll(p, placement.ClassData, sizesWatched()...)
				w.evictAll()
				bad := w.record(1).Shards[0].Store
				c.spoil(w, p, bad)
				c.after(w, p, bad)
				time.Sleep(time.Hour)
				for n := range uint64(stripesWatched) {
					w.expectWhole(n + 1)
				}
				w.expectNoOrphans(cfg.Debts.(*debtbook))
			})
		})
	}
}

// TestDebtsOfUploads: answers get lost, stores are overtaken, and the placer is stopped and started in the middle; in the
// end no store keeps anything for nothing.
func TestDebtsOfUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 9)
		cfg := watched(w)
		var n atomic.Int32
		w.faults(1, storetest.Faults{After: func(context.Context, placement.Put) error { return errors.New("the answer was lost") }})
		w.faults(2, storetest.Faults{After: func(ctx context.Context, _ placement.Put) error {
			if n.Add(1)%2 == 0 {
				time.Sleep(30 * time.Second)
			}
			return ctx.Err()
		}})
		p, stop := w.start(cfg)
		for i := range uint64(stripesWatched) {
			w.addStripe(i+1, placement.ClassData, 200_000)
			p.Enqueue(i+1, placement.ClassData)
		}
		time.Sleep(500 * time.Millisecond)
		stop()
		p, stop = w.start(cfg)
		defer stop()
		for i := range uint64(stripesWatched) {
			p.Enqueue(i+1, placement.ClassData)
		}
		time.Sleep(time.Hour)
		w.faults(1, storetest.Faults{})
		w.faults(2, storetest.Faults{})
		time.Sleep(time.Hour)
		for i := range uint64(stripesWatched) {
			w.expectWhole(i + 1)
		}
		w.expectNoOrphans(cfg.Debts.(*debtbook))
	})
}

// TestDebtIsNotPaidEarly: a copy that no record names is left alone while it is the only one.
func TestDebtIsNotPaidEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6) // nobody could take what one of them has
		cfg := watched(w)
		p, stop := w.start(cfg)
		defer stop()
		w.placeAll(p, placement.ClassData, sizesWatched()...)
		w.evictAll()
		if err := p.Declare(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := p.Forgive(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if puts, _, _ := w.mem[3].Counts(); puts != stripesWatched {
			t.Errorf("store 3 took %d shards instead of %d: some were put again for nothing", puts, stripesWatched)
		}
		for i := range uint64(stripesWatched) {
			w.expectWhole(i + 1)
		}
		w.expectNoOrphans(cfg.Debts.(*debtbook))
	})
}
