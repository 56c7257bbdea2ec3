package placement_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

// spoil makes a shard unreadable at its store in the way-th way.
func (w *world) spoil(s placement.Shard, way int) {
	m := w.mem[s.Store]
	switch way % 4 {
	case 0:
		m.Lose(s.ID)
	case 1:
		m.Rot(s.ID, 0)
	case 2:
		m.Set(storetest.Faults{Err: errors.New("connection reset")})
	case 3:
		w.set(s.Store, func(i *placement.StoreInfo) { i.Online = false })
		m.Set(storetest.Faults{Err: errors.New("no route")})
	}
}

// TestAnyMOfN: whichever m shards are lost, rotten or out of reach, every range reads right; with one more it fails and
// says why, or still reads right.
func TestAnyMOfN(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		policy := rapid.SampledFrom([]placement.Policy{placement.Policy2x1, placement.Policy4x2, placement.Policy10x6}).Draw(rt, "policy")
		class := rapid.Uint8Range(1, 3).Draw(rt, "class")
		w := newWorld(t, policy.Needs()+rapid.IntRange(0, 3).Draw(rt, "more stores"))
		cfg := w.config()
		cfg.Policy = policy
		cfg.HedgeAfter = time.Millisecond
		p, stop := w.start(cfg)
		defer stop()
		size := rapid.IntRange(1, 600_000).Draw(rt, "size")
		w.placeAll(p, class, size)
		stop()
		w.evict(1)
		r := w.record(1)
		lost := rapid.SliceOfNDistinct(rapid.IntRange(0, r.Code.N()-1), 0, r.Code.M+1, rapid.ID[int]).Draw(rt, "lost")
		for _, i := range lost {
			w.spoil(r.Shards[i], rapid.IntRange(0, 3).Draw(rt, "way"))
		}
		for range 4 {
			off := rapid.IntRange(0, size-1).Draw(rt, "off")
			n := rapid.IntRange(0, size-off).Draw(rt, "n")
			got, err := p.Fetch(rt.Context(), 1, r.Append(nil), off, n, nil)
			switch {
			case err != nil && len(lost) <= r.Code.M:
				rt.Fatalf("%d of %v lost: %v", len(lost), r.Code, err)
			case err != nil:
				var q *placement.QuorumError
				if !errors.As(err, &q) || len(q.Stores) == 0 {
					rt.Fatalf("%v", err)
				}
			case !bytes.Equal(got, w.original[1][off:off+n]):
				rt.Fatalf("wrong bytes at [%d, +%d)", off, n)
			}
		}
	})
}

// TestLossy: a stripe has lost a part when a data shard is out of reach; a spare one does not matter.
func TestLossy(t *testing.T) {
	w := newWorld(t, 6)
	p, stop := w.start(w.config())
	defer stop()
	w.placeAll(p, 1, 100_000)
	r := w.record(1)
	record := r.Append(nil)
	for i := range r.Shards {
		w.set(r.Shards[i].Store, func(s *placement.StoreInfo) { s.Online = false })
		if got := p.Lossy(record); got != (i < r.Code.K) {
			t.Errorf("without shard %d of %v: %v", i, r.Code, got)
		}
		w.set(r.Shards[i].Store, func(s *placement.StoreInfo) { s.Online = true })
	}
	if p.Lossy(record) || p.Lossy(record[:3]) {
		t.Error("a whole stripe, or none, has lost a part")
	}
}

func TestFetchReadsLittle(t *testing.T) {
	w := newWorld(t, 6)
	cfg := w.config()
	cfg.HedgeAfter = time.Hour // a read that is late on a busy machine would be asked of others, too
	p, _ := w.start(cfg)
	w.placeAll(p, placement.ClassData, 4<<20)
	record := w.journal[1]
	before := p.Stats().FetchedBytes
	if _, err := p.Fetch(t.Context(), 1, record, 1<<20+100_000, 4096, nil); err != nil {
		t.Fatal(err)
	}
	if n := p.Stats().FetchedBytes - before; n != crypt.GroupSize {
		t.Errorf("4 KiB took %d bytes", n)
	}
	w.mem[w.storesOf(1)[1]].Clear()
	before = p.Stats().FetchedBytes
	if _, err := p.Fetch(t.Context(), 1, record, 1<<20+100_000, 4096, nil); err != nil {
		t.Fatal(err)
	}
	if n := p.Stats().FetchedBytes - before; n != 4*crypt.GroupSize {
		t.Errorf("4 KiB of a lost shard took %d bytes", n)
	}
}

