package swarmsim

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/placement"
)

// Config says how large a world is and how long it lasts. The same Config gives the same history.
type Config struct {
	Seed    uint64
	Nodes   int // at the start; who leaves for good is followed by a newcomer
	Owners  int
	Stripes int // of each owner at the start; a tenth more is written every ninety days
	Days    int
	Calm    int // days after that in which nothing happens any more
	// AuditEvery is how often each store is asked while a process runs.
	AuditEvery time.Duration
	// Events, if there is one, is told of each event that Report.Hash covers, one a line.
	Events io.Writer
	// Jog lets those who act at the same instant do so in an order that chance, and no seed, decides. The history is the same.
	Jog bool
}

// Report is what a world has lived through.
type Report struct {
	Stripes, Lost        int // Lost: beyond what the policy takes; their losses fell within the time of repair
	Sessions, Kills      int
	Reads, Unreadable    int // Unreadable: with too few shards online just then
	Again                int // puts of what the store had already
	Deleted              int // shards that stores were told to forget
	PutBytes, FirstBytes int64
	MovedBytes           int64 // put while another node, away or under suspicion, had them
	LostBytes, ReadBytes int64
	Strays               int              // shards in stores that no newest record names, at the end
	Moved                map[string]int64 // of MovedBytes: why the other node did not count
	Longest              [3]int           // days that lost shards waited at most to be rebuilt, by cause
	Fates                map[string]int
	Hash                 uint64   // of everything that was done, in order
	Losses               []string // what each lost stripe was lost of
	Failures             []string
}

// jog lets others go first, sometimes.
func (w *World) jog() {
	if w.cfg.Jog {
		for range rand.IntN(4) {
			runtime.Gosched()
		}
	}
}

// World is a swarm and its owners. Run must be called within a testing/synctest bubble.
type World struct {
	cfg   Config
	start time.Time
	rng   *rand.Rand // fate's; the driver's alone

	mu       sync.Mutex
	nodes    []*node // by number, less one
	owners   []*owner
	infos    []placement.StoreInfo
	names    map[hold]*stripe
	dark     map[int]time.Time // sites without power, until when
	people   int               // who have nodes; the first of them are the owners
	sites    int
	epoch    int  // counts what fate does
	moved    bool // the stores have changed, and no process knows it yet
	day      int
	report   Report
	latency  bool // answers take time
	strict   bool // puts are judged by what journals say
	sessions sync.WaitGroup
	procs    map[*process]bool
}

// New makes a world on its first morning.
func New(cfg Config) *World {
	w := &World{cfg: cfg, start: time.Now(), rng: rand.New(rand.NewPCG(cfg.Seed, 1)), names: map[hold]*stripe{},
		dark: map[int]time.Time{}, latency: true, strict: true, procs: map[*process]bool{}}
	w.report.Fates, w.report.Moved = map[string]int{}, map[string]int64{}
	for i := range cfg.Owners {
		o := &owner{w: w, id: i, rng: rand.New(rand.NewPCG(cfg.Seed, uint64(i)+2)), stripes: map[uint64]*stripe{},
			notes: map[uint32][]byte{}, debts: map[debt]uint64{}}
		w.owners = append(w.owners, o)
		for range cfg.Stripes {
			o.write()
		}
	}
	w.people = max(cfg.Owners, 12)
	w.sites = 2 * w.people
	for range cfg.Nodes {
		w.join()
	}
	return w
}

// join adds a node; World.mu is held, or nobody else is there yet.
func (w *World) join() {
	i := len(w.nodes)
	n := &node{w: w, number: uint32(i + 1), owner: i % w.people, online: true, since: time.Now(),
		name: fmt.Sprint("node-", i+1), machine: fmt.Sprint("machine-", i), steady: w.rng.IntN(10) < 7, capacity: 8 << 20, shards: map[hold]*kept{}}
	n.site = n.owner
	if w.rng.IntN(3) == 0 {
		n.site += w.people // its owner's other site
	}
	if i >= w.people && w.rng.IntN(10) == 0 {
		n.machine = w.nodes[i-w.people].machine // two nodes of an owner on one machine
		n.site = w.nodes[i-w.people].site
	}
	w.nodes = append(w.nodes, n)
}

