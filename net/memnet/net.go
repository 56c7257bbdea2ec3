package memnet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
	"github.com/hammockfs/hammock/net/wire"
)

var (
	// ErrReset is what a call on a stream returns that one side has reset.
	ErrReset = errors.New("stream reset")
	// ErrClosed is what a call on a stream returns that this side has closed.
	ErrClosed = errors.New("stream closed")
	// ErrRefused: no such node, or it does not handle the protocol for us.
	ErrRefused = errors.New("connection refused")
	// ErrNoRoute: a partition lies between, and the dial took its 5 seconds.
	ErrNoRoute = errors.New("no route to the peer")
)

// dialTimeout is how long an Open looks for a way through a partition.
const dialTimeout = 5 * time.Second

// retransmit is the delay that a lost segment costs.
const retransmit = 200 * time.Millisecond

// Link is what lies between two nodes, for each direction. The zero Link is
// instant and unlimited.
type Link struct {
	Delay  time.Duration
	Jitter time.Duration // up to this is added to Delay, order is kept
	Rate   int64         // bytes per second of one stream; 0: no limit
	Loss   float64       // share of segments (32 KiB at most) that come 200 ms late
}

type pair struct{ from, to string }

// Net is a network. All methods may be called at any time from any goroutine.
type Net struct {
	mu      sync.Mutex // guards all below; taken after a half's, never before
	rand    *rand.Rand
	nodes   map[string]*Node
	common  Link
	links   map[pair]Link
	cuts    map[pair]int64
	lies    map[string]func(proto string, p []byte)
	group   map[string]int
	halves  map[*half]struct{}
	changed chan struct{} // closed when the partition changes
}

// New makes a network without nodes. The seed decides jitter and loss.
func New(seed uint64) *Net {
	return &Net{
		rand: rand.New(rand.NewPCG(seed, 0)), nodes: map[string]*Node{}, links: map[pair]Link{},
		cuts: map[pair]int64{}, lies: map[string]func(string, []byte){}, group: map[string]int{},
		halves: map[*half]struct{}{}, changed: make(chan struct{}),
	}
}

// Node adds a node, by the name r.Peer; as others will see it. A node with a
// zero owner is a stranger. A node of the same name must have been closed.
func (n *Net) Node(r wire.Remote) *Node {
	ctx, stop := context.WithCancel(context.Background())
	node := &Node{net: n, self: r, ctx: ctx, stop: stop, handlers: map[string]handler{}}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[r.Peer] = node
	return node
}

// SetLinks gives all links without one of their own the same Link.
func (n *Net) SetLinks(l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.common = l
}

// SetLink sets the link between two nodes, in both directions.
func (n *Net) SetLink(a, b string, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[pair{a, b}], n.links[pair{b, a}] = l, l
}

// Cut resets each stream opened from now on between the two nodes once the
// node from has sent so many bytes on it; what is more is lost. A negative
// number ends this.
func (n *Net) Cut(from, to string, after int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cuts, pair{from, to})
	if after >= 0 {
		n.cuts[pair{from, to}] = after
	}
}

// Lie passes all that a node sends from now on through f, which may alter it
// in place; nil makes the node honest again. Writes of one stream come in
// order; f is called concurrently for different streams.
func (n *Net) Lie(node string, f func(proto string, p []byte)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.lies, node)
	if f != nil {
		n.lies[node] = f
	}
}

// Partition separates the groups from one another. A node in no group talks to
// all. Streams stay open and silent.
func (n *Net) Partition(groups ...[]string) {
	group := map[string]int{}
	for i, g := range groups {
		for _, name := range g {
			group[name] = i + 1
		}
	}
	n.mu.Lock()
	n.group = group
	close(n.changed)
	n.changed = make(chan struct{})
	all := slices.Collect(maps.Keys(n.halves))
	n.mu.Unlock()
	for _, h := range all {
		h.mu.Lock()
		h.wake()
		h.mu.Unlock()
	}
}

// Heal ends a partition.
func (n *Net) Heal() { n.Partition() }

func (n *Net) blocked(a, b string) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.group[a] != 0 && n.group[b] != 0 && n.group[a] != n.group[b], n.changed
}

