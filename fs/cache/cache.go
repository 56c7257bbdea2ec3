package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/room"
)

// Cache is the stripes on the local disk. All methods are safe for concurrent
// use.
type Cache struct {
	cfg     Config
	handles handles
	ballast *room.Ballast
	buffers buffers
	memory  *otter.Cache[blockKey, []byte]
	opening flights[blockKey, []byte]
	puts    flights[crypt.ID, crypt.Ref]
	clock   atomic.Int64 // counts uses of stripes
	partSeq atomic.Uint64
	sealing atomic.Int64 // chunks being sealed now
	cores   int64        // that may seal
	rot     atomic.Int64
	fetched atomic.Int64
	written atomic.Int64
	deduped atomic.Int64

	list   syncedList
	behind chan struct{} // has a value when closed stripes may wait to be synced

	growing [classes]sync.Mutex // held while a stripe of the class is made

	mu       sync.Mutex // guards all below and the noted fields of stripes; short
	stripes  map[uint64]*stripe
	open     [classes]*stripe
	unsynced map[*stripe]struct{}
	used     int64         // sum of stripe.size
	pinned   int64         // of it, in stripes that must not be evicted
	grows    chan struct{} // closed when pinned becomes less; nil while nobody asks
	shut     bool

	ctx   context.Context // of the goroutines below
	stop  context.CancelFunc
	wg    sync.WaitGroup
	ahead chan absence
}

// Open lists the stripes that former runs left in cfg.Dir. Those that were made
// here are closed at the length of their file and pinned; nothing is ever
// appended to them. Partial ones without a map are deleted. The caller ends it
// with Close.
func Open(cfg Config) (*Cache, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	c := &Cache{cfg: cfg, stripes: make(map[uint64]*stripe), unsynced: make(map[*stripe]struct{})}
	c.behind, c.cores = make(chan struct{}, 1), int64(runtime.GOMAXPROCS(0))
	c.list = syncedList{fs: cfg.FS, path: cfg.FS.PathJoin(cfg.Dir, syncedName)}
	c.handles = handles{fs: cfg.FS, dir: cfg.Dir, limit: cfg.Files, patience: scarceLimit}
	c.ballast = room.NewBallast(cfg.FS, cfg.Dir, "ballast", cfg.Reserve)
	memory, err := otter.New(&otter.Options[blockKey, []byte]{
		MaximumWeight: uint64(cfg.Memory),
		Weigher:       func(_ blockKey, b []byte) uint32 { return uint32(cap(b)) + blockOverhead },
		Executor:      func(f func()) { f() }, // no goroutines that nobody waits for
	})
	if err != nil {
		return nil, fmt.Errorf("memory of opened blocks: %w", err)
	}
	c.memory = memory
	if err := c.scan(); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.startPrefetch()
	c.wg.Go(c.syncBehind)
	return c, nil
}

// Close syncs everything, writes the maps of partial stripes and closes all
// files. Open stripes stay as they are: the next Open closes them at their
// length. No other method may be running.
func (c *Cache) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.shut {
		c.mu.Unlock()
		return nil
	}
	c.shut = true
	c.mu.Unlock()
	c.stop()
	c.wg.Wait()
	err := c.Sync(ctx)
	if err == nil {
		c.listAll()
	}
	err = errors.Join(err, c.saveMaps(c.partials()))
	c.list.close()
	c.handles.close()
	c.memory.InvalidateAll()
	return err
}

// StripeInfo describes a closed stripe on the local disk.
type StripeInfo struct {
	Number   uint64
	Class    uint8
	Payload  int  // bytes; for a partial one what is here
	Pinned   bool // must not be evicted
	Complete bool // made here, all of it present
}

// Closed lists the stripes that take no more chunks, by number.
func (c *Cache) Closed() []StripeInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]StripeInfo, 0, len(c.stripes))
	for _, s := range c.stripes {
		if s.state == closed {
			out = append(out, StripeInfo{s.number, s.class, s.size, s.pinned, !s.partial})
		}
	}
	slices.SortFunc(out, func(a, b StripeInfo) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// Filling says whether an open stripe of the class has bytes.
func (c *Cache) Filling(class uint8) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.open[class]
	return s != nil && s.size > 0
}

// Has reports whether a stripe is wholly on this machine, open ones included.
func (c *Cache) Has(number uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stripes[number]
	return s != nil && !s.partial
}

// Payload appends the payload of a closed stripe to dst and gives its class.
// ErrNotHere if the stripe is open, or not wholly here.
func (c *Cache) Payload(ctx context.Context, number uint64, dst []byte) ([]byte, uint8, error) {
	s, n, err := c.whole(number)
	if err != nil {
		return dst, 0, fmt.Errorf("payload of stripe %x: %w", number, err)
	}
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	if err := c.readLocal(s, dst[at:], 0); err != nil {
		return dst[:at], 0, fmt.Errorf("payload of stripe %x: %w", number, err)
	}
	return dst, s.class, ctx.Err()
}

// PayloadSize is the length of the payload that Payload would give; false if
// it would not.
func (c *Cache) PayloadSize(number uint64) (int, bool) {
	_, n, err := c.whole(number)
	return n, err == nil
}

// whole returns a closed stripe of which everything is here, and its length.
func (c *Cache) whole(number uint64) (*stripe, int, error) {
	c.mu.Lock()
	s := c.stripes[number]
	if s == nil || s.state != closed {
		c.mu.Unlock()
		return nil, 0, ErrNotHere
	}
	n := s.size
	c.mu.Unlock()
	c.touch(s)
	if !s.partial {
		return s, n, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.payload == 0 || !s.have.covers(0, s.payload) {
		return nil, 0, ErrNotHere
	}
	return s, s.payload, nil
}

// Usage says what the cache holds and has done. Sizes are bytes.
type Usage struct {
	Limit, Bytes, Pinned int64 // sealed bytes on disk
	Memory               int64 // opened blocks
	Stripes, Partial     int   // numbers of stripes, the partial ones among them
	Written, Fetched     int64 // sealed bytes since Open
	Deduped              int64 // plain bytes that a Put found to be there already
	Rot                  int64 // blocks that did not open
}

// Usage returns current figures.
func (c *Cache) Usage() Usage {
	u := Usage{
		Limit: c.cfg.Limit, Memory: int64(c.memory.WeightedSize()), Rot: c.rot.Load(),
		Written: c.written.Load(), Fetched: c.fetched.Load(), Deduped: c.deduped.Load(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u.Bytes, u.Pinned, u.Stripes = c.used, c.pinned, len(c.stripes)
	for _, s := range c.stripes {
		if s.partial {
			u.Partial++
		}
	}
	return u
}

// find returns a stripe and marks it as used; nil if nothing of it is here.
func (c *Cache) find(number uint64) *stripe {
	c.mu.Lock()
	s := c.stripes[number]
	c.mu.Unlock()
	if s != nil {
		c.touch(s)
	}
	return s
}

// fullDisk makes a full disk an ErrFull.
func fullDisk(err error) error {
	if room.Full(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
