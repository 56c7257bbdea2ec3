package cache

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

var ctx = context.Background()

func TestRoundTrip(t *testing.T) {
	r := newRig(t, nil)
	for _, n := range []int{1, 2, 4095, 65535, 65536, 65537, 300_000, 1 << 20, 4 << 20} {
		for name, p := range map[string][]byte{"random": random(uint64(n), n), "text": bytes.Repeat([]byte("hammock "), n/8+1)[:n]} {
			for class := ClassData; class <= ClassIndex; class++ {
				ref := r.put(class, p)
				r.want(ref, p)
				if !valid(r.Cache, &ref) {
					t.Errorf("%s of %d bytes is not valid", name, n)
				}
				readPieces(t, r, ref, p)
			}
		}
	}
}

// readPieces reads at the edges of blocks.
func readPieces(t *testing.T, r *rig, ref crypt.Ref, p []byte) {
	for _, off := range []int{0, 1, 65535, 65536, 65537, len(p) / 2, len(p) - 1} {
		for _, n := range []int{0, 1, 4096, 65536, 131073, len(p)} {
			if off < 0 || off+n > len(p) {
				continue
			}
			got := make([]byte, n)
			if err := r.ReadAt(ctx, &ref, got, off); err != nil || !bytes.Equal(got, p[off:off+n]) {
				t.Fatalf("bytes %d+%d of %d: wrong, err %v", off, n, len(p), err)
			}
		}
	}
}

func TestBadRefs(t *testing.T) {
	r := newRig(t, nil)
	good := r.put(ClassData, random(1, 100_000))
	for name, change := range map[string]func(*crypt.Ref){
		"no length":     func(r *crypt.Ref) { r.Len = 0 },
		"too long":      func(r *crypt.Ref) { r.Len = crypt.MaxChunk + 1 },
		"blocks":        func(r *crypt.Ref) { r.Blocks = r.Blocks[:1] },
		"sealed length": func(r *crypt.Ref) { r.Blocks = []crypt.Block{r.Blocks[0], {Len: 1 << 30}} },
		"offset":        func(r *crypt.Ref) { r.Offset = 1<<32 - 1 },
	} {
		bad := good
		change(&bad)
		if _, err := r.Get(ctx, &bad, nil); !errors.Is(err, ErrRef) {
			t.Errorf("%s: %v", name, err)
		}
		if valid(r.Cache, &bad) {
			t.Errorf("%s: valid", name)
		}
	}
	if err := r.ReadAt(ctx, &good, make([]byte, 10), 99_991); !errors.Is(err, ErrRef) {
		t.Errorf("beyond the end: %v", err)
	}
	for _, n := range []int{0, crypt.MaxChunk + 1} {
		if _, err := r.Put(ctx, ClassData, make([]byte, n)); err == nil {
			t.Errorf("chunk of %d bytes was taken", n)
		}
	}
}

func TestDedup(t *testing.T) {
	r := newRig(t, nil)
	p := random(1, 200_000)
	a, b := r.put(ClassData, p), r.put(ClassData, p)
	if a.Stripe != b.Stripe || a.Offset != b.Offset {
		t.Error("equal data was stored twice")
	}
	if m := r.put(ClassMetadata, p); m.Stripe == a.Stripe {
		t.Error("metadata in a data stripe")
	}
	r.place()
	r.drop()
	if c := r.put(ClassData, p); c.Stripe != a.Stripe {
		t.Error("no hit for a chunk that is placed")
	}
	r.stores.mu.Lock()
	clear(r.stores.m)
	r.stores.mu.Unlock()
	d := r.put(ClassData, p)
	if d.Stripe == a.Stripe {
		t.Error("a hit for a chunk that is nowhere")
	}
	r.want(d, p)
}

func TestConcurrentEqualPuts(t *testing.T) {
	r := newRig(t, nil)
	p := random(3, 500_000)
	refs := make([]crypt.Ref, 16)
	var wg sync.WaitGroup
	for i := range refs {
		wg.Go(func() { refs[i], _ = r.Put(ctx, ClassData, p) })
	}
	wg.Wait()
	for _, ref := range refs {
		r.want(ref, p)
	}
	if u := r.Usage(); u.Bytes > 510_000 {
		t.Errorf("%d bytes stored for 16 equal chunks of 500000", u.Bytes)
	}
}

func TestStripeCloses(t *testing.T) {
	r := newRig(t, nil)
	for i := range 30 {
		r.put(ClassData, random(uint64(i), 150_000))
	}
	for _, s := range r.Closed() {
		if s.Payload < 1<<20 || s.Payload > 2<<20 || !s.Pinned || !s.Complete || s.Class != ClassData {
			t.Errorf("%+v", s)
		}
		if !slices.Contains(r.shut, s.Number) {
			t.Errorf("stripe %x was closed silently", s.Number)
		}
	}
	if n := len(r.Closed()); n != 4 {
		t.Errorf("%d stripes closed", n)
	}
	// A chunk that would pass twice the target goes to the next stripe.
	r.put(ClassMetadata, random(100, 1000))
	big := r.put(ClassMetadata, random(101, 3<<20))
	if big.Offset != 0 {
		t.Errorf("at %d", big.Offset)
	}
	got, err := r.CloseStripes(ctx, ClassData)
	if err != nil || len(got) != 1 {
		t.Errorf("%x %v", got, err)
	}
	if got, err = r.CloseStripes(ctx, 0); err != nil || len(got) != 0 {
		t.Errorf("%x closed again, %v", got, err)
	}
	if len(r.shut) != len(r.Closed()) {
		t.Errorf("told of %d of %d stripes", len(r.shut), len(r.Closed()))
	}
}