// travel draws how long a segment of size bytes takes, without queueing, and
// how long it occupies the link.
func (n *Net) travel(p pair, size int) (delay, busy time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l, ok := n.links[p]
	if !ok {
		l = n.common
	}
	delay = l.Delay
	if l.Jitter > 0 {
		delay += time.Duration(n.rand.Int64N(int64(l.Jitter)))
	}
	if l.Loss > 0 && n.rand.Float64() < l.Loss {
		delay += retransmit
	}
	if l.Rate > 0 {
		busy = time.Duration(float64(size) / float64(l.Rate) * float64(time.Second))
	}
	return delay, busy
}

func (n *Net) lie(node, proto string, p []byte) {
	n.mu.Lock()
	f := n.lies[node]
	n.mu.Unlock()
	if f != nil {
		f(proto, p)
	}
}

// Node is one peer. It is a wire.Dialer and a wire.Listener.
type Node struct {
	net      *Net
	self     wire.Remote
	ctx      context.Context // ends at Close
	stop     context.CancelFunc
	mu       sync.Mutex
	handlers map[string]handler // guarded by mu
	streams  []*stream          // guarded by mu; both ends that are at this node
	closed   bool               // guarded by mu
	wg       sync.WaitGroup     // running handlers
}

type handler struct {
	serve    wire.Handler
	stranger bool
}

// Handle serves a protocol for members.
func (d *Node) Handle(proto string, h wire.Handler) { d.handle(proto, handler{h, false}) }

// HandleStranger serves a protocol for everybody.
func (d *Node) HandleStranger(proto string, h wire.Handler) { d.handle(proto, handler{h, true}) }

func (d *Node) handle(proto string, h handler) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.handlers, proto)
	if h.serve != nil {
		d.handlers[proto] = h
	}
}

// Open opens a stream to the node named peer.
func (d *Node) Open(ctx context.Context, peer, proto string) (wire.Stream, error) {
	if err := d.route(ctx, peer); err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", proto, peer, err)
	}
	d.net.mu.Lock()
	far := d.net.nodes[peer]
	d.net.mu.Unlock()
	if far == nil {
		return nil, fmt.Errorf("open %s to %s: %w", proto, peer, ErrRefused)
	}
	near, other := d.net.streams(d.self.Peer, peer, proto)
	if !d.track(near) {
		return nil, fmt.Errorf("open %s to %s: %w", proto, peer, ErrClosed)
	}
	if !far.accept(d.self, proto, other) {
		near.Reset()
		d.forget(near)
		return nil, fmt.Errorf("open %s to %s: %w", proto, peer, ErrRefused)
	}
	return near, nil
}

// route waits until no partition lies between.
func (d *Node) route(ctx context.Context, peer string) error {
	timeout := time.NewTimer(dialTimeout)
	defer timeout.Stop()
	for {
		blocked, changed := d.net.blocked(d.self.Peer, peer)
		if !blocked {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return ErrNoRoute
		}
	}
}

func (d *Node) accept(from wire.Remote, proto string, s *stream) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	h, ok := d.handlers[proto]
	if d.closed || !ok || (!h.stranger && from.Owner == (crypt.OwnerKey{})) {
		return false
	}
	s.node = d
	d.streams = append(d.streams, s)
	d.wg.Go(func() { h.serve(d.ctx, from, s) })
	return true
}

func (d *Node) track(s *stream) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.node = d
	d.streams = append(d.streams, s)
	return !d.closed
}

func (d *Node) forget(s *stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(d.streams, s); i >= 0 {
		d.streams = slices.Delete(d.streams, i, i+1)
	}
}

// Streams returns how many streams have an end here that is not closed.
func (d *Node) Streams() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.streams)
}

// Close stops the node as a crash would, resets its streams and waits for its
// handlers. Others dial it in vain until a node of that name is added again.
func (d *Node) Close() error {
	d.net.mu.Lock()
	if d.net.nodes[d.self.Peer] == d {
		delete(d.net.nodes, d.self.Peer)
	}
	d.net.mu.Unlock()
	d.mu.Lock()
	d.closed = true
	all := slices.Clone(d.streams)
	d.mu.Unlock()
	d.stop()
	for _, s := range all {
		s.Reset()
	}
	d.wg.Wait()
	return nil
}

// A node is all of a network that net/wire asks for.
var (
	_ wire.Dialer   = (*Node)(nil)
	_ wire.Listener = (*Node)(nil)
)