// Run lets the world live and gives what became of it.
func (w *World) Run() *Report {
	for w.day = range w.cfg.Days + w.cfg.Calm {
		calm := w.day >= w.cfg.Days
		for hour := range 24 {
			w.mu.Lock()
			w.pass(calm)
			w.announce()
			w.wake(hour, calm)
			w.mu.Unlock()
			w.kick()
			time.Sleep(time.Hour + 7919*time.Nanosecond)
		}
		w.check()
	}
	w.sessions.Wait()
	w.judgement()
	return &w.report
}

// kick tells the running processes that the stores have changed, as the swarm does. A placer asks for stores while it is
// locked, so World.mu is not held here.
func (w *World) kick() {
	w.mu.Lock()
	var running []*process
	if w.moved {
		running = slices.Collect(maps.Keys(w.procs))
	}
	w.moved = false
	w.mu.Unlock()
	for _, p := range running {
		p.placer.Kick()
	}
}

// wake starts the sessions of the hour; World.mu is held.
func (w *World) wake(hour int, calm bool) {
	for _, o := range w.owners {
		if o.busy || o.rng.IntN(24) != 0 && !(calm && (hour+o.id)%6 == 0) {
			continue
		}
		o.busy = true
		o.begun = append(o.begun, w.day)
		w.report.Sessions++
		w.sessions.Go(func() { o.session(calm) })
	}
}

// announce notes what owners know of stores, all that ever were, in this hour; World.mu is held.
func (w *World) announce() {
	w.infos = w.infos[:0]
	for _, n := range w.nodes {
		w.infos = append(w.infos, placement.StoreInfo{
			Number: n.number, Name: n.name, Owner: crypt.OwnerKey{byte(n.owner), 1}, Site: strconv.Itoa(n.site),
			Machine: n.machine, Online: n.online, Free: n.capacity - n.used, Reliability: 0.9,
		})
	}
}

// draw is a number that depends on the seed, the time and what it is drawn for.
func (w *World) draw(who int, what crypt.ID) uint64 {
	h := fnv.New64a()
	var b [24]byte
	for i, v := range []uint64{w.cfg.Seed, uint64(time.Now().UnixNano()), uint64(who)} {
		for j := range 8 {
			b[8*i+j] = byte(v >> (8 * j))
		}
	}
	h.Write(b[:])
	h.Write(what[:])
	return mix(h.Sum64())
}

// mix is the finaliser of SplitMix64: FNV alone leaves the upper bits too much alike.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chance is true once in so many times.
func (w *World) chance(in uint64, who int, what crypt.ID) bool { return w.draw(who, what)%in == 0 }

// wait is how long a node takes to answer.
func (w *World) wait(ctx context.Context, n *node, owner int, what crypt.ID) error {
	w.mu.Lock()
	slow := n.slow
	w.mu.Unlock()
	ms := 5 + time.Duration(n.number%40)
	return w.pause(ctx, slow+ms*time.Millisecond, w.draw(int(n.number)<<16|owner, what))
}

// sync is how long a journal takes.
func (w *World) sync(ctx context.Context, owner int, what crypt.ID) error {
	return w.pause(ctx, 2*time.Millisecond, w.draw(owner, what))
}

// pause sleeps for least and up to 50 ms more, to a nanosecond that nobody else has.
func (w *World) pause(ctx context.Context, least time.Duration, drawn uint64) error {
	w.jog()
	defer w.jog()
	if !w.latency {
		return ctx.Err()
	}
	timer := time.NewTimer(least + time.Duration(drawn%50_000_000))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// note takes what happened, and when, into the owner's hash; World.mu is held. What happens at the same instant, as when
// a process is killed in the midst of its puts, may come in any order.
func (w *World) note(o *owner, kind string, stripe uint64, index int, store uint32, err error) {
	h := fnv.New64a()
	line := fmt.Sprintf("%018d %d %s %d %d %d %v\n", time.Since(w.start), o.id, kind, stripe, index, store, err)
	h.Write([]byte(line))
	o.hash += mix(h.Sum64())
	if w.cfg.Events != nil {
		fmt.Fprint(w.cfg.Events, line)
	}
}

// fail notes a broken promise; World.mu is held. The first few are enough.
func (w *World) fail(format string, args ...any) {
	if len(w.report.Failures) < 20 {
		w.report.Failures = append(w.report.Failures, fmt.Sprintf("day %d: ", w.day)+fmt.Sprintf(format, args...))
	}
}
