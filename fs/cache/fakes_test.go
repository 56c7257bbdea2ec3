package cache

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hammockfs/hammock/crypt"
)

// counter gives out stripe numbers.
type counter struct {
	mu sync.Mutex
	n  uint64
}

func (c *counter) NextStripe() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return 7<<40 | c.n, nil
}

// chunkIndex is a dedup index in memory.
type chunkIndex struct {
	mu sync.Mutex
	m  map[crypt.ID]crypt.Ref
}

func (x *chunkIndex) FindChunk(id crypt.ID) (crypt.Ref, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r, ok := x.m[id]
	return r, ok
}

func (x *chunkIndex) AddChunk(id crypt.ID, r *crypt.Ref) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.m[id] = *r
	return nil
}

type placed struct {
	class   uint8
	payload []byte
}

// stores keeps payloads and hands out ranges of them.
type stores struct {
	mu      sync.Mutex
	m       map[uint64]placed
	fetches int
	bytes   int
	down    error           // returned instead of anything
	bad     int             // this many of the next fetches return wrong bytes
	hold    <-chan struct{} // fetches wait for it when not nil
	began   chan struct{}   // gets one value per fetch when not nil
}

func (st *stores) Fetch(ctx context.Context, stripe uint64, off, n int, dst []byte) ([]byte, error) {
	if st.began != nil {
		st.began <- struct{}{}
	}
	if st.hold != nil {
		select {
		case <-st.hold:
		case <-ctx.Done():
			return dst, ctx.Err()
		}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	p, ok := st.m[stripe]
	if st.down != nil {
		return dst, st.down
	}
	if !ok || off < 0 || off+n > len(p.payload) {
		return dst, errors.New("no store has that")
	}
	st.fetches++
	st.bytes += n
	at := len(dst)
	dst = append(dst, p.payload[off:off+n]...)
	if st.bad > 0 {
		st.bad--
		dst[at] ^= 1
	}
	return dst, nil
}

func (st *stores) describe(stripe uint64) (uint8, int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	p := st.m[stripe]
	return p.class, len(p.payload)
}

func (st *stores) has(stripe uint64) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	_, ok := st.m[stripe]
	return ok
}

func (st *stores) counts() (fetches, bytes int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.fetches, st.bytes
}

// rig is a cache with fakes around it.
type rig struct {
	*Cache
	t      testing.TB
	cfg    Config
	fs     *vfs.MemFS
	index  *chunkIndex
	stores *stores
	mu     sync.Mutex
	shut   []uint64 // what OnClosed was told
	now    time.Time
}

func newRig(t testing.TB, change func(*Config)) *rig {
	r := &rig{t: t, fs: vfs.NewCrashableMem(), index: &chunkIndex{m: map[crypt.ID]crypt.Ref{}},
		stores: &stores{m: map[uint64]placed{}}, now: time.Unix(1000, 0)}
	var key crypt.Key
	key[0] = 1
	r.cfg = Config{
		FS: r.fs, Dir: "/cache", Sealer: crypt.NewSealer(key, crypt.SuiteAES),
		Numbers: &counter{}, Index: r.index, Remote: r.stores, Known: r.stores.has,
		Limit: 1 << 40, Memory: 1 << 20,
		Target:   func(uint8) int { return 1 << 20 },
		OnClosed: r.onClosed,
		Now:      func() time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.now },
	}
	if change != nil {
		change(&r.cfg)
	}
	r.open()
	t.Cleanup(func() { r.check(r.Cache.Close(context.Background())) })
	return r
}

func (r *rig) onClosed(stripe uint64, _ uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = append(r.shut, stripe)
}

func (r *rig) open() {
	c, err := Open(r.cfg)
	r.check(err)
	r.Cache = c
}

// reopen closes the cache and opens it again.
func (r *rig) reopen() {
	r.check(r.Cache.Close(context.Background()))
	r.open()
}

// crash goes on with what a power cut leaves.
func (r *rig) crash(cfg vfs.CrashCloneCfg) {
	r.fs = r.fs.CrashClone(cfg)
	r.check(r.Cache.Close(context.Background()))
	r.cfg.FS = r.fs
	r.open()
}

func (r *rig) check(err error) {
	if err != nil {
		r.t.Helper()
		r.t.Fatal(err)
	}
}

func (r *rig) put(class uint8, p []byte) crypt.Ref {
	r.t.Helper()
	ref, err := r.Put(context.Background(), class, p)
	r.check(err)
	return ref
}

func (r *rig) want(ref crypt.Ref, p []byte) {
	r.t.Helper()
	b, err := r.Get(context.Background(), &ref, nil)
	r.check(err)
	if !bytes.Equal(b, p) {
		r.t.Fatalf("chunk of %d bytes comes back as another of %d", len(p), len(b))
	}
}

// place hands all closed stripes to the stores and unpins them.
func (r *rig) place() {
	r.t.Helper()
	ctx := context.Background()
	_, err := r.CloseStripes(ctx, 0)
	r.check(err)
	for _, s := range r.Closed() {
		if !s.Complete || r.stores.has(s.Number) {
			continue
		}
		b, class, err := r.Payload(ctx, s.Number, nil)
		if errors.Is(err, ErrNotHere) {
			continue // placed and dropped meanwhile
		}
		r.check(err)
		r.stores.mu.Lock()
		r.stores.m[s.Number] = placed{class, b}
		r.stores.mu.Unlock()
	}
	for _, s := range r.Closed() {
		if r.stores.has(s.Number) {
			r.Unpin(s.Number)
		}
	}
}

// valid is Valid where nothing keeps it from looking.
func valid(c *Cache, r *crypt.Ref) bool {
	ok, err := c.Valid(r)
	return ok && err == nil
}

func (r *rig) drop() {
	r.t.Helper()
	_, err := r.Drop(context.Background())
	r.check(err)
}

// random gives n bytes that do not compress.
func random(seed uint64, n int) []byte {
	var s [32]byte
	s[0], s[1], s[2], s[3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(n)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(b)
	return b
}
