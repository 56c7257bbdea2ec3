package placement_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

func TestPlaceAndRead(t *testing.T) {
	for _, c := range []struct {
		policy placement.Policy
		class  uint8
		stores int
		code   placement.Code
	}{
		{placement.Default, placement.ClassData, 6, placement.Code{K: 4, M: 2}},
		{placement.Default, placement.ClassMetadata, 6, placement.Code{K: 2, M: 4}},
		{placement.Default, placement.ClassIndex, 3, placement.Code{K: 1, M: 2}},
		{placement.Policy2x1, placement.ClassData, 9, placement.Code{K: 2, M: 1}},
		{placement.Policy10x6, placement.ClassData, 16, placement.Code{K: 10, M: 6}},
		{placement.Policy20x20, placement.ClassIndex, 40, placement.Code{K: 4, M: 36}},
	} {
		t.Run(fmt.Sprintf("%v class %d on %d", c.policy, c.class, c.stores), func(t *testing.T) {
			w := newWorld(t, c.stores)
			cfg := w.config()
			cfg.Policy = c.policy
			p, _ := w.start(cfg)
			w.placeAll(p, c.class, 1, 5000, 300_000, 1<<20, 1<<20+1)
			for s := range uint64(5) {
				w.expectWhole(s + 1)
				if got := w.record(s + 1).Code; got != c.code {
					t.Errorf("code %v, not %v", got, c.code)
				}
				w.expectRead(p, s+1)
			}
			if s := p.Stats(); s.Placed != 5 || s.Queued != 0 || s.PlacedBytes != 1+5000+300_000+2<<20+1 || s.Decoded != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestTooFewStoresKeepsHere(t *testing.T) {
	w := newWorld(t, 2)
	p, _ := w.start(w.config())
	w.addStripe(1, placement.ClassData, 1000)
	p.Enqueue(1, placement.ClassData)
	err := p.Wait(t.Context())
	var q *placement.QuorumError
	if !errors.Is(err, placement.ErrTooFew) || !errors.As(err, &q) || q.Need != 3 || q.Got != 2 {
		t.Fatalf("Wait with two stores: %v", err)
	}
	w.addStore(3)
	p.Kick()
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.expectWhole(1)
}

// TestSoloRecordStaysTrue: a record that was published before there were stores reads from the copies placed later.
func TestSoloRecordStaysTrue(t *testing.T) {
	w := newWorld(t, 0)
	p, _ := w.start(w.config())
	w.addStripe(1, placement.ClassIndex, 70_000)
	old, err := p.Encode(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint32(6) {
		w.addStore(n + 1)
	}
	p.Enqueue(1, placement.ClassIndex)
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.expectWhole(1)
	if got := w.record(1).Code; got != (placement.Code{K: 1, M: 4}) {
		t.Errorf("code %v", got)
	}
	got, err := p.Fetch(t.Context(), 1, old, 100, 60_000, nil)
	if err != nil || string(got) != string(w.original[1][100:60_100]) {
		t.Errorf("fetch by the old record: %d bytes, %v", len(got), err)
	}
}

func TestEncodeIsIdempotent(t *testing.T) {
	w := newWorld(t, 6)
	p, stop := w.start(w.config())
	w.addStripe(1, placement.ClassIndex, 70_000)
	first, err := p.Encode(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if w.synced["intend"] != 1 {
		t.Error("the record is not in the journal")
	}
	stop()
	w.addStore(7) // would be another code, but the first one stays
	p, _ = w.start(w.config())
	again, err := p.Encode(t.Context(), 1)
	if err != nil || string(again) != string(first) {
		t.Errorf("after a restart %x, %v, not %x", again, err, first)
	}
	p.Enqueue(1, placement.ClassIndex)
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, _ := placement.ParseRecord(first)
	for i, s := range w.record(1).Shards {
		if s.ID != r.Shards[i].ID || s.Store != r.Shards[i].Store {
			t.Errorf("shard %d: %+v, published %+v", i, s, r.Shards[i])
		}
	}
}

func TestChangedPayloadIsNotPlaced(t *testing.T) {
	w := newWorld(t, 6)
	p, _ := w.start(w.config())
	w.addStripe(1, placement.ClassIndex, 70_000)
	if _, err := p.Encode(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.payloads[1][5] ^= 1
	w.mu.Unlock()
	p.Enqueue(1, placement.ClassIndex)
	for late := time.Now().Add(time.Minute); p.Stats().LastError == nil && time.Now().Before(late); time.Sleep(time.Millisecond) {
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx); err == nil || w.record(1).Placed {
		t.Errorf("a rotten stripe was placed (%v)", err)
	}
	if err := p.Stats().LastError; !errors.Is(err, placement.ErrChanged) {
		t.Errorf("last error: %v", err)
	}
}

func TestFailingStoreIsReplaced(t *testing.T) {
	w := newWorld(t, 9)
	w.faults(2, storetest.Faults{Full: true})
	w.faults(5, storetest.Faults{Err: errors.New("connection refused")})
	w.set(7, func(s *placement.StoreInfo) { s.Free = 100 })
	p, _ := w.start(w.config())
	var sizes []int
	for i := range 20 {
		sizes = append(sizes, 50_000+i)
	}
	w.placeAll(p, placement.ClassData, sizes...)
	for s := range uint64(20) {
		w.expectWhole(s + 1)
	}
}

func TestQuorumErrorNamesStores(t *testing.T) {
	w := newWorld(t, 6)
	w.faults(2, storetest.Faults{Full: true})
	w.faults(5, storetest.Faults{Err: errors.New("connection refused")})
	w.set(6, func(s *placement.StoreInfo) { s.Online = false })
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		p, _ := w.start(w.config())
		w.addStripe(1, placement.ClassData, 100_000)
		p.Enqueue(1, placement.ClassData)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := p.Wait(ctx)
		var q *placement.QuorumError
		if !errors.As(err, &q) || !errors.Is(err, placement.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Wait: %v", err)
		}
		for _, s := range []string{"peer-2: the store is full", "peer-5: connection refused", "peer-6: it is offline"} {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%q is not in: %v", s, err)
			}
		}
		if s := p.Stats(); s.Failed < 3 || s.Queued != 1 || s.LastError == nil {
			t.Errorf("%+v", s)
		}
		if r := w.record(1); r.Placed {
			t.Error("placed on three of five")
		}
		puts := 0
		for _, n := range w.numbers() {
			k, _, _ := w.mem[n].Counts()
			puts += k
		}
		if puts != 3 {
			t.Errorf("%d puts: what was taken is put again at each try", puts)
		}
		w.faults(2, storetest.Faults{})
		w.faults(5, storetest.Faults{})
		if err := p.Wait(t.Context()); err != nil { // tries at once
			t.Fatal(err)
		}
		r := w.record(1)
		if !r.Placed || p.Health(r.Append(nil), func(uint32) bool { return true }) != 1 {
			t.Errorf("%+v", r)
		}
		w.set(6, func(s *placement.StoreInfo) { s.Online = true })
		time.Sleep(20 * time.Minute) // the missing shard follows by itself
		w.expectWhole(1)
		p.Close()
	})
}

func TestSlowStoreIsOvertaken(t *testing.T) {
	for _, spare := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d spare stores", spare), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 6+spare)
				for _, n := range w.numbers() {
					w.faults(n, storetest.Faults{Delay: 300 * time.Millisecond})
				}
				w.faults(3, storetest.Faults{Silent: true})
				p, _ := w.start(w.config())
				start := time.Now()
				w.placeAll(p, placement.ClassData, 100_000, 100_000, 100_000, 100_000)
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
				for s := range uint64(4) {
					r := w.record(s + 1)
					held := 0
					for _, sh := range r.Shards {
						held += map[bool]int{true: 1}[sh.Held]
					}
					if held < 5 || spare > 0 && held < 6 || slices.Contains(w.storesOf(s+1), 3) {
						t.Errorf("%+v", r.Shards)
					}
				}
				if p.Stats().Overtaken == 0 {
					t.Error("nothing was overtaken")
				}
				p.Close()
			})
		})
	}
}

