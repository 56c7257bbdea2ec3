package cache

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
)

func (r *rig) readAt(ref crypt.Ref, p []byte, off, n int) {
	r.t.Helper()
	got := make([]byte, n)
	r.check(r.ReadAt(ctx, &ref, got, off))
	if !bytes.Equal(got, p[off:off+n]) {
		r.t.Fatalf("wrong bytes at %d+%d", off, n)
	}
}

func TestSmallReadFetchesOneBlock(t *testing.T) {
	r := newRig(t, nil)
	p := random(1, 1<<20)
	ref := r.put(ClassData, p)
	r.place()
	r.drop()
	r.readAt(ref, p, 500_000, 4096)
	r.readAt(ref, p, 504_096, 4096)
	if fetches, n := r.stores.counts(); fetches != 1 || n != crypt.BlockSize+crypt.Overhead {
		t.Errorf("%d fetches of %d bytes", fetches, n)
	}
	r.memory.InvalidateAll()
	r.readAt(ref, p, 500_000, 4096) // from the partial stripe
	r.readAt(ref, p, 400_000, 200_000)
	r.want(ref, p)
	if fetches, n := r.stores.counts(); fetches != 5 || n != ref.SealedLen() {
		t.Errorf("%d fetches of %d bytes", fetches, n)
	}
	if r.Has(ref.Stripe) || r.Usage().Partial != 1 {
		t.Error("a fetched stripe counts as one made here")
	}
}

func TestWidenedFetches(t *testing.T) {
	r := newRig(t, nil)
	r.cfg.Describe = r.stores.describe
	r.reopen()
	var data, index []crypt.Ref
	for i := range 100 {
		data = append(data, r.put(ClassData, random(uint64(i), 3000)))
		index = append(index, r.put(ClassIndex, random(uint64(i), 3000)))
	}
	r.place()
	r.drop()
	r.want(index[50], random(50, 3000))
	fetches, n := r.stores.counts()
	if _, all := r.stores.describe(index[0].Stripe); fetches != 1 || n != all {
		t.Errorf("index: %d fetches of %d bytes", fetches, n)
	}
	for i, ref := range data {
		r.want(ref, random(uint64(i), 3000))
	}
	if more, _ := r.stores.counts(); more-fetches > 6 {
		t.Errorf("%d fetches for a hundred small chunks read in order", more-fetches)
	}
	for _, s := range r.partials() {
		for _, have := range s.have {
			if have.from%group != 0 || have.to%group != 0 && have.to != s.payload {
				t.Errorf("%v shows where chunks end", have)
			}
		}
	}
	b, class, err := r.Payload(ctx, index[0].Stripe, nil)
	if err != nil || class != ClassIndex || !bytes.Equal(b, r.stores.m[index[0].Stripe].payload) {
		t.Error("payload of a wholly fetched stripe:", err)
	}
}

func TestOneFetchForManyReaders(t *testing.T) {
	hold, began := make(chan struct{}), make(chan struct{}, 100)
	r := newRig(t, nil)
	p := random(1, 300_000)
	ref := r.put(ClassData, p)
	r.place()
	r.drop()
	r.stores.hold, r.stores.began = hold, began
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { r.readAt(ref, p, 1000, 299_000) })
	}
	<-began
	close(hold)
	wg.Wait()
	if fetches, _ := r.stores.counts(); fetches != 1 {
		t.Errorf("%d fetches", fetches)
	}
}

func TestReaderGivesUpOthersGoOn(t *testing.T) {
	hold, began := make(chan struct{}), make(chan struct{}, 100)
	r := newRig(t, nil)
	p := random(1, 300_000)
	ref := r.put(ClassData, p)
	r.place()
	r.drop()
	r.stores.hold, r.stores.began = hold, began
	impatient, cancel := context.WithCancel(ctx)
	first := make(chan error, 1)
	go func() { first <- r.ReadAt(impatient, &ref, make([]byte, 10), 0) }()
	<-began
	var wg sync.WaitGroup
	wg.Go(func() { r.readAt(ref, p, 0, 10) })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-began // the second one fetches now
	close(hold)
	wg.Wait()
}

