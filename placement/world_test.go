package placement_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
	"github.com/hammockfs/hammock/placement/storetest"
)

// world is everything around a placer: stores, local stripes and a journal, which all survive a restart of the placer. It
// checks at each put that the journal knew of it before.
type world struct {
	t     testing.TB
	mu    sync.Mutex
	infos []placement.StoreInfo
	mem   map[uint32]*storetest.Memory

	payloads map[uint64][]byte
	classes  map[uint64]uint8
	original map[uint64][]byte // payloads, also of those that are not here any more
	journal  map[uint64][]byte
	synced   map[string]int  // calls of Intend and Placed
	intended map[string]bool // stripe/shard/store in any synced record
}

func newWorld(t testing.TB, stores int) *world {
	w := &world{
		t: t, mem: map[uint32]*storetest.Memory{}, payloads: map[uint64][]byte{}, classes: map[uint64]uint8{},
		original: map[uint64][]byte{}, journal: map[uint64][]byte{}, synced: map[string]int{}, intended: map[string]bool{},
	}
	w.infos = append(w.infos, placement.StoreInfo{Number: 100, Name: "me", Machine: "here", Free: 1 << 40, Reliability: 1, Online: true, Here: true})
	w.mem[100] = &storetest.Memory{}
	for i := range stores {
		w.addStore(uint32(i + 1))
	}
	return w
}

func (w *world) addStore(n uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.infos = append(w.infos, placement.StoreInfo{
		Number: n, Name: fmt.Sprintf("peer-%d", n), Machine: fmt.Sprintf("machine-%d", n),
		Owner: crypt.OwnerKey{byte(n)}, Free: 1 << 40, Reliability: 1, Online: true,
	})
	w.mem[n] = &storetest.Memory{}
}

func (w *world) set(n uint32, change func(*placement.StoreInfo)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.infos {
		if w.infos[i].Number == n {
			change(&w.infos[i])
		}
	}
}

func (w *world) faults(n uint32, f storetest.Faults) { w.mem[n].Set(f) }

func (w *world) Stores() []placement.StoreInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.infos)
}

func (w *world) Store(n uint32) (placement.Store, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.mem[n]
	return &checkedStore{m, w, n}, ok
}

// checkedStore fails the test when a put was not announced in the journal.
type checkedStore struct {
	*storetest.Memory
	w *world
	n uint32
}

func (s *checkedStore) Put(ctx context.Context, p placement.Put, data []byte) error {
	s.w.mu.Lock()
	if !s.w.intended[intention(p.Stripe, p.Index, s.n)] {
		s.w.t.Errorf("shard %d of stripe %d is put to store %d, which no synced record says", p.Index, p.Stripe, s.n)
	}
	s.w.mu.Unlock()
	return s.Memory.Put(ctx, p, data)
}

func intention(stripe uint64, shard int, store uint32) string {
	return fmt.Sprint(stripe, "/", shard, "/", store)
}

func (w *world) addStripe(stripe uint64, class uint8, size int) []byte {
	p := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(stripe), byte(stripe >> 8), 7})
	_, _ = r.Read(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.payloads[stripe], w.classes[stripe], w.original[stripe] = p, class, p
	return p
}

func (w *world) evict(stripe uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.payloads, stripe)
}

func (w *world) Payload(_ context.Context, stripe uint64, dst []byte) ([]byte, uint8, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.payloads[stripe]
	if !ok {
		return dst, 0, fs.ErrNotExist
	}
	return append(dst, p...), w.classes[stripe], nil
}

func (w *world) Intend(ctx context.Context, stripe uint64, record []byte) error {
	return w.write(ctx, "intend", stripe, record)
}

func (w *world) Placed(ctx context.Context, stripe uint64, record []byte) error {
	return w.write(ctx, "placed", stripe, record)
}

