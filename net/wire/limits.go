package wire

import (
	"context"
	"maps"
	"runtime"
	"sync"
	"time"

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

	// Of everybody at one network address who is not a member; all strangers
	// together have strangerAddresses times as much.
	Strangers     int     // streams at once
	StrangerRate  float64 // requests per second
	StrangerBurst int

	Work  int64         // requests that are worked on at once, by their cost in bytes
	Grace time.Duration // for bytes in flight beyond an owner's part, when others wait for theirs

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
		Work: 12 << 20, Grace: 4 * time.Second,
	}
}

// strangerAddresses is for how many addresses there is room among strangers, as
// far as those use up what one of them may.
const strangerAddresses = 8

// maxAddresses bounds the addresses whose strangers are remembered.
const maxAddresses = 1024

// gates holds the gate of each owner that was ever served; members are few. Of
// addresses of strangers it forgets those that are quiet.
type gates struct {
	limits Limits
	bytes  *fair // in flight
	work   *fair // requests that are worked on
	signs  *fair // signatures that are checked: all that costs a processor much
	all    *gate // what all strangers have under way together

	mu        sync.Mutex
	owners    map[crypt.OwnerKey]*gate // guarded by mu
	strangers map[string]*gate         // by address; guarded by mu
}

// gate is what one owner has under way, or the strangers of one address.
type gate struct {
	*gates
	owner    crypt.OwnerKey // zero: strangers
	requests *rate.Limiter
	volume   *rate.Limiter // nil: no limit
	mu       sync.Mutex
	streams  int // guarded by mu
	max      int
}

func newGates(l Limits) *gates {
	g := &gates{limits: l, owners: map[crypt.OwnerKey]*gate{}, strangers: map[string]*gate{}}
	g.bytes = newFair(l.TotalBytes, l.OwnerBytes, l.Grace)
	g.work = newFair(l.Work, l.Work, 0)
	g.work.floor = l.Work / 64
	cores := int64(max(2, runtime.GOMAXPROCS(0)))
	g.signs = newFair(cores, cores/2, 0)
	g.all = g.strange(strangerAddresses)
	return g
}

func (g *gates) of(owner crypt.OwnerKey) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one, ok := g.owners[owner]; ok {
		return one
	}
	one := &gate{gates: g, owner: owner, max: g.limits.Streams}
	one.requests = rate.NewLimiter(rate.Limit(g.limits.Requests), g.limits.Burst)
	if g.limits.BytesPerSecond > 0 {
		one.volume = rate.NewLimiter(rate.Limit(g.limits.BytesPerSecond), MaxBody)
	}
	g.owners[owner] = one
	return one
}

// strange makes a gate for strangers with so many times the limits of one address.
func (g *gates) strange(times int) *gate {
	l := &g.limits
	return &gate{gates: g, max: times * l.Strangers,
		requests: rate.NewLimiter(rate.Limit(float64(times)*l.StrangerRate), times*l.StrangerBurst)}
}

// stranger is the gate of an address. Where too many are busy, further ones
// share one.
func (g *gates) stranger(addr string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one, ok := g.strangers[addr]; ok {
		return one
	}
	if len(g.strangers) >= maxAddresses {
		maps.DeleteFunc(g.strangers, func(_ string, one *gate) bool { return one.quiet() })
	}
	if len(g.strangers) >= maxAddresses {
		addr = ""
	}
	one := g.strangers[addr]
	if one == nil {
		one = g.strange(1)
		g.strangers[addr] = one
	}
	return one
}

// quiet says whether a gate is as a new one would be.
func (g *gate) quiet() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.streams == 0 && g.requests.Tokens() >= float64(g.requests.Burst())
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
	if g.owner.IsZero() && !g.all.requests.Allow() {
		return refuse(ErrBusy, "too many requests of strangers")
	}
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
// cut ends what they are for, if others have waited for long.
func (g *gate) take(ctx context.Context, n int64, cut func()) (giveBack func(), err error) {
	ctx, stop := context.WithTimeout(ctx, g.limits.Wait)
	defer stop()
	if g.volume != nil && g.volume.WaitN(ctx, int(min(n, MaxBody))) != nil {
		return nil, refuse(ErrBusy, "too many bytes under way")
	}
	if giveBack, err = g.bytes.acquire(ctx, g.owner, n, cut); err != nil {
		return nil, refuse(ErrBusy, "too many bytes under way")
	}
	return giveBack, nil
}

// What a request costs a node beside its bytes, in bytes whose handling costs
// about the same.
const (
	costSmall = 32 << 10
	costPut   = 256 << 10 // the disk is synced
)

// turn waits for the owner's turn to be worked for; cost is in bytes.
func (g *gate) turn(ctx context.Context, cost int64) (done func(), err error) {
	return g.wait(ctx, g.work, min(cost, g.limits.Work))
}

// sign waits for the owner's turn to have signatures checked.
func (g *gate) sign(ctx context.Context) (done func(), err error) { return g.wait(ctx, g.signs, 1) }

func (g *gate) wait(ctx context.Context, f *fair, cost int64) (done func(), err error) {
	ctx, stop := context.WithTimeout(ctx, g.limits.Wait)
	defer stop()
	if done, err = f.acquire(ctx, g.owner, cost, nil); err != nil {
		return nil, refuse(ErrBusy, "too much to do")
	}
	return done, nil
}