func TestMapSurvivesReopen(t *testing.T) {
	r := newRig(t, nil)
	p := random(1, 1<<20)
	ref := r.put(ClassData, p)
	r.place()
	r.drop()
	r.readAt(ref, p, 300_000, 100_000)
	_, before := r.stores.counts()
	r.reopen()
	r.readAt(ref, p, 300_000, 100_000)
	if _, after := r.stores.counts(); after != before {
		t.Errorf("%d bytes fetched again", after-before)
	}
	s := r.find(ref.Stripe)
	r.remove(s.name + mapSuffix)
	r.Cache.mu.Lock()
	r.Cache.shut = true // as after kill -9: nothing is saved
	r.Cache.mu.Unlock()
	r.stop()
	r.wg.Wait()
	r.open()
	if u := r.Usage(); u.Partial != 0 || u.Bytes != 0 {
		t.Errorf("a partial stripe without a map: %+v", u)
	}
	r.want(ref, p)
}

// TestLyingMap has a map that says more than is there.
func TestLyingMap(t *testing.T) {
	r := newRig(t, nil)
	p := random(1, 1<<20)
	ref := r.put(ClassData, p)
	r.place()
	r.drop()
	r.readAt(ref, p, 100, 100)
	s := r.find(ref.Stripe)
	s.mu.Lock()
	s.have = s.have.add(0, ref.SealedLen())
	s.mu.Unlock()
	r.want(ref, p)
	r.want(ref, p)
}

func TestRot(t *testing.T) {
	r := newRig(t, nil)
	p := random(1, 1<<20)
	ref := r.put(ClassData, p)
	spoil := func() {
		r.check(r.overwrite(r.find(ref.Stripe), []byte("rot"), int(ref.Offset)+200_000))
	}
	spoil()
	if valid(r.Cache, &ref) {
		t.Error("rot is valid")
	}
	if _, err := r.Get(ctx, &ref, nil); !errors.Is(err, ErrRot) {
		t.Errorf("rot here and nowhere else: %v", err)
	}
	r.readAt(ref, p, 0, 100_000) // other blocks are not concerned
	r.check(r.overwrite(r.find(ref.Stripe), r.sealAgain(p), int(ref.Offset)))
	r.place()
	spoil()
	r.want(ref, p)
	if r.Usage().Rot == 0 {
		t.Error("not counted")
	}
	if !valid(r.Cache, &ref) {
		t.Error("not mended")
	}
}

func (r *rig) sealAgain(p []byte) []byte {
	b, _, err := r.cfg.Sealer.Seal(nil, p, r.cfg.Sealer.Key(p), crypt.EffortAuto)
	r.check(err)
	return b
}

func TestStoresLie(t *testing.T) {
	r := newRig(t, nil)
	p := random(1, 100_000)
	ref := r.put(ClassData, p)
	r.place()
	r.drop()
	r.stores.bad = 1
	r.want(ref, p)
	r.drop()
	r.stores.bad = 1000
	if _, err := r.Get(ctx, &ref, nil); !errors.Is(err, ErrRot) {
		t.Error(err)
	}
	r.stores.bad = 0
	r.want(ref, p)
}

func TestUnreachable(t *testing.T) {
	r := newRig(t, nil)
	p := random(1, 100_000)
	ref := r.put(ClassData, p)
	r.place()
	r.drop()
	gone := errors.New("four of six peers do not answer")
	r.stores.down = gone
	if _, err := r.Get(ctx, &ref, nil); !errors.Is(err, ErrUnreachable) || !errors.Is(err, gone) {
		t.Error(err)
	}
	r.stores.down = nil
	r.want(ref, p)
	r.cfg.Remote = nil
	r.drop()
	r.reopen()
	if _, err := r.Get(ctx, &ref, nil); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
}