func TestFetchBounds(t *testing.T) {
	w := newWorld(t, 6)
	p, _ := w.start(w.config())
	w.placeAll(p, placement.ClassData, 10_000)
	for _, r := range [][2]int{{-1, 5}, {0, -1}, {0, 10_001}, {10_000, 1}, {10_001, 0}, {1, 1<<63 - 1}} {
		if _, err := p.Fetch(t.Context(), 1, nil, r[0], r[1], nil); !errors.Is(err, placement.ErrRange) {
			t.Errorf("fetch [%d, +%d): %v", r[0], r[1], err)
		}
	}
	if _, err := p.Fetch(t.Context(), 2, w.journal[1], 0, 1, nil); !errors.Is(err, placement.ErrRecord) {
		t.Errorf("fetch by another stripe's record: %v", err)
	}
	if _, err := p.Fetch(t.Context(), 3, nil, 0, 1, nil); err == nil {
		t.Error("fetch without a record")
	}
	if got, err := p.Fetch(t.Context(), 1, nil, 10_000, 0, []byte("a")); err != nil || string(got) != "a" {
		t.Errorf("fetch of nothing: %q, %v", got, err)
	}
}

// TestWrongHints: the record names the wrong stores for every shard.
func TestWrongHints(t *testing.T) {
	w := newWorld(t, 8)
	p, stop := w.start(w.config())
	w.placeAll(p, placement.ClassData, 300_000)
	stop()
	r := w.record(1)
	for i := range r.Shards {
		r.Shards[i].Store = uint32(1 + (int(r.Shards[i].Store)+1+i)%8)
	}
	r.Shards[1].Store, r.Shards[1].Held = 0, false
	r.Shards[2].Store = 77
	got, err := p.Fetch(t.Context(), 1, r.Append(nil), 1000, 250_000, nil)
	if err != nil || !bytes.Equal(got, w.original[1][1000:251_000]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		p, _ := w.start(w.config())
		w.placeAll(p, placement.ClassData, 500_000)
		stores := w.storesOf(1)
		w.faults(stores[0], storetest.Faults{Silent: true})
		w.faults(stores[4], storetest.Faults{Delay: 10 * time.Second})
		start := time.Now()
		w.expectRead(p, 1)
		if took := time.Since(start); took < 200*time.Millisecond || took > 4*time.Second {
			t.Errorf("five reads beside two slow stores took %v", took)
		}
		if s := p.Stats(); s.Hedged == 0 || s.Decoded == 0 || s.Repairs != 0 {
			t.Errorf("%+v: slow is not lost", s)
		}
		p.Close()
	})
}

// TestSlowStoreIsRemembered: who was late once is not waited for again, until it is fast again.
func TestSlowStoreIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		p, _ := w.start(w.config())
		w.placeAll(p, placement.ClassData, 500_000)
		slow := w.storesOf(1)[0]
		w.faults(slow, storetest.Faults{Delay: 2 * time.Second})
		read := func() time.Duration {
			start := time.Now()
			if _, err := p.Fetch(t.Context(), 1, nil, 0, 1000, nil); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		if first, second := read(), read(); first < 200*time.Millisecond || second > 10*time.Millisecond {
			t.Errorf("%v, then %v", first, second)
		}
		for _, n := range w.numbers() {
			w.faults(n, storetest.Faults{Delay: time.Millisecond})
		}
		w.faults(slow, storetest.Faults{})
		for range 20 {
			read()
		}
		before := p.Stats().Decoded
		if read(); p.Stats().Decoded != before {
			t.Error("a store that is fast again is still not trusted")
		}
		p.Close()
	})
}

// TestFetchInLittleMemory: reads that are larger than the whole budget, many at once, degraded: all end.
func TestFetchInLittleMemory(t *testing.T) {
	w := newWorld(t, 6)
	cfg := w.config()
	cfg.Memory = 64 << 10
	p, _ := w.start(cfg)
	w.placeAll(p, placement.ClassData, 500_000, 300_000)
	w.mem[2].Clear()
	w.faults(4, storetest.Faults{Err: errors.New("gone")})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() { w.expectRead(p, uint64(i%2)+1) })
	}
	wg.Wait()
}

func TestFetchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		p, _ := w.start(w.config())
		w.placeAll(p, placement.ClassData, 500_000)
		for _, n := range w.numbers()[:3] {
			w.faults(n, storetest.Faults{Silent: true})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := p.Fetch(ctx, 1, nil, 0, 500_000, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "peer-1: it does not answer") {
			t.Errorf("%v", err)
		}
		p.Close()
	})
}

// TestStorm reads, places and repairs at once while stores come, go, lose and lie: at most two at a time.
func TestStorm(t *testing.T) {
	w := newWorld(t, 9)
	cfg := w.config()
	cfg.HedgeAfter = 5 * time.Millisecond
	cfg.Memory = 4 << 20
	p, _ := w.start(cfg)
	const stripes = 24
	for s := range uint64(stripes) {
		w.addStripe(s+1, uint8(s%3)+1, 20_000+int(s)*5000)
		p.Enqueue(s+1, uint8(s%3)+1)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for s := range uint64(stripes) {
		w.evict(s + 1)
	}
	stop := make(chan struct{})
	var weather, readers sync.WaitGroup
	weather.Go(func() {
		r := rand.New(rand.NewPCG(1, 2))
		for {
			a, b := w.numbers()[r.IntN(9)], w.numbers()[r.IntN(9)]
			w.faults(a, storetest.Faults{Err: errors.New("gone")})
			w.faults(b, storetest.Faults{Delay: 20 * time.Millisecond})
			select {
			case <-time.After(10 * time.Millisecond):
			case <-stop:
				return
			}
			w.faults(a, storetest.Faults{})
			w.faults(b, storetest.Faults{})
			p.Kick()
		}
	})
	for i := range 6 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			for range 30 {
				s := uint64(r.IntN(stripes)) + 1
				want := w.original[s]
				off := r.IntN(len(want))
				n := r.IntN(len(want) - off)
				record, _ := w.Record(t.Context(), s)
				got, err := p.Fetch(t.Context(), s, record, off, n, nil)
				if err == nil && !bytes.Equal(got, want[off:off+n]) {
					t.Errorf("stripe %d: wrong bytes", s)
				}
				if r.IntN(4) == 0 {
					_ = p.Repair(t.Context(), s)
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	weather.Wait()
	for _, n := range w.numbers() {
		w.faults(n, storetest.Faults{})
	}
	for s := range uint64(stripes) { // calm: all is whole again
		if err := p.Repair(t.Context(), s+1); err != nil {
			t.Error(err)
		}
		w.expectRead(p, s+1)
		for i, sh := range w.record(s + 1).Shards {
			if !sh.Held || !w.mem[sh.Store].Has(sh.ID) {
				t.Errorf("stripe %d, shard %d: %+v", s+1, i, sh)
			}
		}
	}
}

func TestHealOnRead(t *testing.T) {
	for _, stores := range []int{6, 8} {
		for way, name := range []string{"lost", "rotten"} {
			t.Run(fmt.Sprintf("%s, %d stores", name, stores), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, stores)
					p, _ := w.start(w.config())
					w.placeAll(p, placement.ClassData, 300_000)
					w.evict(1)
					r := w.record(1)
					w.spoil(r.Shards[0], way)
					w.spoil(r.Shards[2], way)
					w.expectRead(p, 1)
					time.Sleep(time.Minute)
					w.expectWhole(1)
					after := w.record(1)
					if s := p.Stats(); s.Healed != 2 || s.Repairs != 0 || after.Generation != 2 {
						t.Errorf("%+v, generation %d", s, after.Generation)
					}
					if stores == 8 && (after.Shards[0].Store == r.Shards[0].Store || after.Shards[2].Store == r.Shards[2].Store) {
						t.Error("a store that failed was chosen again though others were free")
					}
					if !slices.Equal([]uint32{r.Shards[1].Store, r.Shards[3].Store}, []uint32{after.Shards[1].Store, after.Shards[3].Store}) {
						t.Error("good shards moved")
					}
					p.Close()
				})
			})
		}
	}
}

