package placement_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

// TestWipedBesideLost: where one store is lost and nobody can take its shards, another that was wiped is found all the
// same, gets its own back, and is trusted again when it has shown for long enough that it keeps them.
func TestWipedBesideLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		p, stop := w.start(watched(w))
		defer stop()
		w.placeAll(p, placement.ClassData, sizesWatched()...)
		w.evictAll()
		if err := p.Declare(context.Background(), 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.mem[4].Clear()
		time.Sleep(30 * time.Minute)
		if got := verdict(p, 4); got != placement.VerdictStale {
			t.Errorf("a wiped store is %v", got)
		}
		for n := range uint64(stripesWatched) {
			there := 0
			for _, s := range w.record(n + 1).Shards {
				if s.Held && s.Store != 2 && w.mem[s.Store].Has(s.ID) {
					there++
				}
			}
			if there != 5 {
				t.Errorf("stripe %d: %d shards are there, of the five that could be", n+1, there)
			}
		}
		time.Sleep(12 * time.Hour)
		if got := verdict(p, 4); got != placement.VerdictGood {
			t.Errorf("half a day later it is %v", got)
		}
		if got := p.Stats().Failed; got > stripesWatched {
			t.Errorf("%d tries failed", got)
		}
	})
}

// TestSlowHoldsUpNothing: the repair of what a lost store held does not wait for one that is slow, stripe by stripe.
func TestSlowHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 9)
		p, stop := w.start(watched(w))
		defer stop()
		w.placeAll(p, placement.ClassData, sizesWatched()...)
		w.evictAll()
		w.faults(1, storetest.Faults{Silent: true})
		for start := time.Now(); verdict(p, 1) != placement.VerdictSlow; time.Sleep(time.Minute) {
			if time.Since(start) > time.Hour {
				t.Fatal("a silent store is not found")
			}
		}
		if err := p.Declare(context.Background(), 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		w.expectNothingAt(1)
		w.expectNothingAt(2)
	})
}

// TestAloneLosesNobody: a node that sees no store for a week, runs on, and finds them again one after another, puts nothing.
func TestAloneLosesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8)
		cfg := watched(w)
		p, stop := w.start(cfg)
		w.placeAll(p, placement.ClassData, sizesWatched()...)
		put := p.Stats().PutBytes
		all := func(online bool, gap time.Duration) {
			for _, n := range w.numbers() {
				w.set(n, func(i *placement.StoreInfo) { i.Online = online })
				p.Kick()
				time.Sleep(gap)
			}
		}
		all(false, time.Second)
		time.Sleep(7 * 24 * time.Hour)
		all(true, 20*time.Second)
		time.Sleep(time.Hour)
		if got := p.Stats().PutBytes - put; got != 0 {
			t.Errorf("%d bytes were put again", got)
		}
		stop()
		all(false, 0) // a restart after a night
		time.Sleep(8 * time.Hour)
		p, stop = w.start(cfg)
		defer stop()
		all(true, 15*time.Second)
		time.Sleep(time.Hour)
		if got := p.Stats().PutBytes; got != 0 {
			t.Errorf("%d bytes were put again after a restart", got)
		}
		for _, n := range w.numbers() {
			if got := verdict(p, n); got == placement.VerdictLost {
				t.Errorf("store %d is %v", n, got)
			}
		}
	})
}