// TestNoRoomToKeep reads what cannot be kept since all is pinned.
func TestNoRoomToKeep(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limit = 1 << 20 })
	p := random(1, 500_000)
	ref := r.put(ClassData, p)
	r.place()
	r.drop()
	for i := 0; ; i++ {
		if _, err := r.Put(ctx, ClassData, random(uint64(i+10), 50_000)); err != nil {
			break
		}
	}
	r.want(ref, p)
	r.readAt(ref, p, 70_000, 10)
	if u := r.Usage(); u.Bytes > 1<<20 {
		t.Errorf("%+v", u)
	}
}

// TestNobodyWaits reads for somebody who waits for nothing: what is here comes,
// and stores are not asked for the rest.
func TestNobodyWaits(t *testing.T) {
	r := newRig(t, nil)
	p := random(1, 100_000)
	ref := r.put(ClassData, p)
	r.place()
	over, cancel := context.WithCancel(ctx)
	cancel()
	if got, err := r.Get(over, &ref, nil); err != nil || !bytes.Equal(got, p) {
		t.Error("what is here does not come:", err)
	}
	r.drop()
	if _, err := r.Get(over, &ref, nil); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if fetches, _ := r.stores.counts(); fetches != 0 {
		t.Errorf("%d fetches", fetches)
	}
	r.want(ref, p)
}

func TestPrefetch(t *testing.T) {
	r := newRig(t, nil)
	var refs []crypt.Ref
	for i := range 5 {
		refs = append(refs, r.put(ClassData, random(uint64(i), 100_000)))
	}
	r.place()
	r.drop()
	r.stores.began = make(chan struct{}, 100)
	r.Prefetch(refs)
	<-r.stores.began
	for i, ref := range refs {
		r.want(ref, random(uint64(i), 100_000))
	}
	if fetches, _ := r.stores.counts(); fetches != 1 {
		t.Errorf("%d fetches for neighbours", fetches)
	}
}

// TestPrefetchInAnyOrder: what is wanted of a stripe is one fetch, in whatever order it is wanted.
func TestPrefetchInAnyOrder(t *testing.T) {
	r := newRig(t, nil)
	refs := make([]crypt.Ref, 5)
	for i := range refs {
		refs[i] = r.put(ClassData, random(uint64(i), 100_000))
	}
	r.place()
	r.drop()
	r.stores.began = make(chan struct{}, 100)
	r.Prefetch([]crypt.Ref{refs[3], refs[0], refs[4], refs[1], refs[2]})
	<-r.stores.began
	for _, i := range []int{2, 0, 4, 3, 1} {
		r.want(refs[i], random(uint64(i), 100_000))
	}
	if fetches, _ := r.stores.counts(); fetches != 1 {
		t.Errorf("%d fetches for neighbours", fetches)
	}
}

// TestReadOfPlanned: who wants a chunk that is about to be fetched ahead fetches the piece that it is in.
func TestReadOfPlanned(t *testing.T) {
	r := newRig(t, nil)
	r.cfg.Describe = r.stores.describe
	r.reopen()
	refs := make([]crypt.Ref, 5)
	for i := range refs {
		refs[i] = r.put(ClassData, random(uint64(i), 100_000))
	}
	r.place()
	r.drop()
	s := r.newPartial(refs[0].Stripe)
	s.plan([]span{{0, s.payload}})
	r.want(refs[3], random(3, 100_000))
	if _, here := r.Local(refs[3].Stripe); !here {
		t.Error("the rest of what is planned did not come")
	}
	s.unplan([]span{{0, s.payload}})
	if len(s.planned) > 0 {
		t.Errorf("%v are planned", s.planned)
	}
}