func (w *world) write(ctx context.Context, kind string, stripe uint64, record []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := placement.ParseRecord(record)
	if err != nil || r.Stripe != stripe {
		w.t.Errorf("%s of stripe %d: %+v, %v", kind, stripe, r, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.journal[stripe] = bytes.Clone(record)
	w.synced[kind]++
	for i, s := range r.Shards {
		w.intended[intention(stripe, i, s.Store)] = true
		if s.Held && !w.mem[s.Store].Has(s.ID) && kind == "placed" && !r.Placed {
			w.t.Errorf("stripe %d: shard %d is not at store %d", stripe, i, s.Store)
		}
	}
	return nil
}

func (w *world) Record(_ context.Context, stripe uint64) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.journal[stripe]), nil
}

func (w *world) record(stripe uint64) placement.Record {
	w.t.Helper()
	b, _ := w.Record(context.Background(), stripe)
	r, err := placement.ParseRecord(b)
	if err != nil {
		w.t.Fatalf("record of stripe %d: %v", stripe, err)
	}
	return r
}

func (w *world) config() placement.Config {
	return placement.Config{Stores: w, Payloads: w, Journal: w, Pad: pad}
}

func pad(dst []byte, stripe uint64) {
	r := rand.NewChaCha8([32]byte{byte(stripe), byte(stripe >> 8), 9})
	_, _ = r.Read(dst)
}

// start runs a placer until the test, or stop, ends it.
func (w *world) start(cfg placement.Config) (p *placement.Placer, stop func()) {
	p = placement.New(cfg)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(context.Background())
	}()
	stop = sync.OnceFunc(func() { p.Close(); <-done })
	w.t.Cleanup(stop)
	return p, stop
}

// placeAll uploads stripes of so many bytes and returns when they are placed.
func (w *world) placeAll(p *placement.Placer, class uint8, sizes ...int) {
	w.t.Helper()
	for i, size := range sizes {
		w.addStripe(uint64(i+1), class, size)
		p.Enqueue(uint64(i+1), class)
	}
	if err := p.Wait(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// copies counts on how many stores each shard of a stripe lies.
func (w *world) copies(stripe uint64) map[int]int {
	out := map[int]int{}
	for i, s := range w.record(stripe).Shards {
		for n := range w.mem {
			if w.mem[n].Has(s.ID) {
				out[i]++
			}
		}
	}
	return out
}

// expectWhole fails unless every shard of a stripe is where its record says, on distinct machines, and nowhere else.
func (w *world) expectWhole(stripe uint64) {
	w.t.Helper()
	r := w.record(stripe)
	seen := map[uint32]bool{}
	for i, s := range r.Shards {
		if !s.Held || seen[s.Store] || !w.mem[s.Store].Has(s.ID) || s.Store == 100 {
			w.t.Errorf("stripe %d, shard %d: %+v, there: %v", stripe, i, s, s.Store != 0 && w.mem[s.Store].Has(s.ID))
		}
		seen[s.Store] = true
	}
	if r.Code.K > 1 {
		for i, n := range w.copies(stripe) {
			if n != 1 {
				w.t.Errorf("stripe %d: shard %d lies on %d stores", stripe, i, n)
			}
		}
	}
	if !r.Placed {
		w.t.Errorf("stripe %d is not placed", stripe)
	}
}

// expectRead fetches ranges and compares.
func (w *world) expectRead(p *placement.Placer, stripe uint64) {
	w.t.Helper()
	want := w.original[stripe]
	b, _ := w.Record(context.Background(), stripe)
	for _, r := range [][2]int{{0, len(want)}, {0, 1}, {len(want) - 1, 1}, {len(want) / 3, len(want) / 2}, {len(want) / 4, min(5000, len(want)/4)}} {
		got, err := p.Fetch(context.Background(), stripe, b, r[0], r[1], []byte("x"))
		if err != nil {
			w.t.Fatalf("fetch [%d, +%d) of stripe %d: %v", r[0], r[1], stripe, err)
		}
		if !bytes.Equal(got[1:], want[r[0]:r[0]+r[1]]) {
			w.t.Fatalf("fetch [%d, +%d) of stripe %d: wrong bytes", r[0], r[1], stripe)
		}
	}
}

func (w *world) storesOf(stripe uint64) []uint32 {
	var out []uint32
	for _, s := range w.record(stripe).Shards {
		out = append(out, s.Store)
	}
	return out
}

func (w *world) numbers() []uint32 {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(w.mem)), func(n uint32) bool { return n == 100 })
}
