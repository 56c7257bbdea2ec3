package wire

import (
	"context"
	"sync"
	"time"

	"github.com/hammockfs/hammock/crypt"
)

// ClientConfig is what a Client needs; zero values of the numbers mean the
// defaults that are said with them.
type ClientConfig struct {
	Dialer Dialer
	Device *crypt.Device // signs deletes
	// Certificate of Device, with the right to write; shown with deletes.
	Certificate []byte
	Owner       crypt.OwnerKey // ours
	Swarm       crypt.ID       // scope of the signatures of deletes
	Meter       *Meter

	Bulk    int           // streams to one peer for large transfers (8)
	Small   int           // streams to one peer for small requests (16)
	Dial    time.Duration // to open a stream (15 s)
	Wait    time.Duration // for a reply to begin (60 s; a peer may be syncing its disk)
	Keep    time.Duration // an idle stream (90 s; less than servers wait)
	Silence time.Duration // within a body (30 s)
	Slowest int64         // bytes per second of a body in all (32 KiB)
}

func (c *ClientConfig) fill() {
	if c.Meter == nil {
		c.Meter = new(Meter)
	}
	orDefault(&c.Bulk, 8)
	orDefault(&c.Small, 16)
	orDefault(&c.Dial, 15*time.Second)
	orDefault(&c.Wait, 60*time.Second)
	orDefault(&c.Keep, 90*time.Second)
	orDefault(&c.Silence, 30*time.Second)
	orDefault(&c.Slowest, 32<<10)
}

func orDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func (c *ClientConfig) pace() pace { return pace{c.Silence, c.Slowest} }

// A Client talks to peers and keeps the streams to them. Safe for concurrent
// use.
type Client struct {
	cfg   ClientConfig
	ctx   context.Context // ends at Close
	stop  context.CancelCauseFunc
	mu    sync.Mutex
	peers map[string]*Peer // guarded by mu; nil once closed
}

// NewClient makes a client. It opens nothing before it is asked to.
func NewClient(cfg ClientConfig) *Client {
	cfg.fill()
	c := &Client{cfg: cfg, peers: map[string]*Peer{}}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	return c
}

// Peer returns the peer of that name (for a swarm its libp2p peer ID). It does
// no I/O, and the same name gives the same Peer.
func (c *Client) Peer(id string) *Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.peers[id]; ok {
		return p
	}
	p := &Peer{
		c: c, id: id,
		bulk:  newPool(c, id, ProtoShard, c.cfg.Bulk),
		small: newPool(c, id, ProtoSmall, c.cfg.Small),
		head:  newPool(c, id, ProtoHead, 2),
	}
	if c.peers == nil {
		for _, q := range p.pools() {
			q.shut = true
		}
		return p
	}
	c.peers[id] = p
	return p
}

// Meter returns the counters of bytes.
func (c *Client) Meter() *Meter { return c.cfg.Meter }

// Close ends what is under way with ErrClosed, closes all streams and waits for
// the calls to return.
func (c *Client) Close() error {
	c.stop(ErrClosed)
	c.mu.Lock()
	peers := c.peers
	c.peers = nil
	c.mu.Unlock()
	for _, p := range peers {
		for _, q := range p.pools() {
			q.close()
		}
	}
	return nil
}
