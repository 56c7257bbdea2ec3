package placement_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

// Records implements placement.Records.
func (w *world) Records(ctx context.Context, after uint64, fn func(stripe uint64, record []byte) bool) error {
	w.mu.Lock()
	numbers := slices.Sorted(maps.Keys(w.journal))
	w.mu.Unlock()
	for _, n := range numbers {
		if n <= after {
			continue
		}
		b, _ := w.Record(ctx, n)
		if !fn(n, b) {
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// notebook keeps standings as a state would.
type notebook struct {
	mu sync.Mutex
	m  map[uint32][]byte
}

func (n *notebook) SaveStanding(_ context.Context, store uint32, value []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m == nil {
		n.m = map[uint32][]byte{}
	}
	n.m[store] = bytes.Clone(value)
	return nil
}

func (n *notebook) Standings(context.Context) (map[uint32][]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.m), nil
}

// watched is a world whose placer audits.
func watched(w *world) placement.Config {
	cfg := w.config()
	cfg.Policy = placement.Policy4x2
	cfg.Records, cfg.Notes, cfg.Debts = w, &notebook{}, &debtbook{m: map[debtKey]uint64{}}
	return cfg
}

const stripesWatched = 12

func sizesWatched() []int { return slices.Repeat([]int{200_000}, stripesWatched) }

func verdict(p *placement.Placer, store uint32) placement.Verdict {
	for _, s := range p.Standings() {
		if s.Number == store {
			return s.StoreInfo.Verdict
		}
	}
	return 0
}

// expectNothingAt fails if a record still counts on a store.
func (w *world) expectNothingAt(store uint32) {
	w.t.Helper()
	for n := range uint64(stripesWatched) {
		for i, s := range w.record(n + 1).Shards {
			if s.Store == store {
				w.t.Errorf("shard %d of stripe %d is still at store %d", i, n+1, store)
			}
		}
		w.expectRecorded(n + 1)
	}
}

// expectRecorded fails unless every shard is held, by a store that has it.
func (w *world) expectRecorded(stripe uint64) {
	w.t.Helper()
	for i, s := range w.record(stripe).Shards {
		if !s.Held || !w.mem[s.Store].Has(s.ID) {
			w.t.Errorf("stripe %d, shard %d: %+v is not there", stripe, i, s)
		}
	}
}

// evictAll leaves the bytes to the stores.
func (w *world) evictAll() {
	for n := range uint64(stripesWatched) {
		w.evict(n + 1)
	}
}

// TestAuditFindsWhatNobodyReads: a store that has lost everything, one that lies and one that is late are found by
// audits alone, get the right verdict, and what they held is rebuilt on others, without a key and without a command.
func TestAuditFindsWhatNobodyReads(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world, store uint32)
		want  placement.Verdict
	}{
		{"wiped", func(w *world, n uint32) { w.mem[n].Clear() }, placement.VerdictStale},
		{"liar", func(w *world, n uint32) { w.faults(n, storetest.Faults{Lies: true}) }, placement.VerdictLiar},
		{"late", func(w *world, n uint32) { w.faults(n, storetest.Faults{Delay: 8 * time.Second}) }, placement.VerdictSlow},
		{"silent", func(w *world, n uint32) { w.faults(n, storetest.Faults{Silent: true}) }, placement.VerdictSlow},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 8)
				p, stop := w.start(watched(w))
				defer stop()
				w.placeAll(p, placement.ClassData, sizesWatched()...)
				w.evictAll()
				bad := w.record(1).Shards[0].Store
				c.spoil(w, bad)
				time.Sleep(3 * time.Hour)
				if got := verdict(p, bad); got != c.want {
					t.Errorf("store %d is taken for %v, not for %v", bad, got, c.want)
				}
				if c.name == "wiped" { // it may have got some of it back
					for n := range uint64(stripesWatched) {
						w.expectRecorded(n + 1)
					}
				} else {
					w.expectNothingAt(bad)
				}
				for n := range uint64(stripesWatched) {
					w.expectRead(p, n+1)
				}
			})
		})
	}
}

// TestAwayIsNotLost: for less than three days nothing is moved; after them everything is; and when the store is back what
// it has counts again.
func TestAwayIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 7)
		p, stop := w.start(watched(w))
		defer stop()
		w.placeAll(p, placement.ClassData, sizesWatched()...)
		w.evictAll()
		gone := w.record(1).Shards[0].Store
		put := p.Stats().PutBytes
		w.set(gone, func(i *placement.StoreInfo) { i.Online = false })
		time.Sleep(70 * time.Hour)
		if got := p.Stats().PutBytes; got != put {
			t.Errorf("%d bytes were put while a store was away for less than three days", got-put)
		}
		time.Sleep(4 * time.Hour)
		if got := verdict(p, gone); got != placement.VerdictLost {
			t.Errorf("after three days the store is %v", got)
		}
		w.expectNothingAt(gone)
		w.set(gone, func(i *placement.StoreInfo) { i.Online = true })
		time.Sleep(time.Hour)
		if got := verdict(p, gone); got == placement.VerdictLost {
			t.Error("a store that is back still counts as lost")
		}
	})
}