func TestTickClosesByAge(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Target = func(uint8) int { return 4 << 20 } })
	wait := func(d time.Duration) int {
		r.mu.Lock()
		r.now = r.now.Add(d)
		r.mu.Unlock()
		r.Tick(ctx)
		return len(r.Closed())
	}
	r.put(ClassData, random(1, 100_000))
	r.put(ClassMetadata, random(2, 1<<20))
	if n := wait(time.Minute); n != 0 {
		t.Errorf("%d small stripes closed after a minute", n)
	}
	r.put(ClassData, random(3, 1<<20))
	if n := wait(0); n != 1 {
		t.Errorf("%d stripes closed with 1 MiB after a minute", n)
	}
	r.put(ClassData, random(4, 10))
	if n := wait(9 * time.Minute); n != 1 {
		t.Errorf("%d stripes closed", n)
	}
	if n := wait(time.Minute); n != 2 {
		t.Errorf("%d stripes closed after ten minutes", n)
	}
}

func TestSharedDomain(t *testing.T) {
	var key crypt.Key
	key[0] = 9
	r := newRig(t, func(c *Config) {
		c.Shared = crypt.NewSealer(key, crypt.SuiteAES)
		c.SharedSize = func(n int) int { return (n + 1<<18 - 1) >> 18 << 18 }
		c.SharedPad = func(dst []byte, k *crypt.Key) {
			for i := range dst {
				dst[i] = k[0]
			}
		}
	})
	p := bytes.Repeat([]byte("same "), 100_000)
	small, long := r.put(ClassData, p[:SharedMin-1]), r.put(ClassData, p)
	meta := r.put(ClassMetadata, p)
	r.want(small, p[:SharedMin-1])
	r.want(long, p)
	r.want(meta, p)
	if long.Key != r.cfg.Shared.Key(p) || small.Key != r.cfg.Sealer.Key(p[:SharedMin-1]) || meta.Key == long.Key {
		t.Error("wrong domain")
	}
	b, _, err := r.Payload(ctx, long.Stripe, nil)
	if err != nil || len(b) != 1<<19 || b[len(b)-1] != long.Key[0] || long.Offset != 0 {
		t.Errorf("payload of %d bytes, %v", len(b), err)
	}
	if again := r.put(ClassData, p); again.Stripe != long.Stripe {
		t.Error("stored twice")
	}
}

func TestFull(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limit = 4 << 20 })
	var refs []crypt.Ref
	for i := 0; ; i++ {
		ref, err := r.Put(ctx, ClassData, random(uint64(i), 200_000))
		if errors.Is(err, ErrFull) {
			break
		}
		r.check(err)
		refs = append(refs, ref)
	}
	if u := r.Usage(); len(refs) < 15 || u.Bytes > 4<<20 || u.Pinned != u.Bytes {
		t.Fatalf("%d chunks, %+v", len(refs), u)
	}
	for i, ref := range refs {
		r.want(ref, random(uint64(i), 200_000))
	}
	r.put(ClassMetadata, random(1000, 300_000)) // there is always room for that
	r.place()
	r.put(ClassData, random(1001, 200_000))
	for i, ref := range refs { // evicted or not
		r.want(ref, random(uint64(i), 200_000))
	}
	if u := r.Usage(); u.Bytes > 4<<20 {
		t.Errorf("over the limit: %+v", u)
	}
}

func TestEvictionOrder(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Target = func(uint8) int { return 1 }; c.Limit = 1 << 20 })
	index := r.put(ClassIndex, random(1, 50_000))
	a := r.put(ClassData, random(2, 50_000))
	b := r.put(ClassData, random(3, 50_000))
	pinned := r.put(ClassMetadata, random(4, 50_000))
	r.place()
	r.Pin(pinned.Stripe)
	r.want(index, random(1, 50_000))
	r.want(b, random(3, 50_000))
	r.want(a, random(2, 50_000))
	for _, want := range []uint64{b.Stripe, a.Stripe, index.Stripe} {
		if !r.Has(want) {
			t.Fatalf("%x went too early", want)
		}
		if n := r.evict(1); n == 0 || r.Has(want) {
			t.Fatalf("%x was not the next to go", want)
		}
	}
	if n := r.evict(1); n != 0 || !r.Has(pinned.Stripe) {
		t.Error("a pinned stripe went")
	}
}

// TestConcurrent lets everything run at once; the race detector watches.
func TestConcurrent(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Files = 3
		c.Limit = 8 << 20
		c.Describe = nil
	})
	var writers, others sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 30 {
				seed, n := uint64(w/2*1000+i), 30_000+i*1000
				ref, err := r.Put(ctx, uint8(1+i%3), random(seed, n))
				if err != nil && !errors.Is(err, ErrFull) {
					t.Error(err)
				} else if err == nil {
					got := make([]byte, 5000)
					if err := r.ReadAt(ctx, &ref, got, n/2); err != nil || !bytes.Equal(got, random(seed, n)[n/2:n/2+5000]) {
						t.Error("wrong bytes", err)
					}
				}
			}
		})
	}
	stop := make(chan struct{})
	for _, f := range []func() error{
		func() error { return r.Sync(ctx) },
		func() error { _, err := r.CloseStripes(ctx, 0); r.Usage(); r.Tick(ctx); return err },
		func() error { r.place(); r.drop(); return nil },
	} {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := f(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	others.Wait()
	if n := r.handles.lru.Len(); n > 3 {
		t.Errorf("%d files are open", n)
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {Limit: 1}} {
		if _, err := Open(cfg); err == nil {
			t.Error("opened without what is required")
		}
	}
	r := newRig(t, nil)
	cfg := r.cfg
	cfg.Shared = cfg.Sealer
	if _, err := Open(cfg); err == nil {
		t.Error("a shared domain without sizes")
	}
}