// TestKillAtAnyPut ends the placer before and after its n-th put, for every n, and starts another: nothing is lost,
// and nothing lies anywhere twice.
func TestKillAtAnyPut(t *testing.T) {
	const stripes = 3
	for n := range stripes*6 + 1 {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("put %d, after it %v", n, after), func(t *testing.T) {
				killAtPut(t, stripes, int64(n), after)
			})
		}
	}
}

func killAtPut(t *testing.T, stripes int, n int64, after bool) {
	w := newWorld(t, 8)
	var count atomic.Int64
	dead := make(chan struct{})
	kill := func(ctx context.Context, _ placement.Put) error {
		switch c := count.Add(1) - 1; {
		case c == n:
			close(dead)
			<-ctx.Done()
			return ctx.Err()
		case c > n:
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	for _, s := range w.numbers() {
		if after {
			w.faults(s, storetest.Faults{After: kill})
		} else {
			w.faults(s, storetest.Faults{Before: kill})
		}
	}
	p, stop := w.start(w.config())
	for s := range uint64(stripes) {
		w.addStripe(s+1, placement.ClassData, 40_000)
		p.Enqueue(s+1, placement.ClassData)
	}
	if n < int64(stripes*6) {
		<-dead
	} else if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	for _, s := range w.numbers() {
		w.faults(s, storetest.Faults{})
	}
	p, _ = w.start(w.config())
	for s := range uint64(stripes) {
		p.Enqueue(s+1, placement.ClassData)
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for s := range uint64(stripes) {
		w.expectWhole(s + 1)
		w.evict(s + 1)
		w.expectRead(p, s+1)
	}
}

func TestPlacedIsNotPutAgain(t *testing.T) {
	w := newWorld(t, 6)
	p, stop := w.start(w.config())
	w.placeAll(p, placement.ClassData, 10_000, 20_000)
	stop()
	p, _ = w.start(w.config())
	p.Enqueue(1, placement.ClassData)
	p.Enqueue(2, placement.ClassData)
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range w.numbers() {
		if puts, _, _ := w.mem[n].Counts(); puts != 2 {
			t.Errorf("store %d: %d puts", n, puts)
		}
	}
}

func TestIndexGoesFirst(t *testing.T) {
	w := newWorld(t, 6)
	cfg := w.config()
	cfg.Workers = 1
	p := placement.New(cfg)
	for s := range uint64(6) {
		class := uint8(s%3) + 1
		w.addStripe(s+1, class, 1000)
		p.Enqueue(s+1, class)
	}
	var order []uint64
	for _, n := range w.numbers() {
		w.faults(n, storetest.Faults{Before: func(_ context.Context, put placement.Put) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if !slices.Contains(order, put.Stripe) {
				order = append(order, put.Stripe)
			}
			return nil
		}})
	}
	done := make(chan error)
	go func() { done <- p.Run(context.Background()) }()
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !slices.Equal(order, []uint64{3, 6, 2, 5, 1, 4}) {
		t.Errorf("order %v", order)
	}
}

func TestMemoryBoundsUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		var flying, most atomic.Int64
		for _, n := range w.numbers() {
			w.faults(n, storetest.Faults{Before: func(ctx context.Context, _ placement.Put) error {
				now := flying.Add(1)
				for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
				}
				time.Sleep(time.Second)
				flying.Add(-1)
				return nil
			}})
		}
		cfg := w.config()
		cfg.Workers, cfg.Memory = 16, 1<<20 // one stripe at a time
		p, _ := w.start(cfg)
		w.placeAll(p, placement.ClassData, 400_000, 400_000, 400_000, 400_000, 400_000)
		if most.Load() != 6 {
			t.Errorf("%d puts at once", most.Load())
		}
		p.Close()
	})
}

// TestEncodeBesideUpload: a checkpoint asks for the records of stripes that are being uploaded.
func TestEncodeBesideUpload(t *testing.T) {
	w := newWorld(t, 8)
	p := placement.New(w.config())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	var asked sync.WaitGroup
	records := make([][]byte, 40)
	for i := range records {
		stripe := uint64(i%10) + 1
		if i < 10 {
			w.addStripe(stripe, placement.ClassIndex, 30_000)
			p.Enqueue(stripe, placement.ClassIndex)
		}
		asked.Go(func() {
			var err error
			if records[i], err = p.Encode(t.Context(), stripe); err != nil {
				t.Error(err)
			}
		})
	}
	asked.Wait()
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, b := range records {
		stripe := uint64(i%10) + 1
		w.expectWhole(stripe)
		got, err := p.Fetch(t.Context(), stripe, b, 10, 20_000, nil)
		if err != nil || string(got) != string(w.original[stripe][10:20_010]) {
			t.Errorf("stripe %d by the record of Encode: %d bytes, %v", stripe, len(got), err)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	p.Close()
}