// TestDownToK: what can take no more losses is rebuilt at once, though the stores are merely away: one of the two shards, so
// that it can take a loss again, and the other when three days have passed.
func TestDownToK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8)
		p, stop := w.start(watched(w))
		defer stop()
		w.placeAll(p, placement.ClassData, 200_000)
		w.evict(1)
		for _, s := range w.record(1).Shards[:2] {
			w.set(s.Store, func(i *placement.StoreInfo) { i.Online = false })
		}
		there := func() (n int) {
			online := map[uint32]bool{}
			for _, s := range w.Stores() {
				online[s.Number] = s.Online
			}
			for _, s := range w.record(1).Shards {
				if s.Held && online[s.Store] {
					n++
				}
			}
			return n
		}
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{8 * time.Minute, 4}, {2 * time.Hour, 5}, {68 * time.Hour, 5}, {4 * time.Hour, 6}} {
			time.Sleep(step.after)
			if got := there(); got != step.want {
				t.Errorf("%v later, %d shards are at stores that are there, not %d", step.after, got, step.want)
			}
		}
	})
}

// TestNewStoreMakesWhole: two of six stores are declared lost; a seventh and an eighth bring full redundancy back, within
// a minute and without a command.
func TestNewStoreMakesWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		p, stop := w.start(watched(w))
		defer stop()
		w.placeAll(p, placement.ClassData, sizesWatched()...)
		w.evictAll()
		for _, n := range []uint32{2, 5} {
			if err := p.Declare(context.Background(), n); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		w.addStore(7)
		w.addStore(8)
		time.Sleep(time.Minute)
		w.expectNothingAt(2)
		w.expectNothingAt(5)
		if err := p.Forgive(context.Background(), 2); err != nil {
			t.Fatal(err)
		}
		if got := verdict(p, 2); got != placement.VerdictNew {
			t.Errorf("a forgiven store is %v", got)
		}
	})
}

// TestStandingsSurvive: what is known of a store is there after a restart.
func TestStandingsSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 7)
		cfg := watched(w)
		p, stop := w.start(cfg)
		w.placeAll(p, placement.ClassData, sizesWatched()...)
		bad := w.record(1).Shards[0].Store
		w.faults(bad, storetest.Faults{Lies: true})
		time.Sleep(3 * time.Hour)
		stop()
		p, stop = w.start(cfg)
		defer stop()
		time.Sleep(time.Second)
		if got := verdict(p, bad); got != placement.VerdictLiar {
			t.Errorf("after a restart the liar is %v", got)
		}
	})
}

// TestAuditsAreEven: each store is asked about equally often, whatever it holds.
func TestAuditsAreEven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 9)
		p, stop := w.start(watched(w))
		defer stop()
		w.placeAll(p, placement.ClassData, sizesWatched()...)
		time.Sleep(24 * time.Hour)
		for _, s := range p.Standings() {
			if s.Here {
				continue
			}
			if s.Audits < 200 || s.Audits > 300 { // 288: one each five minutes
				t.Errorf("store %d had %d audits in a day", s.Number, s.Audits)
			}
		}
	})
}

// TestRepairRate: repairs move no more than they may, but what can take no more losses waits for nothing.
func TestRepairRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8)
		cfg := watched(w)
		cfg.RepairRate = 100_000
		p, stop := w.start(cfg)
		defer stop()
		sizes := slices.Repeat([]int{3 << 20}, 6)
		w.placeAll(p, placement.ClassData, sizes...)
		for n := range uint64(len(sizes)) {
			w.evict(n + 1)
		}
		put := p.Stats().PutBytes
		if err := p.Declare(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if moved := p.Stats().PutBytes - put; moved > 60*100_000+(8<<20) {
			t.Errorf("%d bytes were put in a minute", moved)
		}
		if err := p.RepairAll(context.Background(), true, func(int) {}); err != nil {
			t.Fatal(err)
		}
		for n := range uint64(len(sizes)) {
			for i, s := range w.record(n + 1).Shards {
				if s.Store == 1 || !s.Held {
					t.Errorf("shard %d of stripe %d: %+v", i, n+1, s)
				}
			}
		}
	})
}

// sized is a world that knows which payloads are here, as a cache does.
type sized struct{ *world }

func (s sized) PayloadSize(stripe uint64) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.payloads[stripe]
	return len(p), ok
}

// TestRecoveredOnItsWay: after a recovery a record may be of a stripe that was still on its way when the head was made, and
// its bytes are not here. What has arrived is found at the stores, recorded, and not put again.
func TestRecoveredOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		cfg := watched(w)
		cfg.Payloads = sized{w}
		p, stop := w.start(cfg)
		w.placeAll(p, placement.ClassData, sizesWatched()...)
		stop()
		w.evictAll()
		r := w.record(1)
		r.Placed = false
		for i := range r.Shards {
			r.Shards[i].Held = false
		}
		w.mem[r.Shards[2].Store].Lose(r.Shards[2].ID) // that one had not arrived
		w.mu.Lock()
		w.journal[1] = r.Append(nil)
		w.mu.Unlock()
		p, stop = w.start(cfg)
		defer stop()
		time.Sleep(time.Minute)
		if got := p.Stats().PutBytes; got != int64(r.ShardSize) {
			t.Errorf("%d bytes were put for one shard of %d", got, r.ShardSize)
		}
		w.expectWhole(1)
		w.expectRead(p, 1)
	})
}
