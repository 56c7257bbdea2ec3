package wire

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/hammockfs/hammock/crypt"
)

// Limits is what a Server takes from one owner and from all together. Each is
// checked before the bytes that it limits are taken.
type Limits struct {
	Streams        int           // open at once, of one owner with all devices
	OwnerBytes     int64         // in flight for one owner: bodies of puts, replies of gets
	TotalBytes     int64         // in flight for all owners
	Wait           time.Duration // for room or rate; then ErrBusy
	Requests       float64       // per second, of one owner
	Burst          int           // of requests at once
	BytesPerSecond int64         // of one owner, both ways together; 0: no limit

	Strangers     int     // streams at once, of everybody who is not a member
	StrangerRate  float64 // requests per second of all strangers together
	StrangerBurst int

	Idle    time.Duration // a kept stream without a request is closed
	Header  time.Duration // from the first byte of a frame to the end of its header
	Silence time.Duration // within a body
	Slowest int64         // bytes per second; a body slower than that in all is cut off
}

// DefaultLimits are those of PROTOCOL.md.
func DefaultLimits() Limits {
	return Limits{
		Streams: 64, OwnerBytes: 32 << 20, TotalBytes: 64 << 20, Wait: 10 * time.Second,
		Requests: 10_000, Burst: 20_000,
		Strangers: 8, StrangerRate: 1, StrangerBurst: 16,
		Idle: 3 * time.Minute, Header: 10 * time.Second, Silence: 30 * time.Second, Slowest: 32 << 10,
	}
}

// gates holds the gate of each owner that was ever served; members are few.
type gates struct {
	limits Limits
	total  *semaphore.Weighted
	mu     sync.Mutex
	owners map[crypt.OwnerKey]*gate // guarded by mu
}

// gate is what one owner has under way. The gate of the zero owner is that of
// all strangers.
type gate struct {
	limits   Limits
	total    *semaphore.Weighted
	bytes    *semaphore.Weighted
	requests *rate.Limiter
	volume   *rate.Limiter // nil: no limit
	mu       sync.Mutex
	streams  int // guarded by mu
	max      int
}

func newGates(l Limits) *gates {
	return &gates{limits: l, total: semaphore.NewWeighted(l.TotalBytes), owners: map[crypt.OwnerKey]*gate{}}
}

func (g *gates) of(owner crypt.OwnerKey) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one, ok := g.owners[owner]; ok {
		return one
	}
	l := g.limits
	one := &gate{limits: l, total: g.total, bytes: semaphore.NewWeighted(l.OwnerBytes), max: l.Streams}
	one.requests = rate.NewLimiter(rate.Limit(l.Requests), l.Burst)
	if owner == (crypt.OwnerKey{}) {
		one.max = l.Strangers
		one.requests = rate.NewLimiter(rate.Limit(l.StrangerRate), l.StrangerBurst)
	}
	if l.BytesPerSecond > 0 {
		one.volume = rate.NewLimiter(rate.Limit(l.BytesPerSecond), MaxBody)
	}
	g.owners[owner] = one
	return one
}

// enter counts a stream, or says that there are enough.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.streams >= g.max {
		return false
	}
	g.streams++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	g.streams--
	g.mu.Unlock()
}

// request waits for the owner's rate of requests.
func (g *gate) request(ctx context.Context) error {
	if g.requests.Allow() {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, g.limits.Wait)
	defer stop()
	if err := g.requests.Wait(ctx); err != nil {
		return refuse(ErrBusy, "too many requests")
	}
	return nil
}

// take waits until n more bytes may be in flight; the caller gives them back.
func (g *gate) take(ctx context.Context, n int64) (giveBack func(), err error) {
	ctx, stop := context.WithTimeout(ctx, g.limits.Wait)
	defer stop()
	busy := refuse(ErrBusy, "too many bytes under way")
	if g.volume != nil && g.volume.WaitN(ctx, int(min(n, MaxBody))) != nil {
		return nil, busy
	}
	own, all := min(n, g.limits.OwnerBytes), min(n, g.limits.TotalBytes)
	if g.bytes.Acquire(ctx, own) != nil {
		return nil, busy
	}
	if g.total.Acquire(ctx, all) != nil {
		g.bytes.Release(own)
		return nil, busy
	}
	return func() { g.total.Release(all); g.bytes.Release(own) }, nil
}
