package swarm

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
)

// What a device may have open here, by who it is. libp2p's own bounds go by the
// network address and would cut off an office whose fifty machines stand behind
// one; they also give whoever has not yet shown a key the same share as members.
const (
	maxConns    = 2048      // in all, either way
	maxStreams  = 32 << 10  // in all, either way
	maxMemory   = 512 << 20 // buffers of connections and streams, as far as they are promised
	maxUnnamed  = 256       // connections before TLS has shown a key
	maxUnasked  = 4096      // streams that have not said which protocol
	unnamedRoom = 32 << 20  // what those two may have of memory
)

var (
	memberLimits = rcmgr.BaseLimit{
		Conns: 16, ConnsInbound: 8, ConnsOutbound: 8, FD: 16,
		Streams: 512, StreamsInbound: 256, StreamsOutbound: 256, Memory: 64 << 20,
	}
	// One stream to say hello, join or recover, and what libp2p asks for itself.
	strangerLimits = rcmgr.BaseLimit{
		Conns: 16, ConnsInbound: 8, ConnsOutbound: 8, FD: 16,
		Streams: 32, StreamsInbound: 16, StreamsOutbound: 16, Memory: 8 << 20,
	}
)

// resourceManager is libp2p's with bounds by membership.
func (s *Swarm) resourceManager() (network.ResourceManager, error) {
	scale := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scale)
	all := rcmgr.ResourceLimits{
		Conns: maxConns, ConnsInbound: maxConns, ConnsOutbound: maxConns, FD: maxConns,
		Streams: maxStreams, StreamsInbound: maxStreams, StreamsOutbound: maxStreams, Memory: maxMemory,
	}
	unnamed := rcmgr.ResourceLimits{
		Conns: 2 * maxUnnamed, ConnsInbound: maxUnnamed, ConnsOutbound: maxUnnamed, FD: 2 * maxUnnamed,
		Streams: maxUnasked, StreamsInbound: maxUnasked, StreamsOutbound: maxUnasked, Memory: unnamedRoom,
	}
	// Who a stream belongs to decides, not which protocol it is for.
	proto := rcmgr.ResourceLimits{
		Streams: maxStreams, StreamsInbound: maxStreams, StreamsOutbound: maxStreams, Memory: maxMemory,
	}
	base := rcmgr.PartialLimitConfig{System: all, Transient: unnamed, ProtocolDefault: proto, ProtocolPeerDefault: proto}
	inner, err := rcmgr.NewResourceManager(memberLimiter{rcmgr.NewFixedLimiter(base.Build(scale.AutoScale())), s},
		rcmgr.WithLimitPerSubnet([]rcmgr.ConnLimitPerSubnet{}, []rcmgr.ConnLimitPerSubnet{}),
		rcmgr.WithConnRateLimiters(new(rate.Limiter)), // the gater's throttle does that
		rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, fmt.Errorf("limit the network: %w", err)
	}
	return &resources{ResourceManager: inner, s: s, by: make(map[netip.Prefix]int)}, nil
}

// memberLimiter gives each device the bounds that it has a right to at the
// moment of asking: a stranger becomes a member while it is connected.
type memberLimiter struct {
	rcmgr.Limiter
	s *Swarm
}

// GetPeerLimits implements rcmgr.Limiter.
func (l memberLimiter) GetPeerLimits(id peer.ID) rcmgr.Limit { return peerLimit{l.s, id} }

type peerLimit struct {
	s  *Swarm
	id peer.ID
}

func (l peerLimit) now() *rcmgr.BaseLimit {
	if l.s.isKnown(l.id) {
		return &memberLimits
	}
	return &strangerLimits
}

func (l peerLimit) GetMemoryLimit() int64    { return l.now().Memory }
func (l peerLimit) GetStreamTotalLimit() int { return l.now().Streams }
func (l peerLimit) GetConnTotalLimit() int   { return l.now().Conns }
func (l peerLimit) GetFDLimit() int          { return l.now().FD }

func (l peerLimit) GetStreamLimit(d network.Direction) int {
	if d == network.DirInbound {
		return l.now().StreamsInbound
	}
	return l.now().StreamsOutbound
}

func (l peerLimit) GetConnLimit(d network.Direction) int {
	if d == network.DirInbound {
		return l.now().ConnsInbound
	}
	return l.now().ConnsOutbound
}

// resources bounds how many connections an address has open that are not
// members': those that have shown no key yet and those whose key is nobody's.
type resources struct {
	network.ResourceManager
	s  *Swarm
	mu sync.Mutex
	by map[netip.Prefix]int // guarded by mu
}

var errAddressFull = errors.New("too many connections of strangers from one address")

// OpenConnection is asked before TLS, when only the address is known.
func (r *resources) OpenConnection(dir network.Direction, usefd bool, from ma.Multiaddr) (network.ConnManagementScope, error) {
	if dir != network.DirInbound {
		return r.ResourceManager.OpenConnection(dir, usefd, from)
	}
	key := network64(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by[key] >= r.s.limits.sameAddress {
		return nil, errAddressFull
	}
	scope, err := r.ResourceManager.OpenConnection(dir, usefd, from)
	if err != nil {
		return nil, err
	}
	r.by[key]++
	return &counted{ConnManagementScope: scope, give: sync.OnceFunc(func() { r.give(key) }), s: r.s}, nil
}

func (r *resources) give(key netip.Prefix) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by[key]--; r.by[key] == 0 {
		delete(r.by, key)
	}
}

// counted is a connection that counts for its address until it is a member's or
// over.
type counted struct {
	network.ConnManagementScope
	give func()
	s    *Swarm
}

// SetPeer is called when TLS has shown the key.
func (c *counted) SetPeer(id peer.ID) error {
	err := c.ConnManagementScope.SetPeer(id)
	if err == nil && c.s.isKnown(id) {
		c.give()
	}
	return err
}

// Done ends the connection.
func (c *counted) Done() {
	c.ConnManagementScope.Done()
	c.give()
}