// TestPrefetchLossy: of a stripe that has lost shards all is fetched at once, if a quarter of it is wanted.
func TestPrefetchLossy(t *testing.T) {
	for wanted, whole := range map[int]bool{1: false, 3: true} {
		r := newRig(t, func(cfg *Config) {
			cfg.Lossy = func(context.Context, uint64) bool { return true }
		})
		r.cfg.Describe = r.stores.describe
		r.reopen()
		refs := make([]crypt.Ref, 8)
		for i := range refs {
			refs[i] = r.put(ClassData, random(uint64(i), 100_000))
		}
		r.place()
		r.drop()
		r.stores.began = make(chan struct{}, 100)
		r.Prefetch(refs[2 : 2+wanted])
		<-r.stores.began
		r.want(refs[2], random(2, 100_000)) // and so it has come
		if _, here := r.Local(refs[2].Stripe); here != whole {
			t.Errorf("%d of 8 chunks wanted: all is here: %v", wanted, here)
		}
	}
}

// TestCrash cuts the power after a sync: what was synced opens.
func TestCrash(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, nil)
		rng := rand.New(rand.NewPCG(seed, 1))
		var synced, all []crypt.Ref
		var texts [][]byte
		for i := range 30 {
			p := random(uint64(i)+seed<<8, 1+rng.IntN(150_000))
			all, texts = append(all, r.put(uint8(1+rng.IntN(3)), p)), append(texts, p)
			switch rng.IntN(6) {
			case 0:
				r.check(r.Sync(ctx))
				synced = all[:len(all):len(all)]
			case 1:
				r.check(r.Sync(ctx, all[i].Stripe))
			case 2:
				_, err := r.CloseStripes(ctx, 0)
				r.check(err)
				synced = all[:len(all):len(all)]
			}
		}
		r.crash(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed%3) * 50, RNG: rng})
		for i, ref := range synced {
			if !valid(r.Cache, &ref) {
				t.Fatalf("seed %d: synced chunk %d is lost", seed, i)
			}
			r.want(ref, texts[i])
		}
		r.drop() // all is pinned
		for i, ref := range all {
			if valid(r.Cache, &ref) {
				r.want(ref, texts[i])
			}
		}
		for _, s := range r.Closed() {
			if b, _, err := r.Payload(ctx, s.Number, nil); err != nil || len(b) != s.Payload {
				t.Fatal(err)
			}
		}
	}
}

// TestForeignFiles are left alone.
func TestForeignFiles(t *testing.T) {
	r := newRig(t, nil)
	for _, name := range []string{"README", "0000000000000001.data.p", "1.data", "0000000000000001.data.p1m.tmp", "0000000000000001.data.p1m"} {
		r.check(r.writeFile(name, []byte("x")))
	}
	r.reopen()
	names, err := r.fs.List("/cache")
	r.check(err)
	if got := strings.Join(names, " "); strings.Contains(got, "p1m") || len(names) != 4 {
		t.Error(got)
	}
}

// TestWholeStripes fetches small stripes of metadata at once, and of large ones no more than what is near.
func TestWholeStripes(t *testing.T) {
	for _, c := range []struct {
		class   uint8
		size    int
		fetches int
	}{{ClassIndex, 400 << 10, 1}, {ClassIndex, 900 << 10, 2}, {ClassMetadata, 400 << 10, 1}, {ClassMetadata, 900 << 10, 2}} {
		r := newRig(t, func(cfg *Config) { cfg.Describe = func(uint64) (uint8, int) { return 0, 0 } })
		r.cfg.Describe = r.stores.describe
		r.reopen()
		var refs []crypt.Ref
		for n := 0; n < c.size; n += 20_000 {
			refs = append(refs, r.put(c.class, random(uint64(n), 20_000)))
		}
		_, err := r.CloseStripes(ctx, 0)
		r.check(err)
		place(r)
		_, err = r.Drop(ctx)
		r.check(err)
		for _, i := range []int{len(refs) - 1, 0} {
			_, err := r.Get(ctx, &refs[i], nil)
			r.check(err)
		}
		if n, _ := r.stores.counts(); n != c.fetches {
			t.Errorf("class %d, %d bytes: %d fetches", c.class, c.size, n)
		}
	}
}