func TestRepairLeavesWhatIsAway(t *testing.T) {
	w := newWorld(t, 8)
	p, _ := w.start(w.config())
	w.placeAll(p, placement.ClassData, 300_000)
	w.evict(1)
	r := w.record(1)
	w.set(r.Shards[3].Store, func(s *placement.StoreInfo) { s.Online = false })
	if err := p.Repair(t.Context(), 1); err != nil || p.Stats().Healed != 0 {
		t.Errorf("%v, %+v", err, p.Stats())
	}
	// With a second one away only k can be read: now it is urgent, until one of the two is rebuilt.
	w.set(r.Shards[1].Store, func(s *placement.StoreInfo) { s.Online = false })
	if err := p.Repair(t.Context(), 1); err != nil || p.Stats().Healed != 1 {
		t.Errorf("%v, %+v", err, p.Stats())
	}
	after := w.record(1)
	if n := p.Health(after.Append(nil), func(n uint32) bool { return n != r.Shards[3].Store && n != r.Shards[1].Store }); n != 1 {
		t.Errorf("%d spare", n)
	}
}

// TestRepairAsksFew: a stripe that cannot be read now is tried to repair time and again. That does not ask all stores of a
// large swarm for each shard, only those to which one may have gone; a reader asks all.
func TestRepairAsksFew(t *testing.T) {
	w := newWorld(t, 120)
	p, _ := w.start(w.config())
	w.placeAll(p, placement.ClassData, 300_000)
	w.evict(1)
	rec := w.record(1)
	for _, s := range rec.Shards[:3] {
		w.set(s.Store, func(s *placement.StoreInfo) { s.Online = false })
		w.faults(s.Store, storetest.Faults{Err: errors.New("nobody listens")})
	}
	var q *placement.QuorumError // names all that were asked
	if err := p.Repair(t.Context(), 1); !errors.As(err, &q) || len(q.Stores) > 2*rec.Code.N()+8 {
		t.Errorf("with three shards in reach of the four needed, a repair says: %v", err)
	}
	if _, err := p.Fetch(t.Context(), 1, nil, 0, 300_000, nil); !errors.As(err, &q) || len(q.Stores) < 110 {
		t.Errorf("with three shards in reach of the four needed, a read says: %v", err)
	}
}

func TestRepairOfStoreDeclaredLost(t *testing.T) {
	w := newWorld(t, 8)
	p, _ := w.start(w.config())
	w.placeAll(p, placement.ClassMetadata, 300_000)
	w.evict(1)
	gone := w.storesOf(1)[0]
	w.mu.Lock()
	w.infos = slices.DeleteFunc(w.infos, func(s placement.StoreInfo) bool { return s.Number == gone })
	delete(w.mem, gone)
	w.mu.Unlock()
	if err := p.Repair(t.Context(), 1); err == nil {
		t.Error("eight shards on seven stores, and no error")
	}
	w.addStore(20)
	if err := p.Repair(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.expectWhole(1)
}

func TestRepairTooMuchLost(t *testing.T) {
	w := newWorld(t, 8)
	p, _ := w.start(w.config())
	w.placeAll(p, placement.ClassData, 300_000)
	r := w.record(1)
	for _, i := range []int{0, 2, 5} {
		w.spoil(r.Shards[i], 0)
	}
	w.evict(1)
	err := p.Repair(t.Context(), 1)
	var q *placement.QuorumError
	if !errors.As(err, &q) || q.Need != 4 || q.Got >= 4 {
		t.Errorf("three of 4+2 lost: %v", err)
	}
}

// TestRepairFollowsMovedShards: the record is older than where the shards are.
func TestRepairFollowsMovedShards(t *testing.T) {
	w := newWorld(t, 8)
	p, _ := w.start(w.config())
	w.placeAll(p, placement.ClassData, 300_000)
	r := w.record(1)
	free := slices.DeleteFunc(w.numbers(), func(n uint32) bool { return slices.Contains(w.storesOf(1), n) })
	s := r.Shards[2]
	data, err := w.mem[s.Store].ReadRange(t.Context(), s.ID, int64(r.ShardSize), 0, int64(r.ShardSize), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.mem[free[0]].Put(t.Context(), placement.Put{Shard: s.ID}, data); err != nil {
		t.Fatal(err)
	}
	w.mem[s.Store].Lose(s.ID)
	if err := p.Repair(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.expectWhole(1)
	if got := w.record(1).Shards[2].Store; got != free[0] || p.Stats().Healed != 0 {
		t.Errorf("shard 2 at %d, not %d; %+v", got, free[0], p.Stats())
	}
}
